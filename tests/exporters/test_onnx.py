"""ONNX graphs: shape, names, cleanliness and errors."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from edgenas.exporters.onnx import OnnxExporter, export_graph
from edgenas.exporters.onnxruntime import OnnxRuntimeCpu
from torch import nn

from edgenas.deploy.contracts import ExportSpec
from edgenas.errors import ExportError
from edgenas.testing.exporters import INPUT_SHAPE, images, reference_logits, tiny_net


def dims(value: onnx.ValueInfoProto) -> list[int | str]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def test_static_and_dynamic_batches(tmp_path: Path) -> None:
    net = tiny_net()
    (static,) = OnnxExporter().export(net, ExportSpec(INPUT_SHAPE, batch_size=3), tmp_path)
    (dynamic,) = OnnxExporter().export(net, ExportSpec(INPUT_SHAPE, batch_size=None), tmp_path)
    assert (static.path.name, dynamic.path.name) == ("model-fp32-b3.onnx", "model-fp32-dynamic.onnx")
    assert dims(onnx.load(static.path).graph.input[0]) == [3, *INPUT_SHAPE]
    graph = onnx.load(dynamic.path).graph
    assert dims(graph.input[0])[1:] == list(INPUT_SHAPE)
    assert isinstance(dims(graph.input[0])[0], str)
    assert dims(graph.input[0])[0] == dims(graph.output[0])[0]
    runner = OnnxRuntimeCpu().load(dynamic.path)
    for num in (1, 2, 5):
        np.testing.assert_allclose(runner(images(num)), reference_logits(net, images(num)), atol=1e-5)
    runner.close()


def test_a_block_that_reads_tokens_is_traced() -> None:
    block = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6))
    graph = export_graph(block, (16, 6), batch_size=1, opset=18).graph
    assert dims(graph.input[0]) == [1, 16, 6]
    assert dims(graph.output[0]) == [1, 16, 6]


def test_the_opset_is_the_one_asked_for() -> None:
    assert export_graph(nn.Linear(4, 2), (4,), opset=20).opset_import[0].version == 20
    with pytest.raises(ExportError, match="opset 17 is too old, edgenas writes 18 and later"):
        export_graph(nn.Linear(4, 2), (4,), opset=17)


def test_nothing_of_this_machine_is_written() -> None:
    model = export_graph(tiny_net(), INPUT_SHAPE)
    data = model.SerializeToString()
    assert b".py" not in data
    assert b"pkg.torch" not in data
    assert str(Path.cwd()).encode() not in data
    assert model.producer_name == "edgenas"


@pytest.mark.usefixtures("traced_anew")
def test_two_exports_are_the_same_bytes() -> None:
    first, second = (export_graph(tiny_net(), INPUT_SHAPE).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


@pytest.mark.usefixtures("traced_anew")
def test_the_exporter_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        export_graph(tiny_net(), INPUT_SHAPE, batch_size=None)
    assert [str(warning.message) for warning in caught] == []
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("torch.onnx").level != logging.CRITICAL


class Growing(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.sum() if image.sum() > 0 else image.mean()


class FixedBatch(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.reshape(2, -1)


@pytest.mark.parametrize(("net", "batch_size"), [(Growing(), 1), (FixedBatch(), None)])
def test_what_cannot_be_traced_is_an_error_of_one_line(net: nn.Module, batch_size: int | None) -> None:
    with pytest.raises(ExportError) as caught:
        export_graph(net, INPUT_SHAPE, batch_size=batch_size)
    assert "\n" not in str(caught.value)


def test_a_net_on_its_head_is_half_size_in_fp16(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 256), nn.ReLU(), nn.Linear(256, 3))
    (single,) = OnnxExporter().export(net, ExportSpec(INPUT_SHAPE), tmp_path)
    (half,) = OnnxExporter().export(net, ExportSpec(INPUT_SHAPE, precision="fp16"), tmp_path)
    assert half.path.stat().st_size < 0.55 * single.path.stat().st_size
    assert half.runtime == "onnxruntime-cuda"
    assert half.emulation is not None
    assert half.notes["num_nodes_fp16"] >= 2
