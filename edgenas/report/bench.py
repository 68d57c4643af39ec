"""Artefacts that were timed in turn, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from edgenas.records import BenchedRow, BenchResult, LeftOutFile, Percentile
from edgenas.report.cells import table, verdict

NAMES = 18  # least columns of the files' names


def bench_lines(result: BenchResult | None) -> Iterator[RenderableType]:
    """Every file with its calls, ratio and gates, then what is recommended; nothing where none was timed."""
    if result is None:
        return
    threads = "" if result.threads is None else f", {result.threads} thread{'s' if result.threads > 1 else ''}"
    title = f"In turn on {result.device}{threads}, batch {result.batch_size}: {result.visits} visits to each"
    columns = ("file", ">p50 ms", ">p90", ">p99", ">of the baseline\n[95 %]", "gates")
    rows = table(*columns, title=title, names=NAMES)
    for row in result.rows:
        rows.add_row(*_cells(row, result))
    yield rows
    yield Text(f"baseline: {result.baseline.words}", style="dim")
    yield Text(_calls(result), style="dim")
    yield from _left_out(result.left_out)
    for text in result.why:
        yield Text(text, style="yellow")
    yield Text("no file is recommended" if result.choice is None else result.choice.words, style="bold")


def _left_out(files: Sequence[LeftOutFile]) -> Iterator[Text]:
    """What was not timed, a sentence for all files that one runtime leaves out for one reason."""
    names: dict[tuple[str, str], list[str]] = {}
    for left in files:
        names.setdefault((left.runtime, left.reason), []).append(f"{left.artifact}/{left.path}")
    for (runtime, reason), paths in names.items():
        where = f" in {runtime}" if runtime else ""
        yield Text(f"not timed: {', '.join(paths)}{where}: {reason}", style="yellow")


def _cells(row: BenchedRow, result: BenchResult) -> list[Text | str]:
    name = f"{row.artifact.removeprefix('export/')}/{row.path}" if row.path else "the net itself"
    baseline = result.baseline
    is_baseline = (row.artifact, row.path, row.runtime) == (baseline.artifact, baseline.path, baseline.runtime)
    gates = Text("–") if not row.path else verdict(row.parity) if row.parity is not None else Text("not judged", style="dim")
    how = f"{row.runtime}, {row.precision}"
    return [
        f"{name if row.is_own else f'{name} (another net)'}\n  {how}",
        f"{row.latency_ms:.3g}",
        _percentile(row.percentiles.get("p90")),
        _percentile(row.percentiles.get("p99")),
        "1" if is_baseline else row.ratio.words,
        gates,
    ]


def _percentile(percentile: Percentile | None) -> str:
    """Milliseconds; in brackets where the calls are too few to say it of others."""
    if percentile is None:
        return "–"
    return f"{percentile.ms:.3g}" if percentile.upper_ms is not None else f"({percentile.ms:.3g})"


def _calls(result: BenchResult) -> str:
    """How many calls stand behind the percentiles, and what brackets mean."""
    calls = sorted({row.calls for row in result.rows})
    span = f"{calls[0]:,}" if len(calls) == 1 else f"{calls[0]:,} to {calls[-1]:,}"
    return f"{span} calls behind each row; in brackets: too few to be 99 % confident"
