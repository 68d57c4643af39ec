from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from edgenas.spaces import Task, get_space
from edgenas.spaces.autoformer import BlockSpec, Geometry, assemble
from edgenas.supernets import build_supernet
from edgenas.supernets.autoformer import build_supernet as build_autoformer
from edgenas.supernets.autoformer import slice_block
from edgenas.supernets.autoformer_net import AutoFormerNet, build_component
from edgenas.supernets.autoformer_position import RelativePosition, make_layout, relative_attention
from edgenas.supernets.sliced import SlicedSupernet
from tests.autoformer import fill_by_formula, formula_image

pytestmark = pytest.mark.usefixtures("one_thread")
TABLES = [f"rel_pos_{name}.{axis}" for name in "kv" for axis in ("vertical", "horizontal")]


def attention_by_pairs(q: Tensor, k: Tensor, v: Tensor, tables: Mapping[str, Tensor], grid: int, max_distance: int) -> Tensor:
    """The definition: one vector for each pair of tokens, (L, L, d), for keys and for values."""

    def pairs(name: str) -> Tensor:
        rows, columns = torch.arange(grid**2) // grid, torch.arange(grid**2) % grid
        total = torch.zeros(())
        for axis, line in (("vertical", rows), ("horizontal", columns)):
            distance = (line[None] - line[:, None]).clamp(-max_distance, max_distance) + max_distance + 1
            total = total + tables[f"{name}.{axis}"][F.pad(distance, (1, 0, 1, 0))]
        return total

    logits = (q @ k.transpose(-1, -2) + torch.einsum("nhid,ijd->nhij", q, pairs("rel_pos_k"))) * q.shape[-1] ** -0.5
    weights = logits.softmax(-1)
    return weights @ v + torch.einsum("nhij,ijd->nhid", weights, pairs("rel_pos_v"))


@pytest.mark.parametrize(("grid", "max_distance"), [(14, 14), (1, 14), (6, 2), (5, 9)])
def test_rows_and_columns_give_what_pairs_give_gradients_included(grid: int, max_distance: int) -> None:
    generator = torch.Generator().manual_seed(grid)
    shapes = [(2, 3, grid**2 + 1, 64)] * 3 + [(2 * max_distance + 2, 64)] * 4
    leaves = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    cotangent = torch.randn(shapes[0], generator=generator)
    tables = dict(zip(TABLES, leaves[3:], strict=True))
    layout, vectors = make_layout(grid, max_distance), []
    for name in ("rel_pos_k", "rel_pos_v"):
        own = {axis: tables[f"{name}.{axis}"] for axis in ("vertical", "horizontal")}
        vectors.append(torch.func.functional_call(RelativePosition(max_distance, 64), own, (layout.index_D,)))
    q, k, v = leaves[:3]
    ours = relative_attention((q, k, v), vectors[0], vectors[1], layout.places_LE, grid)
    theirs = attention_by_pairs(*leaves[:3], tables, grid, max_distance)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    for mine, reference in zip(*(torch.autograd.grad(y, leaves, cotangent) for y in (ours, theirs)), strict=True):
        torch.testing.assert_close(mine, reference, atol=1e-5 * float(reference.abs().max()) + 1e-7, rtol=1e-5)


def test_rows_of_q_k_and_v_mean_the_same_at_every_width() -> None:
    largest, narrow = (BlockSpec(2, dim, heads, 4, hidden, 1) for dim, heads, hidden in ((8, 3, 16), (6, 2, 9)))
    block = build_component(largest)
    weights = dict(block.named_parameters())
    marks = torch.cat([torch.arange(12.0), 100 + torch.arange(12.0), 200 + torch.arange(12.0)])
    with torch.no_grad():
        weights["attn.qkv.bias"].copy_(marks)
        weights["attn.qkv.weight"].copy_(marks[:, None].expand(36, 8))
        weights["attn.proj.weight"].copy_(torch.arange(12.0).expand(8, 12))
    cut = slice_block(weights, largest, narrow)
    leading = torch.arange(8.0)
    expected = torch.cat([leading, 100 + leading, 200 + leading])
    assert torch.equal(cut["attn.qkv.bias"], expected)
    assert torch.equal(cut["attn.qkv.weight"], expected[:, None].expand(24, 6))
    assert torch.equal(cut["attn.proj.weight"], leading.expand(6, 8))
    assert cut["mlp.fc1.weight"].shape == (9, 6)
    assert cut["mlp.fc2.weight"].shape == (6, 9)


def test_depth_keeps_the_first_blocks() -> None:
    space = get_space("autoformer-nano")
    supernet = build_supernet(space, space.default_task)
    assert isinstance(supernet, SlicedSupernet)
    net = supernet.extract(tuple(space.from_json({"embed_dim": 24, "mlp_ratio": [2.0], "num_heads": [3]})[0].tolist()))
    assert len(net.blocks) == 1
    ours, largest = net.blocks[0].state_dict(), supernet.net.blocks[0].state_dict()
    assert all(torch.equal(ours[name], largest[name]) for name in largest)


# What microsoft/Cream's own code answers for the formula's weights. The fixture's logits of this net are not: its file says
# 0.00933… for the first, and neither that code nor ours gives it.
LOGITS_OF_WINNER = {
    "logits_first5": [0.013783981092, 0.000875759870, -0.009751129895, -0.053869128227, 0.014308767393],
    "logits_abs_sum": 78.81551361,
}


@pytest.mark.parametrize("row", [0, 1])
def test_logits_of_formula_weights_are_the_ancestors(row: int, fixture_json: Any) -> None:
    expected = fixture_json("dss_deterministic.json")["rows"][row] | (LOGITS_OF_WINNER if row == 1 else {})
    conf = expected["conf"]
    arch = {"embed_dim": conf["embed_dim"][0], "mlp_ratio": conf["mlp_ratio"], "num_heads": conf["num_heads"]}
    net = fill_by_formula(AutoFormerNet(assemble(Geometry(), Task(1000, 3, 224), arch))).eval()
    with torch.no_grad():
        logits_K, of_ones_K = net(formula_image())[0].double(), net(torch.ones(1, 3, 224, 224))[0].double()
    assert logits_K[:5].tolist() == pytest.approx(expected["logits_first5"], rel=1e-4, abs=1e-6)
    if row == 0:
        assert of_ones_K[:5].tolist() == pytest.approx(expected["ones_logits_first5"], rel=1e-4, abs=1e-6)
    assert float(logits_K.abs().sum()) == pytest.approx(expected["logits_abs_sum"], rel=1e-4)


def test_the_class_token_may_be_read_instead_of_the_mean_of_patches() -> None:
    space, task = get_space("autoformer-nano"), Task(5, 3, 32)
    torch.manual_seed(0)
    mean = build_autoformer(space, task)
    token = build_autoformer(space, task, global_pool="token")
    token.load_state_dict(mean.state_dict())
    images, genes = torch.randn(2, 3, 32, 32), tuple(space.extreme(largest=False)[0].tolist())
    features = []
    for supernet in (mean, token):
        net = supernet.extract(genes)
        assert torch.allclose(net(images), supernet(images, genes), atol=1e-6)
        features.append(net(images))
    assert not torch.allclose(*features, atol=1e-4)


def test_extraction_draws_no_random_number() -> None:
    space = get_space("autoformer-nano")
    supernet = build_autoformer(space, space.default_task)
    before = torch.random.get_rng_state()
    supernet.extract(tuple(space.sample(1, np.random.default_rng(0))[0].tolist()))
    assert torch.equal(torch.random.get_rng_state(), before)
