"""Everything that a run folder has exported, timed in turn on this machine.

What is to be timed (`entries_of`), the timing (`edgenas.latency.timing.take_turns`) and what is made of it (`bench_of`) are three
things: another device times the same entries.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgenas import __version__
from edgenas.deploy.artefact import overall
from edgenas.deploy.contracts import RunnerInfo
from edgenas.deploy.judging import exported_file
from edgenas.deploy.orders import BASELINE_FORMAT
from edgenas.errors import ArtefactError, EdgeNASError
from edgenas.latency.measuring import percentiles_of
from edgenas.latency.table import machine_remarks
from edgenas.latency.timing import Memory, NetTiming, TimingSettings, Turns, take_turns, upper_ms
from edgenas.project.devices import There
from edgenas.project.exporting.benching_there import Timed, timed_there
from edgenas.project.exporting.choosing import TimedEntry, choose, time_ratio
from edgenas.project.exporting.entries import (
    BenchEntry,
    Conditions,
    RunArtefact,
    artefacts_in,
    baseline_of,
    conditions_of,
    entries_of,
    is_own,
)
from edgenas.project.exporting.source import Source
from edgenas.project.exporting.writing import judge_of, within
from edgenas.project.journals import journal
from edgenas.records import BenchedRow, BenchResult, ExportedModel, ExportResult, LeftOutFile, Percentile, TimeRatio, Verdict
from edgenas.runs import Note, Progress, Record, RunFolder
from edgenas.runs.stages import BENCH
from edgenas.runs.versions import versions


def bench_file(run: RunFolder, there: There | None) -> Path:
    """Where it is kept what was found on this machine, or on a device over the network."""
    return run.export / (BENCH if there is None else f"bench-{there.name}.json")


def bench(
    source: Source, settings: TimingSettings, *, with_net: bool = False, seed: int = 0, there: There | None = None
) -> Generator[Record, None, BenchResult]:
    """Time all artefacts of the run in turn, choose among them, and keep what was found in `bench_file`.

    Visits are kept as they are made: the same command goes on after a kill.

    Args:
        source: the net that is exported.
        settings: visits and runs.
        with_net: add the net itself in PyTorch.
        seed: draws the order of every round.
        there: a device over the network, which times the files instead of this one.

    Raises:
        MissingInputError: if there is no fp32 ONNX file to compare with.
        UnreachableError, MissingBackendError, RemoteError, LatencyTableError: as `time_files_there`.
        GateError: if the baseline answers otherwise on that device than it must.
    """
    run, how = source.project.run, conditions_of(source)
    artefacts, unusable = artefacts_in(run)
    entries, left = yield from entries_of(artefacts, source, how, with_net=with_net)
    baseline = baseline_of(entries)
    ordered = [baseline, *(entry for entry in entries if entry is not baseline)]
    kept = bench_file(run, there)
    with journal(kept.with_suffix(".jsonl"), _identity(source, how, ordered, settings, seed)) as memory:
        if there is None:
            timed = yield from _timed_here(ordered, settings, seed, memory)
        else:
            timed = yield from timed_there(there, ordered, settings, seed)
        result = yield from bench_of(source, how, timed.entries, timed.infos, timed.turns, [*unusable, *left, *timed.left])
        result.write(kept)
    for remark in machine_remarks([timed.turns.machine], how.threads):
        yield Note(remark, is_warning=True)
    yield Note(f"{settings.visits} visits to each of {len(timed.entries)} in {timed.turns.seconds:.0f} s")
    return result


def _timed_here(entries: list[BenchEntry], settings: TimingSettings, seed: int, memory: Memory) -> Generator[Record, None, Timed]:
    """In turn on this machine, the first as the reference of the others."""
    baseline, *others = (entry.entrant for entry in entries)
    for record in take_turns(others, baseline, settings, rng=np.random.default_rng(seed), memory=memory):
        if isinstance(record, Turns):
            return Timed(entries, [entry.entrant.tried() for entry in entries], record, [])
        yield record
    raise AssertionError("the last record is the turns")


def _identity(
    source: Source, how: Conditions, entries: Sequence[BenchEntry], settings: TimingSettings, seed: int
) -> dict[str, Any]:
    """Everything that the visits depend on."""
    return {
        "entries": [[each.name.as_json(), None if each.file is None else each.file.sha256] for each in entries],
        "weights": source.final.sha256,
        "how": asdict(how),
        "settings": asdict(settings),
        "seed": seed,
        "versions": versions(),
    }


def bench_of(
    source: Source,
    how: Conditions,
    entries: Sequence[BenchEntry],
    infos: Sequence[RunnerInfo],
    turns: Turns,
    left: Sequence[LeftOutFile],
) -> Generator[Record, None, BenchResult]:
    """What is said of timings, and what is recommended; a file in a runtime that the export did not ask is judged where it matters.

    Args:
        source: the net that is exported.
        how: calls were made.
        entries: the baseline first.
        infos: what their live sessions said.
        turns: timings of the entries but the baseline, which is their reference.
        left: what was not timed.
    """
    timings = [turns.reference, *turns.timings]
    contenders = [_contender(*each, is_first=not i) for i, each in enumerate(zip(entries, infos, timings, strict=True))]

    def verdict_of(position: int) -> Generator[Record, None, Verdict]:
        verdict = entries[position].verdict
        return verdict if verdict is not None else (yield from _judged(source, entries[position]))

    chosen = yield from choose(contenders, verdict_of)
    rows = [replace(each.row, parity=chosen.verdicts.get(i, entries[i].verdict)) for i, each in enumerate(contenders)]
    return BenchResult(
        created_by=f"edgenas {__version__}",
        device=infos[0].device,
        threads=how.threads,
        batch_size=how.batch_size,
        weights_sha256=source.final.sha256,
        baseline=entries[0].name,
        rows=tuple(sorted(rows, key=lambda row: row.ratio.value)),
        left_out=tuple(left),
        choice=chosen.choice,
        why=chosen.why,
        visits=len(turns.timings[0].samples_VR) if turns.timings else len(turns.reference.samples_VR),
        seconds=turns.seconds,
        machine=turns.machine,
    )


def standing_results(source: Source) -> list[ExportResult]:
    """What `export` answers of artefacts of the present net that stand already; that of the default format first.

    Raises:
        ArtefactError: if the parity of one is not as it was exported.
    """
    artefacts, _ = artefacts_in(source.project.run)
    own = [artefact for artefact in artefacts if is_own(artefact, source)]
    own.sort(key=lambda artefact: artefact.folder.name != BASELINE_FORMAT)
    return [_standing_result(artefact, source) for artefact in own]


def _standing_result(artefact: RunArtefact, source: Source) -> ExportResult:
    manifest = artefact.manifest
    missing = [file.path for file in manifest.files if file.path not in artefact.parities]
    if missing:
        raise ArtefactError(f"{artefact.folder / 'parity.json'} is not what was exported", hint="export it again")
    files = tuple(ExportedModel(file=within(artefact.name, file), parity=artefact.parities[file.path]) for file in manifest.files)
    return ExportResult(
        artifact=artefact.name,
        verdict=overall([each.parity for each in files]),
        weights=manifest.weights.origin,
        net=source.final.source,
        files=files,
        metrics=manifest.metrics,
        word=manifest.verdict_word,
        acceptance=manifest.acceptance,
    )


def _judged(source: Source, entry: BenchEntry) -> Generator[Record, None, Verdict]:
    """Parity of a file in a runtime that the export did not ask."""
    assert entry.artefact is not None
    assert entry.file is not None
    file = replace(exported_file(entry.artefact.folder, entry.file), runtime=entry.runtime.name)
    yield Progress("parity", 0, 1, {"file": f"{file.path.name} in {file.runtime}"})
    try:
        verdict = judge_of(source)(file).verdict
    except EdgeNASError as error:
        yield Note(f"{entry.name.words}: {error}", is_warning=True)
        return "failed"
    yield Progress("parity", 1, 1)
    return verdict


def _contender(entry: BenchEntry, info: RunnerInfo, timing: NetTiming, *, is_first: bool) -> TimedEntry:
    file, name = entry.file, entry.name
    ratios_V = np.ones(1) if is_first else timing.visit_ratios
    ratio = TimeRatio(value=1.0, low=1.0, high=1.0, n=len(timing.samples_VR)) if is_first else time_ratio(ratios_V)
    row = BenchedRow(
        artifact=name.artifact,
        path=name.path,
        runtime=name.runtime,
        precision=name.precision,
        runtime_version=info.runtime_version,
        device=info.device,
        threads=info.threads,
        batch_size=None if file is None else file.batch_size,
        size_bytes=None if file is None else file.size_bytes,
        sha256=None if file is None else file.sha256,
        parity=entry.verdict,
        is_own=entry.is_own,
        latency_ms=timing.median_ms,
        mad_ms=timing.mad_ms,
        compute_ms=float(np.median(timing.compute_V)) if timing.compute_V.size else None,
        calls=timing.num_runs,
        percentiles=_percentiles(timing),
        ratio=ratio,
    )
    return TimedEntry(row, ratios_V)


def _percentiles(timing: NetTiming) -> dict[str, Percentile]:
    shares = {"p90": 0.9, "p99": 0.99}
    values = {name: timing.quantile_ms(share) for name, share in shares.items()}
    uppers = {name: upper_ms(timing.samples_VR, share) for name, share in shares.items()}
    return percentiles_of(values, uppers, timing.num_runs) or {}
