"""`edgenas demo`: the whole job on real digits, from images to a verified net."""

from __future__ import annotations

import resource
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgenas.config import Flags
from edgenas.errors import EdgeNASError, GateError, MissingBackendError, RunFolderError
from edgenas.percents import percent
from edgenas.project.opening import open_project
from edgenas.project.run_tables import run_table
from edgenas.project.settings import SpaceSettings
from edgenas.recipes import export, init, profile, retrain, search, train, verify
from edgenas.records import (
    EQUAL_WORD,
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
from edgenas.runs.quick import quick_overrides, remembering
from edgenas.spaces import Task

FLAGS = {"data": {"source": "digits"}, "space": {"name": SpaceSettings().name}}
SHORT = (  # minutes, not more
    "teacher.probe_steps=52",
    "train.epochs=30",
    "search.proof_epochs=6",
    "search.proof_nets=6",
    "search.proof_hand=2",
    "retrain.epochs=8",
    "retrain.scratch_epochs=16",
    "retrain.baseline_epochs=16",
    "retrain.race_epochs=2",
    "retrain.teaching=teacher",
)


@dataclass(frozen=True, slots=True)
class DemoConfig:
    """What `edgenas demo` was asked for.

    Attributes:
        latency_ms: limit; None takes the middle between the fastest and the slowest net as predicted.
        quick: a few steps of everything.
    """

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    latency_ms: float | None = None
    quick: bool = False


def run(config: DemoConfig) -> Iterator[Record]:
    """Teacher, supernet, table, search, retraining beside hand-made nets and a plain CNN, ONNX and TensorRT, parity, verification.

    A failed or undecided gate does not end the demo; the outcome then carries the failure.
    """
    began = time.monotonic()
    run_path, overrides = config.run, (*SHORT, *quick_overrides(config.quick), *config.overrides)
    if not RunFolder(run_path).config.exists():
        yield Note("[1/7] reading the digits of scikit-learn", is_heading=True)
        yield from quietly(init.run(init.InitConfig(run_path, FLAGS, overrides)))
    else:
        _require_digits(run_path, overrides)
        yield Note(f"going on in {run_path}", is_heading=True)
    yield Note("[2/7] training a teacher, then the supernet with distillation", is_heading=True)
    with remembering(RunFolder(run_path), "train", quick=config.quick):
        yield from quietly(train.run(train.TrainConfig(run_path, {}, overrides)))
    yield Note("[3/7] measuring this machine", is_heading=True)
    with remembering(RunFolder(run_path), "profile", quick=config.quick):
        table = yield from quietly(profile.run(profile.ProfileConfig(run_path, {}, overrides)))
    limit = config.latency_ms if config.latency_ms is not None else _middle(run_path, overrides)
    yield Note(f"[4/7] searching nets of at most {limit:.3g} ms", is_heading=True)
    with remembering(RunFolder(run_path), "search", quick=config.quick):
        searched = yield from quietly(search.run(search.SearchConfig(run_path, {"search": {"latency_ms": limit}}, overrides)))
    yield Note("[5/7] training the winner, the best hand-made net and a plain CNN to the end, all alike", is_heading=True)
    with remembering(RunFolder(run_path), "retrain", quick=config.quick):
        trained = yield from quietly(retrain.run(retrain.RetrainConfig(run_path, {"retrain": {"baseline": True}}, overrides)))
    yield Note("[6/7] exporting to ONNX and TensorRT, each test image through both", is_heading=True)
    verdicts, failures, folders = yield from _export_all(run_path, overrides)
    yield Note("[7/7] verifying what was written", is_heading=True)
    for folder in folders:
        checked = yield from quietly(verify.run(verify.VerifyConfig(run_path, {}, overrides, folder)))
        verdicts.append(_verified(folder, checked.result))
        failures += [checked.failure] if checked.failure is not None else []
    seconds = time.monotonic() - began
    result = _result(run_path, limit, table.result, searched.result, trained.result, verdicts, seconds)
    result.write(run_path / "demo.json")
    outputs = {"result": run_path / "demo.json", "pareto_png": searched.outputs["pareto_png"]}
    outputs |= {f"artifact_{folder.name}": folder for folder in folders}
    yield Outcome(result, outputs, _failure(failures))


def _require_digits(run_path: Path, overrides: tuple[str, ...]) -> None:
    source = open_project(run_path, {}, overrides).settings.data.source
    if source != "digits":
        raise RunFolderError(f"{run_path} is a project on {source}, not a demo", hint="take another folder with --run")


def _middle(run_path: Path, overrides: tuple[str, ...]) -> float:
    """Half-way between the fastest and the slowest net of the space as predicted, to three digits."""
    project = open_project(run_path, {}, overrides)
    chosen = run_table(project, Task(10, 3, 32))
    assert chosen is not None
    values_A = chosen.predicted(project.space.enumerate())
    return float(f"{(values_A.min() + values_A.max()) / 2:.3g}")


def _export_all(
    run_path: Path, overrides: tuple[str, ...]
) -> Generator[Record, None, tuple[list[VerdictRow], list[EdgeNASError], list[Path]]]:
    """Both formats; a missing TensorRT is a check that did not run, not a failure."""
    verdicts: list[VerdictRow] = []
    failures: list[EdgeNASError] = []
    folders: list[Path] = []
    for name in ("onnx", "trt"):
        try:
            outcome = yield from quietly(export.run(export.ExportConfig(run_path, {}, overrides, name)))
        except MissingBackendError as error:
            verdicts.append(VerdictRow(name=f"export {name}", verdict="not_run", reason=str(error)))
            continue
        folders.append(outcome.outputs["artifact"])
        failures += [outcome.failure] if outcome.failure is not None else []
        verdicts += _parity_lines(outcome.result.files)
    return verdicts, failures, folders


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
    agree = f"{percent(shown.decision.agreement.value)} of {shown.num_images} images are decided alike"
    agree += f", {shown.new_false_negatives} newly missed, {shown.new_false_positives} new false alarms"
    if shown.word == EQUAL_WORD and shown.equality is not None:
        agree = f"{EQUAL_WORD} on {shown.num_images} images: {shown.equality.words}"
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


def _failure(failures: list[EdgeNASError]) -> EdgeNASError | None:
    if not failures:
        return None
    return GateError("a gate failed or is undecided", problems=[error.message for error in failures])


def _result(
    run_path: Path,
    limit: float,
    table: ProfileAnswer,
    found: SearchResult,
    trained: RetrainResult,
    verdicts: Sequence[VerdictRow],
    seconds: float,
) -> DemoResult:
    peak_kb = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return DemoResult(
        run=str(run_path),
        latency_limit_ms=limit,
        device=table.context.context.device,
        runtime=table.context.context.runtime,
        latency_validation=replace(table.validation, rows=None),
        feasible_share=found.space.feasible_share,
        winner=trained,
        baseline=trained.baseline,
        verdicts=tuple(verdicts),
        seconds=seconds,
        peak_memory_mb=float(np.round(peak_kb / 1024)),
    )
