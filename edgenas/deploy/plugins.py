"""Formats and runtimes by name, from the entry-point groups `edgenas.exporters` and `edgenas.runtimes`."""

from __future__ import annotations

from edgenas.deploy.contracts import Exporter, Runtime
from edgenas.registries import Registry

EXPORTERS: Registry[Exporter] = Registry(
    "format",
    "edgenas.exporters",
    {},
    accepts=lambda thing: isinstance(thing, Exporter),
    expected="an Exporter: name, precisions, export",
    is_class=True,
)
RUNTIMES: Registry[Runtime] = Registry(
    "runtime",
    "edgenas.runtimes",
    {},
    accepts=lambda thing: isinstance(thing, Runtime),
    expected="a Runtime: name, device_kind, accepts, precisions, probe, load",
    is_class=True,
)


def exporter_names() -> tuple[str, ...]:
    """Names of the installed formats, sorted."""
    return tuple(EXPORTERS)


def runtime_names() -> tuple[str, ...]:
    """Names of the installed runtimes, sorted."""
    return tuple(RUNTIMES)


def get_exporter(name: str) -> Exporter:
    """The format called ``name``.

    Raises:
        UsageError: naming the installed ones.
        PluginError: naming the package that brings it, if it cannot be used.
    """
    return EXPORTERS.find(name)


def get_runtime(name: str) -> Runtime:
    """The runtime called ``name``.

    Raises:
        UsageError: naming the installed ones.
        PluginError: naming the package that brings it, if it cannot be used.
    """
    return RUNTIMES.find(name)
