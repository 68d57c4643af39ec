"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from edgenas.cli.completion import complete_classes, complete_runs, complete_settings, complete_tables
from edgenas.errors import UsageError

Function = TypeVar("Function", bound=Callable[..., Any])


class NearestChoice(click.Choice):  # type: ignore[type-arg]  # generic since click 8.2
    """A choice that answers what it does not know with the nearest spelling."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The choice itself."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            from edgenas.registries import choices

            self.fail(f"{value!r} is none of them; {choices(str(value), map(str, self.choices))}", param, ctx)


class KeyPath(click.Path):
    """The path of a key's file; an empty one, which a shell makes of a variable that is not set, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A `Path`."""
        if not str(value).strip():
            self.fail("it is empty; give the file of a key", param, ctx)
        return super().convert(value, param, ctx)


def project_options(function: Function, *, run: str = "edgenas-run") -> Function:
    """``--run`` (with its default), ``--set``, ``--json`` and ``--verbose``."""
    for option in reversed(
        (
            click.option(
                "--run",
                type=click.Path(path_type=Path),
                default=Path(run),
                show_default=True,
                shell_complete=complete_runs,
                help="Run folder: settings, splits, weights, tables, results.",
            ),
            click.option(
                *("--set", "overrides"),
                multiple=True,
                metavar="TABLE.KEY=VALUE",
                shell_complete=complete_settings,
                help="Override a setting; `edgenas settings` lists them.",
            ),
            output_options,
        )
    ):
        function = option(function)
    return function


def output_options(function: Function) -> Function:
    """``--json`` and ``--verbose``."""
    function = click.option("--verbose", "-v", is_flag=True, help="Show log messages on stderr.")(function)
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")(function)


def device_option(function: Function) -> Function:
    """``--device``."""
    return click.option("--device", type=NearestChoice(["auto", "cpu", "cuda"]), default=None, help="Where to compute.")(function)


def quick_option(function: Function) -> Function:
    """``--quick``; `quickly` reads it."""
    words = "A few steps of everything: shows the path, not the quality; results say so."
    return click.option("--quick", is_flag=True, help=words)(function)


def quickly(quick: bool, overrides: tuple[str, ...]) -> tuple[str, ...]:
    """What ``--set`` says, on top of the settings of a quick run where one is asked for."""
    from edgenas.runs.quick import quick_overrides

    return (*quick_overrides(quick), *overrides)


def map_label_option(function: Function) -> Function:
    """``--map-label``; `parse_renames` reads it."""
    words = "Name of a class by its label in the data; OLD= leaves its images out, OLD=OLD says that it is a class; repeatable."
    return click.option("--map-label", multiple=True, metavar="OLD=NEW", help=words)(function)


def parse_renames(texts: tuple[str, ...]) -> dict[str, str]:
    """New names by old ones of ``OLD=NEW``, parted at the first equals sign.

    Raises:
        click.BadParameter: if one has none, or an old name is given twice.
    """
    names: dict[str, str] = {}
    for text in texts:
        old, equals, new = text.partition("=")
        if not equals:
            raise click.BadParameter(f"--map-label is {text!r}; write OLD=NEW, e.g. Cat=cat")
        if names.get(old, new) != new:
            raise click.BadParameter(f"--map-label gives {old!r} two names, {names[old]!r} and {new!r}; keep one")
        names[old] = new
    return names


def listed(*texts: str | None) -> tuple[str, ...]:
    """Names of texts such as ``onnx,openvino``, in order; none of what was not given.

    Raises:
        UsageError: where a name is empty, as of an empty variable of a shell.
    """
    names = tuple(name.strip() for text in texts if text is not None for name in text.split(","))
    if not all(names):
        raise UsageError(f"a name is empty in {', '.join(repr(text) for text in texts if text is not None)}")
    return names


def compact(**tables: dict[str, Any]) -> dict[str, Any]:
    """Flag values by settings table, without those that were not given."""
    return {
        name: {key: value for key, value in table.items() if value is not None and value != ()} for name, table in tables.items()
    }


def parse_count(flag: str, text: str | None) -> int | None:
    """A count such as ``3e6``, ``3M``, ``3m`` or ``500_000``.

    Raises:
        click.BadParameter: if it is no positive number.
    """
    if text is None:
        return None
    factors = {"k": 1e3, "m": 1e6, "g": 1e9}
    unit = text[-1:].lower()
    try:
        value = float(text[:-1]) * factors[unit] if unit in factors else float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e18:
        raise click.BadParameter(f"{flag} is {text!r}; write a positive number such as 3000000, 3e6 or 3M")
    return round(value)


@dataclass(frozen=True, slots=True)
class LimitFlags:
    """What `limit_options` were given; of what was not, None or nothing."""

    limit: tuple[str, ...]
    latency_ms: tuple[str, ...]
    latency_quantile: str | None
    confidence: float | None
    max_params: str | None
    min_params: str | None
    max_macs: str | None
    min_macs: str | None
    max_memory_mb: float | None
    min_throughput: float | None
    table: tuple[str, ...]
    allow_foreign_table: bool

    @property
    def tables(self) -> dict[str, str]:
        """Names or files of latency tables, as `parse_tables` reads them."""
        return parse_tables(self.table)

    def settings(self) -> dict[str, Any]:
        """The settings of ``[search]``; what ``--limit`` says is read where settings are.

        Raises:
            click.BadParameter: if one cannot be read.
        """
        return {
            "limits": self.limit,
            "latency_ms": parse_latency(self.latency_ms),
            "latency_quantile": self.latency_quantile,
            "confidence": self.confidence,
            "max_params": parse_count("--max-params", self.max_params),
            "max_macs": parse_count("--max-macs", self.max_macs),
            "min_params": parse_count("--min-params", self.min_params),
            "min_macs": parse_count("--min-macs", self.min_macs),
            "min_throughput": self.min_throughput,
            "max_memory_mb": self.max_memory_mb,
        }


_LIMIT_OPTIONS = (
    click.option(
        "--limit", multiple=True, metavar="LIMIT", help="Any limit, e.g. 'params>=1M', 'latency_ms[NAME]<=5'; repeatable."
    ),
    click.option("--latency-ms", multiple=True, metavar="[NAME=]MS", help="Limit on the latency; NAME=MS for each table."),
    click.option("--latency-quantile", type=NearestChoice(["p50", "p90", "p95", "p99"]), help="Of calls, to be promised."),
    click.option(
        "--confidence",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        help="Of the latency's promise, one-sided [default: 0.95 with a quantile]; of floors on sensitivities, two-sided.",
    ),
    click.option("--max-params", metavar="N", help="Limit on the parameters, e.g. 3e6 or 3M."),
    click.option("--min-params", metavar="N", help="Fewest parameters, e.g. 1M."),
    click.option("--max-macs", metavar="N", help="Limit on the multiply-accumulates, e.g. 500M."),
    click.option("--min-macs", metavar="N", help="Fewest multiply-accumulates, e.g. 100M."),
    click.option(
        "--max-memory-mb",
        type=click.FloatRange(min=0, min_open=True),
        metavar="MB",
        help="Limit on weights and the largest tensor of an image, fp32.",
    ),
    click.option(
        "--min-throughput",
        type=click.FloatRange(min=0, min_open=True),
        metavar="IMAGES_PER_S",
        help="Fewest images a second, in calls of the table's batch.",
    ),
    click.option(
        "--table",
        multiple=True,
        metavar="[NAME=]FILE",
        shell_complete=complete_tables,
        help="Latency table; default: the run's newest that fits.",
    ),
    click.option("--allow-foreign-table", is_flag=True, help="Take a table of another device, runtime, precision or batch size."),
)


def limit_options(function: Callable[..., None]) -> Callable[..., None]:
    """Limits on costs and the tables that they are predicted by; the command gets all of them as ``limits``, `LimitFlags`."""

    @wraps(function)
    def with_limits(**given: Any) -> None:
        limits = LimitFlags(**{each.name: given.pop(each.name) for each in fields(LimitFlags)})
        function(limits=limits, **given)

    for option in reversed(_LIMIT_OPTIONS):
        option(with_limits)
    return with_limits


def floor_option(function: Function) -> Function:
    """``--min-sensitivity``; `parse_floors` reads it."""
    words = "Floor of a class's sensitivity, e.g. 8=0.95."
    return click.option("--min-sensitivity", multiple=True, metavar="CLASS=SHARE", shell_complete=complete_classes, help=words)(
        function
    )


def parse_latency(texts: tuple[str, ...]) -> float | dict[str, float] | None:
    """``MS`` as a number, ``NAME=MS`` and more than one by name; empty is the name of the one without.

    Raises:
        click.BadParameter: if one is no positive number, or two have one name.
    """
    limits: dict[str, float] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = 0.0
        if not 0 < value < float("inf"):
            raise click.BadParameter(f"--latency-ms is {text!r}; write a positive number such as 5, or NAME=5")
        if name in limits:
            raise click.BadParameter(f"--latency-ms is given twice {_for(name)}; name each: NAME=MS")
        limits[name] = value
    return limits[""] if list(limits) == [""] else (limits or None)


def parse_tables(texts: tuple[str, ...]) -> dict[str, str]:
    """``FILE`` and ``NAME=FILE`` by name; empty is the name of the one without. A file that is there is never a name.

    Raises:
        click.BadParameter: if two have one name.
    """
    tables: dict[str, str] = {}
    for text in texts:
        name, _, file = ("", "", text) if Path(text).is_file() else text.partition("=")
        name, file = (name, file) if file else ("", name)
        if name in tables:
            raise click.BadParameter(f"--table is given twice {_for(name)}; name each: NAME=FILE")
        tables[name] = file
    return tables


def _for(name: str) -> str:
    return f"for {name}" if name else "without a name"


def parse_floors(texts: tuple[str, ...]) -> dict[str, float]:
    """``CLASS=SHARE`` floors by class.

    Raises:
        click.BadParameter: if one has another form or a share outside (0, 1], or a class has two.
    """
    floors: dict[str, float] = {}
    for text in texts:
        name, equals, share = text.rpartition("=")
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not equals or not name or not 0 < value <= 1:
            raise click.BadParameter(f"--min-sensitivity is {text!r}; write CLASS=SHARE with a share in (0, 1], e.g. 8=0.95")
        if name in floors:
            raise click.BadParameter(f"sensitivity[{name}] >= is given twice: {floors[name]:g} and {value:g}; keep one")
        floors[name] = value
    return floors
