"""Whether what `edgenas run` is asked for can be, before anything begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgenas.config import Flags, merge, parse_overrides, read_toml
from edgenas.data import absolute_source
from edgenas.data.names import tidy
from edgenas.deploy.orders import orders_of
from edgenas.errors import RunFolderError, UsageError
from edgenas.project.early import require_classes
from edgenas.project.opening import open_project
from edgenas.project.setting_limits import given_limits, layered
from edgenas.runs import RunFolder
from edgenas.runs.place import require_alone
from edgenas.runs.stages import UNFINISHED, divide_again
from edgenas.search.limits import SENSITIVITY


def require_sense(folder: RunFolder, flags: Flags, overrides: Sequence[str], formats: Sequence[str] = ()) -> None:
    """Check what a stage would find out late.

    Args:
        folder: of the run.
        flags: by table.
        overrides: what ``--set`` says.
        formats: that are to be written.

    Raises:
        UsageError: if a format is unknown, no limit on a cost is set, a new project has no source, or several processes were
            started together.
        PluginError: naming the package that brings a format, if it cannot be used.
        RunFolderError: if the folder holds a project on other images.
        ConfigError: if its settings are wrong, or a sensitivity is asked for of no class of its images.
    """
    require_alone("run", "start `edgenas train` on several processes, then `edgenas run` alone: it goes on with what is there")
    if formats:
        orders_of(formats, ())
    is_new = not folder.config.exists() or folder.splits.with_name(UNFINISHED).exists()
    if is_new and "source" not in flags.get("data", {}):
        raise UsageError(
            f"{folder.config} does not exist, and no images are named", hint="give --data SOURCE, e.g. --data folder:DIR"
        )
    given = parse_overrides(overrides)
    file = {} if is_new else read_toml(folder.config)
    limits, _ = given_limits(layered(file, given, flags).get("search", {}))
    if not any(limit.kind != SENSITIVITY for limit in limits):
        hint = "give --latency-ms, --max-params, --max-macs, --max-memory-mb or --limit"
        raise UsageError("no limit on what a net may cost is set", hint=hint)
    if not is_new:
        _require_same(folder, merge(file, given), flags)
        later = {name: table for name, table in flags.items() if name not in ("data", "space")}
        require_classes(open_project(folder.path, later, overrides))


def _require_same(folder: RunFolder, settings: Mapping[str, Any], flags: Flags) -> None:
    """Check that a project is on the images, classes and space that flags name."""
    data, space = settings.get("data", {}), settings.get("space", {})
    problems = []
    for key, value in flags.get("data", {}).items():
        there = data.get(key)
        wanted = absolute_source(value) if key == "source" else tidy(value) if key == "positive" else value
        if there != wanted:
            problems.append(f"data.{key} is {there!r} there, {wanted!r} is asked for")
    name = flags.get("space", {}).get("name")
    if name is not None and name != space.get("name"):
        problems.append(f"space.name is {space.get('name')!r} there, {name!r} is asked for")
    if problems:
        hint = f"take another folder with --run, or divide again with `{divide_again(folder, data.get('source'))}`"
        raise RunFolderError(f"{folder.path} holds another project", problems=problems, hint=hint)
