"""`edgenas demo`: the whole job on real images, from files to a verified net, and whether the search was worth it."""

from __future__ import annotations

import resource
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgenas.config import Flags
from edgenas.data.images import decode
from edgenas.errors import EdgeNASError, GateError, MissingBackendError, RunFolderError
from edgenas.percents import percent
from edgenas.project.comparing.plain_words import doubts, is_ahead, sentences
from edgenas.project.demo_task import TASKS, DemoTask, find_task, missed, steep_limit
from edgenas.project.deployed import final_images
from edgenas.project.opening import open_images, open_project
from edgenas.recipes import compare, export, init, profile, retrain, search, train, verify
from edgenas.records import (
    EQUAL_WORD,
    CompareResult,
    DemoResult,
    ExportedModel,
    Parity,
    ProfileAnswer,
    RetrainResult,
    SearchResult,
    Verdict,
    VerdictRow,
    VerifyResult,
)
from edgenas.runs import Note, Outcome, Record, RunFolder, quietly
from edgenas.runs.place import require_alone
from edgenas.runs.quick import quick_overrides, remembering

RIVALS = ("hand", "timm:starnet_s050@16", "timm:mobilenetv4_conv_small_035@16")  # of timm's families the two nearest to the limit
SHORT = (  # minutes, not more
    "profile.threads=1",
    "profile.visits=3",
    "profile.calibration_nets=8",
    "profile.validation_nets=6",
    "train.kd_weight=0",
    "train.epochs=10",
    "train.channels_last=true",  # timm's nets take a step of these small images in a third of the time
    "search.num_generations=2",
    "search.proof_epochs=9",
    "search.proof_nets=6",
    "search.proof_hand=1",
    "retrain.start=scratch",
    "retrain.scratch_epochs=12",
    "retrain.teaching=labels",
    "retrain.race_epochs=2",
    'export.targets=["sm86"]',
)
WITH_ROOM = (  # finalists at the very limit would be measured beyond it half of the time
    "profile.bound_nets=20",
    "search.confidence=0.95",
)


@dataclass(frozen=True, slots=True)
class DemoConfig:
    """What `edgenas demo` was asked for.

    Attributes:
        latency_ms: limit; None takes `edgenas.project.demo_task.ABOVE_FASTEST` times the quickest hand-made net.
        quick: a few steps of everything.
        data: one of `edgenas.project.demo_task.TASKS`; None takes what is on this machine.
    """

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    latency_ms: float | None = None
    quick: bool = False
    data: str | None = None


def run(config: DemoConfig) -> Iterator[Record]:
    """Table, supernet, search, the winner beside hand-made and timm's nets, ONNX and TensorRT, parity, verification.

    A failed or undecided gate does not end the demo; the outcome then carries the failure.

    Raises:
        UsageError: if several processes were started together.
    """
    require_alone("demo", "start it without torchrun or srun: its nets are small")
    began = time.monotonic()
    run, task = config.run, TASKS[_source(config.run, config)]
    overrides = (*SHORT, *task.overrides, *quick_overrides(config.quick), *WITH_ROOM, *config.overrides)
    if not RunFolder(run).config.exists():
        yield from _stage(config, f"[1/8] {task.words}", "init", init.run(init.InitConfig(run, task.flags, overrides)))
    else:
        yield Note(f"going on in {run}: {task.words}", is_heading=True)
    timing = profile.run(profile.ProfileConfig(run, {}, overrides))
    table = yield from _stage(config, "[2/8] measuring this machine", "profile", timing)
    limit = config.latency_ms if config.latency_ms is not None else _steep(run, overrides)
    words = f"[3/8] training one net that holds all others (the supernet), mostly near {limit:.3g} ms"
    yield from _stage(config, words, "train", train.run(train.TrainConfig(run, {"train": {"latency_ms": limit}}, overrides)))
    searching = search.run(search.SearchConfig(run, {"search": {"latency_ms": limit}}, overrides))
    searched = yield from _stage(config, f"[4/8] searching nets of at most {limit:.3g} ms", "search", searching)
    training = retrain.run(retrain.RetrainConfig(run, {}, overrides))
    trained = yield from _stage(config, "[5/8] training the winner to the end", "retrain", training)
    words = "[6/8] training hand-made and timm's nets alike, then timing all in turn"
    comparing = compare.run(compare.CompareConfig(run, {"compare": {"rivals": RIVALS}}, overrides))
    compared = yield from _stage(config, words, "compare", comparing)
    yield Note("[7/8] exporting to ONNX and TensorRT, each test image through both", is_heading=True)
    exported = yield from _export_all(run, overrides)
    yield Note("[8/8] verifying what was written", is_heading=True)
    verified = yield from _verify_all(run, exported.folders)
    pictures = yield from _missed(run, overrides)
    verdicts, seconds = (*exported.verdicts, *verified.verdicts), time.monotonic() - began
    result = _result(run, task, limit, table.result, searched.result, trained.result, compared.result, verdicts, seconds)
    result = replace(result, missed=tuple(str(path) for path in pictures))
    result.write(run / "demo.json")
    outputs = {"result": run / "demo.json", "pareto_png": searched.outputs["pareto_png"]}
    outputs |= {f"artifact_{folder.name}": folder for folder in exported.folders}
    outputs |= {} if result.page is None else {"page": RunFolder(run).page}
    yield Outcome(result, outputs, _failure([*exported.failures, *verified.failures]))


def _stage(config: DemoConfig, heading: str, command: str, records: Iterator[Record]) -> Generator[Record, None, Outcome[Any]]:
    """One of the commands under its heading; the run folder remembers where it was a quick one."""
    yield Note(heading, is_heading=True)
    with remembering(RunFolder(config.run), command, quick=config.quick):
        return (yield from quietly(records))


def _source(run_path: Path, config: DemoConfig) -> str:
    """What the demo is about: in a folder that is there already, what it is about.

    Raises:
        RunFolderError: if that is no demo, or another one than is asked for.
    """
    if not RunFolder(run_path).config.exists():
        return config.data if config.data is not None else find_task()
    source = open_project(run_path, {}, config.overrides).settings.data.source
    if source not in TASKS or config.data not in (None, source):
        what = "not a demo" if source not in TASKS else f"not on {config.data}"
        raise RunFolderError(f"{run_path} is a project on {source}, {what}", hint="take another folder with --run")
    return source


def _steep(run_path: Path, overrides: tuple[str, ...]) -> float:
    project = open_project(run_path, {}, overrides)
    return steep_limit(project, open_images(project).task)


def _missed(run_path: Path, overrides: tuple[str, ...]) -> Generator[Record, None, list[Path]]:
    """Pictures of the class that must not be missed which the deployed net misses."""
    project = open_project(run_path, {}, overrides)
    images = final_images(project, open_images(project))
    yield from decode(images, "calibrate", "test")
    return list(missed(project, images, run_path / "missed"))


@dataclass(frozen=True, slots=True)
class _Judged:
    """Checks of artefacts, what failed, and the folders that were written."""

    verdicts: tuple[VerdictRow, ...]
    failures: tuple[EdgeNASError, ...]
    folders: tuple[Path, ...]


def _export_all(run_path: Path, overrides: tuple[str, ...]) -> Generator[Record, None, _Judged]:
    """Both formats; a missing TensorRT is a check that did not run, not a failure."""
    verdicts: list[VerdictRow] = []
    failures: list[EdgeNASError] = []
    folders: list[Path] = []
    for name in ("onnx", "trt"):
        try:
            outcome = yield from quietly(export.run(export.ExportConfig(run_path, {}, overrides, (name,))))
        except MissingBackendError as error:
            verdicts.append(VerdictRow(name=f"export {name}", verdict="not_run", reason=str(error)))
            continue
        folders.append(outcome.outputs["artifact"])
        failures += [outcome.failure] if outcome.failure is not None else []
        verdicts += _parity_lines(outcome.result.files)
    return _Judged(tuple(verdicts), tuple(failures), tuple(folders))


def _verify_all(run_path: Path, folders: Sequence[Path]) -> Generator[Record, None, _Judged]:
    """What `edgenas verify` says of every artefact."""
    outcomes = []
    for folder in folders:
        outcomes.append((yield from quietly(verify.run(verify.VerifyConfig(run_path, {}, (), folder)))))
    verdicts = tuple(_verified(folder, each.result) for folder, each in zip(folders, outcomes, strict=True))
    return _Judged(verdicts, tuple(each.failure for each in outcomes if each.failure is not None), tuple(folders))


def _parity_lines(files: Sequence[ExportedModel]) -> list[VerdictRow]:
    """One line a file; engines that differ in their target alone share one."""
    names: dict[tuple[Verdict, str], list[str]] = {}
    for each in files:
        names.setdefault((each.parity.verdict, _reason(each.parity)), []).append(Path(each.file.path).name)
    return [
        VerdictRow(name="parity " + "\n       ".join(together), verdict=verdict, reason=reason)
        for (verdict, reason), together in names.items()
    ]


def _reason(parity: Parity) -> str:
    """Why the verdict is what it is, with what was seen, itself or emulated."""
    shown = parity.emulated if not parity.num_images and parity.emulated is not None else parity
    if not shown.num_images or shown.decision.agreement is None:
        return parity.reason
    agree = f"{percent(shown.decision.agreement.value)} of {shown.num_images:,} images are decided alike"
    agree += f", {shown.new_false_negatives:,} newly missed, {shown.new_false_positives:,} new false alarms"
    if shown.word == EQUAL_WORD and shown.equality is not None:
        agree = f"{EQUAL_WORD} on {shown.num_images:,} images: {shown.equality.words}"
    kind = f"emulated on this CPU ({shown.word}): " if shown is not parity else ""
    return "; ".join(part for part in (parity.reason, kind + agree) if part)


def _verified(folder: Path, checked: VerifyResult) -> VerdictRow:
    verdicts = [check.verdict for check in checked.checks]
    order: tuple[Verdict, ...] = ("passed", "failed", "undecided", "not_run")
    counts = {name: verdicts.count(name) for name in order}
    reason = ", ".join(f"{count} checks {name.replace('_', ' ')}" for name, count in counts.items() if count)
    decisive: tuple[Verdict, ...] = ("failed", "undecided", "passed")
    verdict: Verdict = next((name for name in decisive if name in verdicts), "not_run")
    return VerdictRow(name=f"verify {folder.name}", verdict=verdict, reason=reason)


def _failure(failures: Sequence[EdgeNASError]) -> EdgeNASError | None:
    if not failures:
        return None
    return GateError("a gate failed or is undecided", problems=[error.message for error in failures])


def _result(
    run_path: Path,
    task: DemoTask,
    limit: float,
    table: ProfileAnswer,
    searched: SearchResult,
    trained: RetrainResult,
    compared: CompareResult,
    verdicts: Sequence[VerdictRow],
    seconds: float,
) -> DemoResult:
    peak_kb = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    page = RunFolder(run_path).page  # as `export` left it
    return DemoResult(
        run=str(run_path),
        latency_limit_ms=limit,
        device=table.context.context.device,
        runtime=table.context.context.runtime,
        latency_validation=replace(table.validation, rows=None),
        feasible_share=searched.space.feasible_share,
        winner=trained,
        baseline=None,
        verdicts=tuple(verdicts),
        seconds=seconds,
        peak_memory_mb=float(np.round(peak_kb / 1024)),
        task=task.words,
        comparison=compared,
        words=(*sentences(compared.nets, limit), *doubts(compared.nets)),
        is_ahead=is_ahead(compared.nets),
        page=str(page) if page.exists() else None,
    )
