"""Judging files: what ran, what was emulated, and where numbers stop being numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from edgenas.deploy.contracts import ExportedFile, ExportSpec
from edgenas.deploy.judging import FileJudge
from edgenas.deploy.layers import first_not_finite
from edgenas.deploy.parity import Gates
from edgenas.deploy.plugins import get_exporter, get_runtime
from edgenas.errors import ParityError
from edgenas.testing.exporters import INPUT_SHAPE, images, reference_logits, tiny_net
from tests.deploy.conftest import CLASSES


def write(path: Path, *scales: float) -> Path:
    """A net that multiplies by one number after another; class 0 is the mean of the image, the others are its negatives."""
    nodes, weights, last = [], [], "image"
    for i, scale in enumerate(scales):
        weights.append(numpy_helper.from_array(np.float32([scale]), f"scale{i}"))
        nodes.append(helper.make_node("Mul", [last, f"scale{i}"], [f"scaled{i}"], name=f"stage{i}"))
        last = f"scaled{i}"
    nodes += [helper.make_node("Flatten", [last], ["flat"]), helper.make_node("MatMul", ["flat", "head"], ["logits"], name="head")]
    head = np.repeat(np.float32([[1, -1, -0.5]]), np.prod(INPUT_SHAPE), axis=0) / 100
    weights.append(numpy_helper.from_array(head, "head"))
    image = helper.make_tensor_value_info("image", 1, [1, *INPUT_SHAPE])
    graph = helper.make_graph(nodes, "g", [image], [helper.make_tensor_value_info("logits", 1, [1, 3])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def test_the_first_layer_that_is_not_finite_is_named(tmp_path: Path) -> None:
    x = images(1)
    assert first_not_finite(write(tmp_path / "good.onnx", 2.0, 3.0), x) is None
    assert first_not_finite(write(tmp_path / "bad.onnx", 2.0, 3e38, 2.0), x) == "stage1 (Mul)"
    (tmp_path / "none.onnx").write_bytes(b"\x08 no model")
    assert first_not_finite(tmp_path / "none.onnx", x) is None


def test_an_emulation_that_overflows_counts_its_images_and_names_the_layer(tmp_path: Path) -> None:
    net = tiny_net()
    with torch.no_grad():
        net.patches.weight.mul_(1e3)  # type: ignore[operator, union-attr]
        net.mlp[0].weight.mul_(3e4)  # type: ignore[index, union-attr]
    (file,) = get_exporter("onnx").export(net, ExportSpec(INPUT_SHAPE, precision="fp16"), tmp_path)
    if get_runtime(file.runtime).probe().works:
        pytest.skip("the file runs here itself")
    x = images(40)
    labels = np.arange(40) % 3
    parity = FileJudge(x, labels, reference_logits(net, x), CLASSES, None, None, Gates())(file)
    assert parity.verdict == "failed"
    assert parity.emulated is not None
    count = next(gate for gate in parity.emulated.gates if gate.name == "non_finite_images")
    assert f"{count.value:.0f} > 0, of 40 images; first in " in count.reason
    assert any(kind in count.reason for kind in ("(MatMul)", "(Gemm)", "(Add)", "(Cast)")), count.reason
    with pytest.raises(ParityError, match=r"over 40 images: .* first in "):
        parity.require()


def test_only_decisions_are_compared_where_no_logits_are_known(tmp_path: Path) -> None:
    file = ExportedFile(write(tmp_path / "net.onnx", 2.0), "onnx", "onnxruntime-cpu", "fp32", 1)
    x = images(400)
    truth = (x.mean(axis=(1, 2, 3)) < 0).astype(np.int64)
    parity = FileJudge(x, truth, truth, CLASSES, None, None, Gates())(file)
    assert (parity.verdict, parity.equality, parity.top1_agreement) == ("passed", None, None)
    parity = FileJudge(x, truth, 1 - truth, CLASSES, None, None, Gates())(file)
    assert (parity.verdict, parity.decision.flips) == ("failed", 400)
