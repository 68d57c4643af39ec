"""What a run folder has exported, timed in turn by a device over the network, and asked there about golden images."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import RunnerInfo
from edgenas.deploy.golden import Golden, load_golden
from edgenas.errors import ArtefactError, GateError
from edgenas.latency.kit import BENCH_RUNTIMES, TurnFile
from edgenas.latency.timing import NetTiming, TimingSettings, Turns
from edgenas.project.devices import There, time_files_there
from edgenas.project.exporting.entries import BenchEntry
from edgenas.records import LeftOutFile
from edgenas.runs import Note, Record


@dataclass(frozen=True, slots=True)
class Timed:
    """What a machine has timed.

    Attributes:
        entries: the baseline first.
        infos: what their live sessions said.
        turns: timings of the entries but the baseline, which is their reference.
        left: what could not be timed there.
    """

    entries: list[BenchEntry]
    infos: list[RunnerInfo]
    turns: Turns
    left: list[LeftOutFile]


def timed_there(there: There, entries: Sequence[BenchEntry], settings: TimingSettings, seed: int) -> Generator[Record, None, Timed]:
    """A file that a kit cannot time, that does not work there, or that answers otherwise than it must, is left out.

    Raises:
        UnreachableError, MissingBackendError, RemoteError, LatencyTableError: as `time_files_there`.
        ArtefactError: if the golden images of an artefact are not what was exported.
        GateError: if the baseline answers otherwise.
    """
    baseline, *others = entries
    sent = [entry for entry in others if entry.file is not None and entry.runtime.name in BENCH_RUNTIMES]
    left = [_left(entry, f"only {_listed(BENCH_RUNTIMES)} time over the network") for entry in others if entry not in sent]
    files = [_turn_file(entry) for entry in (baseline, *sent)]
    answer = yield from time_files_there(there, files[0], files[1:], settings, seed=seed)
    timings, kept = iter(answer.turns.timings), list[NetTiming]()
    timed = Timed([], [], answer.turns, left)
    for entry, info, logits_NK in zip((baseline, *sent), answer.infos, answer.answers, strict=True):
        if isinstance(info, str):
            left.append(_left(entry, f"not on {there.address}: {info}"))
            continue
        timing = None if entry is baseline else next(timings)
        wrong = _answers_otherwise(entry, logits_NK, there)
        if wrong is not None and timing is None:
            raise GateError(f"{entry.name.words} answers otherwise there: {wrong}", hint="another ONNX Runtime there may be right")
        if wrong is not None:
            left.append(_left(entry, f"it answers otherwise there: {wrong}"))
            continue
        kept += [] if timing is None else [timing]
        timed.entries.append(entry)
        timed.infos.append(info)
    yield Note(f"{there.address}: {len(timed.entries)} files answered the golden images as they must")
    return replace(timed, turns=replace(answer.turns, timings=tuple(kept)))


def _answers_otherwise(entry: BenchEntry, logits_NK: NDArray[np.float32] | None, there: There) -> str | None:
    """What is wrong with a device's answers to golden images, by the limits that `verify` has; None where nothing is."""
    assert entry.file is not None
    if logits_NK is None:
        return "it gave no answers"
    where = f"{entry.name.runtime} on {there.address}"
    found = _golden_of(entry)[1].check(entry.file.path, entry.name.precision, logits_NK, where)
    return None if found.verdict == "passed" else found.reason


def _golden_of(entry: BenchEntry) -> tuple[Path, Golden]:
    """The golden images of an entry's artefact, and their file.

    Raises:
        ArtefactError: if they are not what the manifest says.
    """
    assert entry.artefact is not None
    folder, manifest = entry.artefact.folder, entry.artefact.manifest
    path = folder / manifest.golden.path
    try:
        return path, load_golden(folder, manifest)
    except ArtefactError as error:
        raise ArtefactError(f"{path} {error.message}", hint="export it again") from error


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _turn_file(entry: BenchEntry) -> TurnFile:
    entrant = entry.entrant
    assert isinstance(entrant.source, Path)
    shape = tuple(int(size) for size in entrant.images_NCHW.shape)
    return TurnFile(entrant.source, entry.runtime.name, entrant.precision, shape, entrant.threads, _golden_of(entry)[0])


def _left(entry: BenchEntry, reason: str) -> LeftOutFile:
    name = entry.name
    return LeftOutFile(artifact=name.artifact, path=name.path, runtime=name.runtime, reason=reason)
