"""Formats and runtimes by name, from the entry-point groups `edgenas.exporters` and `edgenas.runtimes`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import cast

from edgenas.deploy.contracts import Exporter, Runtime
from edgenas.errors import UsageError


@cache
def _load(group: str, name: str) -> object:
    found = {point.name: point for point in entry_points(group=group)}
    if name not in found:
        raise UsageError(f"{name!r} is not in {group}", hint=f"installed are: {', '.join(sorted(found)) or 'none'}")
    return found[name].load()()


def exporter_names() -> tuple[str, ...]:
    """Names of the installed formats, sorted."""
    return tuple(sorted(point.name for point in entry_points(group="edgenas.exporters")))


def runtime_names() -> tuple[str, ...]:
    """Names of the installed runtimes, sorted."""
    return tuple(sorted(point.name for point in entry_points(group="edgenas.runtimes")))


def get_exporter(name: str) -> Exporter:
    """The format called ``name``.

    Raises:
        UsageError: naming the installed ones.
    """
    return cast(Exporter, _load("edgenas.exporters", name))


def get_runtime(name: str) -> Runtime:
    """The runtime called ``name``.

    Raises:
        UsageError: naming the installed ones.
    """
    return cast(Runtime, _load("edgenas.runtimes", name))
