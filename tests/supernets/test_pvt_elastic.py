from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edgenas.spaces import SearchSpace, Task, get_space
from edgenas.spaces.base import RESOLUTION
from edgenas.spaces.pvt import BlockSpec, PvtSpec
from edgenas.spaces.pvt_elastic import GEOMETRIES, PVT_ELASTIC_SPACES, assemble, hand_designed, lower
from edgenas.supernets.pvt_elastic import build_supernet, cut_block, joined, stage_of
from edgenas.supernets.pvt_net import PvtNet
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.testing.supernets import awakened_supernet

pytestmark = pytest.mark.usefixtures("one_thread")
NANO = get_space("pvt-elastic-nano")


@pytest.fixture
def supernet() -> SlicedSupernet[PvtSpec]:
    awakened = awakened_supernet(NANO, NANO.default_task)
    assert isinstance(awakened, SlicedSupernet)
    return awakened


def end(*, largest: bool, **changed: Any) -> dict[str, Any]:
    """The smallest or largest architecture with other entries in its first stage, or another resolution."""
    arch = NANO.to_json(NANO.extreme(largest=largest)[0])
    arch[RESOLUTION] = changed.pop(RESOLUTION, arch[RESOLUTION])
    arch["stages"][0] |= changed
    return arch


def row(arch: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(gene) for gene in NANO.from_json(arch)[0])


def test_rows_of_q_k_and_v_mean_the_same_at_every_width(supernet: SlicedSupernet[PvtSpec]) -> None:
    weights = {name: value.detach().clone() for name, value in stage_of(supernet, 3).blocks[0].named_parameters()}
    width = weights["attn.q.bias"].shape[0]
    marks = torch.arange(float(width))
    weights |= {"attn.q.bias": marks, "attn.kv.bias": torch.cat([100 + marks, 200 + marks])}
    weights["attn.kv.weight"] = weights["attn.kv.bias"][:, None].expand(2 * width, 64).clone()
    weights["attn.proj.weight"] = marks.expand(64, width).clone()
    weights["mlp.dwconv.bias"] = torch.arange(192.0)
    spec = BlockSpec(4, 48, 2, 16, "none", 1, 96, relu=False)
    cut = joined(cut_block(weights, spec))
    leading = torch.arange(16.0)
    assert torch.equal(cut["attn.q.bias"], leading)
    assert torch.equal(cut["attn.kv.bias"], torch.cat([100 + leading, 200 + leading]))
    assert torch.equal(cut["attn.kv.weight"], cut["attn.kv.bias"][:, None].expand(32, 48))
    assert torch.equal(cut["attn.proj.weight"], leading.expand(48, 16))
    assert torch.equal(cut["mlp.dwconv.bias"], torch.arange(96.0))
    assert cut["mlp.fc2.weight"].shape == (48, 96)
    assert not any(name.startswith("attn.sr") for name in cut)


def test_depth_keeps_the_first_blocks_and_names_are_timms(supernet: SlicedSupernet[PvtSpec]) -> None:
    net = supernet.extract(row(end(largest=True, blocks=[{"qkv_dim": 16, "mlp_ratio": 4}])))
    names = net.state_dict()
    assert torch.equal(names["stages.0.blocks.0.norm1.weight"], supernet.net.get_parameter("stages.0.blocks.0.norm1.weight"))
    assert "stages.0.blocks.1.norm1.weight" not in names
    assert {"patch_embed.proj.weight", "stages.1.downsample.norm.bias", "stages.0.blocks.0.attn.sr.weight", "head.bias"} <= set(
        names
    )
    assert isinstance(net, PvtNet)


def test_every_reduction_has_its_own_weights_but_pooling_one_set_for_all_sizes(supernet: SlicedSupernet[PvtSpec]) -> None:
    """A subnet's gradient reaches just the weights of its own reduction."""
    images = torch.randn(2, 3, 32, 32)
    for reduction, own in (
        ({"kind": "pool", "size": 2}, "pool"),
        ({"kind": "pool", "size": 3}, "pool"),
        ({"kind": "conv", "size": 4}, "conv4"),
    ):
        supernet.zero_grad(set_to_none=True)
        supernet(images, row(end(largest=True, reduction=reduction))).square().sum().backward()
        reached = {name for name, parameter in stage_of(supernet, 0).named_parameters() if parameter.grad is not None}
        others = {"pool", "conv4"} - {own}
        assert any(f".reductions.{own}.sr" in name for name in reached)
        assert not any(f".reductions.{other}." in name for name in reached for other in others)


def test_the_relu_of_the_linear_variant_comes_with_pooling_alone() -> None:
    for space in PVT_ELASTIC_SPACES:
        for genes_G in space.sample(20, np.random.default_rng(0)):
            blocks = [part for part in lower(space, genes_G, space.default_task).components if isinstance(part, BlockSpec)]
            assert {(block.reduction == "pool") == block.relu for block in blocks} == {True}


def test_no_reduction_is_larger_than_its_grid() -> None:
    for space in PVT_ELASTIC_SPACES:
        clamped = 0
        for genes_G in space.sample(200, np.random.default_rng(0)):
            for stage, genes in zip(
                lower(space, genes_G, space.default_task).stages, space.to_json(genes_G)["stages"], strict=True
            ):
                assert all(block.reduction_size <= block.grid for block in stage.blocks)
                clamped += genes["reduction"]["size"] > stage.blocks[0].reduction_size
        assert clamped, space.name
    arch = end(largest=False, reduction={"kind": "conv", "size": 13})
    with pytest.raises(ValueError, match="a convolution of stride 13 is larger than the grid of 12 x 12 tokens"):
        assemble(GEOMETRIES[NANO.name], NANO.default_task, arch)


def test_a_width_of_no_whole_heads_and_a_tiny_image_have_no_net() -> None:
    arch = end(largest=False, blocks=[{"qkv_dim": 12, "mlp_ratio": 2}])
    with pytest.raises(ValueError, match="qkv_dim 12 is no multiple of the head's 8"):
        assemble(GEOMETRIES[NANO.name], NANO.default_task, arch)
    with pytest.raises(ValueError, match="0 px is too small"):
        assemble(GEOMETRIES[NANO.name], NANO.default_task, end(largest=False) | {RESOLUTION: 0})


@pytest.mark.parametrize("size_px", [24, 32, 40])
def test_the_supernet_and_the_net_resize_images_of_another_size(supernet: SlicedSupernet[PvtSpec], size_px: int) -> None:
    genes = row(end(largest=True, **{RESOLUTION: 24}))
    images = torch.rand(2, 3, size_px, size_px)
    small = images if size_px == 24 else F.interpolate(images, (24, 24), mode="bilinear", antialias=True)
    net = supernet.extract(genes)
    with torch.no_grad():
        expected = net(small)
        assert torch.equal(supernet(images, genes), supernet(small, genes))
        assert torch.equal(net(images), expected)
        torch.testing.assert_close(supernet(images, genes), expected, atol=1e-5, rtol=1e-5)


def test_no_graph_of_the_nets_own_resolution_resizes(supernet: SlicedSupernet[PvtSpec]) -> None:
    net = supernet.extract(row(end(largest=False)))
    for size_px, expected in ((24, False), (32, True)):
        graph = torch.export.export(net, (torch.zeros(1, 3, size_px, size_px),), strict=False).graph
        assert any("upsample" in str(node.target) for node in graph.nodes) == expected


def test_a_net_reads_its_own_resolution_whatever_the_task() -> None:
    task = Task(7, 1, 100)
    for resolution_px in (24, 32):
        genes = row(end(largest=False, **{RESOLUTION: resolution_px}))
        assert NANO.task_of(genes, task) == Task(7, 1, resolution_px)
    plain = get_space("pvt-nano")
    assert plain.task_of(plain.extreme(largest=True)[0], task) is task


def test_extraction_draws_no_random_number_and_pools_where_the_supernet_does(supernet: SlicedSupernet[PvtSpec]) -> None:
    before = torch.random.get_rng_state()
    net = supernet.extract(row(end(largest=False)))
    assert torch.equal(torch.random.get_rng_state(), before)
    matrix = net.stages[0].blocks[0].attn.pool.matrix_PH  # type: ignore[union-attr, index]
    assert torch.equal(matrix.sum(dim=1), torch.ones(2))  # type: ignore[union-attr, operator]
    assert not any("matrix_PH" in name for name in net.state_dict())


def test_hand_designed_nets_are_uniform_nets_of_the_space_from_small_to_large() -> None:
    for space in PVT_ELASTIC_SPACES:
        nets = hand_designed(space)
        assert len(nets) == len({str(net) for net in nets}) >= 9
        for net in nets:
            space.from_json(net)
            assert all(len({str(block) for block in stage["blocks"]}) == 1 for stage in net["stages"])
            assert [stage["reduction"]["kind"] for stage in net["stages"]][::3] == ["conv", "none"]


def spec_of(space: SearchSpace, genes_G: Any) -> Any:
    return lower(space, genes_G, space.default_task)


def test_different_rows_are_different_nets() -> None:
    rows = NANO.sample(300, np.random.default_rng(0))
    assert len({spec_of(NANO, genes_G) for genes_G in rows}) == len(rows)


def test_a_supernet_can_be_copied_and_its_weights_saved_and_loaded(supernet: SlicedSupernet[PvtSpec]) -> None:
    fresh = build_supernet(NANO, NANO.default_task).eval()
    fresh.load_state_dict(copy.deepcopy(supernet).state_dict())
    genes, images = row(end(largest=False)), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(fresh(images, genes), supernet(images, genes))
