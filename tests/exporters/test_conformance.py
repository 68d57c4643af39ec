"""Every format and every runtime that edgenas brings keeps the contract."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from edgenas.exporters.executorch import ExecuTorchCpu, ExecuTorchExporter
from edgenas.exporters.onnx import OnnxExporter
from edgenas.exporters.onnxruntime import OnnxRuntimeCpu, OnnxRuntimeCuda
from edgenas.exporters.openvino import OpenVinoCpu, OpenVinoExporter
from edgenas.exporters.tensorrt import TensorRt, TensorRtExporter
from edgenas.exporters.tensorrt_rtx import TensorRtRtx, TensorRtRtxExporter
from edgenas.exporters.torch_runtime import TorchCpu, TorchCuda, TorchCudaGraph

from edgenas.deploy.contracts import ExportedFile, Exporter, Precision, Runtime
from edgenas.testing.exporters import ExporterConformance, RuntimeConformance

HEAVY = ("torch", "onnx", "onnxruntime", "tensorrt", "tensorrt_rtx", "openvino", "executorch")


def test_constructing_any_runtime_imports_nothing_heavy() -> None:
    code = (
        "import sys; from edgenas.deploy.plugins import get_runtime, runtime_names; [get_runtime(n) for n in runtime_names()]; "
        f"print(*sorted(set({HEAVY!r}) & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


class TestOnnxExporter(ExporterConformance):
    @pytest.fixture
    def exporter(self) -> Exporter:
        return OnnxExporter()


class TestOpenVinoExporter(ExporterConformance):
    int8_tolerance = 0.3

    @pytest.fixture
    def exporter(self) -> Exporter:
        return OpenVinoExporter()


class TestExecuTorchExporter(ExporterConformance):
    @pytest.fixture
    def exporter(self) -> Exporter:
        return ExecuTorchExporter()

    @pytest.mark.slow
    @pytest.mark.parametrize(("precision", "batch_size"), [("fp32", 1), ("fp32", None), ("fp16", 1), ("int8", 1), ("int8", None)])
    def test_writes_files_that_answer_as_the_model(
        self, exporter: Exporter, tmp_path: Path, precision: Precision, batch_size: int | None
    ) -> None:
        """Its files answer in `TestExecuTorchCpu` and in `test_executorch.py`."""
        super().test_writes_files_that_answer_as_the_model(exporter, tmp_path, precision, batch_size)

    @pytest.mark.slow  # lowering the net once more takes seconds
    def test_leaves_the_model_as_it_is(self, exporter: Exporter, tmp_path: Path) -> None:
        super().test_leaves_the_model_as_it_is(exporter, tmp_path)


class TestTensorRtExporter(ExporterConformance):
    targets = ("sm86",)

    @pytest.fixture
    def exporter(self) -> Exporter:
        return TensorRtExporter()


class TestTensorRtRtxExporter(ExporterConformance):
    targets = ("sm120",)

    @pytest.fixture
    def exporter(self) -> Exporter:
        return TensorRtRtxExporter()


class TestOnnxRuntimeCpu(RuntimeConformance):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return OnnxRuntimeCpu()


class TestOnnxRuntimeCuda(RuntimeConformance):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return OnnxRuntimeCuda()


class TestTorchCpu(RuntimeConformance):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return TorchCpu()


class TestTorchCuda(RuntimeConformance):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return TorchCuda()


class TestTorchCudaGraph(RuntimeConformance):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return TorchCudaGraph()


class TestTensorRt(RuntimeConformance):
    int8_format = "trt"

    @pytest.fixture
    def runtime(self) -> Runtime:
        return TensorRt()


class TestTensorRtRtx(RuntimeConformance):
    int8_format = "trt-rtx"

    @pytest.fixture
    def runtime(self) -> Runtime:
        return TensorRtRtx()


class TestOpenVinoCpu(RuntimeConformance):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return OpenVinoCpu()


class TestExecuTorchCpu(RuntimeConformance):
    answered = ("fp32", "int8")  # a float16 file is another one, and answers in `test_executorch.py`

    @pytest.fixture
    def runtime(self) -> Runtime:
        return ExecuTorchCpu()

    @pytest.fixture
    def source(self, tiny_pte: Path) -> Path:
        return tiny_pte

    @pytest.fixture(autouse=True)
    def lowered_once(self, request: pytest.FixtureRequest) -> None:
        self.request = request

    def quantized(self, folder: Path) -> Path:
        file: ExportedFile = self.request.getfixturevalue("tiny_int8")
        return file.path
