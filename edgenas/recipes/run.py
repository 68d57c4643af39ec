"""`edgenas run`: every stage, one after the other, under one set of limits; what is done is not done again.

A stage's recipe is imported once it is its turn: what is wrong with the images is said before PyTorch is imported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from edgenas.config import Flags, merge, parse_overrides
from edgenas.errors import LatencyTableError
from edgenas.project.opening import load_settings, open_images, open_project
from edgenas.project.run_tables import find_table
from edgenas.project.running.asking import require_sense
from edgenas.project.running.book import Book
from edgenas.project.running.walk import Walk
from edgenas.records import RunResult
from edgenas.runs import Note, Outcome, Record, RunFolder
from edgenas.runs.quick import quick_overrides
from edgenas.runs.stages import ORDER, product

SMALL_SPACE, SMALL_PX = "pvt-nano", 32  # of a quick run that names neither


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What `edgenas run` was asked for.

    Attributes:
        flags: by table; those of ``data`` and ``space`` are for a new project, and must be what an old one has.
        tables: names or files of latency tables by the alias of their limit; with any, this device is not measured.
        formats: that are written.
        until: the last stage.
        quick: a few steps of everything.
    """

    run: Path
    flags: Flags
    overrides: tuple[str, ...] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    allow_foreign_table: bool = False
    formats: tuple[str, ...] = ("onnx",)
    until: str = ORDER[-1]
    quick: bool = False

    @property
    def all_overrides(self) -> tuple[str, ...]:
        """What ``--set`` says, on top of the settings of a quick run."""
        return (*quick_overrides(self.quick), *self.overrides)

    @property
    def later(self) -> Flags:
        """The flags of the stages after `init`, which has written the others into the settings."""
        return {name: table for name, table in self.flags.items() if name not in ("data", "space")}

    @property
    def stages(self) -> tuple[str, ...]:
        """Those that are asked for, in order."""
        return ORDER[: ORDER.index(self.until) + 1]


def run(config: RunConfig) -> Iterator[Record]:
    """Take every stage that is not done, up to ``until``; the first that fails ends it, and the page still shows what there is.

    Raises:
        UsageError: if a format is unknown, no limit on a cost is set, a new project has no source, or several processes were
            started together.
        RunFolderError: if the folder holds a project on other images.
    """
    began = time.monotonic()
    require_sense(RunFolder(config.run), config.flags, config.overrides, config.formats)
    book = Book.open(RunFolder(config.run), _flags_of(config))
    walk = Walk(
        book,
        {stage: partial(STAGES[stage], config) for stage in config.stages},
        partial(load_settings, book.run, config.later, config.all_overrides),
        partial(_has_table, config),
        quick=config.quick,
        not_needed={"profile": "--table says what nets take"} if config.tables else {},
    )
    for number, stage in enumerate(config.stages, 1):
        yield from walk.take(stage, f"[{number}/{len(config.stages)}] {stage}")
        if walk.failure is not None:
            yield from walk.tell()
            break
    result = RunResult(
        stages=tuple(walk.row(stage) for stage in config.stages),
        seconds=time.monotonic() - began,
        quick=config.quick,
        results=walk.results,
    )
    yield Outcome(result, _outputs(book.run), walk.failure)


def _init(config: RunConfig) -> Iterator[Record]:
    """Divide the images; spaces are measured only where none is given, and a quick run takes a small one instead."""
    from edgenas.recipes import init

    look = not config.quick and "name" not in config.flags.get("space", {})
    asked = merge(parse_overrides(config.overrides), config.flags)
    if config.quick and "name" not in asked.get("space", {}) and "image_px" not in asked.get("data", {}):
        yield Note(f"--quick takes the small space {SMALL_SPACE} at {SMALL_PX} px; --space takes another")
        small = {"space": {"name": SMALL_SPACE}, "data": {"image_px": SMALL_PX}}
        config = replace(config, flags=merge(config.flags, small))
    yield from init.run(init.InitConfig(config.run, config.flags, config.overrides, look=look))


def _has_table(config: RunConfig) -> bool:
    """Whether `edgenas profile` has measured a table that fits."""
    project = open_project(config.run, config.later, config.all_overrides)
    with suppress(LatencyTableError):
        return find_table(project, open_images(project).task, None) is not None
    return False


def _profile(config: RunConfig) -> Iterator[Record]:
    from edgenas.recipes import profile

    return profile.run(profile.ProfileConfig(config.run, config.later, config.all_overrides))


def _plan(config: RunConfig) -> Iterator[Record]:
    from edgenas.recipes import plan

    return plan.run(plan.PlanConfig(config.run, config.later, config.all_overrides, config.tables, config.allow_foreign_table))


def _train(config: RunConfig) -> Iterator[Record]:
    from edgenas.recipes import train

    return train.run(train.TrainConfig(config.run, config.later, config.all_overrides))


def _search(config: RunConfig) -> Iterator[Record]:
    from edgenas.recipes import search

    return search.run(
        search.SearchConfig(config.run, config.later, config.all_overrides, config.tables, config.allow_foreign_table)
    )


def _retrain(config: RunConfig) -> Iterator[Record]:
    from edgenas.recipes import retrain

    return retrain.run(retrain.RetrainConfig(config.run, config.later, config.all_overrides))


def _evaluate(config: RunConfig) -> Iterator[Record]:
    from edgenas.recipes import evaluate

    device = config.flags.get("train", {}).get("device", "auto")
    return evaluate.run(evaluate.EvaluateConfig(config.run, {}, config.all_overrides, "test", device))


def _export(config: RunConfig) -> Iterator[Record]:
    from edgenas.recipes import export

    return export.run(export.ExportConfig(config.run, {}, config.all_overrides, config.formats))


def _report(config: RunConfig) -> Iterator[Record]:
    from edgenas.recipes import report

    return report.run(report.ReportConfig(config.run, {}, config.all_overrides))


STAGES: Mapping[str, Callable[[RunConfig], Iterator[Record]]] = {
    "init": _init,
    "profile": _profile,
    "plan": _plan,
    "train": _train,
    "search": _search,
    "retrain": _retrain,
    "evaluate": _evaluate,
    "export": _export,
    "report": _report,
}


def _flags_of(config: RunConfig) -> Mapping[str, Mapping[str, object]]:
    """What stages are told beside settings, by stage."""
    tables = {"tables": dict(config.tables), "allow_foreign": config.allow_foreign_table}
    return {"plan": tables, "search": tables, "export": {"formats": list(config.formats)}}


def _outputs(run: RunFolder) -> dict[str, Path]:
    """What there is to look at and to take away."""
    places = {"config": run.config if run.config.exists() else None, "search": product(run, "search")}
    places |= {"retrain": product(run, "retrain"), "artifact": product(run, "export"), "report": product(run, "report")}
    return {name: path.parent if name == "artifact" else path for name, path in places.items() if path is not None}
