"""What a deployment format and a runtime must be able to do.

A format (`Exporter`) writes a file; a runtime loads something into a `Runner`, which answers and can be timed. They are two
things: PyTorch CUDA graphs is a runtime without a format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgenas.fields import Count, Range, require_allowed
from edgenas.records import FileKind as FileKind
from edgenas.records import Precision as Precision
from edgenas.records import RunnerInfo as RunnerInfo

if TYPE_CHECKING:
    import onnx
    from torch import nn

SourceKind = Literal[FileKind, "module"]


@runtime_checkable
class ImageRows(Protocol):
    """Preprocessed images of shape (N, C, H, W), an array or something that reads them when they are asked for."""

    def __len__(self) -> int:
        """N."""
        ...

    def __getitem__(self, rows: slice, /) -> Any:
        """What NumPy makes a float32 array of."""
        ...


@dataclass(frozen=True, slots=True)
class ExportSpec:
    """What is to be written.

    Attributes:
        input_shape: channels, height, width of one image; or what one image is at the entrance of a part of a net.
        batch_size: images a call; None exports a dynamic batch axis.
        precision: of the computation; inputs and outputs stay float32.
        opset: ONNX opset, 18 or later.
        targets: GPU architectures to build for ahead of time, e.g. ``("sm86", "sm89")``; empty means this machine.
        ahead: those that are built for where ``targets`` is empty and this machine has no GPU; empty takes the format's own.
        rewrites: names of `edgenas.graphs.rewriting` that change the graph and not what it computes; None for those that were
            measured to be fastest on the runtime that the file is for, empty for none.
        kept: blocks and operators, by the start of a node's name or by operator type, that stay float32 in a reduced precision.
        calibration: preprocessed images of the *calibrate* split, which ``int8`` needs; no part of what tells two specs apart.
        rebuilds: how often an engine is built, to say how far its builds differ; 1 compares nothing.
        metadata: texts by name that a format keeps inside its file where it can; they change nothing of what is computed.
    """

    input_shape: tuple[Count, ...]
    batch_size: Count | None = 1
    precision: Precision = "fp32"
    opset: Annotated[int, Range(ge=18)] = 20
    targets: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    rewrites: tuple[str, ...] | None = None
    kept: tuple[str, ...] = ()
    calibration: ImageRows | None = field(default=None, hash=False, compare=False, repr=False)
    rebuilds: Count = 1
    ahead: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_allowed(self)

    def as_json(self) -> Mapping[str, object]:
        """Everything that tells it from another: all fields but the images of ``calibration``, which are counted."""
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "calibration"}
        own = getattr(self.calibration, "as_json", None)
        calibration = len(self.calibration) if self.calibration is not None and own is None else own and own()
        return plain | {"metadata": dict(self.metadata), "calibration": calibration}


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One written file and where it can run.

    Attributes:
        path: the file.
        kind: what a runtime must accept to load it.
        runtime: name of the runtime that is meant to run it.
        precision: of the computation.
        batch_size: None for a dynamic batch.
        targets: GPU architectures it was built for, empty when it is portable.
        emulation: an ONNX file that computes the same rounding on a CPU, for formats that cannot run here.
        notes: facts for the manifest: builder versions, layer counts, what the precision was proven by.
        parts: files beside it that a runtime reads with it, in the same folder.
    """

    path: Path
    kind: FileKind
    runtime: str
    precision: Precision
    batch_size: int | None
    targets: tuple[str, ...] = ()
    emulation: Path | None = None
    notes: dict[str, str | int | float] = field(default_factory=dict)
    parts: tuple[Path, ...] = ()


@runtime_checkable
class Exporter(Protocol):
    """Writes one format.

    It may have two attributes more: ``summary``, a line for those who choose a format, and ``batch_sizes``, what `edgenas export`
    writes a file for, ``(1, None)`` for one image a call and for any number; without it, one file for one image.

    Attributes:
        precisions: that it can write, its default first.
    """

    name: str
    precisions: tuple[Precision, ...]

    def export(self, model: nn.Module, spec: ExportSpec, folder: Path) -> Sequence[ExportedFile]:
        """Write ``model`` (in eval mode, one image tensor in, logits out) into ``folder`` and return what was written.

        Raises:
            MissingBackendError: if this machine lacks what the format needs; says the one command that fixes it.
            BatchError: if just a file for any number of images cannot be written; `edgenas export` does without.
            ExportError: if the model cannot be written.
        """
        ...


@runtime_checkable
class GraphExporter(Exporter, Protocol):
    """An exporter that converts an ONNX graph, so that what a reduced precision does can be looked at before it is written."""

    def graph(self, model: nn.Module, spec: ExportSpec) -> onnx.ModelProto:
        """The float32 graph that ``export`` converts to the precision of ``spec``.

        Raises:
            ExportError: if the model cannot be traced.
        """
        ...


class TypedExporter(Exporter, Protocol):
    """An exporter of files whose precision can be chosen after they were traced."""

    def in_precision(self, data: bytes, precision: Precision) -> bytes:
        """The bytes of a float32 file in the precision asked for, as ``export`` would have written it.

        Raises:
            ArtefactError: if it is no such file, or cannot be converted.
        """
        ...


class Runner(Protocol):
    """A loaded net. `close` frees its threads and memory; one live runner at a time while timing."""

    @property
    def info(self) -> RunnerInfo:
        """What the live session says of itself."""
        ...

    def __call__(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of shape (N, classes), as one synchronous call with input and output in host memory (`end_to_end`)."""
        ...

    def compute_ms(self, images_NCHW: NDArray[np.float32]) -> float | None:
        """Time of one call without copies in milliseconds (CUDA events); None where the runtime cannot tell."""
        ...

    def close(self) -> None:
        """Free threads and memory; the runner cannot be called afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether a runtime really works here.

    Attributes:
        works: a tiny net was loaded, run and gave the right numbers.
        reason: what was tried and seen, one line.
        fix: the one command that fixes it, empty when it works or nothing can be done.
        version: of the package, empty when it is missing.
        device: what it ran on.
    """

    works: bool
    reason: str
    fix: str = ""
    version: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What can be read off a file without running it.

    Attributes:
        precisions: that a file with these types can be run in; none where its types are of no precision.
        words: what types it holds.
        metadata: `ExportSpec.metadata` as it stands in the file.
    """

    precisions: tuple[Precision, ...]
    words: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Runtime(Protocol):
    """Loads a net. Constructing one imports nothing heavy.

    It may have more: ``facts(path)``, the `FileFacts` of a file, for `edgenas verify`; ``import_packages()`` and
    ``import_readers()``, which import what `load` and ``facts`` need, so that this does not count as a model's time;
    ``runs_apart = True``, where a damaged file can end the process that loads it, so that files which may be a stranger's are run
    in a process of their own.
    """

    name: str
    device_kind: Literal["cpu", "cuda"]
    accepts: tuple[SourceKind, ...]
    precisions: tuple[Precision, ...]

    def probe(self) -> Probe:
        """Try it for real on a tiny net; never raises for what may be missing."""
        ...

    def load(
        self,
        source: Path | nn.Module,
        *,
        precision: Precision = "fp32",
        threads: int | None = None,
        spinning: bool = True,
    ) -> Runner:
        """Load a file of a kind in ``accepts``, or a module where that holds ``"module"``.

        Raises:
            MissingBackendError: if the runtime or its device is missing, or the session does not really use the device.
            ArtefactError: if the file cannot be loaded.
        """
        ...
