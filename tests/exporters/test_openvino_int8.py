"""What NNCF is given to quantise, so that OpenVINO's CPU plug-in multiplies all of it in integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from edgenas.exporters._int8_openvino import fold, openvino_int8, quantized_products, weights_first
from edgenas.exporters.onnx import OnnxExporter
from edgenas.exporters.openvino import weighted_layers
from torch import nn

from edgenas.deploy.calibrating import CalibrationImages
from edgenas.deploy.contracts import ExportSpec
from edgenas.testing.exporters import INPUT_SHAPE, images

SPEC = ExportSpec(INPUT_SHAPE, precision="int8", calibration=CalibrationImages(images(16), max_changed=1.0, max_new_misses=16))


class Pooled(nn.Module):
    """Rows of an image pooled by a product with constants, then a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        height, width = INPUT_SHAPE[1:]
        self.pool = nn.Parameter(torch.rand(height // 2, height))
        self.first = nn.Linear(INPUT_SHAPE[0] * width, 16)
        self.head = nn.Linear(16 * (height // 2), 3)

    def forward(self, image_NCHW: torch.Tensor) -> torch.Tensor:
        """Logits."""
        rows_NHX = image_NCHW.permute(0, 2, 1, 3).flatten(2)
        logits: torch.Tensor = self.head(self.first(self.pool @ rows_NHX).flatten(1))
        return logits


def opened(net: nn.Module, folder: Path) -> Any:
    """A drawn net as OpenVINO reads its ONNX file."""
    import openvino

    path = OnnxExporter().export(net.eval(), ExportSpec(INPUT_SHAPE, rewrites=()), folder)[0].path
    return openvino.Core().read_model(path)


def drawn(kind: Any, *arguments: Any) -> nn.Module:
    """A module of fixed weights."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        made: nn.Module = kind(*arguments)
    return made


def test_depthwise_convolutions_are_multiplied_in_integers(tmp_path: Path) -> None:
    import openvino

    channels = INPUT_SHAPE[0]
    layers = [drawn(nn.Conv2d, channels, 16, 3), nn.ReLU(), drawn(lambda: nn.Conv2d(16, 16, 3, groups=16)), nn.ReLU()]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), drawn(nn.Linear, 16, 3))
    model, _ = openvino_int8(opened(net, tmp_path), SPEC)
    found = weighted_layers(openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}))
    assert found["u8"] + found["i8"] == sum(found.values()) == 3


def biases(model: Any) -> list[float]:
    """What is added, as one sorted list."""
    added = (node.input_value(1).get_node() for node in model.get_ordered_ops() if node.get_type_name() == "Add")
    return sorted(value for node in added if node.get_type_name() == "Constant" for value in node.get_data().ravel().tolist())


def test_biases_stay_as_they_were_trained(tmp_path: Path) -> None:
    layers = [drawn(nn.Conv2d, INPUT_SHAPE[0], 16, 3), nn.ReLU(), drawn(nn.Conv2d, 16, 16, 3), nn.ReLU(), nn.Flatten()]
    model = opened(nn.Sequential(*layers, drawn(nn.Linear, 16 * 16, 3)), tmp_path)
    fold(model)
    before = biases(model)
    assert len(before) == 16 + 16 + 3
    assert biases(openvino_int8(model, SPEC)[0]) == before


def test_products_of_constants_with_what_they_read_stay_float(tmp_path: Path) -> None:
    model = opened(drawn(Pooled), tmp_path)
    fold(model)
    (pool,) = weights_first(model)
    quantised, notes = openvino_int8(model, SPEC)
    assert notes["int8_layers"] == notes["int8_layers_possible"] == 2
    assert pool in {node.get_friendly_name() for node in quantised.get_ops()}
    assert pool not in quantized_products(quantised)
