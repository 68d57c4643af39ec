"""timm's PVT v2 nets in the elastic supernet: the same logits, and a sane start for everything around them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgenas.errors import CheckpointError
from edgenas.spaces import Task, get_space
from edgenas.spaces.named import NAMED
from edgenas.spaces.pvt import PvtSpec
from edgenas.supernets.pvt_elastic import build_supernet, stage_of
from edgenas.supernets.pvt_files import load_timm
from edgenas.supernets.sliced import SlicedSupernet

pytestmark = pytest.mark.usefixtures("one_thread")
timm = pytest.importorskip("timm")
TOLERANCE = 1e-5


def timm_net(name: str, **arguments: Any) -> nn.Module:
    """One whose biases and norms are not at their start, so that none can be forgotten."""
    torch.manual_seed(0)
    net: nn.Module = timm.create_model(name, pretrained=False, **arguments).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return net


def supernet_for(name: str, task: Task | None = None) -> SlicedSupernet[PvtSpec]:
    torch.manual_seed(1)
    return build_supernet(get_space(NAMED[name].space), task or Task(1000)).eval()


def genes_of(supernet: SlicedSupernet[PvtSpec], arch: Any) -> tuple[int, ...]:
    return tuple(int(gene) for gene in supernet.space.from_json(arch)[0])


def arch_of(name: str, resolution_px: int) -> dict[str, Any]:
    return copy.deepcopy({**NAMED[name].arch, "resolution_px": resolution_px})


@torch.no_grad()
def answer(net: nn.Module, *arguments: Any) -> Tensor:
    logits: Tensor = net(*arguments)
    return logits


@pytest.mark.parametrize(
    ("name", "resolution_px"),
    [
        ("pvt_v2_b0", 224),
        ("pvt_v2_b1", 224),
        ("pvt_v2_b2_li", 224),
        *(
            pytest.param(name, px, marks=pytest.mark.slow)
            for name, px in (("pvt_v2_b0", 256), ("pvt_v2_b2", 160), ("pvt_v2_b2_li", 256))
        ),
    ],
)
def test_supernet_and_extracted_net_give_timms_logits_for_timms_weights(name: str, resolution_px: int) -> None:
    theirs, supernet = timm_net(name), supernet_for(name)
    load_timm(supernet, theirs.state_dict(), name)
    images, genes = torch.randn(1, 3, resolution_px, resolution_px), genes_of(supernet, arch_of(name, resolution_px))
    expected = answer(theirs, images)
    assert float(expected.std()) > 100 * TOLERANCE
    net = supernet.extract(genes)
    torch.testing.assert_close(answer(supernet, images, genes), expected, atol=TOLERANCE, rtol=TOLERANCE)
    torch.testing.assert_close(answer(net, images), expected, atol=TOLERANCE, rtol=TOLERANCE)
    assert net.state_dict().keys() == theirs.state_dict().keys()


def test_larger_nets_around_the_source_answer_as_it_does_and_can_learn() -> None:
    theirs, supernet = timm_net("pvt_v2_b0"), supernet_for("pvt_v2_b0")
    load_timm(supernet, theirs.state_dict(), "pvt_v2_b0")
    arch = arch_of("pvt_v2_b0", 160)
    for stage, depth, qkv_dim in zip(arch["stages"], (3, 4, 6, 3), (64, 64, 160, 256), strict=True):
        stage["blocks"] = [{**stage["blocks"][0], "qkv_dim": qkv_dim}] * depth
    images = torch.randn(1, 3, 160, 160)
    logits = supernet(images, genes_of(supernet, arch))
    torch.testing.assert_close(logits, answer(theirs, images), atol=TOLERANCE, rtol=TOLERANCE)
    logits.square().sum().backward()
    last = supernet.net.get_parameter("stages.2.blocks.5.mlp.fc2.weight")
    assert last.grad is not None
    assert last.grad.count_nonzero() == last.numel()


def test_another_reduction_starts_as_the_sources_on_even_patches() -> None:
    """At 224 px the convolutions' patches are the cells of pooling to 7 x 7, so keys before their activation are equal."""
    theirs, supernet = timm_net("pvt_v2_b2_li"), supernet_for("pvt_v2_b2_li")
    load_timm(supernet, theirs.state_dict(), "pvt_v2_b2_li")
    reductions = stage_of(supernet, 0).blocks[0].get_submodule("attn.reductions")
    pool, conv = (reductions.get_submodule(name) for name in ("pool", "conv8"))
    x_NCHW = torch.randn(2, 64, 56, 56)
    cells = nn.functional.adaptive_avg_pool2d(x_NCHW, 7)
    kernel, bias = pool.get_parameter("sr.weight"), pool.get_parameter("sr.bias")
    ours = nn.functional.conv2d(x_NCHW, conv.get_parameter("sr.weight"), conv.get_parameter("sr.bias"), stride=8)
    torch.testing.assert_close(ours, nn.functional.conv2d(cells, kernel, bias), atol=TOLERANCE, rtol=TOLERANCE)
    assert torch.equal(conv.get_parameter("norm.weight"), pool.get_parameter("norm.weight"))


def test_what_was_taken_and_how_the_rest_starts_is_said() -> None:
    supernet = supernet_for("pvt_v2_b0", Task(2, 1, 64))
    before = copy.deepcopy(supernet.state_dict())
    notes = "\n".join(load_timm(supernet, timm_net("pvt_v2_b0").state_dict(), "pvt_v2_b0"))
    for part in (
        "the head is freshly initialised: 1000 classes there, 2 here",
        "the first convolution is freshly initialised: 3 channels there, 1 here",
        "stages[2].blocks[5]",
        "heads and hidden channels beyond those of pvt_v2_b0",
        "started from conv8, as an average over the patch: pool of stages[0]",
        "freshly initialised, with its norm: pool of stages[3]",
    ):
        assert part in notes
    after = supernet.state_dict()
    kept = {name for name in before if torch.equal(before[name], after[name])}
    assert {"net.head.weight", "net.head.bias", "net.patch_embed.proj.weight"} <= kept
    assert "net.patch_embed.proj.bias" not in kept


def test_the_share_that_was_taken_is_counted() -> None:
    supernet, theirs = supernet_for("pvt_v2_b0"), timm_net("pvt_v2_b0")
    first, *_ = load_timm(supernet, theirs.state_dict(), "weights.pth")
    share = 3_666_760 / sum(parameter.numel() for parameter in supernet.parameters())
    assert first == f"{100 * share:.1f} % of the weights of pvt-elastic-32's supernet are those of weights.pth"


def test_a_net_of_another_space_is_refused_with_its_differences_and_the_space_to_take() -> None:
    supernet = supernet_for("pvt_v2_b1")
    before = copy.deepcopy(supernet.state_dict())
    with pytest.raises(CheckpointError, match=r"stages\[0\]\.blocks\[0\]\.qkv_dim is 32; allowed: 64, 128") as caught:
        load_timm(supernet, timm_net("pvt_v2_b0").state_dict(), "pvt_v2_b0")
    assert caught.value.hint == "it is a net of pvt-elastic-32: take that space"
    assert "stages[2].embed_dim is 160; allowed: 128, 192, 256, 320" in str(caught.value)
    assert all(torch.equal(before[name], value) for name, value in supernet.state_dict().items())


def test_a_net_that_no_space_has_is_refused() -> None:
    with torch.device("meta"):
        state = timm.create_model("pvt_v2_b3", pretrained=False).state_dict()
    with pytest.raises(CheckpointError, match=r"stages\[2\]\.depth.* is 18; allowed: 1, 2, 3, 4, 5, 6"):
        load_timm(supernet_for("pvt_v2_b1"), state, "pvt_v2_b3")


def test_missing_unknown_and_misshapen_weights_are_all_named() -> None:
    state = dict(timm_net("pvt_v2_b0").state_dict())
    del state["stages.1.norm.bias"]
    state["stages.1.norm.scale"] = torch.ones(64)
    state["stages.0.blocks.1.norm1.weight"] = torch.ones(5)
    with pytest.raises(CheckpointError) as caught:
        load_timm(supernet_for("pvt_v2_b0"), state, "file.pth")
    assert caught.value.problems == (
        "stages.1.norm.bias is missing",
        "stages.1.norm.scale is unknown",
        "stages.0.blocks.1.norm1.weight has shape (5,); wanted: (32,)",
    )
    with pytest.raises(CheckpointError, match=r"stages\.0\.blocks\.0\.attn\.q\.weight is missing"):
        load_timm(supernet_for("pvt_v2_b0"), {"blocks.0.attn.qkv.weight": torch.ones(3, 3)}, "vit.pth")
