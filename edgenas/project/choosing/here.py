"""The look at spaces for a run folder: its settings, its runtime, its traced components, its journal."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from edgenas import __version__
from edgenas.deploy.contracts import Runtime
from edgenas.errors import InfeasibleError
from edgenas.graphs.rewriting import rewrites_for
from edgenas.latency import Memory
from edgenas.latency.measuring import Workshop, choose_runtime, device_name
from edgenas.latency.table import machine_remarks, space_hash
from edgenas.latency.timing import Watch, cpu_quota, usable_cores, usable_threads
from edgenas.project.choosing.looking import LookContext, look_at
from edgenas.project.choosing.rule import choose, ranked, set_aside
from edgenas.project.journals import JOURNAL, journal
from edgenas.project.measuring import workshop_in
from edgenas.project.opening import Project
from edgenas.project.settings import THIS_DEVICE, ProjectSettings
from edgenas.records import LookedSpace, LookResult, MachineFacts, TrainingPace
from edgenas.runs import Note, Progress, jsonable, sha256_json
from edgenas.spaces import SearchSpace, Task

RESULT = "result.json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked at, and for which data.

    Attributes:
        spaces: with their sides, by name.
        limit_ms: most milliseconds of a call.
        num_classes: of the images.
        num_images: of the train split.
        images_px: side of the images as they are stored.
    """

    spaces: Mapping[str, tuple[SearchSpace, Sequence[int]]]
    limit_ms: float
    num_classes: int
    num_images: int
    images_px: int


def limit_here(settings: ProjectSettings) -> float | None:
    """The limit on the latency of this device; limits with names are of others, which cannot be looked at here."""
    return settings.search.latency_limits.get(THIS_DEVICE)


def look_here(project: Project, wanted: Wanted) -> Generator[Note | Progress, None, LookResult]:
    """Look at spaces with the runtime, precision, batch and threads that `edgenas profile` would take; the caller holds the run.

    What was timed stays in the run folder, so that a look that was stopped goes on, and one with another limit begins with it.

    Raises:
        MissingBackendError: if the device or the runtime that was asked for does not work here.
    """
    begin, settings = time.monotonic(), project.settings.profile
    runtime = yield from choose_runtime(settings.device, settings.runtime)
    rows, disturbed = yield from _looked(project, wanted, runtime)
    threads = settings.threads if settings.threads is not None else usable_threads()
    result = LookResult(
        limit_ms=wanted.limit_ms,
        device=device_name(runtime.device_kind),
        runtime=runtime.name,
        precision=settings.precision or "fp32",
        batch_size=settings.batch_size or 1,
        threads=threads if runtime.device_kind == "cpu" else None,
        seconds=time.monotonic() - begin,
        disturbed=disturbed,
        num_images=wanted.num_images,
        images_px=wanted.images_px,
        rows=tuple(ranked(rows, wanted.num_images)),
        chosen=choose(rows, wanted.num_images, wanted.limit_ms),
        set_aside=set_aside(rows, wanted.num_images),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    result.write(project.run.look / RESULT)
    return result


def _looked(
    project: Project, wanted: Wanted, runtime: Runtime
) -> Generator[Note | Progress, None, tuple[list[LookedSpace], tuple[str, ...]]]:
    """A row for every space and side that was looked at, and what else went on meanwhile."""
    settings = project.settings.profile
    precision, batch_size = settings.precision or "fp32", settings.batch_size or 1
    with journal(project.run.look / JOURNAL, _identity(project.settings, runtime), keep=True) as memory:
        if len(memory):
            yield Note(f"taking over {len(memory)} measurements of an earlier look")

        @contextmanager
        def shop(space: SearchSpace, task: Task) -> Iterator[Workshop]:
            own = project.settings.export
            with workshop_in(
                project.run, space, task, runtime, precision, batch_size, opset=own.opset, rewrites=own.rewrites
            ) as workshop:
                yield workshop

        pace = partial(_pace, project, wanted.num_images, memory)
        look = LookContext(
            wanted.limit_ms, wanted.num_classes, wanted.num_images, wanted.images_px, shop, settings.threads, pace, memory
        )
        watch = Watch()
        rows = yield from look_at(wanted.spaces, look)
        disturbed = _disturbed(watch, settings.threads)
        if disturbed:
            memory.remove()  # another look is not to begin with what may be wrong
    for remark in disturbed:
        yield Note(f"{remark}; what fits may be more than is said: look again with `edgenas plan --spaces`", is_warning=True)
    return rows, disturbed


def _disturbed(watch: Watch, threads: int | None) -> tuple[str, ...]:
    """What else went on during a look; the governor is as it will be later."""
    seen = replace(MachineFacts.from_json(watch.end()), governors=None)
    return tuple(machine_remarks([seen], threads if threads is not None else usable_threads()))


def _pace(project: Project, num_images: int, memory: Memory, space: SearchSpace, task: Task) -> Generator[None, None, TrainingPace]:
    """How long the supernet of a space would train, unless that is known."""
    asked = [space_hash(space), asdict(task), asdict(project.settings.train), num_images]
    key = f"training of {space.name}@{task.image_px} {sha256_json(jsonable(asked))[:16]}"
    known = memory.recall(key)
    if known is not None:
        return TrainingPace.from_json(known)
    from edgenas.project.choosing.pace import supernet_pace  # which needs PyTorch

    timed = yield from supernet_pace(project, space, task, num_images)
    memory.record(key, timed.as_json())
    return timed


def known_look(project: Project) -> LookResult | None:
    """What an earlier look found for the limit that is set; None without one."""
    path, limit_ms = project.run.look / RESULT, limit_here(project.settings)
    if limit_ms is None or not path.exists():
        return None
    look = LookResult.read(path, hint="delete it: `edgenas plan --spaces` looks again")
    return look if look.limit_ms == limit_ms else None


def nothing_fits(result: LookResult) -> InfeasibleError:
    """That no net of any space that was looked at fits, with the fastest one that was timed."""
    asked = f"latency_ms <= {result.limit_ms:g}"
    spaces = len({row.space for row in result.rows})
    nearest = min(result.rows, key=lambda row: row.least_ms, default=None)
    if nearest is None:
        return InfeasibleError(
            f"no space has nets for images of {result.images_px} px", hint="choose one with --space and --image-px", result={}
        )
    what = f"no net of the {spaces} spaces" if spaces > 1 else f"no net of {nearest.space}"
    at = f"{nearest.least_ms:.4g} ms by the smallest net of {nearest.space} at {nearest.image_px} px"
    return InfeasibleError(
        f"{what} that {'were' if spaces > 1 else 'was'} looked at meets {asked}: the nearest achievable is {at}",
        hint="loosen the limit, or choose a smaller --image-px",
        result=result.as_json() | {"closest": _closest(result.limit_ms, nearest)},
    )


def _closest(limit_ms: float, row: LookedSpace) -> dict[str, Any]:
    return {"latency_ms": {"asked": limit_ms, "achievable": row.least_ms, "space": row.space, "image_px": row.image_px}}


def _identity(settings: ProjectSettings, runtime: Runtime) -> dict[str, Any]:
    """Everything that the latency of a net depends on beside the net: what was timed otherwise is timed again."""
    profile = asdict(settings.profile)
    return {
        "runtime": [runtime.name, runtime.probe().version],
        "device": device_name(runtime.device_kind),
        "cores": [usable_cores(), cpu_quota()] if runtime.device_kind == "cpu" else None,
        "settings": {name: profile[name] for name in ("precision", "batch_size", "threads")},
        "opset": settings.export.opset,
        "rewrites": rewrites_for(runtime.name, settings.export.rewrites),
        "edgenas": __version__,
    }
