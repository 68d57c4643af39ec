"""What a terminal shows of settings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from edgenas.records import SettingRow, SettingsResult
from edgenas.report.cells import table
from edgenas.runs import Outcome

SOURCES = {"default": "", "file": "bold", "flag": "bold cyan"}


def settings_view(outcome: Outcome[SettingsResult]) -> Iterator[RenderableType]:
    """A table a table; one setting in full."""
    result, schema = outcome.result, outcome.outputs.get("schema")
    if schema is not None:
        yield Text(f"an editor takes the schema by the first line of edgenas.toml: #:schema {schema.name}")
        return
    if result.is_single:
        yield from _whole(result.rows[0])
        return
    for name, rows in groupby(result.rows, key=lambda row: row.key.partition(".")[0]):
        shown = table("setting", "value", "from", "meaning", title=f"[{name}]")
        shown.columns[0].no_wrap = shown.columns[2].no_wrap = True
        shown.columns[0].overflow = shown.columns[1].overflow = "fold"
        for row in rows:
            style = SOURCES[row.source]
            shown.add_row(row.key, Text(_value(row.value), style=style), Text(_from(row), style=style), row.help)
        yield shown
    yield Text("one in full, with what it may be: edgenas settings KEY")


def _whole(row: SettingRow) -> Iterator[RenderableType]:
    yield Text(row.key, style="bold")
    yield Text(row.help)
    shown = table("", "")
    shown.show_header = False
    shown.columns[0].no_wrap = True
    shown.columns[1].overflow = "fold"
    for name, text in (
        ("value", _value(row.value)),
        ("from", _from(row)),
        ("default", _value(row.default)),
        ("allowed", row.allowed),
    ):
        shown.add_row(name, text)
    yield shown
    section, _, key = row.key.partition(".")
    yield Text(f"for a call: --set {row.key}=VALUE; for good: {key} = VALUE under [{section}] in edgenas.toml")


def _from(row: SettingRow) -> str:
    return row.source if row.recipe is None else f"recipe {row.recipe}"


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
