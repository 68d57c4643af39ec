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


def batch_sizes(exporter: Exporter) -> tuple[int | None, ...]:
    """Images a call of the files that `edgenas export` writes in a format; None is any number."""
    sizes: tuple[int | None, ...] = getattr(exporter, "batch_sizes", (1,))
    return sizes


def format_words(name: str) -> str:
    """A line about a format, for those who choose one: what it is, its precisions, the package that brings it."""
    if name not in EXPORTERS.usable():
        return EXPORTERS.problems()[name].message
    exporter = EXPORTERS.usable()[name]
    package = EXPORTERS.packages().get(name, "")
    said = str(getattr(exporter, "summary", "")) or ("" if package.startswith("edgenas ") else f"of {package}")
    return f"{said or exporter.name} ({', '.join(exporter.precisions)})"


def get_runtime(name: str) -> Runtime:
    """The runtime called ``name``.

    Raises:
        UsageError: naming the installed ones.
        PluginError: naming the package that brings it, if it cannot be used.
    """
    return RUNTIMES.find(name)
