"""How well a latency table predicts nets that fitted nothing, beside four other ways, on one device.

Profiles the device as `edgenas profile` does, within a budget; then times many random nets twice, minutes apart, with the same
visits. The other ways see what the table saw: the same calibration nets, and those that learn from many nets also the ones behind
the table's bound. Everything timed is kept in a journal: the same command goes on.

    python -m benchmarks.latency_study --space pvt-covidx --num-subnets 100 --output docs/measurements
"""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.latency_report import scores, stem_of, write
from benchmarks.predictors import Chain, Predict, gradient_boosting, hat_mlp, isolated_sum, macs_regression
from edgenas.costs import cost_models, decompose, distinct_components
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import EdgeNASError
from edgenas.latency import LatencyTable, ProfileResult, Target, TimingSettings, profile
from edgenas.latency import MeasuringSettings as ProfileSettings
from edgenas.latency import PrefixedMemory as Part
from edgenas.latency.fit import bootstrap_mean, kendall_tau, mape
from edgenas.latency.measuring import Workshop
from edgenas.latency.nets import components_of, reference_net
from edgenas.latency.table import space_hash
from edgenas.latency.timing import NetTiming, Session, time_nets
from edgenas.project.measuring import workshop_in
from edgenas.project.settings import ExportSettings
from edgenas.records import Arch
from edgenas.runs import Journal, RunFolder
from edgenas.spaces import Genes, SearchSpace, Task, get_space, unique_rows
from edgenas.stats import clopper_pearson

OPSET = ExportSettings().opset

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Study:
    """What is measured.

    Attributes:
        task: classes, channels, resolution.
        num: random nets that nothing is fitted on; fewer where the space has not so many.
        profile: as `edgenas profile` takes it.
        pause_s: before each of the two sessions of the held-out nets.
    """

    space: SearchSpace
    task: Task
    runtime: str
    precision: str
    threads: int | None
    num: int
    profile: ProfileSettings
    pause_s: float
    seed: int


def run(study: Study, run: RunFolder, *, log: Any) -> dict[str, Any]:
    """Measure everything and return the report."""
    began = time.perf_counter()
    runtime = get_runtime(study.runtime)
    with workshop_in(run, study.space, study.task, runtime, study.precision, 1, opset=OPSET, rewrites=None) as workshop:
        target = workshop.target(study.threads)
        memory = Journal(run.path / "study.jsonl", _identity(study))
        result = _profile(study, workshop, target, memory, log)
        table = result.table
        if memory.recall("profile seconds") is None:
            memory.record("profile seconds", result.seconds)
        genes = _draw(study, table)
        timed = _time(study, workshop, target, table, genes, memory, log)
        memory.close()
    report = _report(study, result, genes, timed)
    report["seconds"] = {"profile": memory.recall("profile seconds"), "this_call": time.perf_counter() - began}
    table.save(run.path)
    return report


def _identity(study: Study) -> dict[str, Any]:
    facts = {field.name: getattr(study, field.name) for field in fields(study) if field.name not in ("space", "task", "profile")}
    settings = {"task": asdict(study.task), "profile": asdict(study.profile)}
    return {**facts, **settings, "space": space_hash(study.space), "machine": platform.processor()}


def _profile(study: Study, workshop: Workshop, target: Target, memory: Journal, log: Any) -> ProfileResult:
    records = profile(
        study.space,
        study.task,
        target,
        workshop.build,
        settings=study.profile,
        rng=np.random.default_rng(study.seed),
        details={"command": "latency study", "opset": OPSET},
        tracer=workshop,
        memory=Part(memory, "profile "),
    )
    for record in records:
        if isinstance(record, ProfileResult):
            return record
        log(record)
    raise AssertionError("a profile ends with its result")


def _draw(study: Study, table: LatencyTable) -> Genes:
    """Held-out nets: different from each other and from all that the table was made, bounded or validated with."""
    rng = np.random.default_rng([study.seed, 1])
    space = study.space
    small = space.cardinality <= 4 * study.num
    rows_AG = rng.permutation(space.enumerate() if small else unique_rows(space.sample(4 * study.num, rng)))
    seen = [net.arch for nets in (table.checks, table.bound_nets, table.measuring.calibration_rows or ()) for net in nets]
    used = {components_of(space, genes_G, study.task) for genes_G in _genes(space, seen)}
    kept: dict[Chain, int] = {}
    for position, genes_G in enumerate(rows_AG):
        chain = components_of(space, genes_G, study.task)
        if chain not in used and len(kept) < study.num:
            kept.setdefault(chain, position)
    return rows_AG[list(kept.values())]


def _genes(space: SearchSpace, archs: Sequence[Arch]) -> Genes:
    return np.concatenate([space.from_json(arch) for arch in archs])


def _time(
    study: Study, workshop: Workshop, target: Target, table: LatencyTable, genes_AG: Genes, memory: Journal, log: Any
) -> dict[str, Any]:
    """Milliseconds at the table's level: single components right after profiling, then held-out nets in two sessions."""
    chains = [components_of(study.space, genes_G, study.task) for genes_G in genes_AG]
    parts = list(distinct_components(decompose(study.space, study.task)))
    reference = workshop.build(reference_net(study.space, study.task))
    visits, runs = table.measuring.visits, table.measuring.runs_per_visit
    timing = TimingSettings(visits=visits, runs=runs, visit_ms=0.0)
    rng = np.random.default_rng([study.seed, 2])
    single = [workshop.build((part,)) for part in parts]
    alone = _session(target, single, reference, timing, rng, Part(memory, "alone "), "components alone", log)
    held = [workshop.build(chain) for chain in chains]
    sessions = []
    for number, name in enumerate(("first", "second"), 1):
        if memory.recall(f"paused {number}") is None:
            time.sleep(study.pause_s)
            memory.record(f"paused {number}", study.pause_s)
        sessions.append(_session(target, held, reference, timing, rng, Part(memory, f"{name} "), f"{name} session", log))
    first, second = sessions
    level = table.level_ms
    return {
        "chains": chains,
        "first": np.array([timing.relative * level for timing in first.timings]),
        "second": np.array([timing.relative * level for timing in second.timings]),
        "alone": {part: timing.relative * level for part, timing in zip(parts, alone.timings, strict=True)},
        "speed": float(np.median(first.reference.joined(second.reference).samples_VR)) / level,
        "both": [a.joined(b) for a, b in zip(first.timings, second.timings, strict=True)],
        "seconds": [session.seconds for session in (alone, first, second)],
        "machine": [session.machine.as_json() for session in (alone, first, second)],
    }


def _session(
    target: Target,
    sources: Sequence[Any],
    reference: Any,
    timing: TimingSettings,
    rng: np.random.Generator,
    memory: Part,
    label: str,
    log: Any,
) -> Session:
    records: Iterator[Any] = time_nets(target, sources, reference, timing, rng=rng, label=label, memory=memory)
    for record in records:
        if isinstance(record, Session):
            return record
        log(record)
    raise AssertionError("a series of rounds ends with its session")


def predictors(study: Study, table: LatencyTable, alone: Mapping[Hashable, float]) -> dict[str, Predict]:
    """Ours, then the others: a line through MACs and sums of what components cost alone learn from the calibration nets, as ours
    does, and the ways that need many nets from those behind the bound too."""
    space, task = study.space, study.task
    model, macs = table.to_cost_model(space, task), cost_models(space, task)["macs"]
    fitting = table.measuring.calibration_rows or ()
    num = len(fitting)
    nets = [*fitting, *table.bound_nets]
    genes_AG, ms = _genes(space, [net.arch for net in nets]), np.array([net.measured_ms for net in nets])
    chains = [components_of(space, genes_G, task) for genes_G in genes_AG]
    return {
        "edgenas table": lambda rows, _: model(rows),
        f"MACs regression on {len(ms)} nets": macs_regression(macs, genes_AG, ms),
        "isolated sum": isolated_sum(alone),
        f"isolated sum, affine on {num} nets": isolated_sum(alone, chains[:num], ms[:num]),
        f"HAT: 10 features + MLP on {len(ms)} nets": hat_mlp(chains, ms),
        f"gradient boosting on {len(ms)} nets": gradient_boosting(space, genes_AG, ms),
    }


def _bounds(study: Study, table: LatencyTable, genes_AG: Genes, truth_A: Floats, timed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How often every bound of the table held, and how far it lay above on average.

    Bounds on calls are judged plainly, and at the speed that the profile met: what the reference net says these sessions ran slower
    is taken off, as `edgenas search` does when it measures finalists.
    """
    space, task, calibration = study.space, study.task, table.calibration
    both: Sequence[NetTiming] = timed["both"]
    found = [("level", calibration.confidence, table.upper(space, task)(genes_AG), truth_A, truth_A)]
    for bound in table.promise.bounds():
        calls_A = np.array([timing.quantile_ms(int(bound.quantile[1:]) / 100) for timing in both])
        upper_A = table.upper(space, task, bound)(genes_AG)
        found.append((bound.quantile, bound.confidence, upper_A, calls_A, calls_A / timed["speed"]))
    return [
        {
            "of": name,
            "confidence": confidence,
            "coverage": clopper_pearson(int((plain_A <= upper_A).sum()), len(upper_A)).as_json(),
            "slack": bootstrap_mean(upper_A / plain_A - 1).as_json(),
            "coverage_at_speed": clopper_pearson(int((at_speed_A <= upper_A).sum()), len(upper_A)).as_json(),
            "slack_at_speed": bootstrap_mean(upper_A / at_speed_A - 1).as_json(),
        }
        for name, confidence, upper_A, plain_A, at_speed_A in found
    ]


def _report(study: Study, result: ProfileResult, held: Genes, timed: Mapping[str, Any]) -> dict[str, Any]:
    table = result.table
    truth_A = (timed["first"] + timed["second"]) / 2
    upper_A = table.upper(study.space, study.task)(held)
    methods = predictors(study, table, timed["alone"])
    predicted = {name: predict(held, timed["chains"]) for name, predict in methods.items()}
    p95_A = [timing.quantile_ms(0.95) for timing in timed["both"]]
    return {
        "schema_version": 2,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
        "context": table.context.as_json(),
        "space": study.space.name,
        "task": asdict(study.task),
        "num_held_out": len(held),
        "num_calibration_nets": table.calibration.num_nets,
        "num_bound_nets": len(table.bound_nets),
        "num_nets_profiled": result.num_nets_timed,
        "num_entries": len(table.entries),
        "calibration": asdict(table.calibration),
        "measuring": {
            key: value for key, value in table.measuring.as_json().items() if key not in ("calibration_rows", "calibration_archs")
        },
        "session_seconds": timed["seconds"],
        "machine": timed["machine"],
        "noise_floor_mape": mape(timed["first"], timed["second"]),
        "noise_floor_tau": kendall_tau(timed["first"], timed["second"]),
        "noise_floor_within_5": float((np.abs(timed["first"] / timed["second"] - 1) <= 0.05).mean()),
        "measured_ms": {"min": float(truth_A.min()), "median": float(np.median(truth_A)), "max": float(truth_A.max())},
        "methods": {name: scores(values, truth_A) for name, values in predicted.items()},
        "speed": timed["speed"],
        "bounds": _bounds(study, table, held, truth_A, timed),
        "rows": [
            {
                "arch": study.space.to_json(row),
                "measured_ms": float(ms),
                "first_ms": float(a),
                "second_ms": float(b),
                "p95_ms": float(p95),
                "predicted_ms": {name: float(values[i]) for name, values in predicted.items()},
                "upper_ms": float(upper_A[i]),
            }
            for i, (row, ms, a, b, p95) in enumerate(zip(held, truth_A, timed["first"], timed["second"], p95_A, strict=True))
        ],
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, conflict_handler="resolve"
    )
    result.add_argument("--space", default="pvt-covidx", help="NAME, or NAME[CHOICE=VALUE] for a part of one")
    result.add_argument("--image-px", type=int)
    result.add_argument("--num-classes", type=int)
    result.add_argument("--runtime", default="onnxruntime-cpu")
    result.add_argument("--precision", default="fp32")
    result.add_argument("--threads", type=int)
    result.add_argument("--num-subnets", type=int, default=300)
    result.add_argument("--calibration-nets", type=int, default=40)
    result.add_argument("--bound-nets", type=int, default=100)
    result.add_argument("--validation-nets", type=int, default=20)
    result.add_argument("--visits", type=int, default=6)
    result.add_argument("--runs", type=int, default=3)
    result.add_argument("--budget-min", type=float, default=30.0, help="of profiling")
    result.add_argument("--pause-s", type=float, default=120.0, help="before each of the two sessions")
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--run", type=Path, default=Path("latency-study"), help="folder for journal, graphs and table")
    result.add_argument("--output", type=Path, default=Path("docs/measurements"))
    return result


def study_of(options: argparse.Namespace) -> Study:
    """From the command line."""
    space = get_space(options.space)
    task = space.default_task
    if options.image_px is not None:
        task = replace(task, image_px=options.image_px)
    if options.num_classes is not None:
        task = replace(task, num_classes=options.num_classes)
    settings = ProfileSettings(
        timing=TimingSettings(visits=options.visits, runs=options.runs),
        calibration_nets=options.calibration_nets,
        bound_nets=options.bound_nets,
        validation_nets=options.validation_nets,
        seconds=60 * options.budget_min,
    )
    return Study(
        space=space,
        task=task,
        runtime=options.runtime,
        precision=options.precision,
        threads=options.threads,
        num=options.num_subnets,
        profile=settings,
        pause_s=options.pause_s,
        seed=options.seed,
    )


def say(record: Any) -> None:
    """Notes, and every hundredth step, to stderr."""
    text = getattr(record, "text", None)
    if text is not None:
        sys.stderr.write(f"{text}\n")
    elif record.done % 100 == 0 or record.done == record.total:
        sys.stderr.write(f"\r{record.label}: {record.done}/{record.total} ")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a study and write its report."""
    options = parser().parse_args(arguments)
    try:
        report = run(study_of(options), RunFolder(options.run), log=say)
    except EdgeNASError as error:
        raise SystemExit(str(error)) from error
    for path in write(report, options.output, stem_of(report)):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
