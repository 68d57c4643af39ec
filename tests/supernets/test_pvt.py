from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgenas.spaces import Task, get_space
from edgenas.spaces.pvt import BlockSpec, HeadSpec, PatchEmbedSpec, PvtSpec, StageNormSpec, StageSpec, lower
from edgenas.supernets import build_supernet
from edgenas.supernets.pvt import build_component, slice_block
from edgenas.supernets.pvt_net import PvtBlock, PvtNet, average_pool, averaging_matrix
from edgenas.supernets.sliced import SlicedSupernet
from tests.macs import fvcore_macs


def b0_spec(num_classes: int = 1000) -> PvtSpec:
    """PVTv2-B0 at 224 px."""
    dims, heads, ratios, sizes, grids = (32, 64, 160, 256), (1, 2, 5, 8), (8, 8, 4, 4), (8, 4, 2, 1), (56, 28, 14, 7)
    stages = []
    for i, (dim, grid) in enumerate(zip(dims, grids, strict=True)):
        first = i == 0
        embed = PatchEmbedSpec(
            3 if first else dims[i - 1], dim, 7 if first else 3, 4 if first else 2, 224 if first else grids[i - 1], grid, first
        )
        kind = "none" if sizes[i] == 1 else "conv"
        block = BlockSpec(grid, dim, heads[i], dim, kind, sizes[i], dim * ratios[i], relu=False)  # type: ignore[arg-type]
        stages.append(StageSpec(embed, (block, block), StageNormSpec(grid, dim)))
    return PvtSpec(Task(num_classes, 3, 224), tuple(stages), HeadSpec(7, 256, (), (), num_classes))


def test_a_b0_shaped_net_gives_timms_logits_for_timms_weights() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    theirs = timm.create_model("pvt_v2_b0", pretrained=False).eval()
    ours = PvtNet(b0_spec()).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), atol=2e-6, rtol=1e-5)


def test_b0_has_the_golden_parameters_and_macs() -> None:
    net = PvtNet(b0_spec())
    assert sum(parameter.numel() for parameter in net.parameters()) == 3_666_760
    images = torch.zeros(1, 3, 224, 224)
    assert fvcore_macs(net, images) == 566_065_664
    assert fvcore_macs(net, images, with_norms=True) == 566_065_664 + 5_958_400


@pytest.mark.parametrize("grid", [6, 7, 8, 11, 22, 64])
@pytest.mark.parametrize("cells", [1, 2, 5, 7, 15, 31])
def test_averaging_by_matrices_equals_adaptive_pooling(grid: int, cells: int) -> None:
    torch.manual_seed(grid * 100 + cells)
    x_NCHW = torch.randn(2, 3, grid, grid)
    ours = average_pool(x_NCHW.flatten(2).transpose(1, 2), averaging_matrix(grid, cells))
    theirs = F.adaptive_avg_pool2d(x_NCHW, cells).flatten(2).transpose(1, 2)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_rows_of_q_k_and_v_mean_the_same_at_every_width() -> None:
    largest = BlockSpec(4, 12, 2, 24, "pool", 2, 48, relu=True)
    narrow = BlockSpec(4, 12, 2, 8, "pool", 2, 24, relu=True)
    block = build_component(largest)
    marks = torch.arange(24.0)
    with torch.no_grad():
        block.attn.q.bias.copy_(marks)  # type: ignore[union-attr, operator]
        block.attn.kv.bias.copy_(torch.cat([100 + marks, 200 + marks]))  # type: ignore[union-attr, operator]
        block.attn.proj.weight.copy_(marks.expand(12, 24))  # type: ignore[union-attr, operator]
    cut = slice_block(dict(block.named_parameters()), largest, narrow)
    per_head = torch.tensor([0.0, 1, 2, 3, 12, 13, 14, 15])  # leading four of each head's twelve
    assert torch.equal(cut["attn.q.bias"], per_head)
    assert torch.equal(cut["attn.kv.bias"], torch.cat([100 + per_head, 200 + per_head]))
    assert torch.equal(cut["attn.proj.weight"][0], per_head)
    assert torch.equal(cut["mlp.fc2.weight"], block.mlp.fc2.weight[:, :24])  # type: ignore[union-attr, index]


def test_depth_keeps_the_first_blocks() -> None:
    space = get_space("pvt-nano")
    supernet = build_supernet(space, space.default_task).eval()
    assert isinstance(supernet, SlicedSupernet)
    smallest = supernet.extract(tuple(int(gene) for gene in space.extreme(largest=False)[0]))
    assert [len(stage.blocks) for stage in smallest.stages] == [1, 1, 1, 1]  # type: ignore[union-attr, arg-type]
    ours = smallest.state_dict()["stages.0.blocks.0.norm1.weight"]
    assert torch.equal(ours, supernet.net.state_dict()["stages.0.blocks.0.norm1.weight"])


@pytest.mark.parametrize("name", ["pvt-nano", "pvt-covidx"])
def test_components_in_a_row_compute_what_the_net_computes(name: str) -> None:
    space, task = get_space(name), Task(num_classes=3, in_channels=1, image_px=48)
    net = PvtNet(lower(space, space.extreme(largest=False)[0], task)).eval()
    chain = nn.Sequential(*(build_component(component) for component in net.spec.components)).eval()
    for part, whole in zip(chain.parameters(), net.parameters(), strict=True):
        part.data.copy_(whole.data)
    images = torch.randn(2, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(chain(images), net(images), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("pool", [4, 6, 15])
def test_attention_is_that_of_adaptive_pooling_before_the_linear_layer(pool: int) -> None:
    grid, dim, heads = 6, 16, 2
    spec = BlockSpec(grid, dim, heads, qkv_dim=8, reduction="pool", reduction_size=pool, mlp_hidden=8, relu=True)
    torch.manual_seed(0)
    block = PvtBlock(spec).double()
    weights = {name: torch.randn_like(value) for name, value in block.named_parameters()}
    x_NLC = torch.randn(2, grid**2, dim, dtype=torch.float64)
    cells_NCPP = F.adaptive_avg_pool2d(x_NLC.transpose(1, 2).reshape(2, dim, grid, grid), pool)
    y_NMC = F.conv2d(cells_NCPP, weights["attn.sr.weight"], weights["attn.sr.bias"]).flatten(2).transpose(1, 2)
    y_NMC = F.gelu(F.layer_norm(y_NMC, (dim,), weights["attn.norm.weight"], weights["attn.norm.bias"]))
    q, k, v = (
        part.reshape(2, -1, heads, 4).transpose(1, 2)
        for part in (
            F.linear(x_NLC, weights["attn.q.weight"], weights["attn.q.bias"]),
            *F.linear(y_NMC, weights["attn.kv.weight"], weights["attn.kv.bias"]).chunk(2, dim=-1),
        )
    )
    gathered = ((q @ k.transpose(-1, -2) / 2).softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
    expected_NLC = F.linear(gathered, weights["attn.proj.weight"], weights["attn.proj.bias"])
    attention = {name.removeprefix("attn."): value for name, value in weights.items() if name.startswith("attn.")}
    answer_NLC = torch.func.functional_call(block.attn, attention, (x_NLC,))
    torch.testing.assert_close(answer_NLC, expected_NLC, atol=1e-6, rtol=1e-6)
