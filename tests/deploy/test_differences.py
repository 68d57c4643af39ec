"""Where numbers part: blocks are found by module, by value or in order, and the first that differs is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgenas.deploy.contracts import ExportSpec
from edgenas.deploy.differences import block_differences
from edgenas.deploy.judging import FileJudge
from edgenas.deploy.parity import Gates
from edgenas.deploy.plugins import get_exporter
from edgenas.testing.exporters import INPUT_SHAPE, images, reference_logits, tiny_net
from tests.deploy.conftest import CLASSES

BLOCKS = ("stem", "blocks.0", "blocks.1", "head")


def written(path: Path, weights: NDArray[np.float32], *, names: str = "modules", prefix: str = "") -> Path:
    """A chain of products, one a block, with a shift and a ReLU in each; nodes and values may have other names."""
    nodes, tensors, last = [], [], "image"
    for place, (block, weight) in enumerate(zip(BLOCKS, weights, strict=True)):
        tensors.append(numpy_helper.from_array(weight, f"w{place}"))
        product, out = f"{prefix}p{place}", f"{prefix}y{place}" if place + 1 < len(BLOCKS) else "logits"
        called = f"{block}/" if names == "modules" else f"node_{place}_"
        nodes.append(helper.make_node("MatMul", [last, f"w{place}"], [product], name=f"{called}MatMul"))
        nodes.append(helper.make_node("Tanh", [product], [out], name=f"{called}Tanh"))
        last = out
    ends = [helper.make_tensor_value_info(name, 1, [1, 4]) for name in ("image", "logits")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    onnx.save(model, path)
    return path


@pytest.fixture
def weights() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 0.7, (len(BLOCKS), 4, 4)).astype(np.float32)


IMAGES = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("names", "prefix", "how", "named"),
    [("modules", "", "modules", "blocks.1"), ("plain", "", "values", "node_2_MatMul"), ("plain", "other_", "order", "3: p2")],
)
def test_the_first_block_that_differs_is_named(
    tmp_path: Path, weights: NDArray[np.float32], names: str, prefix: str, how: str, named: str
) -> None:
    changed = weights.copy()
    changed[2] *= 1.5
    plain = written(tmp_path / "plain.onnx", weights, names=names)
    found = block_differences(
        plain, written(tmp_path / "other.onnx", changed, names=names, prefix=prefix), IMAGES, precision="fp32"
    )
    assert found is not None
    assert (found.matched_by, found.first, found.num_images) == (how, named, 2)
    assert found.words.startswith(f"first block that differs by more than 0.01 %: {named}")
    place = [each.block for each in found.blocks].index(named)
    assert all(each.relative == 0 for each in found.blocks[:place])
    assert all(each.relative is not None for each in found.blocks[place:])


def test_a_net_beside_itself_differs_nowhere(tmp_path: Path, weights: NDArray[np.float32]) -> None:
    plain = written(tmp_path / "plain.onnx", weights)
    found = block_differences(plain, plain, IMAGES, precision="fp16")
    assert found is not None
    assert found.first is None
    assert [each.block for each in found.blocks] == list(BLOCKS)
    assert found.words.startswith("no block differs by more than 1 %")


def test_a_block_that_is_not_finite_differs(tmp_path: Path, weights: NDArray[np.float32]) -> None:
    changed = weights.copy()
    changed[1, 0, 0] = np.nan
    found = block_differences(
        written(tmp_path / "plain.onnx", weights), written(tmp_path / "other.onnx", changed), IMAGES, precision="fp16"
    )
    assert found is not None
    assert (found.first, found.steepest) == ("blocks.0", "blocks.0")
    assert found.words == "first block that differs by more than 1 %: blocks.0 (not finite)"


def test_files_with_nothing_in_common_or_that_are_none_say_nothing(tmp_path: Path, weights: NDArray[np.float32]) -> None:
    plain = written(tmp_path / "plain.onnx", weights)
    (tmp_path / "none.onnx").write_bytes(b"\x08 no model")
    assert block_differences(plain, tmp_path / "none.onnx", IMAGES, precision="fp16") is None
    assert block_differences(plain, tmp_path / "missing.onnx", IMAGES, precision="fp16") is None


def test_a_judge_looks_into_files_whose_numbers_are_not_the_source_s(tmp_path: Path) -> None:
    net, exporter, x = tiny_net(), get_exporter("onnx"), images(40)
    (plain,) = exporter.export(net, ExportSpec(INPUT_SHAPE), tmp_path)
    (half,) = exporter.export(net, ExportSpec(INPUT_SHAPE, precision="fp16"), tmp_path)
    assert half.emulation is not None
    asked: list[str] = []

    def plain_graph(precision: str) -> Path:
        asked.append(precision)
        return plain.path

    judge = FileJudge(
        x, np.arange(40) % 3, reference_logits(net, x), CLASSES, 1, 0.3, Gates(min_p_mcnemar=0), plain_graph=plain_graph
    )
    assert judge(plain).blocks is None
    parity = judge(half)
    found = (parity if parity.emulated is None else parity.emulated).blocks
    assert found is not None
    assert asked == ["fp16"]
    assert found.first is None
    assert 0 < max(each.relative or 0 for each in found.blocks) < 1e-2
