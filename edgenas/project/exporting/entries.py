"""What of a run folder's artefacts can be timed on this machine: every file in its runtime, and in others that read it too."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgenas.deploy.artefact import load_manifest
from edgenas.deploy.contracts import Runtime
from edgenas.deploy.orders import BASELINE_FORMAT, BASELINE_PRECISION
from edgenas.deploy.plugins import get_runtime, runtime_names
from edgenas.errors import EdgeNASError, MissingInputError, RunFolderError
from edgenas.latency.measuring import CPU_RUNTIME, is_elsewhere
from edgenas.latency.timing import Entrant
from edgenas.project.exporting.source import Source
from edgenas.project.run_tables import run_table
from edgenas.records import BenchedName, LeftOutFile, Manifest, ModelFile, Parity, ParityFile, Verdict
from edgenas.runs import Progress, Record, RunFolder, read_json, sha256_file

if TYPE_CHECKING:
    from torch import nn

TORCH_RUNTIME = "torch-cpu"


@dataclass(frozen=True, slots=True)
class RunArtefact:
    """An artefact folder of a run, as its manifest says.

    Attributes:
        name: folder, relative to the run folder.
        parities: of its files by their paths; empty where `parity.json` is not the manifest's.
    """

    name: str
    folder: Path
    manifest: Manifest
    parities: dict[str, Parity]


@dataclass(frozen=True, slots=True)
class BenchEntry:
    """A file of an artefact in a runtime that could run it, or the net itself.

    Attributes:
        artefact: None for the net itself.
        is_own: whether the artefact is of the net that is exported.
    """

    artefact: RunArtefact | None
    file: ModelFile | None
    runtime: Runtime
    entrant: Entrant
    is_own: bool = True

    @property
    def name(self) -> BenchedName:
        """What it is called."""
        folder, path = ("", "") if self.artefact is None or self.file is None else (self.artefact.name, self.file.path)
        return BenchedName(artifact=folder, path=path, runtime=self.runtime.name, precision=self.entrant.precision)

    @property
    def verdict(self) -> Verdict | None:
        """What its gates said when it was exported; None in a runtime that the export did not ask, and for the net itself."""
        if self.artefact is None or self.file is None or self.runtime.name != self.file.runtime:
            return None
        parity = self.artefact.parities.get(self.file.path)
        return None if parity is None else parity.verdict


@dataclass(frozen=True, slots=True)
class Conditions:
    """How calls are made: those of the latency table that the run's limit rests on.

    Attributes:
        batch_size: images a call.
        threads: of every session on a CPU; None is the runtime's default.
    """

    batch_size: int
    threads: int | None


def conditions_of(source: Source) -> Conditions:
    """Batch size and threads of the run's latency table; of its settings where it has none of this machine's processor."""
    project = source.project
    table = run_table(project, source.images.task)
    if table is not None and not is_elsewhere(table.table):
        context = table.table.context
        return Conditions(context.batch_size, context.threads)
    return Conditions(project.settings.profile.batch_size or 1, project.settings.profile.threads)


def artefacts_in(run: RunFolder) -> tuple[list[RunArtefact], list[LeftOutFile]]:
    """The artefacts of a run folder by name, and those whose manifest cannot be used."""
    artefacts: list[RunArtefact] = []
    left: list[LeftOutFile] = []
    for path in sorted(run.export.glob("*/manifest.json")):
        folder, name = path.parent, run.relative(path.parent)
        if folder.name.startswith("."):
            continue
        try:
            manifest = load_manifest(folder)
        except EdgeNASError as error:
            left.append(LeftOutFile(artifact=name, path=path.name, runtime="", reason=str(error)))
        else:
            artefacts.append(RunArtefact(name, folder, manifest, _parities(folder, manifest)))
    return artefacts, left


def _parities(folder: Path, manifest: Manifest) -> dict[str, Parity]:
    """What the gates said of every file, where nobody has changed it since."""
    listed = {file.path: file.sha256 for file in manifest.support_files}
    try:
        if sha256_file(folder / "parity.json") != listed.get("parity.json"):
            return {}
        judged = ParityFile.from_json(read_json(folder / "parity.json"))
    except (OSError, RunFolderError):
        return {}
    return {each.path: each.parity for each in judged.files}


def entries_of(
    artefacts: Sequence[RunArtefact], source: Source, how: Conditions, *, with_net: bool = False
) -> Generator[Record, None, tuple[list[BenchEntry], list[LeftOutFile]]]:
    """What can be timed here, each tried once, and what cannot.

    Every file in its own runtime; the present net's files in other runtimes that work here and read their kind, too.

    Args:
        artefacts: of the run.
        source: the net that is exported.
        how: calls are made.
        with_net: add the net itself in PyTorch.
    """
    ready: list[BenchEntry] = []
    left: list[LeftOutFile] = []
    asked = [entry for artefact in artefacts for entry in _entries(artefact, source, how)]
    asked += [_net_entry(source.final.net, source, how)] if with_net else []
    for position, entry in enumerate(asked):
        yield Progress("trying", position, len(asked), {"file": entry.name.path or "the net itself"})
        reason = _why_not(entry, how)
        if reason is None:
            ready.append(entry)
        elif entry.file is None or entry.runtime.name == entry.file.runtime:  # another runtime may well not read it
            name = entry.name
            left.append(LeftOutFile(artifact=name.artifact, path=name.path, runtime=name.runtime, reason=reason))
    yield Progress("trying", len(asked), len(asked))
    return ready, left


def _entries(artefact: RunArtefact, source: Source, how: Conditions) -> Iterator[BenchEntry]:
    own = is_own(artefact, source)
    shape = tuple(size or 1 for size in artefact.manifest.input.shape[1:])
    images_NCHW = np.random.default_rng(0).standard_normal((how.batch_size, *shape)).astype(np.float32)
    for file in artefact.manifest.files:
        for runtime in _runtimes_of(file, how, with_others=own and file.batch_size == how.batch_size):
            entrant = Entrant(artefact.folder / file.path, runtime, images_NCHW, file.precision, _threads(runtime, how))
            yield BenchEntry(artefact, file, runtime, entrant, own)


def _runtimes_of(file: ModelFile, how: Conditions, *, with_others: bool) -> Iterator[Runtime]:
    """A file's own runtime first."""
    names = [file.runtime, *(name for name in runtime_names() if name != file.runtime and with_others)]
    for name in names:
        try:
            runtime = get_runtime(name)
        except EdgeNASError:
            continue
        reads = file.kind in runtime.accepts and file.precision in runtime.precisions
        if name == file.runtime or (reads and _works(name)):
            yield runtime


@cache
def _works(name: str) -> bool:
    """Whether a runtime works here, tried once."""
    return get_runtime(name).probe().works


def _net_entry(net: nn.Module, source: Source, how: Conditions) -> BenchEntry:
    """The net itself in PyTorch, for reference."""
    runtime = get_runtime(TORCH_RUNTIME)
    images_NCHW = np.random.default_rng(0).standard_normal((how.batch_size, *source.shape)).astype(np.float32)
    return BenchEntry(None, None, runtime, Entrant(net, runtime, images_NCHW, "fp32", how.threads))


def _threads(runtime: Runtime, how: Conditions) -> int | None:
    return how.threads if runtime.device_kind == "cpu" else None


def _why_not(entry: BenchEntry, how: Conditions) -> str | None:
    """Why something cannot be timed; None where it can."""
    file = entry.file
    if file is not None and file.batch_size not in (None, how.batch_size):
        return f"it is for {file.batch_size} images a call, timed are {how.batch_size}"
    try:
        if not _is_as_exported(entry):
            return "it is not the file that was exported: its sha256 is not the manifest's"
        entry.entrant.tried()
    except (EdgeNASError, OSError) as error:
        return str(error)
    return None


def _is_as_exported(entry: BenchEntry) -> bool:
    """Whether a file and its parts are those of the manifest; so is the net itself, which is no file."""
    if entry.artefact is None or entry.file is None:
        return True
    folder, file = entry.artefact.folder, entry.file
    whole = ((file.path, file.sha256), *((part.path, part.sha256) for part in file.parts or ()))
    return all(sha256_file(folder / path) == sha256 for path, sha256 in whole)


def is_own(artefact: RunArtefact, source: Source) -> bool:
    """Whether an artefact is of the net that is exported now, with the weights of now."""
    return artefact.manifest.weights.sha256 == source.final.sha256


def has_baseline(artefacts: Sequence[RunArtefact], source: Source) -> bool:
    """Whether there is a file of the present net that the others can be compared with."""
    files = (file for artefact in artefacts if is_own(artefact, source) for file in artefact.manifest.files)
    return any(_compares(file) and file.runtime == CPU_RUNTIME for file in files)


def _compares(file: ModelFile) -> bool:
    return file.kind == "onnx" and file.precision == BASELINE_PRECISION


def baseline_of(entries: Sequence[BenchEntry]) -> BenchEntry:
    """The fp32 ONNX file of the present net in ONNX Runtime: for as many images as are timed if there is one.

    Raises:
        MissingInputError: if there is none.
    """

    def rank(entry: BenchEntry) -> tuple[bool, bool]:
        assert entry.file is not None
        return entry.file.batch_size is None, entry.artefact is None or entry.artefact.folder.name != BASELINE_FORMAT

    fitting = [each for each in entries if _is_baseline(each)]
    if not fitting:
        raise MissingInputError(
            "there is nothing to compare with: no fp32 ONNX file of this net was exported that runs here",
            hint="edgenas export --format onnx",
        )
    return min(fitting, key=rank)


def _is_baseline(entry: BenchEntry) -> bool:
    return entry.file is not None and _compares(entry.file) and entry.is_own and entry.runtime.name == CPU_RUNTIME
