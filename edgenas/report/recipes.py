"""What a terminal shows of named recipes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from edgenas.records import RecipesResult
from edgenas.report.cells import table
from edgenas.runs import Outcome


def recipes_view(outcome: Outcome[RecipesResult]) -> Iterator[RenderableType]:
    """All recipes, or every key of one with what it means and where the recipe departs from its source."""
    rows = outcome.result.rows
    listed = table("recipe", "trains", "what it is", "source")
    listed.columns[0].no_wrap = True
    for row in rows:
        listed.add_row(row.name, row.trains, row.title, row.source)
    yield listed
    for row in rows:
        if row.explained is None:
            continue
        if row.suits:
            yield Text(f"made for the spaces {row.suits}")
        keys = table("setting", ">value", ">default", "why this value, or what it means")
        keys.columns[0].no_wrap = True
        keys.columns[1].overflow = keys.columns[2].overflow = "fold"
        for each in row.explained:
            keys.add_row(each.key, _value(each.value), _value(each.default), each.why or each.meaning)
        yield keys
        if row.departures:
            yield Text("where it departs from its source:", style="bold")
            yield from (Text(f"- {departure}") for departure in row.departures)
    if len(rows) == 1:
        yield Text(f"take it: edgenas {'retrain' if rows[0].trains == 'retrain' else 'train'} --recipe {rows[0].name}")
        yield Text(f'or for good: recipe = "{rows[0].name}" under [train] in edgenas.toml; what stands beside it there counts more')
    else:
        yield Text("one with every key: edgenas recipes NAME")


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
