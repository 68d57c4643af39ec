"""Weights of a larger net are selected consistently: whole heads, the same channels in every tensor that shares them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from edgenas.errors import CheckpointError
from edgenas.spaces import Task, get_space
from edgenas.supernets import build_net, build_supernet
from edgenas.supernets.selected_start import donor_of, is_wider, select_net, select_supernet
from edgenas.supernets.selection import METHODS, Donor
from edgenas.supernets.selection_layouts import heads_of
from edgenas.testing.supernets import awakened_supernet

NANOS = ("pvt-nano", "pvt-elastic-nano", "autoformer-nano", "vitas-nano", "pit-nano")
TASK = Task(10, 3, 32)


def donor(net: nn.Module) -> Donor:
    return donor_of(net.state_dict(), "the source", heads_of(net))


def logits(net: nn.Module, num: int = 4) -> Tensor:
    images = torch.randn(num, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        result: Tensor = net.eval()(images)
    return result


@cache
def timm_net(name: str) -> nn.Module:
    torch.manual_seed(0)
    net: nn.Module = timm.create_model(name, pretrained=False)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.05 * torch.randn(parameter.shape))
    return net


@pytest.mark.parametrize("name", NANOS)
def test_the_leading_weights_of_the_largest_net_are_the_slice_that_a_supernet_extracts(name: str) -> None:
    space = get_space(name)
    supernet = awakened_supernet(space, TASK)
    largest = space.extreme(largest=True)[0]
    narrow = largest.copy()
    for gene, choice in enumerate(space.choices):
        if any(word in choice.name for word in ("mlp", "qkv", "embed", "depth", "base_dim")):
            narrow[gene] = min(1, len(choice.options) - 1) if largest[gene] > 0 else largest[gene]
    row = tuple(int(gene) for gene in space.canonical(narrow[None])[0])
    net = build_net(space, TASK, row)
    source = supernet.extract(tuple(int(gene) for gene in largest))  # type: ignore[operator]  # a supernet
    select_net(net, space, donor(source), "leading", "the source")
    assert row != tuple(largest)
    assert torch.equal(logits(net), logits(supernet.extract(row)))  # type: ignore[operator]  # a supernet


def test_the_most_important_hidden_channels_are_found_wherever_they_are() -> None:
    space = get_space("pvt-nano")
    small = tuple(int(gene) for gene in space.canonical(_with(space.extreme(largest=True), space, "mlp", 0))[0])
    wanted = awakened_supernet(space, TASK).extract(small)  # type: ignore[operator]  # a supernet
    wider = build_net(space, TASK, tuple(int(gene) for gene in space.extreme(largest=True)[0]))
    state, rng = wider.state_dict(), np.random.default_rng(0)
    for name, value in wanted.state_dict().items():
        if value.shape == state[name].shape:
            state[name].copy_(value)
    for block in heads_of(wider):
        hidden, kept = state[f"{block}.mlp.fc1.bias"].shape[0], wanted.state_dict()[f"{block}.mlp.fc1.bias"].shape[0]
        places = np.sort(rng.permutation(hidden)[:kept])
        for kind in ("fc1.weight", "fc1.bias", "dwconv.weight", "dwconv.bias"):
            state[f"{block}.mlp.{kind}"].mul_(1e-3)
            state[f"{block}.mlp.{kind}"][places] = wanted.state_dict()[f"{block}.mlp.{kind}"]
        state[f"{block}.mlp.fc2.weight"][:, places] = wanted.state_dict()[f"{block}.mlp.fc2.weight"]
    net = build_net(space, TASK, small)
    select_net(net, space, donor(wider), "importance", "the source")
    assert torch.equal(logits(net), logits(wanted))
    select_net(net, space, donor(wider), "leading", "the source")
    assert not torch.equal(logits(net), logits(wanted))


def test_the_most_important_heads_are_taken_as_a_whole_for_q_k_v_and_the_projection() -> None:
    space = get_space("autoformer-nano")
    genes = tuple(int(gene) for gene in space.extreme(largest=True)[0])
    net = build_net(space, TASK, genes)
    reference = build_net(space, TASK, genes)
    for name, value in reference.state_dict().items():
        if ".rel_pos_" in name:
            value.zero_()
    state = {name: value.clone() for name, value in reference.state_dict().items() if ".rel_pos_" not in name}
    heads = heads_of(reference)
    for block, num in heads.items():
        rows = state[f"{block}.attn.qkv.bias"].shape[0] // 3
        width = rows // num
        noise = 1e-4 * torch.randn(3, width, state[f"{block}.attn.qkv.weight"].shape[1])
        for kind, extra in (("weight", noise), ("bias", torch.zeros(3, width))):
            stacked = state[f"{block}.attn.qkv.{kind}"].reshape(3, rows, *extra.shape[2:])
            state[f"{block}.attn.qkv.{kind}"] = torch.cat([extra, stacked], dim=1).flatten(0, 1)  # one faint head before all
        proj = state[f"{block}.attn.proj.weight"]
        state[f"{block}.attn.proj.weight"] = torch.cat([torch.randn(proj.shape[0], width), proj], dim=1)
    wider = donor_of(state, "the source", {block: num + 1 for block, num in heads.items()})
    select_net(net, space, wider, "importance", "the source")
    assert torch.allclose(logits(net), logits(reference), atol=1e-6)


def test_evenly_spaced_channels_are_the_same_ones_in_all_tensors() -> None:
    space = get_space("pvt-nano")
    source = timm_net("pvt_v2_b0")
    net = build_net(space, TASK, tuple(int(gene) for gene in space.extreme(largest=True)[0]))
    select_net(net, space, donor(source), "even", "pvt_v2_b0")
    own, theirs = net.state_dict(), source.state_dict()
    tokens, hidden = torch.arange(16) * 2, torch.arange(64) * 4
    assert torch.equal(own["patch_embed.proj.weight"], theirs["patch_embed.proj.weight"][tokens])
    assert torch.equal(own["stages.0.norm.weight"], theirs["stages.0.norm.weight"][tokens])
    wanted = theirs["stages.0.blocks.1.mlp.fc1.weight"][hidden][:, tokens]
    assert torch.equal(own["stages.0.blocks.1.mlp.fc1.weight"], wanted)
    wanted = theirs["stages.0.blocks.1.mlp.fc2.weight"][tokens][:, hidden]
    assert torch.equal(own["stages.0.blocks.1.mlp.fc2.weight"], wanted)
    assert torch.equal(
        own["stages.1.downsample.proj.weight"], theirs["stages.1.downsample.proj.weight"][torch.arange(24) * 64 // 24][:, tokens]
    )


def test_blocks_that_the_source_lacks_change_nothing() -> None:
    space = get_space("pvt-nano")
    supernet = awakened_supernet(space, TASK)
    largest = space.extreme(largest=True)
    shallow = tuple(int(gene) for gene in space.canonical(_with(largest, space, "depth", 0))[0])
    source = supernet.extract(shallow)  # type: ignore[operator]  # a supernet
    net = build_net(space, TASK, tuple(int(gene) for gene in largest[0]))
    notes = select_net(net, space, donor(source), "leading", "the source")
    assert torch.allclose(logits(net), logits(source), atol=1e-6)
    assert any("have no influence at first" in note for note in notes)
    assert any(note.startswith("without a counterpart, and so fresh: stages.") for note in notes)


PAIRS = (
    ("pvt-nano", "pvt_v2_b0"),
    ("pvt-nano", "pvt_v2_b2_li"),
    ("pvt-elastic-nano", "pvt_v2_b0"),
    ("autoformer-nano", "deit_tiny_distilled_patch16_224"),
    ("vitas-nano", "deit_tiny_patch16_224"),
)


@pytest.mark.parametrize(
    ("name", "source", "method"),
    [
        pytest.param(*pair, method, marks=[] if place % len(METHODS) == number else [pytest.mark.slow])
        for place, pair in enumerate(PAIRS)
        for number, method in enumerate(METHODS)
    ],
)  # every pair and every method by default, but not all of both
def test_a_supernets_largest_net_is_filled_as_a_plain_one(name: str, source: str, method: str) -> None:
    space, net = get_space(name), timm_net(source)
    genes = tuple(int(gene) for gene in space.extreme(largest=True)[0])
    torch.manual_seed(0)
    supernet = build_supernet(space, TASK)
    plain = supernet.extract(genes)  # type: ignore[operator]  # a supernet
    assert is_wider(donor(net), supernet)
    select_supernet(supernet, donor(net), method, source)  # type: ignore[arg-type]  # a method
    if "elastic" not in name:  # whose reductions are chosen by the source's
        select_net(plain, space, donor(net), method, source)  # type: ignore[arg-type]  # a method
        assert torch.equal(logits(supernet.extract(genes)), logits(plain))  # type: ignore[operator]  # a supernet
    smallest = tuple(int(gene) for gene in space.extreme(largest=False)[0])
    assert bool(logits(supernet.extract(smallest)).isfinite().all())  # type: ignore[operator]  # a supernet


def test_pit_keeps_the_columns_that_poolings_rely_on() -> None:
    space = get_space("pit-nano")
    supernet = awakened_supernet(space, TASK)
    largest = space.extreme(largest=True)
    few = tuple(int(gene) for gene in space.canonical(_with(largest, space, "num_heads", 0))[0])
    source = supernet.extract(tuple(int(gene) for gene in largest[0]))  # type: ignore[operator]  # a supernet
    net = build_net(space, TASK, few)
    assert max(heads_of(net).values()) < max(heads_of(source).values())
    select_net(net, space, donor(source), "leading", "the source")
    assert torch.equal(logits(net), logits(supernet.extract(few)))  # type: ignore[operator]  # a supernet


def test_published_pits_fill_narrower_ones() -> None:
    source, space = timm_net("pit_xs_224"), get_space("pit-ti")
    net = build_net(space, TASK, tuple(int(gene) for gene in space.extreme(largest=False)[0]))
    notes = select_net(net, space, donor(source), "importance", "pit_xs_224")
    assert "positions of 27 x 27 were interpolated to 3 x 3" in notes
    assert bool(logits(net).isfinite().all())
    with pytest.raises(CheckpointError, match=r"has heads from which those of pit-nano cannot be taken\. 2 there, 4 here"):
        select_supernet(build_supernet(get_space("pit-nano"), TASK), donor(source), "even", "pit_xs_224")


def test_files_of_published_widths_say_how_wide_heads_are() -> None:
    found = donor_of(timm_net("pvt_v2_b0").state_dict(), "the file")
    assert found.heads["stages.2.blocks.0"] == 5
    assert "1, 2, 5 and 8" in found.notes[0]
    state = timm_net("vit_tiny_patch16_224").state_dict()
    assert donor_of(state, "the file").heads["blocks.0"] == 3


def test_sources_of_other_families_are_refused() -> None:
    net = build_net(get_space("pvt-nano"), TASK, tuple(int(gene) for gene in get_space("pvt-nano").extreme(largest=True)[0]))
    deit = donor_of(timm_net("deit_tiny_patch16_224").state_dict(), "w.pth")
    with pytest.raises(CheckpointError, match=r"w\.pth is a Vision Transformer, and nets of pvt-nano are of another family"):
        select_net(net, get_space("pvt-nano"), deit, "leading", "w.pth")
    with pytest.raises(
        CheckpointError, match=r"timm:test_resnet is of another kind of net than weights can be selected from: PVT v2"
    ):
        donor_of(timm_net("test_resnet").state_dict(), "timm:test_resnet")


def _with(rows: np.ndarray, space: object, word: str, value: int) -> np.ndarray:  # type: ignore[type-arg]  # of genes
    changed = rows.copy()
    for gene, choice in enumerate(space.choices):  # type: ignore[attr-defined]  # a space
        if word in choice.name:
            changed[:, gene] = value
    return changed
