"""ExecuTorch files in int8: fitted on calibrate, multiplied by XNNPACK, read back from the program."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from edgenas.exporters._int8_executorch import Quantiser, layers_of
from edgenas.exporters._lowering import traced
from edgenas.exporters._pte import read_pte, types_of
from edgenas.exporters._pte_quick import xnnpack_values
from edgenas.exporters._pte_shares import shares_of_pte
from edgenas.exporters._qat import without_qat
from edgenas.exporters.executorch import ExecuTorchCpu, ExecuTorchExporter
from torch import nn

from edgenas.deploy.calibrating import CalibrationImages
from edgenas.deploy.contracts import ExportedFile, ExportSpec
from edgenas.errors import ArtefactError, ExportError, GateError, MissingBackendError, PrecisionError, UsageError
from edgenas.testing.exporters import INPUT_SHAPE, images, reference_logits, tiny_net
from tests.exporters.outliers import outlier_net

CALIBRATION = CalibrationImages(images(32, seed=1), max_changed=0.2)
SPEC = ExportSpec(INPUT_SHAPE, precision="int8", calibration=CALIBRATION)
LAYERS = {
    "patches/Conv": "conv2d",
    "qkv/Gemm": "linear",
    "mlp.0/Gemm": "linear_1",
    "mlp.3/Gemm": "linear_2",
    "head/Gemm": "linear_3",
}


def test_a_file_says_what_it_computes_in_and_on_which_images_it_was_fitted(tiny_int8: ExportedFile) -> None:
    notes = tiny_int8.notes
    assert (notes["int8_layers"], notes["int8_layers_possible"]) == (5, 5)
    assert notes["calibration"] == "minmax over 32 images of calibrate"
    assert "of 32 decisions changed" in str(notes["int8_effect"])
    assert float(notes["macs_share_int8"]) > 0.6
    assert "product of two activations" in str(notes["precision_rest"])
    facts = ExecuTorchCpu().facts(tiny_int8.path)
    assert facts.precisions == ("int8",)
    assert "qcint8" in facts.words


def test_the_live_session_multiplies_integers(tiny_int8: ExportedFile) -> None:
    runner = ExecuTorchCpu().load(tiny_int8.path, precision="int8", threads=1)
    logits_NK = np.concatenate([runner(images(8)[row : row + 1]) for row in range(8)])
    assert runner.info.precision == "int8"
    runner.close()
    error = np.abs(logits_NK - reference_logits(tiny_net(), images(8))).max()
    assert 1e-5 < error < 0.05
    with pytest.raises(ArtefactError, match="the file computes in int8, asked for was fp32"):
        ExecuTorchCpu().load(tiny_int8.path)


def test_shares_count_every_product_of_the_program(tiny_pte: Path, tiny_int8: ExportedFile) -> None:
    # patches 16 x 12 x 8, qkv 16 x 8 x 24, two products of attention 2 x 16 x 16 x 4 each, mlp 16 x 8 x 16 twice, head 8 x 3
    layers, attention = 16 * 12 * 8 + 16 * 8 * 24 + 2 * 16 * 8 * 16 + 8 * 3, 2 * (2 * 16 * 16 * 4)
    plain = shares_of_pte(tiny_pte.read_bytes(), "fp32")
    assert plain.happened
    assert plain.macs == {"fp32": layers + attention}
    integers = shares_of_pte(tiny_int8.path.read_bytes(), "int8")
    assert integers.macs == {"int8": layers, "fp32": attention}
    with pytest.raises(PrecisionError, match="int8 was asked for"):
        shares_of_pte(tiny_pte.read_bytes(), "int8").require()


def test_what_is_read_in_a_moment_is_what_the_schema_says(tiny_pte: Path, tiny_int8: ExportedFile) -> None:
    for path in (tiny_pte, tiny_int8.path):
        data = path.read_bytes()
        graphs = [graph for graphs in read_pte(data).graphs for graph in graphs.values()]
        kinds = [value["xvalue_union_type"] for graph in graphs for value in graph["xvalues"]]
        found = xnnpack_values(data)
        assert (found.num, found.num_quantised) == (len(kinds), kinds.count("XNNQuantizedTensorValue"))
        assert found.num_half == 0
    assert found.num_quantised > 0


def test_a_truncated_file_is_read_or_refused(tiny_int8: ExportedFile, tmp_path: Path) -> None:
    data = tiny_int8.path.read_bytes()
    for size in range(0, len(data), max(1, len(data) // 150)):
        with suppress(ArtefactError):  # nothing else may be raised
            assert xnnpack_values(data[:size]).num <= xnnpack_values(data).num
    with pytest.raises(ArtefactError, match="no ExecuTorch file that can be read"):
        types_of(data[: len(data) // 2])


def test_layers_are_called_as_in_onnx() -> None:
    program = traced(tiny_net(), SPEC, "net")
    assert layers_of(program) == LAYERS
    assert list(layers_of(program, ("MatMul", "patches"))) == []
    assert list(layers_of(program, ("mlp", "Conv"))) == ["qkv/Gemm", "head/Gemm"]


@pytest.mark.parametrize(
    ("calibration", "says"),
    [
        (None, "none were given"),
        (CalibrationImages(images(0)), "which has 0"),
        (CalibrationImages(np.full((9, *INPUT_SHAPE), np.nan)), "9 of 9"),
    ],
    ids=["none", "empty", "nan"],
)
def test_images_that_say_nothing_are_refused_before_the_net_is_traced(
    tmp_path: Path, calibration: CalibrationImages | None, says: str
) -> None:
    with pytest.raises(ExportError, match=says):
        ExecuTorchExporter().export(nn.Identity(), replace(SPEC, calibration=calibration), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_way_to_take_ranges_that_it_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="minmax or percentile, not by entropy"):
        ExecuTorchExporter().export(nn.Identity(), replace(SPEC, calibration=replace(CALIBRATION, method="entropy")), tmp_path)


def test_without_torchao_the_line_that_installs_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao.quantization.pt2e", None)
    with pytest.raises(MissingBackendError, match="torchao, which quantises for ExecuTorch, is not installed") as caught:
        ExecuTorchExporter().export(nn.Identity(), SPEC, tmp_path)
    assert caught.value.hint == "pip install 'edgenas[executorch]'"


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    net = tiny_net()
    with torch.no_grad():
        net.head.weight[0, 0] = float("nan")
    with pytest.raises(ExportError, match="gives what is not a number on images to calibrate with"):
        ExecuTorchExporter().export(net, SPEC, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_net_without_layers_has_nothing_to_quantise(tmp_path: Path) -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with pytest.raises(ExportError, match="nothing to quantise: no convolution or linear layer"):
        ExecuTorchExporter().export(net, SPEC, tmp_path)


def normed_net() -> nn.Module:
    """A batch norm that no convolution can take in."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
        )
    return net.eval()


def test_nets_with_a_batch_norm_are_not_searched_for_training_that_was_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchao.quantization.pt2e import qat_utils, quantize_pt2e

    def refused(*_: object) -> None:
        raise AssertionError

    searched = quantize_pt2e._fold_conv_bn_qat
    monkeypatch.setattr(qat_utils, "_get_aten_graph_module_for_pattern", refused)
    allowed = replace(SPEC, calibration=replace(CALIBRATION, max_changed=1.0))
    found = Quantiser.of(allowed).quantised(traced(normed_net(), allowed, "net"), 1)
    assert "quantize_per_tensor" in found.module.code
    assert quantize_pt2e._fold_conv_bn_qat is searched


@pytest.mark.slow
def test_a_graph_that_was_not_searched_is_the_same() -> None:
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack
    from torchao.quantization.pt2e import quantize_pt2e

    def converted() -> str:
        quantiser = xnnpack.XNNPACKQuantizer().set_global(xnnpack.get_symmetric_quantization_config(is_per_channel=True))
        observed = quantize_pt2e.prepare_pt2e(traced(normed_net(), SPEC, "net").module(), quantiser)
        observed(torch.from_numpy(images(1)))
        return str(quantize_pt2e.convert_pt2e(observed).code)

    plain = converted()
    with without_qat(quantize_pt2e):
        assert converted() == plain


@pytest.mark.slow  # the layers are tried one by one
@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_a_layer_that_loses_decisions_stays_float_and_is_named(method: str, tmp_path: Path) -> None:
    net = outlier_net()
    calibration = CalibrationImages(images(48, seed=1), max_changed=0.05, method=method)  # type: ignore[arg-type]
    (file,) = ExecuTorchExporter().export(net, replace(SPEC, calibration=calibration), tmp_path)
    assert file.notes["calibration"] == f"{method} over 48 images of calibrate"
    assert int(file.notes["int8_layers"]) < int(file.notes["int8_layers_possible"])
    assert "mlp.3/Gemm" in str(file.notes["int8_left_out"])


@pytest.mark.slow
def test_a_net_that_int8_destroys_is_refused_by_the_gate(tmp_path: Path) -> None:
    x_NCHW = images(48, seed=1)
    x_NCHW[0, 0, 0, 0] = 1e6
    net = nn.Sequential(nn.Conv2d(3, 3, 8), nn.Flatten()).eval()
    with torch.no_grad():
        net[0].weight[:, 0, 0, 0] = 0  # type: ignore[index, union-attr, operator]
    with pytest.raises(GateError, match="int8 changes decisions on calibrate however many layers stay float"):
        ExecuTorchExporter().export(net, replace(SPEC, calibration=CalibrationImages(x_NCHW)), tmp_path)
    assert list(tmp_path.iterdir()) == []
