from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from edgenas.spaces import Task, get_space
from edgenas.spaces.pit import BlockSpec, Geometry, PoolSpec, assemble
from edgenas.supernets import build_supernet
from edgenas.supernets.pit import Table, build_component, slice_block, slice_pool
from edgenas.supernets.pit_net import PitNet
from edgenas.supernets.sliced import SlicedSupernet

pytestmark = pytest.mark.usefixtures("one_thread")
NANO = get_space("pit-nano")
TIMM = {"pit_ti_224": (32, [2, 4, 8]), "pit_xs_224": (48, [2, 4, 8]), "pit_s_224": (48, [3, 6, 12])}


@pytest.mark.parametrize("name", list(TIMM))
def test_timms_weights_give_timms_logits(name: str) -> None:
    timm = pytest.importorskip("timm")
    base_dim, num_heads = TIMM[name]
    torch.manual_seed(0)
    theirs = timm.create_model(name, pretrained=False).eval()
    arch = {"base_dim": base_dim, "mlp_ratio": 4, "num_heads": num_heads, "depths": [2, 6, 4]}
    ours = PitNet(assemble(Geometry(), Task(1000, 3, 224), arch)).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), atol=2e-6, rtol=1e-5)


def marks(weight: Tensor) -> Tensor:
    """Numbers that tell every entry of a weight."""
    return torch.arange(float(weight.numel())).reshape(weight.shape)


def places(base_dim: int, num_heads: int) -> Tensor:
    """Channels of a token in a largest net of 3 rows and 4 columns that a net of these widths keeps, in its order."""
    columns = {1: [0], 2: [0, 2], 4: [0, 1, 2, 3]}[num_heads]
    return torch.tensor([4 * row + column for row in range(base_dim) for column in columns])


def rows(base_dim: int, num_heads: int) -> Tensor:
    """Rows of q, of k or of v that it keeps."""
    return torch.tensor([3 * head + channel for head in range(num_heads) for channel in range(base_dim)])


@pytest.mark.parametrize(("base_dim", "num_heads"), list(product((1, 2, 3), (1, 2, 4))))
def test_channels_rows_and_heads_mean_the_same_at_every_width(base_dim: int, num_heads: int) -> None:
    largest, narrow = BlockSpec(2, 3, 4, 24), BlockSpec(2, base_dim, num_heads, 2 * base_dim * num_heads)
    block = build_component(largest)
    full = {name: marks(weight) for name, weight in block.named_parameters()}
    cut = slice_block(full, largest, narrow)
    channel, row, hidden = places(base_dim, num_heads), rows(base_dim, num_heads), torch.arange(narrow.mlp_hidden)
    of_qkv = torch.cat([row, 12 + row, 24 + row])
    assert torch.equal(cut["norm1.weight"], full["norm1.weight"][channel])
    assert torch.equal(cut["attn.qkv.bias"], full["attn.qkv.bias"][of_qkv])
    assert torch.equal(cut["attn.qkv.weight"], full["attn.qkv.weight"][of_qkv][:, channel])
    assert torch.equal(cut["attn.proj.weight"], full["attn.proj.weight"][channel][:, row])
    assert torch.equal(cut["mlp.fc1.weight"], full["mlp.fc1.weight"][hidden][:, channel])
    assert torch.equal(cut["mlp.fc2.weight"], full["mlp.fc2.weight"][channel][:, hidden])
    assert {name: weight.shape for name, weight in cut.items()} == {
        name: weight.shape for name, weight in build_component(narrow).named_parameters()
    }


@pytest.mark.parametrize(("in_heads", "num_heads"), list(product((1, 2, 4), repeat=2)))
def test_a_pooled_channel_reads_the_channels_next_to_its_own(in_heads: int, num_heads: int) -> None:
    """In places of the largest net: what a channel is pooled from is it itself where both sides have it."""
    largest, spec = PoolSpec(3, 2, 3, 4, 4), PoolSpec(3, 2, 2, in_heads, num_heads)
    full = {name: marks(weight) for name, weight in build_component(largest).named_parameters()}
    pool = build_component(spec)
    pool.load_state_dict({name: weight.clone() for name, weight in slice_pool(full, largest, spec).items()})
    before, after = places(2, in_heads), places(2, num_heads)
    finer = before if in_heads > num_heads else after
    image = torch.randn(1, 3 * 3, len(before), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pooled = pool(torch.cat([torch.ones(1, 1, len(before)), image], dim=1))
    expected = torch.zeros(1, 4, len(after))
    for place in finer.tolist():
        source, target = (int(torch.searchsorted(kept, place, right=True)) - 1 for kept in (before, after))
        line = image[:, :, source].reshape(1, 1, 3, 3)
        weight = full["conv.weight"][place][None]
        expected[:, :, target] += torch.nn.functional.conv2d(line, weight, stride=2, padding=1).reshape(1, 4)
    torch.testing.assert_close(pooled[:, 1:], expected + full["conv.bias"][after], rtol=1e-5, atol=1e-4)
    linear = full["fc.weight"][after][:, before].sum(dim=1) + full["fc.bias"][after]
    torch.testing.assert_close(pooled[0, 0], linear)


def test_channels_of_a_narrow_net_are_those_of_every_wider_one() -> None:
    table, channels = Table(72, 12), torch.arange(72 * 12)
    kept = {(base, heads): set(table.slice(channels, 0, base, heads).tolist()) for base in (36, 60, 72) for heads in (3, 6, 12)}
    for (base, heads), (other_base, other_heads) in product(kept, repeat=2):
        assert len(kept[base, heads]) == base * heads
        if base <= other_base and heads <= other_heads:
            assert kept[base, heads] <= kept[other_base, other_heads]


def test_slices_of_the_largest_net_are_no_copies() -> None:
    supernet = build_supernet(NANO, NANO.default_task)
    weights = dict(supernet.net.named_parameters())
    slices = supernet.slices(tuple(NANO.extreme(largest=True)[0].tolist()))
    assert slices.keys() == weights.keys()
    assert all(slices[name].data_ptr() == weight.data_ptr() for name, weight in weights.items())


def test_depth_keeps_the_first_blocks() -> None:
    supernet = build_supernet(NANO, NANO.default_task)
    assert isinstance(supernet, SlicedSupernet)
    arch = {"base_dim": 8, "mlp_ratio": 2, "num_heads": [4, 4, 4], "depths": [1, 2, 1]}
    net = supernet.extract(tuple(NANO.from_json(arch)[0].tolist()))
    stages: Any = net.transformers
    assert [len(stage.blocks) for stage in stages] == [1, 2, 1]
    ours, largest = net.state_dict(), supernet.net.state_dict()
    assert all(torch.equal(ours[name], largest[name]) for name in ours)


def test_extraction_draws_no_random_number() -> None:
    supernet = build_supernet(NANO, NANO.default_task)
    before = torch.random.get_rng_state()
    supernet.extract(tuple(NANO.sample(1, np.random.default_rng(0))[0].tolist()))
    assert torch.equal(torch.random.get_rng_state(), before)
