"""`edgenas info`: what is in a run folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edgenas.data.batches import LoaderRate, loader_rate
from edgenas.errors import EdgeNASError
from edgenas.recipes.fitting import STATE, batches_for
from edgenas.recipes.nets import RESULT, WEIGHTS, load_search, supernet_sha256
from edgenas.recipes.project import Images, Project, open_images, open_project
from edgenas.recipes.teaching import needs_teacher
from edgenas.recipes.versions import versions
from edgenas.runs import Note, Outcome, Progress, Record
from edgenas.training.checkpoints import facts_in

LOADER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class InfoConfig:
    """What `edgenas info` was asked for."""

    run: Path
    flags: Mapping[str, Any]
    overrides: tuple[str, ...]
    measure_loader: bool = True


def run(config: InfoConfig) -> Iterator[Record]:
    """List stages with their state, the settings in force and the versions at work.

    Raises:
        MissingInputError: if there is no project in the folder.
    """
    project = open_project(config.run, config.flags, config.overrides)
    folder = project.run
    files = [
        ("data", folder.splits, "edgenas init --data SOURCE"),
        ("teacher", folder.teacher / WEIGHTS, "edgenas train"),
        ("supernet", folder.supernet / WEIGHTS, "edgenas train"),
        ("latency table", _newest(folder.latency, "*.json"), "edgenas profile"),
        ("search", folder.search / RESULT, "edgenas search --latency-ms MS"),
        ("retrain", folder.retrain / RESULT, "edgenas retrain"),
        ("export", _newest(folder.export, "*/manifest.json"), "edgenas export --format onnx"),
    ]
    stages = []
    for name, path, command in files:
        made = path is not None and path.is_file()
        when = datetime.fromtimestamp(path.stat().st_mtime).isoformat(" ", "minutes") if path is not None and made else None
        stages.append({"name": name, "state": "there" if made else "missing", "made": when, "command": "" if made else command})
    by_name = {stage["name"]: stage for stage in stages}
    if by_name["teacher"]["state"] == "missing" and not needs_teacher(project):
        by_name["teacher"] |= {"state": "not needed", "command": ""}
    yield from _outdated(project, stages)
    loader, images = None, None
    if folder.splits.exists():
        try:
            images = open_images(project)
        except EdgeNASError as error:
            stages[0] |= {"state": "unusable", "command": "edgenas init --force"}
            yield Note(f"the data cannot be used: {error}", is_warning=True)
    if config.measure_loader and images is not None:
        yield Progress("measuring the loader", 0, 1)
        try:
            loader = asdict(_rate(project, images))
        except EdgeNASError as error:
            yield Note(f"the loader is not measured: {error}", is_warning=True)
        yield Progress("measuring the loader", 1, 1)
    result = {
        "run": str(folder.path),
        "space": {"name": project.space.name, "num_subnets": project.space.cardinality},
        "stages": stages,
        "loader": loader,
        "settings": asdict(project.settings),
        "versions": versions(),
    }
    yield Outcome(result)


def _outdated(project: Project, stages: list[dict[str, Any]]) -> Iterator[Note]:
    """Mark results that later commands would refuse, and say what is unfinished."""
    by_name = {stage["name"]: stage for stage in stages}
    folder = project.run
    if by_name["search"]["state"] == "there" and by_name["data"]["state"] == "there":
        try:
            load_search(project)
        except EdgeNASError as error:
            by_name["search"] |= {"state": "outdated", "command": "edgenas search --latency-ms MS"}
            yield Note(f"search: {error}", is_warning=True)
    source = facts_in(folder.retrain / WEIGHTS).get("supernet_sha256")
    if by_name["retrain"]["state"] == "there" and source not in (None, supernet_sha256(project)):
        by_name["retrain"] |= {"state": "outdated", "command": "edgenas retrain"}
        yield Note("retrain: the net was fine-tuned from an earlier supernet", is_warning=True)
    for name, part in (("teacher", folder.teacher), ("supernet", folder.supernet), ("retrain", folder.retrain)):
        if any(path.is_file() for path in part.rglob(STATE)):
            text = f"{name}: a training is unfinished; the command that began it goes on"
            yield Note(text, is_warning=True)


def _rate(project: Project, images: Images) -> LoaderRate:
    """Images a second of the loader alone, as `edgenas train` uses it."""
    settings = project.settings.train
    workers = project.settings.data.workers
    batches = batches_for(images, settings, balance=settings.balance, seed=settings.seed, workers=workers)
    return loader_rate(batches, seconds=LOADER_SECONDS)


def _newest(folder: Path, pattern: str) -> Path | None:
    found = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime) if folder.is_dir() else []
    return found[-1] if found else None
