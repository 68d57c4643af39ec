"""Which weights decay, and how fast each learns."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from edgenas.spaces import get_space
from edgenas.supernets import build_supernet
from edgenas.training.optimizing import layer_ids, parameter_groups


def names_of(model: nn.Module, groups: list[dict[str, object]], *, decayed: bool) -> set[str]:
    by_id = {id(parameter): name for name, parameter in model.named_parameters()}
    return {by_id[id(each)] for group in groups if bool(group["weight_decay"]) == decayed for each in group["params"]}  # type: ignore[attr-defined]


@pytest.mark.parametrize("space", ["autoformer-nano", "vitas-nano", "pit-nano", "pvt-nano"])
def test_positions_decay_unless_they_are_left_out(space: str) -> None:
    model = build_supernet(get_space(space), get_space(space).default_task)
    tables = {name for name, _ in model.named_parameters() if any(part in name for part in ("pos_embed", "cls_token", "rel_pos"))}
    assert bool(tables) == (space != "pvt-nano")
    vectors = {name for name, each in model.named_parameters() if each.ndim < 2}
    assert names_of(model, parameter_groups(model, 0.1), decayed=False) == vectors
    assert names_of(model, parameter_groups(model, 0.1, undecayed="positions"), decayed=False) == vectors | tables
    assert names_of(model, parameter_groups(model, 0.1, undecayed="none"), decayed=False) == set()


def test_every_parameter_is_in_one_group_and_frozen_ones_in_none() -> None:
    model = timm.create_model("pvt_v2_b0", num_classes=3)
    frozen = list(model.stages[0].blocks.parameters())
    for parameter in frozen:
        parameter.requires_grad_(False)
    for layer_decay in (1.0, 0.7):
        grouped = [parameter for group in parameter_groups(model, 0.05, layer_decay=layer_decay) for parameter in group["params"]]
        assert len(grouped) == len({id(each) for each in grouped}) == len(list(model.parameters())) - len(frozen)


def test_layers_are_counted_as_timm_counts_them_but_for_the_last_norm() -> None:
    from timm.models import group_parameters

    model = timm.create_model("vit_tiny_patch16_224", num_classes=3)
    layers, num_layers = layer_ids(model)
    theirs = group_parameters(model, model.group_matcher(coarse=False), reverse=True)
    last = {"norm.weight": 13, "norm.bias": 13}  # with the head here, with the last block there
    assert layers == theirs | last
    assert num_layers == max(theirs.values()) + 1


def test_rates_fall_from_the_head_to_the_image() -> None:
    model = build_supernet(get_space("pvt-nano"), get_space("pvt-nano").default_task)
    groups = parameter_groups(model, 0.05, layer_decay=0.5)
    scales = [group["lr_scale"] for group in groups]
    assert scales == sorted(scales)
    assert (scales[0], scales[-1]) == (0.5**10, 1.0)  # 9 blocks, what is before and what is after them


def test_a_net_without_blocks_is_one_layer() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    assert [group["lr_scale"] for group in parameter_groups(model, 0.05, layer_decay=0.5)] == [1.0, 1.0]


def test_weights_near_the_image_move_less() -> None:
    from edgenas.training.distillation import TrainingLoss
    from edgenas.training.loop import LoopSettings, start, train
    from tests.training.tiny import CPU, TinyBatches, tiny_net

    settings = LoopSettings(epochs=1, learning_rate=1e-2, layer_decay=0.5)
    net = tiny_net()
    before = {name: value.clone() for name, value in net.named_parameters()}
    state = start(net, settings, CPU)
    list(train(state, TinyBatches(), TrainingLoss(), settings))
    moves = {name: (value.detach() - before[name]).abs().max().item() for name, value in net.named_parameters()}
    first, last = moves["patch_embed.proj.weight"], max(value for name, value in moves.items() if name.startswith("head"))
    assert 0 < first < 0.1 * last  # AdamW moves a weight by about its learning rate
    assert torch.isfinite(torch.tensor(list(moves.values()))).all()
