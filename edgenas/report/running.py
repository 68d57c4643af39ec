"""What a terminal shows of a whole run."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from edgenas.records import RunResult
from edgenas.report.cells import table
from edgenas.runs import Outcome
from edgenas.runs.durations import duration

STYLES = {"failed": "bold red", "not reached": "dim", "not needed": "dim", "kept": "dim"}


def run_view(outcome: Outcome[RunResult]) -> Iterator[RenderableType]:
    """Every stage with what it took and what it found."""
    result = outcome.result
    has_estimates = any(stage.estimate is not None for stage in result.stages)
    rows = table("", "stage", "state", ">took", *([">expected"] if has_estimates else []), "what was found")
    for number, stage in enumerate(result.stages, 1):
        took = "–" if stage.seconds is None else duration(stage.seconds)
        expected = "–" if stage.estimate is None else duration(stage.estimate.value)
        state = Text(stage.state, style=STYLES.get(stage.state, ""))
        rows.add_row(str(number), stage.name, state, took, *([expected] if has_estimates else []), stage.words)
    for column in rows.columns[:-1]:
        column.no_wrap = True
    rows.columns[-1].overflow = "fold"
    yield rows
    whole = sum(stage.seconds or 0.0 for stage in result.stages)
    earlier = "" if all(stage.state != "kept" for stage in result.stages) else f", {duration(whole)} with the calls before"
    yield Text(f"this call took {duration(result.seconds)}{earlier}")
