"""What a terminal shows of spaces and of counted architectures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgenas.records import ChoiceFacts, CountResult, CountRow, NamedFacts, ReportedFacts, SpacesResult, gene_words
from edgenas.report.cells import arch_line, count, table
from edgenas.runs import Outcome

MAX_ROWS = 100  # architectures listed one by one
EXACT = 10**6  # numbers of nets below are listed to the last one


def spaces_view(outcome: Outcome[SpacesResult]) -> Iterator[RenderableType]:
    """All spaces and what each is for, or one with its choices and named architectures."""
    spaces = outcome.result.spaces
    rows = table("space", ">nets", ">px", ">params", ">MACs")
    for column in rows.columns:
        column.no_wrap = True
    for space in spaces:
        low, high = space.smallest, space.largest
        spans = ((low.params, high.params), (low.macs, high.macs))
        digits = 2 if space.choices is None else 3
        costs = ("–".join(_short(value, digits) for value in span) for span in spans)
        rows.add_row(space.name, few_digits(space.num_subnets), str(space.task.image_px), *costs)
    yield rows
    yield purposes({space.name: space.purpose for space in spaces})
    for space in spaces:
        if space.choices is not None:
            classes, needs = space.task.num_classes, space.needs_images
            asks = f"; init takes it by itself from {needs:,} training images on" if needs else ""
            yield Text(f"family {space.family}, {space.num_genes} genes; costs are of {classes} classes{asks}")
            yield _choices(space.choices)
            yield from _named(space.named or ())


def purposes(by_space: Mapping[str, str | None]) -> Table:
    """What spaces are for, a line each where the terminal has 80 columns."""
    rows = table("space", "what it is for")
    rows.columns[0].no_wrap = True
    for name, purpose in by_space.items():
        rows.add_row(name, purpose or "–")
    return rows


def _short(value: int, digits: int) -> str:
    """A count in a few digits whose unit stays on its line."""
    return count(float(f"{value:.{digits}g}")).replace(" ", "")


def few_digits(num: int) -> str:
    """A number of networks in a column: exact below a million, else in two digits."""
    return f"{num:,}" if num < EXACT else f"{float(num):.1e}".replace("e+0", "e").replace("e+", "e")


def cardinality(value: int) -> str:
    """A number of networks: exact while it can be read."""
    return f"{value:,}" if value < 10**10 else f"{float(value):.2e}"


def _choices(choices: Sequence[ChoiceFacts]) -> Table:
    """A line a choice; those that differ only in the last number of their names share one."""
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for choice in choices:
        when = choice.active_when
        options = ", ".join(map(gene_words, choice.options))
        before, number, after = re.fullmatch(r"(.*?)(\d*)(\D*)", choice.name).groups()  # type: ignore[union-attr]  # fits all
        condition = ""
        if when is not None:
            name, own = when.choice, f"{before}{number}]."
            name = f"its {name.removeprefix(own)}" if name.startswith(own) else name  # alike for every number
            condition = f"{name} is {' or '.join(map(gene_words, when.values))}"
        groups.setdefault((before, after, options, condition), []).append(number)
    rows = table("gene", "options", "exists when")
    rows.columns[0].no_wrap = True
    for (before, after, options, condition), numbers in groups.items():
        rows.add_row(f"{before}{_ranges(numbers)}{after}", options, condition or "always")
    return rows


def _ranges(numbers: list[str]) -> str:
    """Ascending numbers in short, e.g. ``0-2, 5``."""
    if numbers == [""]:
        return ""
    runs: list[list[int]] = []
    for number in map(int, numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _named(named: Sequence[NamedFacts]) -> Iterator[RenderableType]:
    yield Text("Named architectures", style="bold")
    for entry in named:
        yield Text(f"{entry.name}: {arch_line(entry.arch)}")
        yield from _reported(entry.reported)


def _reported(reported: ReportedFacts | None) -> Iterator[RenderableType]:
    """What a publication says, marked as that."""
    if reported is None:
        return
    parts = []
    if reported.top1 is not None:
        parts.append(f"top-1 {100 * reported.top1:.2f} % on {reported.dataset}")
    parts += [f"{cost:,} {name}" for cost, name in ((reported.params, "params"), (reported.macs, "MACs")) if cost is not None]
    yield Text(f"  reported: {', '.join(parts) or 'no numbers'}; {reported.source}", style="dim")
    if reported.note:
        yield Text(f"  note: {reported.note}", style="dim")


def count_view(outcome: Outcome[CountResult]) -> Iterator[RenderableType]:
    """Exact counts, one row an architecture, and what the built nets have where they were checked."""
    result = outcome.result
    task, counted = result.task, result.rows
    sizes = sorted({row.arch.get("resolution_px", task.image_px) for row in counted})
    title = f"{result.space} at {', '.join(map(str, sizes))} px, {task.num_classes} classes, {task.in_channels} channels"
    with_ancestor = any(row.ancestor_macs is not None for row in counted)
    with_built = any(row.built is not None for row in counted)
    columns = ["", ">params", ">MACs", ">reference MACs"]
    columns += [">ancestor's MACs"] if with_ancestor else []
    columns += ["net built"] if with_built else []
    rows = table(*columns, title=title)
    for number, row in enumerate(counted[:MAX_ROWS], 1):
        cells = [row.name or str(number), *(f"{cost:,}" for cost in (row.size.params, row.size.macs, row.reference_macs))]
        if with_ancestor:
            cells.append("–" if row.ancestor_macs is None else f"{row.ancestor_macs:,}")
        if with_built:
            cells.append(_agreement(row))
        rows.add_row(*cells)
    yield rows
    if len(counted) > MAX_ROWS:
        yield Text(f"{len(counted) - MAX_ROWS:,} more; --json lists all")
    if len(counted) == 1:
        yield Text(arch_line(counted[0].arch))
        yield from _reported(counted[0].reported)


def _agreement(row: CountRow) -> str:
    if row.built is None:
        return "–"
    pairs = {"params": (row.size.params, row.built.params), "macs": (row.size.macs, row.built.macs)}
    wrong = [name for name, (counted, seen) in pairs.items() if counted != seen]
    return "agrees" if not wrong else f"differs in {' and '.join(wrong)}"
