"""ONNX Runtime sessions: what they are asked for and what they say of themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from edgenas.exporters import onnxruntime as module
from edgenas.exporters._host import Gpu, usable_cores
from edgenas.exporters.onnxruntime import OnnxRuntimeCpu, OnnxRuntimeCuda, in_precision

from edgenas.errors import ArtefactError, MissingBackendError, UsageError
from edgenas.testing.exporters import images, tiny_onnx


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_onnx())
    return path


def test_threads_default_to_the_usable_cores(path: Path) -> None:
    runner = OnnxRuntimeCpu().load(path)
    assert (runner.info.threads, runner.info.spinning) == (usable_cores(), True)
    assert runner.info.details == {"provider": "CPUExecutionProvider", "graph_optimization": "all"}
    runner.close()


def test_images_of_another_shape_are_refused_in_one_line(path: Path) -> None:
    runner = OnnxRuntimeCpu().load(path)
    with pytest.raises(ArtefactError, match=r"does not run on images of shape \(1, 3, 9, 9\)") as caught:
        runner(np.zeros((1, 3, 9, 9), dtype=np.float32))
    assert "\n" not in str(caught.value)
    runner.close()


def test_half_precision_is_refused_on_the_cpu(path: Path) -> None:
    with pytest.raises(UsageError, match="computes in fp32 and int8, not in fp16"):
        OnnxRuntimeCpu().load(path, precision="fp16")


def test_float16_files_run_on_the_cpu_but_are_called_fp32(path: Path) -> None:
    path.write_bytes(in_precision(path.read_bytes(), "fp16"))
    runner = OnnxRuntimeCpu().load(path)
    assert runner.info.precision == "fp32"
    assert np.isfinite(runner(images(1))).all()
    runner.close()


def test_files_are_converted_to_half_precision_but_not_back() -> None:
    half = in_precision(tiny_onnx(), "fp16")
    assert half != tiny_onnx()
    assert in_precision(half, "fp16") == half
    assert in_precision(tiny_onnx(), "fp32") == tiny_onnx()
    with pytest.raises(ArtefactError, match="computes in fp16, asked for was fp32"):
        in_precision(half, "fp32")
    with pytest.raises(ArtefactError, match="is not ONNX"):
        in_precision(b"\xff\xff\xff", "fp16")


def on_no_stream(compute: Any, *, capture: bool) -> Any:
    assert not capture
    return SimpleNamespace(stream=SimpleNamespace(cuda_stream=7), close=lambda: None)


def test_a_net_that_is_not_all_on_the_gpu_is_run_without_a_graph(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_gpu", lambda: Gpu("GeForce RTX 3060", "sm86"))
    monkeypatch.setattr(module, "GraphedNet", on_no_stream)
    asked = []

    def opened(package: Any, model: Any, options: Any, providers: list[Any]) -> Any:
        asked.append(providers[0][1])
        if providers[0][1]["enable_cuda_graph"] == "1":
            raise ArtefactError("this session cannot use the graph capture feature")
        named = SimpleNamespace(name="logits", shape=["batch", 3])
        return SimpleNamespace(
            get_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
            get_inputs=lambda: [named],
            get_outputs=lambda: [named],
            get_session_options=lambda: options,
        )

    monkeypatch.setattr(module, "_open", opened)
    runner = OnnxRuntimeCuda().load(path)
    assert [each["enable_cuda_graph"] for each in asked] == ["1", "0"]
    assert {each["user_compute_stream"] for each in asked} == {"7"}
    assert runner.info.details["cuda_graph"] is False
    runner.close()


def test_a_session_that_fell_back_to_the_cpu_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_gpu", lambda: Gpu("GeForce RTX 3060", "sm86"))
    monkeypatch.setattr(module, "GraphedNet", on_no_stream)

    def fallen_back(package: Any, data: bytes, options: Any, providers: list[Any]) -> Any:
        assert providers[0][0] == "CUDAExecutionProvider"
        return SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])

    monkeypatch.setattr(module, "_open", fallen_back)
    with pytest.raises(MissingBackendError, match="fell back to CPUExecutionProvider on GeForce RTX 3060") as caught:
        OnnxRuntimeCuda().load(path)
    assert caught.value.exit_code == 5
    assert not OnnxRuntimeCuda().probe().works


def test_without_the_package_the_command_that_mends_it_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    probe = OnnxRuntimeCpu().probe()
    assert (probe.works, probe.reason, probe.fix) == (False, "ONNX Runtime is not installed", "pip install onnxruntime-gpu")
    with pytest.raises(MissingBackendError):
        OnnxRuntimeCpu().load(path)


def test_nothing_is_said_on_the_terminal(path: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"\x08\x0a not a model")
    code = (
        "import sys; from pathlib import Path; from edgenas.deploy.plugins import get_runtime\n"
        "from edgenas.errors import ArtefactError\n"
        "runtime = get_runtime('onnxruntime-cpu'); assert runtime.probe().works\n"
        "runtime.load(Path(sys.argv[1])).close()\n"
        "try:\n    runtime.load(Path(sys.argv[2]))\nexcept ArtefactError:\n    pass\nelse:\n    raise SystemExit('loaded')\n"
    )
    command = [sys.executable, "-c", code, str(path), str(damaged)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_machine_without_a_driver_is_told_so_without_pytorch() -> None:
    code = (
        "import ctypes, sys\n"
        "from pathlib import Path\n"
        "from edgenas.exporters.onnxruntime import OnnxRuntimeCuda\n"
        "def absent(*_, **__): raise OSError\n"
        "ctypes.CDLL, Path.exists = absent, lambda *_, **__: False\n"
        "print(OnnxRuntimeCuda().probe().works, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
