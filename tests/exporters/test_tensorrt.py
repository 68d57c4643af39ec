"""TensorRT and TensorRT-RTX: who builds what where. Engines are built for real with TensorRT-RTX; no GPU runs them here."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from edgenas.exporters import _trt, tensorrt, tensorrt_rtx
from edgenas.exporters._host import Gpu
from edgenas.exporters.onnx import OnnxExporter, export_graph
from edgenas.exporters.onnxruntime import OnnxRuntimeCpu
from edgenas.exporters.tensorrt import TensorRt, TensorRtExporter
from edgenas.exporters.tensorrt_rtx import TensorRtRtx, TensorRtRtxExporter

from edgenas.deploy.contracts import ExportedFile, ExportSpec, Precision
from edgenas.errors import ArtefactError, ExportError, MissingBackendError, PrecisionError, UsageError
from edgenas.testing.exporters import INPUT_SHAPE, images, reference_logits, tiny_net, tiny_onnx

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


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExportedFile]:
    """Engines for Turing, for two architectures at once and for all, each built twice."""
    pytest.importorskip("tensorrt_rtx")
    spec = ExportSpec(INPUT_SHAPE, precision="fp16", targets=("sm75", "sm86+sm89", "portable"), rebuilds=2)
    files = TensorRtExporter().export(tiny_net(), spec, tmp_path_factory.mktemp("several"))
    return {file.path.name.removeprefix("model-fp16-b1-").removesuffix(".engine"): file for file in files}


def test_one_engine_may_be_for_several_architectures(rtx: Any, several: dict[str, ExportedFile]) -> None:
    assert several["sm86+sm89"].targets == ("sm86", "sm89")
    assert several["portable"].targets == tuple(tensorrt_rtx.supported_targets(rtx))[1:]
    assert several["portable"].targets[0] == "sm80"


def test_turing_has_its_logits_layer_in_half_precision_and_an_emulation_that_rounds_it(several: dict[str, ExportedFile]) -> None:
    turing, others = several["sm75"], several["portable"]
    assert "Gemm (gives the logits" in str(others.notes["precision_rest"])
    assert "Gemm" not in str(turing.notes["precision_rest"])
    assert (turing.notes["macs_share_fp16"], "macs_share_fp32" in turing.notes) == (1.0, False)
    assert turing.emulation is not None
    assert others.emulation is not None
    net, x = tiny_net(), images(4)
    answers = {}
    for file in (turing, others):
        runner = OnnxRuntimeCpu().load(file.emulation)  # type: ignore[arg-type]
        answers[file.path.name] = np.concatenate([runner(x[i : i + 1]) for i in range(4)])
        runner.close()
    half_head, single_head = answers.values()
    np.testing.assert_allclose(half_head, reference_logits(net, x), atol=2e-2)
    assert np.array_equal(half_head, half_head.astype(np.float16).astype(np.float32)), "logits of a half layer are half"
    assert not np.array_equal(single_head, half_head)


def test_several_builds_are_compared(several: dict[str, ExportedFile]) -> None:
    notes = several["portable"].notes
    assert notes["rebuilds"] == 2
    assert str(notes["rebuild_words"]).startswith("2 builds, ")
    assert "latency and outputs not compared (not built for a GPU of this machine)" in str(notes["rebuild_words"])
    assert int(notes["rebuild_size_bytes_low"]) <= several["portable"].path.stat().st_size <= int(notes["rebuild_size_bytes_high"])


def test_builds_that_can_be_opened_are_timed_in_turn_and_their_answers_compared(tmp_path: Path) -> None:
    """With ONNX files for engines, so that they open on any machine: the second one answers differently, the third as the first."""
    from edgenas.exporters._rebuilding import build_repeatedly

    other = OnnxExporter().export(tiny_net(seed=1), ExportSpec(INPUT_SHAPE), tmp_path)[0].path.read_bytes()
    waiting = [tiny_onnx(), other, tiny_onnx()]
    live: list[int] = []

    class Watched:
        """A session, and how many of them live."""

        def __init__(self, built: _trt.Built) -> None:
            path = tmp_path / "built.onnx"
            path.write_bytes(built.engine)
            self._runner = OnnxRuntimeCpu().load(path, threads=1)
            live.append(1)
            assert len(live) == 1, "one live session at a time"

        def __call__(self, images_NCHW: Any) -> Any:
            return self._runner(images_NCHW)

        def compute_ms(self, images_NCHW: Any) -> float | None:
            return self._runner.compute_ms(images_NCHW)

        def close(self) -> None:
            live.pop()
            self._runner.close()

    built = build_repeatedly(
        lambda: _trt.Built(waiting.pop(0), b"", {"num_layers": 3}),
        ExportSpec(INPUT_SHAPE, rebuilds=3),
        load=Watched,  # type: ignore[arg-type]
    )
    assert built.engine == tiny_onnx()
    notes = built.notes
    assert (notes["rebuilds"], notes["rebuild_files"]) == (3, 2)
    assert float(notes["rebuild_ms_high"]) >= float(notes["rebuild_ms_low"]) > 0
    assert float(notes["rebuild_logits_max_abs"]) > 0.1
    assert int(notes["rebuild_flips"]) > 0
    assert "of 32 decisions on noise differ" in str(notes["rebuild_words"])


def test_what_has_no_strongly_typed_networks_is_refused_instead_of_trusted(rtx: Any) -> None:
    """TensorRT 8.5, as JetPack 5 has it: the types of a file bind nothing there."""
    old: Any = SimpleNamespace(
        __name__="tensorrt", __version__="8.5.2", NetworkDefinitionCreationFlag=SimpleNamespace(EXPLICIT_BATCH=0)
    )
    with pytest.raises(MissingBackendError, match=r"TensorRT 8\.5\.2 has no strongly typed networks"):
        _trt._strongly_typed(old)
    assert _trt._strongly_typed(rtx) == 1 << int(rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def test_a_folder_called_tensorrt_is_no_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Type stubs and half-removed installations leave one that can be imported."""
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace())
    assert not tensorrt.is_installed()


class OtherGpu:
    """What TensorRT says of an engine of another GPU."""

    def __init__(self, logger: Any) -> None:
        logger.errors.append(
            "IRuntime::deserializeCudaEngine: Error Code 6: API Usage Error (incompatible device,\nexpecting compute 8.6)"
        )

    def deserialize_cuda_engine(self, data: bytes) -> None:
        return None


def test_an_engine_of_another_gpu_is_exit_5_and_says_for_which_it_is_not(rtx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtx, "Runtime", OtherGpu)
    with pytest.raises(MissingBackendError, match=r"not built for H100 \(sm90\): .*expecting compute 8\.6") as caught:
        _trt.EngineRunner(rtx, b"engine", name="tensorrt", gpu=HOPPER, precision="fp16")
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)


def test_a_truncated_engine_is_refused_in_one_line(rtx: Any, several: dict[str, ExportedFile]) -> None:
    data = several["portable"].path.read_bytes()
    with pytest.raises(ArtefactError, match=r"TensorRT-RTX .* cannot load the engine on GeForce RTX 3060") as caught:
        _trt.EngineRunner(rtx, data[: len(data) // 2], name="tensorrt-rtx", gpu=AMPERE, precision="fp16")
    assert "\n" not in str(caught.value)


def test_a_machine_with_a_gpu_builds_for_it_whatever_is_built_ahead_elsewhere(
    rtx: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch, gpu=AMPERE)
    spec = ExportSpec(INPUT_SHAPE, ahead=("sm89", "sm120"))
    assert [file.targets for file in TensorRtExporter().export(tiny_net(), spec, tmp_path)] == [("sm86",)]
    pretend(monkeypatch, gpu=None)
    assert [file.targets for file in TensorRtExporter().export(tiny_net(), spec, tmp_path)] == [("sm89",), ("sm120",)]


def test_fp32_engines_hold_no_half_layer(rtx: Any, tmp_path: Path) -> None:
    (file,) = TensorRtRtxExporter().export(tiny_net(), ExportSpec(INPUT_SHAPE, targets=("sm86",)), tmp_path)
    assert file.notes["network_half_share"] == 0


def test_bf16_engines_are_built_where_the_architecture_has_it(rtx: Any, tmp_path: Path) -> None:
    spec = ExportSpec(INPUT_SHAPE, precision="bf16", targets=("sm86",))
    (file,) = TensorRtRtxExporter().export(tiny_net(), spec, tmp_path)
    assert file.path.name == "model-bf16-b1-sm86.engine"
    assert float(file.notes["macs_share_bf16"]) > 0.9
    assert file.emulation == tmp_path / "model-bf16-b1.emulated.onnx"
    with pytest.raises(ExportError, match=r"sm75 takes --precision fp16"):
        TensorRtRtxExporter().export(tiny_net(), replace(spec, targets=("sm75",)), tmp_path)


def test_what_stays_fp32_on_request_does_so_in_the_engines_graph(rtx: Any, tmp_path: Path) -> None:
    spec = ExportSpec(INPUT_SHAPE, precision="fp16", targets=("sm86",))
    plain, kept = (TensorRtRtxExporter().export(tiny_net(), each, tmp_path)[0] for each in (spec, replace(spec, kept=("mlp",))))
    assert "kept_fp32" not in plain.notes
    assert kept.notes["kept_fp32"] == "mlp"
    assert float(kept.notes["macs_share_fp16"]) < float(plain.notes["macs_share_fp16"])


def test_what_cannot_be_built_is_an_error_in_tensorrts_words(rtx: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"built no engine.*Turing \(SM75\): FP32 GEMM.*sm75 takes --precision fp16") as caught:
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
    with pytest.raises(ExportError, match="TensorRT-RTX cannot read the ONNX graph") as caught:
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
