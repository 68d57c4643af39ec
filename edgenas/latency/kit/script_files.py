"""Files of exported nets on a device: what runs each, what it says of itself, and what it answers to golden images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgenas.latency.kit.script_base import KitError
from edgenas.latency.kit.script_runners import OrtRunner, ort_info
from edgenas.portable.facts import cpu_model
from edgenas.portable.outside import read_regular
from edgenas.portable.quota import usable_threads

MAX_MODEL = 2 << 30
ANSWER = "edgenas tried "  # begins the line that says what a process of its own has tried
TRY_S = 600.0  # for a file to be loaded and asked in a process of its own, where PyTorch is imported first
OPENVINO_HINTS = {"fp32": "f32", "bf16": "bf16"}
OPENVINO_TYPES = {"fp32": {"f32"}, "int8": {"i8", "u8"}, "bf16": {"bf16"}}  # of a layer in the precision
OPENVINO_LAYERS = ("Convolution", "GroupConvolution", "FullyConnected", "MatMul")


def around_integers(model: Any) -> str:
    """What an int8 model computes in beside integers: it says so itself, float32 where it does not."""
    key = ["edgenas", "int8_around"]
    said = model.get_rt_info(key).astype(str) if model.has_rt_info(key) else "f32"
    return said if said in OPENVINO_HINTS.values() else "f32"


class OpenVinoRunner:
    """One file compiled by OpenVINO's CPU plug-in as edgenas does it: one stream, for latency, for as many images as are timed."""

    def __init__(self, path: Path, shape: list[int], threads: int | None, precision: str) -> None:
        import numpy
        import openvino

        wanted = str(usable_threads() if threads is None else threads)
        core = openvino.Core()
        model = core.read_model(str(path))
        hint = OPENVINO_HINTS[precision] if precision in OPENVINO_HINTS else around_integers(model)
        settings = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}
        sizes = model.inputs[0].get_partial_shape()
        if sizes.rank.is_static and sizes[0].is_dynamic:  # with a free batch it takes longer for the same images
            sizes[0] = shape[0]
            model.reshape(sizes)
        self.compiled = core.compile_model(model, "CPU", {**settings, "INFERENCE_NUM_THREADS": wanted})
        live = str(self.compiled.get_property("INFERENCE_PRECISION_HINT").to_string())
        if live != hint and precision != "int8":  # a processor without bfloat16 computes in more beside integers, not less
            raise KitError(f"OpenVINO compiled for {live} instead of {hint}")
        types = self.types()
        if types and not types & OPENVINO_TYPES[precision]:
            raise KitError(f"OpenVINO computes in {', '.join(sorted(types))} on {cpu_model()}, the file is {precision}")
        self.version = str(openvino.__version__)
        self.request = self.compiled.create_infer_request()
        self.image = numpy.random.RandomState(0).standard_normal(shape).astype("float32")

    def types(self) -> set[str]:
        """What its convolutions and matrix products compute in: asked of the compiled model, which takes another without a word."""
        found = [layer.get_rt_info() for layer in self.compiled.get_runtime_model().get_ops()]
        weighted = [about for about in found if "layerType" in about and about["layerType"].astype(str) in OPENVINO_LAYERS]
        return {about["runtimePrecision"].astype(str) for about in weighted}

    def __call__(self) -> Any:
        """One synchronous call, input and output in host memory."""
        return self.answer(self.image)

    def answer(self, images: Any) -> Any:
        """Logits of as many images as it takes at once."""
        return self.request.infer([images])[0]

    def info(self, precision: str) -> dict[str, Any]:
        """What the compiled model says of itself."""
        return {
            "device": cpu_model(),
            "device_kind": "cpu",
            "runtime": "openvino-cpu",
            "runtime_version": self.version,
            "precision": precision,
            "threads": int(self.compiled.get_property("INFERENCE_NUM_THREADS")),
            "spinning": False,
            "details": {"streams": 1, "hint": "latency"},
        }

    def close(self) -> None:
        """Free it."""
        self.request = self.compiled = None


class ExecuTorchRunner:
    """One program in ExecuTorch's own runtime, with XNNPACK; its pool of threads is the process's, and is set anew for each."""

    def __init__(self, path: Path, shape: list[int], threads: int | None) -> None:
        with hushed():
            self._open(path, shape, threads)

    def _open(self, path: Path, shape: list[int], threads: int | None) -> None:
        import numpy
        import torch  # first: ExecuTorch's bindings need its libraries
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime, Verification

        if "XnnpackBackend" not in Runtime.get().backend_registry.registered_backend_names:
            raise KitError("this ExecuTorch was built without XNNPACK")
        self.threads = usable_threads() if threads is None else threads
        if portable_lib._threadpool_get_thread_count() != self.threads:
            portable_lib._unsafe_reset_threadpool(self.threads)
        self.program = Runtime.get().load_program(read_regular(path, MAX_MODEL), verification=Verification.InternalConsistency)
        self.method = self.program.load_method("forward")
        self.torch, self.shape = torch, shape
        self.image = numpy.random.RandomState(0).standard_normal(shape).astype("float32")

    def __call__(self) -> Any:
        """One synchronous call, input and output in host memory."""
        return self.answer(self.image)

    def answer(self, images: Any) -> Any:
        """Logits of as many images as it takes at once."""
        return self.method.execute([self.torch.from_numpy(images)])[0].numpy()

    def info(self, precision: str) -> dict[str, Any]:
        """What is known of it; what it computes in is written in the program."""
        from importlib.metadata import version

        return {
            "device": cpu_model(),
            "device_kind": "cpu",
            "runtime": "executorch-cpu",
            "runtime_version": version("executorch"),
            "precision": precision,
            "threads": self.threads,
            "spinning": None,
            "details": {"delegate": "XnnpackBackend"},
        }

    def close(self) -> None:
        """Free it."""
        self.method = self.program = None


@contextmanager
def hushed() -> Iterator[None]:
    """Keep what libraries write to stderr themselves from whoever follows this script there."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def open_entrant(folder: Path, entrant: dict[str, Any]) -> Any:
    """A live runner of a file."""
    path, runtime = folder / entrant["path"], entrant["runtime"]
    if runtime == "openvino-cpu":
        return OpenVinoRunner(path, entrant["shape"], entrant["threads"], entrant["precision"])
    if runtime == "executorch-cpu":
        return ExecuTorchRunner(path, entrant["shape"], entrant["threads"])
    if runtime != "onnxruntime-cpu":
        raise KitError(f"{runtime} is not known here")
    return OrtRunner(read_regular(path, MAX_MODEL), entrant["shape"], entrant["threads"])


def tried(folder: Path, entrant: dict[str, Any], position: int) -> dict[str, Any]:
    """What `tried_here` says; of ExecuTorch by a process of its own, which a program of another version can end."""
    if entrant["runtime"] != "executorch-cpu":
        return tried_here(folder, entrant)
    command = [sys.executable, str(Path(__file__).resolve()), "--try", str(position)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=TRY_S, check=False)
    except subprocess.TimeoutExpired:
        return {"reason": f"it does not answer within {TRY_S:.0f} s"}
    for line in done.stdout.decode(errors="replace").splitlines():
        if line.startswith(ANSWER):
            answer: dict[str, Any] = json.loads(line[len(ANSWER) :])
            return answer
    return {"reason": f"it ended the process that ran it (status {done.returncode})"}


def tried_here(folder: Path, entrant: dict[str, Any]) -> dict[str, Any]:
    """What a live runner says of itself once it has answered, as ``info``, with its ``answers``; else why not, as ``reason``."""
    try:
        runner = open_entrant(folder, entrant)
        runner()
        if entrant["runtime"] == "onnxruntime-cpu":
            info = ort_info(entrant["threads"], entrant["precision"])
        else:
            info = runner.info(entrant["precision"])
        found: dict[str, Any] = {"info": info}
        if entrant.get("golden") is not None:
            found["answers"] = answers_of(runner, folder / entrant["golden"], entrant["shape"])
        runner.close()
        return found
    except ImportError as error:
        return {"reason": f"{error.name} is missing" if error.name else " ".join(str(error).split())[:300]}
    except Exception as error:  # noqa: BLE001 # a runtime's own; the other files are timed
        return {"reason": " ".join(str(error).split())[:300] or type(error).__name__}


def answers_of(runner: Any, path: Path, shape: list[int]) -> list[list[Any]]:
    """Logits of every golden image, as numbers; None for one that is not finite."""
    import numpy

    with numpy.load(str(path), allow_pickle=False) as arrays:
        images = arrays["images"]
    answers = []
    for image in images:  # one at a time: a file takes exactly as many at once as it is timed with
        batch = numpy.ascontiguousarray(numpy.repeat(image[None], shape[0], axis=0))
        answers.append([float(value) if numpy.isfinite(value) else None for value in runner.answer(batch)[0]])
    return answers
