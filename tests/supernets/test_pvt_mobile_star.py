"""Star blocks: timm's StarNet for equal weights, kernels that share a middle, and how nets and supernets begin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch
from edgenas.exporters.onnx import export_graph
from torch import Tensor, nn

from edgenas.errors import ArchError, CheckpointError
from edgenas.graphs.rewriting import ALL, rewrite
from edgenas.spaces import SearchSpace, Task, get_space
from edgenas.spaces.named_pvt_mobile import STARNETS, starnet
from edgenas.spaces.pvt_mobile import StarBlockSpec, hand_designed, lower
from edgenas.supernets import build_net, build_supernet
from edgenas.supernets.pvt_mobile_net import ConvBlock, PlainBlock
from edgenas.supernets.pvt_mobile_star_files import by_our_star_names
from edgenas.supernets.pvt_mobile_star_net import STAR_STD, StarBlock
from edgenas.supernets.start import load_weights

pytestmark = pytest.mark.usefixtures("one_thread")
SPACE, PHOTOS = get_space("pvt-mobile-star"), get_space("pvt-mobile-star-l")
TASK = Task(10, 3, 32)
PLAIN = {"kernels": {"start": 0, "expand": 0, "mid": 3, "star": 0}}


def timm_net(name: str, num_classes: int = 10) -> nn.Module:
    """With weights and biases large enough for images to be told apart at the end, and statistics of some images."""
    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(0)
        net: nn.Module = timm.create_model(name, num_classes=num_classes)
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
                module.momentum = 0.5
        net(torch.rand(16, 3, 32, 32))
    return net.eval()


def genes_of(space: SearchSpace, arch: Any) -> tuple[int, ...]:
    return tuple(int(gene) for gene in space.from_json(arch)[0])


def twin(name: str, space: SearchSpace = SPACE, resolution_px: int = 32) -> tuple[int, ...]:
    """The row of one of timm's nets."""
    attends = [f"stages[{stage}].blocks[0].attention" in space.index for stage in range(4)]
    stride = 2 if "stem_stride" in space.index else None
    return genes_of(space, starnet(STARNETS[name], resolution_px, attends, stem_stride=stride))


def star(kernel: int, expansion: int = 3) -> dict[str, Any]:
    return {"kernels": {"start": 0, "expand": 0, "mid": 0, "star": kernel}, "expansion": expansion}


def smallest(*blocks: dict[str, Any]) -> dict[str, Any]:
    """The smallest net with these blocks in its second stage."""
    arch = SPACE.to_json(SPACE.extreme(largest=False)[0])
    arch["stages"][1]["blocks"] = list(blocks)
    return arch


def distance(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().max())


@pytest.mark.parametrize(
    ("name", "space", "px"), [("starnet_s050", SPACE, 32), ("starnet_s1", SPACE, 32), ("starnet_s050", PHOTOS, 160)]
)
def test_equal_weights_give_timms_logits(name: str, space: SearchSpace, px: int) -> None:
    source, images = timm_net(name), torch.rand(2, 3, px, px)
    net = build_net(space, Task(10, 3, px), twin(name, space, px)).eval()
    net.load_state_dict(by_our_star_names(source.state_dict()))
    with torch.no_grad():
        expected = source(images)
        assert distance(expected[0], expected[1]) > 0.05
        assert distance(net(images), expected) < 1e-4


def test_the_nets_of_starnet_are_the_first_hand_designed_ones_with_every_stride_of_the_stem() -> None:
    nets = hand_designed(SPACE)
    assert all(block == star(7, block["expansion"]) for net in nets[:8] for block in net["stages"][0]["blocks"])
    assert [net["stem_stride"] for net in nets[:8]] == [2, 1] * 4  # a small first population takes the first ones alone
    for name in ("starnet_s050", "starnet_s1"):
        arch = SPACE.to_json(np.array(twin(name), dtype=np.int16))
        assert arch in nets
        assert {**arch, "stem_stride": 1} in nets
    assert {genes_of(SPACE, net) for net in nets} >= {twin("starnet_s050"), twin("starnet_s1")}
    kinds = {tuple(block["kernels"].values()) for net in nets for stage in net["stages"] for block in stage["blocks"]}
    assert kinds == {(0, 1, 3, 0), (0, 0, 3, 0), (0, 0, 0, 7)}


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_a_smaller_kernel_is_the_middle_of_the_largest_and_learns_nowhere_else(kernel: int) -> None:
    supernet = build_supernet(SPACE, TASK).train()
    supernet(torch.randn(4, 3, 32, 32), genes_of(SPACE, smallest(star(kernel)))).square().sum().backward()  # type: ignore[no-untyped-call]
    for name in ("dwconv", "dwconv2"):
        gradient = supernet.get_parameter(f"stages.1.blocks.0.star.{name}.conv.weight").grad
        assert gradient is not None
        rows, columns = gradient.abs().sum(dim=(0, 1)).nonzero().unbind(1)
        assert (
            (int(rows.min()), int(rows.max()))
            == (int(columns.min()), int(columns.max()))
            == ((7 - kernel) // 2, (7 + kernel) // 2 - 1)
        )
    others = [name for name, weight in supernet.named_parameters() if ".blocks.0.conv." in name and weight.grad is not None]
    assert not any(name.startswith("stages.1.") for name in others)


def test_narrower_branches_are_the_leading_channels_of_both() -> None:
    supernet: Any = build_supernet(SPACE, TASK)
    slices = [supernet.slices(genes_of(SPACE, smallest(star(7, expansion)))) for expansion in (3, 4)]
    for branch in ("f1", "f2"):
        narrow, wide = (each[f"stages.1.blocks.0.{branch}.conv.weight"] for each in slices)
        assert (narrow.shape[0], wide.shape[0]) == (96, 128)
        assert torch.equal(narrow, wide[:96])
        assert not torch.equal(narrow, slices[0][f"stages.1.blocks.0.{'f2' if branch == 'f1' else 'f1'}.conv.weight"])


def test_one_branch_is_cut_to_six_and_multiplied_with_the_other() -> None:
    block = StarBlock(StarBlockSpec(4, 8, 24, 3)).eval()
    with torch.no_grad():
        for layer in (block.f1, block.f2):
            layer.conv.weight.mul_(30)
    x_NCHW = torch.randn(2, 8, 4, 4)
    read = block.dwconv(x_NCHW)
    first, second = block.f1(read), block.f2(read)
    assert (first > 6).any()
    assert (first < 0).any()
    expected = x_NCHW + block.dwconv2(block.g(first.clamp(0, 6) * second))
    torch.testing.assert_close(block(x_NCHW), expected)


def test_star_blocks_of_nets_alone_begin_as_timms_and_other_blocks_at_one() -> None:
    torch.manual_seed(0)
    bottleneck = {"kernels": {"start": 0, "expand": 1, "mid": 3, "star": 0}, "expansion": 4}
    net = build_net(SPACE, TASK, genes_of(SPACE, smallest(star(7, 4), bottleneck, PLAIN)))
    blocks = [module for module in net.modules() if isinstance(module, StarBlock)]
    assert len(blocks) == 1
    for layer in (blocks[0].dwconv, blocks[0].f1, blocks[0].f2, blocks[0].g, blocks[0].dwconv2):
        assert layer.conv.weight.std().item() == pytest.approx(STAR_STD, rel=0.15)
        assert layer.conv.bias.abs().max() > 0.01
    gains = [module.pw_proj.bn.weight for module in net.modules() if isinstance(module, ConvBlock)]
    gains += [module.bn.weight for module in net.modules() if isinstance(module, PlainBlock)]
    assert len(gains) >= 2
    assert all(set(gain.tolist()) == {1.0} for gain in gains)


def test_a_supernet_starts_from_timms_weights_and_the_nets_around_answer_alike() -> None:
    source, images = timm_net("starnet_s1"), torch.rand(2, 3, 32, 32)
    supernet: Any = build_supernet(SPACE, TASK).eval()
    notes = load_weights(supernet, source.state_dict(), "timm:starnet_s1")
    assert notes[0].endswith("of the weights of pvt-mobile-star's supernet are those of timm:starnet_s1")
    genes, around = twin("starnet_s1"), SPACE.to_json(SPACE.extreme(largest=True)[0]) | {"stem_stride": 2}
    with torch.no_grad():
        expected = source(images)
        assert distance(supernet(images, genes), expected) < 1e-4
        assert distance(supernet(images, genes_of(SPACE, around)), expected) < 1e-4


def test_a_starnet_of_another_space_names_that_space_and_broken_ones_are_refused() -> None:
    supernet = build_supernet(SPACE, TASK)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    state = timm_net("starnet_s100").state_dict()
    with pytest.raises(CheckpointError, match="it is a net of pvt-mobile-star-l"):
        load_weights(supernet, state, "s100")
    lacking = {name: value for name, value in state.items() if name != "stages.0.0.conv.weight"}
    with pytest.raises(CheckpointError, match=r"is no StarNet as timm names it: stages\.0\.downsample\.conv\.weight is missing"):
        load_weights(supernet, lacking, "broken")
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())


def test_a_batch_norm_before_the_mean_is_traced_and_rewrites_change_no_answer() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    net = timm_net("starnet_s050")
    ours = build_net(SPACE, TASK, twin("starnet_s050")).eval()
    ours.load_state_dict(by_our_star_names(net.state_dict()))
    graph = export_graph(ours, (3, 32, 32))
    assert [node.op_type for node in graph.graph.node].count("BatchNormalization") <= 1  # before the mean
    image = np.random.default_rng(0).random((1, 3, 32, 32), dtype=np.float32)
    rewritten = rewrite(graph, ALL).model
    assert "BatchNormalization" not in [node.op_type for node in rewritten.graph.node]
    answers = []
    for model in (graph, rewritten):
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        answers.append(session.run(None, {session.get_inputs()[0].name: image})[0])
    with torch.no_grad():
        expected = net(torch.from_numpy(image)).numpy()
    for answer in answers:
        np.testing.assert_allclose(answer, expected, atol=1e-4, rtol=1e-4)


def test_a_star_block_is_written_with_its_kernel_and_a_plain_one_without_expansion() -> None:
    arch = smallest(star(5), PLAIN)
    assert SPACE.to_json(SPACE.from_json(arch)[0]) == arch
    with pytest.raises(ArchError, match="no architecture of pvt-mobile-star"):
        SPACE.from_json(smallest(star(9)))
    with pytest.raises(ArchError, match="no architecture of pvt-mobile-star"):
        SPACE.from_json(smallest({**PLAIN, "expansion": 3}))


def test_the_stems_stride_doubles_every_grid() -> None:
    arch = smallest(star(3))
    coarse, fine = (lower(SPACE, SPACE.from_json({**arch, "stem_stride": stride})[0], TASK) for stride in (2, 1))
    assert [stage.downsample.grid for stage in coarse.stages] == [8, 4, 2, 1]
    assert [stage.downsample.grid for stage in fine.stages] == [16, 8, 4, 2]
    assert (coarse.stem.grid, fine.stem.grid) == (16, 32)
