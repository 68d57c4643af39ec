"""DSS of every family against the definition: automatic differentiation and singular values of the extracted net."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgenas.proxies import Dss, WeightNorms, dss_as_published, dss_as_released, nuclear_norm
from edgenas.spaces import SearchSpace, Task, get_space
from edgenas.supernets import build_supernet, functional_subnet
from edgenas.supernets.pvt_mobile_net import AttentionBlock, ConvBlock, PlainBlock
from edgenas.supernets.pvt_mobile_star_net import StarBlock
from edgenas.testing.supernets import awakened_supernet

pytestmark = pytest.mark.usefixtures("one_thread")
TASKS = {
    "autoformer-nano": Task(5, 3, 32),
    "pit-nano": Task(5, 3, 32),
    "pvt-nano": Task(5, 1, 32),
    "pvt-covidx": Task(3, 3, 64),
    "pvt-elastic-nano": Task(5, 3, 32),
    "pvt-mobile-nano": Task(5, 3, 32),
    "pvt-mobile-star": Task(5, 3, 32),
    "vitas-nano": Task(5, 3, 32),
}


def some_genes(space: SearchSpace, num: int = 2) -> list[tuple[int, ...]]:
    rows = [space.extreme(largest=False)[0], *space.sample(num, np.random.default_rng(0))]
    return [tuple(int(gene) for gene in row) for row in rows]


def diversity(parameters: list[Tensor]) -> float:
    """Of weights whose rows are stacked."""
    weight = torch.cat([parameter.detach().flatten(1).double() for parameter in parameters])
    gradient = torch.cat([parameter.grad.flatten(1).double() for parameter in parameters if parameter.grad is not None])
    return float(torch.linalg.matrix_norm(weight, ord="nuc") * torch.linalg.matrix_norm(gradient, ord="nuc"))


def saliency(parameter: Tensor) -> float:
    assert parameter.grad is not None
    return float((parameter.detach().double() * parameter.grad.double()).abs().sum())


def as_defined(net: nn.Module, task: Task, *, absolute: bool) -> Dss:
    """By one pass through a plain net of its own, block by block; with signed weights q, k, v and convolutions are left out."""
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if absolute or name in ("cls_token", "pos_embed"):
                parameter.abs_()
    dtype = next(net.parameters()).dtype
    net(torch.ones(1, task.in_channels, task.image_px, task.image_px, dtype=dtype)).sum().backward()
    sums = dict.fromkeys(("qkv_stacked", "qkv_split", "proj", "mlp", "reduction", "depthwise"), 0.0)
    mobile = (ConvBlock, PlainBlock, StarBlock)
    blocks: list[Any] = [module for module in net.modules() if hasattr(module, "attn") or isinstance(module, mobile)]
    for block in blocks:
        if isinstance(block, (*mobile, AttentionBlock)):
            add_mobile(sums, block, absolute=absolute)
            continue
        sums["proj"] += diversity([block.attn.proj.weight])
        sums["mlp"] += saliency(block.mlp.fc1.weight) + saliency(block.mlp.fc2.weight)
        if not absolute:
            continue
        layers = [block.attn.qkv] if hasattr(block.attn, "qkv") else [block.attn.q, block.attn.kv]
        sums["qkv_stacked"] += diversity([layer.weight for layer in layers])
        for layer, parts in zip(layers, (3,) if len(layers) == 1 else (1, 2), strict=True):
            for rows, gradients in zip(layer.weight.chunk(parts), layer.weight.grad.chunk(parts), strict=True):
                part = rows.detach().clone()
                part.grad = gradients
                sums["qkv_split"] += diversity([part])
        if hasattr(block.attn, "sr"):
            sums["reduction"] += diversity([block.attn.sr.weight])
        if hasattr(block.mlp, "dwconv"):
            sums["depthwise"] += saliency(block.mlp.dwconv.weight)
    return Dss(**sums)


def add_mobile(sums: dict[str, float], block: Any, *, absolute: bool) -> None:
    """A bottleneck or a star is an MLP; of multi-query attention, q is a matrix of its own, since k and v have fewer rows."""
    if isinstance(block, StarBlock):
        sums["mlp"] += sum(saliency(part.conv.weight) for part in (block.f1, block.f2, block.g))
        sums["depthwise"] += saliency(block.dwconv.conv.weight) + saliency(block.dwconv2.conv.weight) if absolute else 0.0
        return
    if isinstance(block, PlainBlock):
        sums["mlp"] += saliency(block.conv.weight)
        return
    if isinstance(block, ConvBlock):
        sums["mlp"] += saliency(block.pw_exp.conv.weight) + saliency(block.pw_proj.conv.weight)
        depthwise = [part for part in (block.dw_start, block.dw_mid) if not isinstance(part, nn.Identity)]
        sums["depthwise"] += sum(saliency(part.conv.weight) for part in depthwise) if absolute else 0.0
        return
    attention = block.attn
    sums["proj"] += diversity([attention.output.proj.weight])
    if not absolute:
        return
    q, k, v = (part.proj.weight for part in (attention.query, attention.key, attention.value))
    shared = attention.spec.kind == "mqa"
    sums["qkv_stacked"] += diversity([q]) + diversity([k, v]) if shared else diversity([q, k, v])
    sums["qkv_split"] += diversity([q]) + diversity([k]) + diversity([v])
    if shared and attention.spec.kv_stride > 1:
        sums["reduction"] += diversity([attention.key.down_conv.weight]) + diversity([attention.value.down_conv.weight])


def parts_of(score: Dss) -> list[float]:
    return [score.qkv_stacked, score.qkv_split, score.proj, score.mlp, score.reduction, score.depthwise]


@pytest.mark.parametrize(
    ("name", "absolute"),
    [
        pytest.param(
            name, absolute, marks=[pytest.mark.slow] if name == "pvt-covidx" or not (absolute or name == "pit-nano") else []
        )
        for name in TASKS
        for absolute in (True, False)
    ],
)
def test_every_familys_score_is_the_definitions_on_the_extracted_net(name: str, absolute: bool) -> None:
    space, task = get_space(name), TASKS[name]
    supernet: Any = awakened_supernet(space, task)
    is_mobile = name.startswith("pvt-mobile")
    rel = 1e-4 if is_mobile else 1e-5  # its features grow beyond where single precision is exact
    rule, norms = (dss_as_published if absolute else dss_as_released), WeightNorms()
    for genes in some_genes(space, num=1 if name == "pvt-covidx" else 2):
        net = supernet.extract(genes)
        expected = as_defined(net.double() if absolute and is_mobile else net, task, absolute=absolute)
        score = rule(supernet, genes, norms)
        assert parts_of(score) == pytest.approx(parts_of(expected), rel=rel)
        if not is_mobile:
            assert (score.reduction > 0) == (score.depthwise > 0) == (absolute and name.startswith("pvt"))
        assert score.stacked == pytest.approx(sum(parts_of(expected)) - expected.qkv_split, rel=rel)
        assert score.split == pytest.approx(sum(parts_of(expected)) - expected.qkv_stacked, rel=rel)


@pytest.mark.parametrize("name", ["pit-nano", "pvt-nano", "pvt-covidx"])
def test_nuclear_norms_of_real_gradients_and_weights_are_exact(name: str) -> None:
    """Gradients of one image are nearly of low rank: the hard case for a Gram matrix."""
    space, task = get_space(name), TASKS[name]
    torch.manual_seed(0)
    supernet: Any = build_supernet(space, task)
    subnet = functional_subnet(supernet, some_genes(space)[-1])
    weights = {name: tensor.detach().abs().requires_grad_() for name, tensor in subnet.weights.items()}
    subnet.logits(torch.ones(1, task.in_channels, task.image_px, task.image_px), weights).sum().backward()  # type: ignore[no-untyped-call]
    checked = 0
    for group in subnet.groups:
        for weight in (weights[name] for name in group.names if group.role in ("qkv", "proj", "reduction")):
            assert weight.grad is not None
            for matrix in (weight.detach().flatten(1), weight.grad.flatten(1)):
                expected = float(torch.linalg.matrix_norm(matrix.double(), ord="nuc"))
                assert nuclear_norm(matrix) == pytest.approx(expected, rel=1e-6)
                checked += 1
    assert checked >= 12


@pytest.mark.parametrize("name", ["pit-nano", "pvt-nano"])
def test_scoring_leaves_the_supernet_alone(name: str) -> None:
    space, task = get_space(name), TASKS[name]
    supernet: Any = awakened_supernet(space, task).train()
    before = {key: value.clone() for key, value in supernet.state_dict().items()}
    for genes in some_genes(space):
        assert dss_as_published(supernet, genes) == dss_as_published(supernet, genes)
        dss_as_released(supernet, genes)
    assert all(torch.equal(value, before[key]) for key, value in supernet.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in supernet.parameters())
    assert all(module.training for module in supernet.modules())


def test_what_single_precision_cannot_hold_is_scored_in_double() -> None:
    """Without signs, features of a net of convolutions grow from layer to layer."""
    space, task = get_space("pvt-mobile-nano"), TASKS["pvt-mobile-nano"]
    supernet: Any = awakened_supernet(space, task)
    score = dss_as_published(supernet, tuple(int(gene) for gene in space.extreme(largest=True)[0]))
    assert all(np.isfinite(parts_of(score)))
    assert score.stacked > torch.finfo(torch.float32).max
    assert all(parameter.dtype == torch.float32 for parameter in supernet.parameters())


def test_kept_norms_tell_slices_of_equal_shape_apart() -> None:
    """8 channels are 8 rows of one head, or 4 rows of two."""
    space, task = get_space("pit-nano"), TASKS["pit-nano"]
    supernet: Any = awakened_supernet(space, task)
    archs = [{"base_dim": base, "mlp_ratio": 1, "num_heads": [heads] * 3, "depths": [1, 1, 1]} for base, heads in ((8, 1), (4, 2))]
    norms = WeightNorms()
    for arch in archs:
        genes = tuple(space.from_json(arch)[0].tolist())
        assert dss_as_published(supernet, genes, norms) == dss_as_published(supernet, genes)
    first, second = (functional_subnet(supernet, tuple(space.from_json(arch)[0].tolist())).weights for arch in archs)
    assert first["transformers.0.blocks.0.attn.qkv.weight"].shape == second["transformers.0.blocks.0.attn.qkv.weight"].shape


@pytest.mark.parametrize("name", list(TASKS))
def test_a_functional_subnet_answers_as_the_supernet_does(name: str) -> None:
    space, task = get_space(name), TASKS[name]
    supernet: Any = awakened_supernet(space, task)
    images = torch.randn(2, task.in_channels, task.image_px, task.image_px, generator=torch.Generator().manual_seed(0))
    for genes in some_genes(space):
        subnet = functional_subnet(supernet, genes)
        torch.testing.assert_close(subnet.logits(images, subnet.weights), supernet(images, genes), atol=1e-5, rtol=1e-5)
        assert subnet.weights.keys() == dict(supernet.extract(genes).named_parameters()).keys()
        assert {name for group in subnet.groups for name in group.names} <= subnet.weights.keys()
