"""What runs nets on a device: ONNX Runtime's CPU provider in this process, or TensorRT's ``trtexec`` in processes of its own."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgenas.latency.kit.script_base import KitError
from edgenas.portable.facts import BOARD, cpu_model, read_text
from edgenas.portable.quota import usable_threads

WARM_UP_MS = 200
TIMEOUT_S = 3600.0  # of one process of trtexec; an engine of a large net can take minutes


class OrtRunner:
    """One net in a session with full graph optimisation, as `edgenas profile` and deployments open it."""

    def __init__(self, data: bytes, shape: list[int], threads: int | None) -> None:
        numpy, package = ort_packages()
        options = package.SessionOptions()
        options.inter_op_num_threads = 1
        options.execution_mode = package.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = package.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 4
        options.intra_op_num_threads = usable_threads() if threads is None else threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        try:
            self.session = package.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no other common base
            raise KitError(f"ONNX Runtime {package.__version__} cannot load a net: {' '.join(str(error).split())[:200]}") from error
        self.name = self.session.get_inputs()[0].name
        self.image = numpy.random.RandomState(0).standard_normal(shape).astype("float32")

    def __call__(self) -> Any:
        """One synchronous call, input and output in host memory."""
        return self.answer(self.image)

    def answer(self, images: Any) -> Any:
        """Logits of as many images as it takes at once."""
        return self.session.run(None, {self.name: images})[0]

    def close(self) -> None:
        """Free the session."""
        self.session = None


def ort_packages() -> tuple[Any, Any]:
    """NumPy and ONNX Runtime.

    Raises:
        KitError: if one is missing.
    """
    try:
        import numpy
        import onnxruntime
    except ImportError as error:
        raise KitError(f"{error.name} is missing: pip install onnxruntime numpy") from error
    onnxruntime.set_default_logger_severity(4)
    return numpy, onnxruntime


def ort_info(threads: int | None, precision: str = "fp32") -> dict[str, Any]:
    """What a live session would say of itself."""
    _, package = ort_packages()
    return {
        "device": cpu_model(),
        "device_kind": "cpu",
        "runtime": "onnxruntime-cpu",
        "runtime_version": package.__version__,
        "precision": precision,
        "threads": usable_threads() if threads is None else threads,
        "spinning": True,
        "details": {"provider": "CPUExecutionProvider", "graph_optimization": "all"},
    }


class Trtexec:
    """TensorRT's command-line tool, version 10 or 11.

    Both report the same: copies in, computation and copies out of single queries, with a CUDA graph and a spinning wait. For 10
    these are asked for; 11 has them by default, refuses or ignores 10's flags, and leaves the copies out unless it is told.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self.program, self.folder = program, folder
        text = self._run(["--help"], check=False)
        self.version = parse_version(text)
        if self.version[0] < 10:
            raise KitError(f"TensorRT {'.'.join(map(str, self.version))} is too old: 10 or later builds typed graphs")
        self.is_11 = self.version[0] >= 11
        self.device = ""

    def engine(self, name: str, model: Callable[[], bytes]) -> Path:
        """Build the engine of a net, unless it is there; the path of its file.

        Typed graphs are built as they are: always in 11, with a flag in 10.
        """
        name = f"{name}-trt{'.'.join(map(str, self.version))}"
        path = self.folder / f"{name}.engine"
        if not path.exists():
            source, beside = self.folder / f"{name}.onnx", self.folder / f"{name}.tmp"
            source.write_bytes(model())
            flags = [f"--onnx={source}", f"--saveEngine={beside}", f"--timingCacheFile={self.folder / 'timing.cache'}"]
            text = self._run([*flags, "--skipInference", *([] if self.is_11 else ["--stronglyTyped"])])
            self.device = parse_device(text) or self.device
            if not beside.exists():
                raise KitError(f"trtexec left no engine of {name}: {last_error(text)}")
            beside.replace(path)
            source.unlink()
        return path

    def times_ms(self, engine: Path, runs: int, warmup_ms: float, idle_ms: float) -> tuple[list[float], float | None]:
        """Latencies of ``runs`` queries, and the median of their computation alone.

        Raises:
            KitError: if the tool fails, or says less than that.
        """
        times = engine.with_suffix(".times.json")
        if times.exists():
            times.unlink()
        warm = max(WARM_UP_MS, round(warmup_ms))  # every process finds the GPU idle
        flags = [f"--loadEngine={engine}", f"--iterations={runs}", "--duration=0", f"--warmUp={warm}"]
        flags += ["--avgRuns=1", f"--exportTimes={times}", *([f"--idleTime={idle_ms:.3f}"] if idle_ms > 0 else [])]
        flags += ["--includeDataTransfers"] if self.is_11 else ["--useCudaGraph", "--useSpinWait"]
        text = self._run(flags)
        self.device = parse_device(text) or self.device
        return parse_times(times, runs)

    def info(self, precision: str) -> dict[str, Any]:
        """What is known after an engine was built or run."""
        return {
            "device": self.device or read_text(BOARD) or "GPU of unknown name",
            "device_kind": "cuda",
            "runtime": "tensorrt",
            "runtime_version": ".".join(map(str, self.version)),
            "precision": precision,
            "threads": None,
            "spinning": None,
            "details": {"timer": "trtexec", "cuda_graph": "captured", "transfers": "included"},
        }

    def _run(self, flags: list[str], *, check: bool = True) -> str:
        try:
            done = subprocess.run(
                [self.program, *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S, check=False
            )
        except FileNotFoundError as error:
            hint = "give its place with --trtexec, on Jetson /usr/src/tensorrt/bin/trtexec"
            raise KitError(f"there is no {self.program}: {hint}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KitError(f"{self.program} does not run: {error}") from error
        text = done.stdout.decode(errors="replace")
        if check and (done.returncode != 0 or "&&&& FAILED" in text):
            raise KitError(f"trtexec {' '.join(flags)} failed: {last_error(text)}")
        return text


def parse_version(text: str) -> tuple[int, ...]:
    """From ``[TensorRT v8601]``, ``[TensorRT v101303]``, ``TensorRT version: 10.13.3``; major, minor, patch.

    Raises:
        KitError: if the text names no version.
    """
    dotted = re.search(r"TensorRT(?: version:?| v)\s*(\d+)\.(\d+)\.(\d+)", text)
    if dotted:
        return tuple(int(part) for part in dotted.groups())
    joined = re.search(r"TensorRT v(\d{4,6})\b", text)
    if not joined:
        raise KitError(f"trtexec does not tell its version: {last_error(text)}")
    number = int(joined.group(1))
    if number >= 10_0000:  # two digits each since 10
        return number // 10_000, number // 100 % 100, number % 100
    return number // 1000, number // 100 % 10, number % 100


def parse_device(text: str) -> str:
    """The GPU's name as trtexec prints it; empty where it does not."""
    match = re.search(r"Selected Device:\s*(.+)", text)
    return match.group(1).strip() if match else ""


def parse_times(path: Path, runs: int) -> tuple[list[float], float | None]:
    """The first ``runs`` latencies of a file of times, and the median of their computation alone."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        latencies = [float(row["latencyMs"]) for row in rows][:runs]
        computing = sorted(float(row["computeMs"]) for row in rows if "computeMs" in row)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KitError(f"trtexec left no times that can be read: {type(error).__name__} {error}") from error
    if len(latencies) < runs or not all(0 < ms < float("inf") for ms in latencies):
        raise KitError(f"trtexec timed {len(latencies)} of {runs} queries; all must be above 0 ms")
    return latencies, (computing[len(computing) // 2] if computing else None)


def last_error(text: str) -> str:
    """The first line that names an error, else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if "[E]" in line or "rror" in line or "nknown option" in line]
    return (named or lines[-1:] or ["it printed nothing"])[0][:300]
