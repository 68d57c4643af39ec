"""TensorRT and TensorRT-RTX: who builds what where. Engines are built for real with TensorRT-RTX; no GPU runs them here."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from edgenas.exporters import _trt, tensorrt, tensorrt_rtx
from edgenas.exporters._host import Gpu
from edgenas.exporters.onnx import export_graph
from edgenas.exporters.tensorrt import TensorRt, TensorRtExporter
from edgenas.exporters.tensorrt_rtx import TensorRtRtx, TensorRtRtxExporter

from edgenas.deploy.contracts import ExportSpec, Precision
from edgenas.errors import ArtefactError, ExportError, MissingBackendError, PrecisionError, UsageError
from edgenas.testing.exporters import INPUT_SHAPE, tiny_net, tiny_onnx

AMPERE, HOPPER = Gpu("GeForce RTX 3060", "sm86"), Gpu("H100", "sm90")


@pytest.fixture
def rtx() -> Any:
    return pytest.importorskip("tensorrt_rtx")


def pretend(
    monkeypatch: pytest.MonkeyPatch, *, gpu: Gpu | None, tensorrt_installed: bool = False, rtx_installed: bool = True
) -> None:
    """A machine with this GPU and these packages."""
    for module in (tensorrt, tensorrt_rtx):
        monkeypatch.setattr(module, "find_gpu", lambda: gpu)
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(Builder=object) if tensorrt_installed else None)
    if not rtx_installed:
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)


def test_without_a_gpu_engines_are_built_ahead_of_time(rtx: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, gpu=None)
    files = TensorRtExporter().export(tiny_net(), ExportSpec(INPUT_SHAPE, precision="fp16"), tmp_path)
    assert [file.targets for file in files] == [("sm86",), ("sm89",), ("sm120",)]
    assert [file.path.name for file in files] == [f"model-fp16-b1-{name}.engine" for name in ("sm86", "sm89", "sm120")]
    assert {file.runtime for file in files} == {"tensorrt-rtx"}
    assert {file.emulation for file in files} == {tmp_path / "model-fp16-b1.emulated.onnx"}
    for file in files:
        assert float(file.notes["network_half_share"]) > 0.5
        assert file.notes["builder_version"] == rtx.__version__
        assert file.path.stat().st_size > 10_000


def test_fp32_engines_hold_no_half_layer(rtx: Any, tmp_path: Path) -> None:
    (file,) = TensorRtRtxExporter().export(tiny_net(), ExportSpec(INPUT_SHAPE, targets=("sm86",)), tmp_path)
    assert file.notes["network_half_share"] == 0


def test_what_cannot_be_built_is_an_error_in_tensorrts_words(rtx: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"built no engine.*Turing \(SM75\): FP32 GEMM") as caught:
        TensorRtRtxExporter().export(tiny_net(), ExportSpec(INPUT_SHAPE, targets=("sm75",)), tmp_path)
    assert "\n" not in str(caught.value)


def test_the_gpu_of_this_machine_is_the_target(rtx: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, gpu=AMPERE)
    (file,) = TensorRtExporter().export(tiny_net(), ExportSpec(INPUT_SHAPE), tmp_path)
    assert file.targets == ("sm86",)


def test_targets_named_explicitly_are_built_on_any_machine(rtx: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, gpu=HOPPER, tensorrt_installed=True)
    (file,) = TensorRtExporter().export(tiny_net(), ExportSpec(INPUT_SHAPE, targets=("sm89",)), tmp_path)
    assert (file.targets, file.runtime) == (("sm89",), "tensorrt-rtx")


def test_a_gpu_that_neither_supports_is_refused(rtx: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, gpu=HOPPER)
    with pytest.raises(MissingBackendError, match=r"does not support H100 \(sm90\), only sm75, sm80, sm86") as caught:
        TensorRtExporter().export(tiny_net(), ExportSpec(INPUT_SHAPE), tmp_path)
    assert caught.value.hint == "pip install 'edgenas[trt]'"
    with pytest.raises(MissingBackendError, match="does not support H100"):
        TensorRtRtx().load(tmp_path / "any.engine")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("gpu", "message", "hint"),
    [
        (None, "TensorRT-RTX is not installed", "pip install 'edgenas[trt-rtx]'"),
        (AMPERE, "neither TensorRT nor TensorRT-RTX is installed for GeForce RTX 3060", "pip install 'edgenas[trt]'"),
    ],
)
def test_without_either_package_the_command_that_mends_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gpu: Gpu | None, message: str, hint: str
) -> None:
    pretend(monkeypatch, gpu=gpu, rtx_installed=False)
    with pytest.raises(MissingBackendError, match=message) as caught:
        TensorRtExporter().export(tiny_net(), ExportSpec(INPUT_SHAPE), tmp_path)
    assert (caught.value.hint, caught.value.exit_code) == (hint, 5)


def test_unknown_targets_are_all_named_before_anything_is_traced(rtx: Any, tmp_path: Path) -> None:
    spec = ExportSpec(INPUT_SHAPE, targets=("sm86", "sm90", "jetson"))
    with pytest.raises(
        UsageError, match=r"for sm90, jetson\. supported are sm75, .*sm121, several in one engine \(sm120\+sm121\) and portable"
    ):
        TensorRtRtxExporter().export(tiny_net(), spec, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_an_engine_of_another_precision_than_asked_for_is_refused(rtx: Any, precision: Precision) -> None:
    from edgenas.graphs import half as halving

    graph = export_graph(tiny_net(), INPUT_SHAPE)
    other = halving.to_half(graph).model if precision == "fp32" else graph
    with pytest.raises(PrecisionError, match=f"{precision} was asked for, but .* network"):
        _trt.build(rtx, other.SerializeToString(), precision=precision, targets=("sm86",))


def test_a_damaged_graph_is_refused_in_one_line(rtx: Any) -> None:
    with pytest.raises(ExportError, match="TensorRT cannot read the ONNX graph") as caught:
        _trt.build(rtx, b"\x08\x0a nonsense", precision="fp32", targets=("sm86",))
    assert "\n" not in str(caught.value)


def test_what_is_no_engine_is_refused(rtx: Any) -> None:
    with pytest.raises(ArtefactError, match="is no engine of TensorRT-RTX"):
        tensorrt_rtx.require_valid(rtx, b"x" * 4096, AMPERE)


def test_tensorrt_writes_to_the_log_not_to_the_terminal(
    rtx: Any, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="edgenas.exporters._trt"):
        _trt.build(rtx, tiny_onnx(), precision="fp32", targets=("sm86",))
        TensorRtRtx().probe()
    assert capfd.readouterr() == ("", "")
    assert caplog.records
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


def test_probes_name_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, gpu=None, rtx_installed=False)
    assert "no usable CUDA GPU" in TensorRt().probe().reason
    assert TensorRtRtx().probe().fix == "pip install 'edgenas[trt-rtx]'"
    pretend(monkeypatch, gpu=AMPERE)
    assert TensorRt().probe().fix == "pip install 'edgenas[trt]'"
