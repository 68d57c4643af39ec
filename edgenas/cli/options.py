"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


def project_options(function: Function, *, run: str = "edgenas-run") -> Function:
    """``--run`` (with its default), ``--set``, ``--json`` and ``--verbose``."""
    for option in reversed(
        (
            click.option(
                "--run",
                type=click.Path(path_type=Path),
                default=Path(run),
                show_default=True,
                help="Run folder: settings, splits, weights, tables, results.",
            ),
            click.option(
                "--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Override a setting of edgenas.toml."
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
    return click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default=None, help="Where to compute.")(function)


def compact(**tables: dict[str, Any]) -> dict[str, Any]:
    """Flag values by settings table, without those that were not given."""
    return {
        name: {key: value for key, value in table.items() if value is not None and value != ()} for name, table in tables.items()
    }


def parse_count(flag: str, text: str | None) -> int | None:
    """A count such as ``3e6``, ``3M`` or ``500_000``.

    Raises:
        click.BadParameter: if it is no positive number.
    """
    if text is None:
        return None
    factors = {"k": 1e3, "M": 1e6, "G": 1e9}
    try:
        value = float(text[:-1]) * factors[text[-1]] if text[-1:] in factors else float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e18:
        raise click.BadParameter(f"{flag} is {text!r}; write a positive number such as 3000000, 3e6 or 3M")
    return round(value)


def parse_floors(texts: tuple[str, ...]) -> dict[str, float]:
    """``CLASS=SHARE`` floors by class.

    Raises:
        click.BadParameter: if one has another form or a share outside (0, 1].
    """
    floors = {}
    for text in texts:
        name, equals, share = text.rpartition("=")
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not equals or not name or not 0 < value <= 1:
            raise click.BadParameter(f"--min-sensitivity is {text!r}; write CLASS=SHARE with a share in (0, 1], e.g. 8=0.95")
        floors[name] = value
    return floors
