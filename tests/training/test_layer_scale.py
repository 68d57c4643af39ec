"""Layer scale that ends up in the weights."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from edgenas.spaces import get_space
from edgenas.supernets import build_net
from edgenas.training.checkpoints import load_state, save_state
from edgenas.training.distillation import TrainingLoss
from edgenas.training.layer_scale import add_layer_scale, fold_layer_scale
from edgenas.training.loop import LoopSettings, StepRecord, start, train
from tests.training.tiny import CPU, TinyBatches, tiny_images, tiny_net

SETTINGS = LoopSettings(epochs=2, learning_rate=1e-2)


@pytest.mark.parametrize("space", ["pvt-nano", "autoformer-nano", "vitas-nano", "pit-nano"])
def test_factors_fold_into_the_layers_of_every_family(space: str) -> None:
    named = get_space(space)
    torch.manual_seed(0)
    net = build_net(named, named.default_task, tuple(int(gene) for gene in named.extreme(largest=True)[0])).eval()
    names = [name for name, _ in net.named_parameters()]
    images_NCHW = torch.randn(2, 3, named.default_task.image_px, named.default_task.image_px)
    with torch.no_grad():
        plain = net(images_NCHW)
        assert add_layer_scale(net, 1.0) >= 6
        assert torch.equal(net(images_NCHW), plain)
        gammas = [value for name, value in net.named_parameters() if name.endswith("gamma_C")]
        for gamma_C in gammas:
            gamma_C.uniform_(0.1, 2.0)
        scaled = net(images_NCHW)
        assert not torch.equal(scaled, plain)
        fold_layer_scale(net)
        assert torch.equal(net(images_NCHW), scaled)
    assert sorted(name for name, _ in net.named_parameters()) == sorted(names)
    copy.deepcopy(net)


def test_small_factors_make_every_block_pass_on_what_it_gets() -> None:
    net = tiny_net().eval()
    add_layer_scale(net, 1e-6)
    x_NLC = torch.randn(1, net.stages[0].blocks[0].spec.grid ** 2, net.stages[0].blocks[0].spec.embed_dim)
    with torch.no_grad():
        assert (net.stages[0].blocks[0](x_NLC) - x_NLC).abs().max().item() < 1e-4


def test_they_are_learnt_averaged_and_survive_an_interruption(tmp_path: Path) -> None:
    def scaled_net() -> torch.nn.Module:
        net = tiny_net()
        add_layer_scale(net, 0.1)
        return net

    whole = start(scaled_net(), SETTINGS, CPU)
    list(train(whole, TinyBatches(), TrainingLoss(), SETTINGS))
    first = start(scaled_net(), SETTINGS, CPU)
    for record in train(first, TinyBatches(), TrainingLoss(), SETTINGS):
        if isinstance(record, StepRecord) and record.step == 4:
            save_state(tmp_path / "state", first, {})
            break
    resumed = start(scaled_net(), SETTINGS, CPU)
    load_state(tmp_path / "state", resumed, {})
    list(train(resumed, TinyBatches(), TrainingLoss(), SETTINGS))
    gammas = [value for name, value in whole.model.named_parameters() if name.endswith("gamma_C")]
    assert any((gamma_C - 0.1).abs().max().item() > 1e-3 for gamma_C in gammas)
    images_NCHW = torch.from_numpy(tiny_images(4)[0])
    for net in (whole.result, resumed.result):
        fold_layer_scale(net.eval())
    with torch.no_grad():
        assert torch.equal(whole.result(images_NCHW), resumed.result(images_NCHW))
