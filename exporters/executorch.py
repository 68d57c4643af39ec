"""ExecuTorch: ``.pte`` files for phones and boards, run by XNNPACK where it can and by ExecuTorch's own operators where not.

How a net becomes a program is in `edgenas.exporters._lowering`, how it becomes int8 in `edgenas.exporters._int8_executorch`.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import ExportedFile, ExportSpec, FileFacts, Precision, Probe, Runner, RunnerInfo, SourceKind
from edgenas.errors import ArtefactError, BatchError, ExportError, MissingBackendError
from edgenas.runs import atomic_path
from edgenas.runs.outside import OutsideError, read_regular

from ._files import MAX_FILE_BYTES, require_file, require_precision
from ._host import cpu_name, usable_cores
from ._lowering import Notes, halved, lowered, plain, traced
from ._native import compiler_left_out, log_kept, quiet
from ._probe import first_line, tiny_module, try_runner
from ._pte import LOGGERS, XNNPACK, import_schemas, types_of
from ._pte_quick import xnnpack_values
from ._pte_shares import shares_of_pte

if TYPE_CHECKING:
    from types import ModuleType

    from torch import nn

METHOD = "forward"
METADATA = "edgenas_"  # begins the names of the methods that answer with `ExportSpec.metadata`
_FLOAT = 6  # ExecuTorch's number of float32
_MISSING = "ExecuTorch is not installed"
_HINT = "pip install 'edgenas[executorch]'"


class ExecuTorchExporter:
    """Writes ExecuTorch files for XNNPACK."""

    name = "executorch"
    precisions: tuple[Precision, ...] = ("fp32", "fp16", "int8")
    batch_sizes: tuple[int | None, ...] = (1, None)
    summary = "ExecuTorch's .pte for phones and boards, by XNNPACK"

    def export(self, model: nn.Module, spec: ExportSpec, folder: Path) -> Sequence[ExportedFile]:
        """Write one file, named after precision and batch size, e.g. ``model-fp32-b1.pte``.

        A file for any number of images has memory for `MAX_IMAGES` at once; whoever gives more to the runtime calls it repeatedly.
        Texts of ``spec.metadata`` become methods of the program: ``edgenas_classes`` answers with the classes. Its notes say which
        share of the nodes XNNPACK took, and name those that it did not.

        Raises:
            MissingBackendError: without ExecuTorch, or without torchao for int8.
            UsageError: for a precision that is not among them.
            BatchError: if the program does not answer any number of images.
            ExportError: if the model cannot be traced, quantised or lowered.
            GateError: if int8 changes decisions on *calibrate* whatever stays float32.
            PrecisionError: if too little of it would be in the precision asked for, naming what is not.
        """
        require_precision(self, spec.precision)
        version = _version()
        data, notes = {"fp32": _float32, "fp16": _float16, "int8": _int8}[spec.precision](model, spec)
        if spec.batch_size is None:
            _require_free(data, type(model).__name__)
        batch = "dynamic" if spec.batch_size is None else f"b{spec.batch_size}"
        path = folder / f"model-{spec.precision}-{batch}.pte"
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
        notes |= {"executorch": version}
        return [ExportedFile(path, "executorch", ExecuTorchCpu.name, spec.precision, spec.batch_size, notes=notes)]


def _float32(model: nn.Module, spec: ExportSpec) -> tuple[bytes, Notes]:
    """A program in float32, and facts for the manifest."""
    name = type(model).__name__
    data, notes = lowered(traced(plain(model), spec, name), _texts(spec), name)
    types = types_of(data)
    if not types.is_float32:
        raise ExportError(f"the ExecuTorch program is not float32 throughout: {types.words}")
    return data, notes | {"tensors": types.words}


def _float16(model: nn.Module, spec: ExportSpec) -> tuple[bytes, Notes]:
    """A program in float16 with images and logits in float32, and facts for the manifest."""
    name = type(model).__name__
    data, notes = lowered(traced(halved(model), spec, name), _texts(spec), name)
    shares, types = shares_of_pte(data, "fp16"), types_of(data)
    shares.require()
    if not types.is_float16:
        raise ExportError(f"the ExecuTorch program holds more than float16 and float32: {types.words}")
    return data, notes | shares.as_notes() | {"tensors": types.words}


def _int8(model: nn.Module, spec: ExportSpec) -> tuple[bytes, Notes]:
    """A program in int8 that was asked about *calibrate*, and facts for the manifest."""
    from ._int8_executorch import Quantiser

    quantiser, name, size = Quantiser.of(spec), type(model).__name__, spec.batch_size or 1
    found = quantiser.quantised(traced(plain(model), spec, name), size)
    data, notes = lowered(traced(found.module, spec, name), _texts(spec), name)
    shares, types = shares_of_pte(data, "int8"), types_of(data)
    shares.require()
    if not types.is_int8:
        raise ExportError(f"the ExecuTorch program holds more than int8 and float32: {types.words}")
    runner = _Runner(_runtime(), data, _version(), None)
    try:
        notes |= found.notes_of(runner, size)
    finally:
        runner.close()
    return data, notes | shares.as_notes() | {"tensors": types.words}


def _require_free(data: bytes, name: str) -> None:
    """Raise `BatchError` unless a program answers any number of images: not every operator of ExecuTorch's own does."""
    runner = _Runner(_runtime(), data, _version(), None)
    runner.close()
    if not runner.is_free:
        raise BatchError(f"{name} runs in ExecuTorch for a fixed number of images a call alone ({runner.fixed_by})")


def _texts(spec: ExportSpec) -> dict[str, str]:
    """What the program's methods answer with, by their names."""
    return {f"{METADATA}{name}": text for name, text in sorted(spec.metadata.items())}


class ExecuTorchCpu:
    """Runs ExecuTorch files on the CPU, through the runtime that comes with ExecuTorch's Python package."""

    name = "executorch-cpu"
    device_kind: Literal["cpu", "cuda"] = "cpu"
    accepts: tuple[SourceKind, ...] = ("executorch",)
    precisions: tuple[Precision, ...] = ("fp32", "fp16", "int8")
    runs_apart = True  # a damaged file ends the process that loads it: those of strangers get one of their own

    def probe(self) -> Probe:
        """Lower a tiny net and run it."""
        return try_runner(self._tiny, what=self.name)

    def _tiny(self) -> Runner:
        version = _version()
        return _Runner(_runtime(), _float32(tiny_module(), ExportSpec((3, 4, 4)))[0], version, None)

    def load(
        self, source: Path | nn.Module, *, precision: Precision = "fp32", threads: int | None = None, spinning: bool = True
    ) -> Runner:
        """Load a file and run it once, on ``threads`` threads (default: every usable core).

        ExecuTorch has one pool of threads a process: runners of different numbers load their programs anew in turn. Whether idle
        threads spin cannot be asked or chosen, and is reported as unknown.

        Raises:
            MissingBackendError: without ExecuTorch, or if it was built without XNNPACK.
            ArtefactError: if the file cannot be loaded or run, or computes in another precision.
            UsageError: for a module, or a precision that is not among them.
        """
        require_precision(self, precision)
        path = require_file(source, self.name, "ExecuTorch files")
        version, data = _version(), _bytes_of(path)
        runner = _Runner(_runtime(), data, version, threads)
        if runner.precision != precision:
            runner.close()
            raise ArtefactError(f"the file computes in {runner.precision}, asked for was {precision}")
        return runner

    def facts(self, path: Path) -> FileFacts:
        """What an ExecuTorch file says of itself.

        Raises:
            MissingBackendError: without ExecuTorch.
            ArtefactError: if it cannot be read.
        """
        data = _bytes_of(path)
        found = types_of(data)
        fits: dict[Precision, bool] = {"fp32": found.is_float32, "fp16": found.is_float16, "int8": found.is_int8}
        precisions = tuple(precision for precision, does in fits.items() if does)
        return FileFacts(precisions, f"it holds tensors {found.words}", read_metadata(data))

    def import_packages(self) -> None:
        """Import what `load` needs, as far as it is there."""
        _version()
        _runtime()

    def import_readers(self) -> None:
        """Import what `facts` needs, as far as it is there."""
        import_schemas()


class _Runner:
    """A loaded program.

    XNNPACK keeps the pool of threads that was there when it was loaded: whoever needs another size releases what is loaded first,
    and a released runner loads its program again when it is called.
    """

    def __init__(self, bindings: ModuleType, data: bytes, version: str, threads: int | None) -> None:
        self._bindings, self._version = bindings, version
        self._data: bytes | None = data
        self.precision: Precision = xnnpack_values(data).precision
        self._threads = usable_cores() if threads is None else threads
        self._method: Any = None
        self._program: Any = None
        self._shape: tuple[int, ...] = ()
        self.is_free = False
        self.fixed_by = ""  # which operator wants the number of images that its memory is planned for
        self._open()
        _LIVE.add(self)

    def _open(self) -> None:
        """Load the program for this runner's number of threads, and run it once.

        Raises:
            ArtefactError: if that does not work.
        """
        from executorch.runtime import Runtime, Verification

        assert self._data is not None, "the runner is closed"
        with log_kept() as said:
            try:
                self._set_threads()
                self._program = Runtime.get().load_program(self._data, verification=Verification.InternalConsistency)
                self._method = self._program.load_method(METHOD)
                self._shape = self._checked()
                self.is_free = self._shape[0] > 1 and self._takes_one()
                self(np.zeros(self._shape, dtype=np.float32))
                problem = ""
            except (RuntimeError, ValueError, TypeError) as error:
                problem = first_line(error)
        self.fixed_by = next((line for line in said if "in operator" in line), "")
        if problem:
            self.close()
            reason = next((line for line in said if line and "cpu" not in line.lower() and "/sys/" not in line), "")
            raise ArtefactError(f"ExecuTorch cannot load the file: {problem}" + (f" ({reason})" if reason else ""))

    def _checked(self) -> tuple[int, ...]:
        """The shape that the program reads.

        Raises:
            ValueError: if it does not read one float32 image tensor and give one float32 tensor.
        """
        if self._method is None:
            raise ValueError(f"it has no method {METHOD!r}")
        about = self._method.metadata
        if (about.num_inputs(), about.num_outputs()) != (1, 1):
            raise ValueError(f"it reads {about.num_inputs()} and gives {about.num_outputs()} tensors, expected one each")
        types = about.input_tensor_meta(0).dtype(), about.output_tensor_meta(0).dtype()
        if types != (_FLOAT, _FLOAT):
            raise ValueError("it does not read and give float32")
        shape = tuple(int(size) for size in about.input_tensor_meta(0).sizes())
        if math.prod(shape) > 1 << 28:
            raise ValueError(f"it reads images of shape {shape}")
        return shape

    def _takes_one(self) -> bool:
        """Whether it answers one image, though it has memory for more: what a program is for, it says by running alone."""
        try:
            self._answer(np.zeros((1, *self._shape[1:]), dtype=np.float32))
        except RuntimeError:  # "Attempted to resize a static tensor"
            return False
        return True

    def _set_threads(self) -> None:
        if self._bindings._threadpool_get_thread_count() == self._threads:
            return
        for other in list(_LIVE):
            other.release()
        self._bindings._unsafe_reset_threadpool(self._threads)

    def release(self) -> None:
        """Let go of what is loaded, until the next call."""
        self._method = self._program = None

    @property
    def info(self) -> RunnerInfo:
        if self._method is None:
            self._open()
        return RunnerInfo(
            device=cpu_name(),
            device_kind="cpu",
            runtime=ExecuTorchCpu.name,
            runtime_version=self._version,
            precision=self.precision,
            threads=int(self._bindings._threadpool_get_thread_count()),
            spinning=None,
            details={
                "delegate": XNNPACK,
                "images_a_call": f"1 to {self._shape[0]}" if self.is_free else self._shape[0],
                "precision_proof": "the types that XNNPACK's graphs give their values",
            },
        )

    def __call__(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._method is None:
            self._open()
        if not self.is_free and images_NCHW.shape != self._shape:
            raise ArtefactError(f"the file reads images of shape {self._shape}, not {images_NCHW.shape}")
        if images_NCHW.shape[1:] != self._shape[1:] or not len(images_NCHW):
            raise ArtefactError(f"the file reads images of shape {('N', *self._shape[1:])}, not {images_NCHW.shape}")
        most = self._shape[0]
        parts = [self._answer(images_NCHW[start : start + most]) for start in range(0, len(images_NCHW), most)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _answer(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        image = torch.from_numpy(np.require(images_NCHW, requirements=("W", "C")))
        result: NDArray[np.float32] = self._method.execute([image])[0].numpy()
        return result

    def compute_ms(self, images_NCHW: NDArray[np.float32]) -> float | None:
        return None

    def close(self) -> None:
        self.release()
        self._data = None


_LIVE: weakref.WeakSet[_Runner] = weakref.WeakSet()


def read_metadata(data: bytes) -> dict[str, str]:
    """The texts that `ExecuTorchExporter` put into a program.

    Raises:
        ArtefactError: if it cannot be loaded.
    """
    _runtime()
    from executorch.runtime import Runtime, Verification

    with log_kept():
        try:
            program = Runtime.get().load_program(data, verification=Verification.InternalConsistency)
            names = sorted(name for name in program.method_names if name.startswith(METADATA))
            return {name.removeprefix(METADATA): str(program.load_method(name).execute([])[0]) for name in names}
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise ArtefactError(f"ExecuTorch cannot load the file: {first_line(error)}") from error


def _bytes_of(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_FILE_BYTES)
    except OutsideError as error:
        raise ArtefactError(f"{path} {error}") from error


def _runtime() -> ModuleType:
    """ExecuTorch's bindings.

    Raises:
        MissingBackendError: if they are not there, or hold no XNNPACK.
    """
    import torch  # noqa: F401 - sets up its loggers, which are muted next

    try:
        with quiet(*LOGGERS), log_kept():
            with suppress(ImportError, AttributeError), compiler_left_out():  # whoever needs more of it gets it next
                import_module("executorch.runtime")
            from executorch.extension.pybindings import portable_lib
            from executorch.runtime import Runtime

            names = Runtime.get().backend_registry.registered_backend_names
    except ImportError as error:
        raise MissingBackendError(_MISSING, hint=_HINT) from error
    if XNNPACK not in names:
        raise MissingBackendError(f"this ExecuTorch was built without XNNPACK; it has {', '.join(names) or 'no backend'}")
    return cast("ModuleType", portable_lib)


def _version() -> str:
    """The package's version.

    Raises:
        MissingBackendError: if it is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    try:
        if find_spec("executorch") is None:
            raise PackageNotFoundError("executorch")
        return version("executorch")
    except PackageNotFoundError as error:
        raise MissingBackendError(_MISSING, hint=_HINT) from error
