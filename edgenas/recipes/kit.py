"""`edgenas profile --pack` and `--import`: the same table for a device without PyTorch, measured there by the kit's script."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from pathlib import Path

from edgenas.deploy.plugins import get_runtime
from edgenas.errors import UsageError
from edgenas.graphs.rewriting import rewrites_for
from edgenas.latency import ProfileResult
from edgenas.latency.kit import RUNTIMES, KitPlan, Request, is_kit, kit_plan, read_results, table_of, write_kit
from edgenas.project.measuring import timing_settings, workshop_in
from edgenas.project.opening import Project, open_images
from edgenas.records import KitFacts, ProfileAnswer
from edgenas.runs import Note, Outcome, Progress, Record, jsonable, locked
from edgenas.spaces import Task


def run_pack(project: Project, path: Path) -> Iterator[Record]:
    """Trace, put the nets together without their weights, and write the kit.

    Raises:
        UsageError: for a runtime that kits cannot measure, or a precision that it does not compute in.
        LatencyTableError: if the kit would be too large.
        ExportError: if a component cannot be traced.
    """
    images = open_images(project)
    if path.exists() and not is_kit(path):
        raise UsageError(f"{path} exists and is no kit", hint="take another name")
    request = request_of(project, images.task)
    with locked(project.run):
        planned = yield from packed(project, request, path)
    facts = KitFacts(
        plan_sha256=planned.sha256,
        runtime=request.runtime,
        precision=request.precision,
        batch_size=request.batch_size,
        num_nets=len(planned.chains),
        num_visits=request.settings.timing.visits * planned.plan.num_visits,
        size_bytes=path.stat().st_size,
        kit=str(path),
    )
    yield Note(_there(request))
    yield Outcome(facts, {"kit": path.absolute()})


def run_import(project: Project, path: Path) -> Iterator[Record]:
    """Check what a kit brought back, and make its table.

    Raises:
        LatencyTableError: if it cannot be used, with every reason.
    """
    images = open_images(project)
    with locked(project.run):
        results = read_results(path, project.space, images.task)
        result: ProfileResult | None = None
        command = " ".join(["edgenas", *sys.argv[1:]])
        for record in table_of(results, details={"command": command}):
            if isinstance(record, ProfileResult):
                result = record
            elif isinstance(record, Progress) or record.is_warning:
                yield record
        assert result is not None
        table = result.table.save(project.run.latency)
    answer = ProfileAnswer.from_json(jsonable({"table": project.run.relative(table), **result.as_json()}))
    yield Outcome(answer, {"table": table})


def packed(project: Project, request: Request, path: Path) -> Generator[Note | Progress, None, KitPlan]:
    """Write a kit, in a run folder that is held; return its plan.

    Raises:
        LatencyTableError: if the kit would be too large.
        ExportError: if a component cannot be traced.
    """
    planned = kit_plan(request)
    yield Note(_announcement(planned))
    runtime = get_runtime(request.runtime)
    with workshop_in(
        *(project.run, project.space, request.task, runtime, request.precision, request.batch_size),
        opset=request.opset,
        rewrites=request.rewrites,
    ) as workshop:
        yield from workshop.prepare(planned.plan)
        yield from write_kit(path, planned, workshop.graph)
    return planned


def request_of(project: Project, task: Task, *, has_trtexec: bool = False) -> Request:
    """What a kit is to measure, by the project's settings.

    Args:
        project: whose settings.
        task: of the nets.
        has_trtexec: the device is known to have TensorRT's tool, which then measures it unless the settings say otherwise.

    Raises:
        UsageError: for a runtime that kits cannot measure, or a precision that it does not compute in.
    """
    settings = project.settings.profile
    is_gpu = settings.device == "cuda" or (settings.device == "auto" and has_trtexec)
    name = settings.runtime or ("tensorrt" if is_gpu else "onnxruntime-cpu")
    if name not in RUNTIMES:
        raise UsageError(f"kits measure with {' or '.join(RUNTIMES)}, not with {name}")
    precision = settings.precision or "fp32"
    if precision not in get_runtime(name).precisions:
        raise UsageError(f"{name} does not compute in {precision}", hint=f"it knows {', '.join(get_runtime(name).precisions)}")
    if settings.device not in ("auto", RUNTIMES[name]):
        raise UsageError(f"runtime {name} runs on {RUNTIMES[name]}, not on {settings.device}")
    return Request(
        space=project.space,
        task=task,
        runtime=name,
        precision=precision,
        batch_size=settings.batch_size or 1,
        threads=settings.threads if RUNTIMES[name] == "cpu" else None,
        opset=project.settings.export.opset,
        rewrites=rewrites_for(name, project.settings.export.rewrites),
        seed=settings.seed,
        settings=timing_settings(settings),
    )


def _there(request: Request) -> str:
    """What the device needs."""
    if request.runtime == "tensorrt":
        return "there: python3 measure.py --trtexec PROGRAM (TensorRT 10 or 11)"
    version = get_runtime(request.runtime).probe().version
    return f"there: pip install numpy onnxruntime=={version}, as here (another version is another runtime); python3 measure.py"


def _announcement(planned: KitPlan) -> str:
    """What the device will be asked to time; how long it takes, only the device can say."""
    plan, settings = planned.plan, planned.request.settings
    seconds, thin = settings.seconds, len(set(planned.thin.first_chains)) - len(set(plan.first_chains))
    fewer = f", {-thin} nets fewer where that would mean less than 4 visits" if thin else ""
    budget = f"; at most {seconds / 60:g} min there: fewer visits where more would not fit{fewer}" if seconds is not None else ""
    bound = f"{len(plan.bound)} for the bound, " if len(plan.bound) else ""
    return (
        f"a kit of {len(planned.chains)} nets ({len(plan.block_chains)} blocks, {len(plan.calibration)} for calibration, {bound}"
        f"{len(plan.validation)} for validation), {settings.timing.visits} visits each with {planned.request.runtime}{budget}"
    )
