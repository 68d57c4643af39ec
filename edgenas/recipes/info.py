"""`edgenas info`: what is in a run folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edgenas.recipes.nets import RESULT, WEIGHTS
from edgenas.recipes.project import open_project
from edgenas.recipes.versions import versions
from edgenas.runs import Outcome, Record


@dataclass(frozen=True, slots=True)
class InfoConfig:
    """What `edgenas info` was asked for."""

    run: Path
    flags: Mapping[str, Any]
    overrides: tuple[str, ...]


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
    result = {
        "run": str(folder.path),
        "space": {"name": project.space.name, "num_subnets": project.space.cardinality},
        "stages": stages,
        "settings": asdict(project.settings),
        "versions": versions(),
    }
    yield Outcome(result)


def _newest(folder: Path, pattern: str) -> Path | None:
    found = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime) if folder.is_dir() else []
    return found[-1] if found else None
