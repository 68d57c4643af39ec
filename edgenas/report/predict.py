"""What a net says of images, on a terminal and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import TextIO

from rich.console import RenderableType
from rich.text import Text

from edgenas.escaping import csv_cell, one_line
from edgenas.records import Prediction, PredictResult, ServeResult
from edgenas.report.cells import percent, table
from edgenas.runs import Outcome


class CsvRows:
    """Writes rows as CSV while they come: a head, then a line an image; names are escaped as spreadsheets need it.

    Args:
        stream: they are written to.
        delimiter: between cells; a tab for programs that read lines.
    """

    def __init__(self, stream: TextIO, *, delimiter: str = ",") -> None:
        self._stream = stream
        self._writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
        self._has_head = False

    def __call__(self, rows: Sequence[Prediction], classes: Sequence[str]) -> None:
        """Write rows; whoever reads the stream has them when this returns."""
        if not self._has_head:
            named = (csv_cell(f"p[{name}]") for name in classes)
            self._writer.writerow(["path", "class", "probability", "decision", "referred", "error", *named])
            self._has_head = True
        for row in rows:
            probabilities = row.probabilities or {}
            self._writer.writerow(
                [
                    csv_cell(row.path),
                    csv_cell(row.class_name or ""),
                    "" if row.probability is None else f"{row.probability:.6f}",
                    csv_cell(row.decision or ""),
                    "" if row.referred is None else str(row.referred).lower(),
                    csv_cell(row.error or ""),
                    *(f"{probabilities[name]:.6f}" if name in probabilities else "" for name in classes),
                ]
            )
        self._stream.flush()


def predict_view(outcome: Outcome[PredictResult]) -> Iterator[RenderableType]:
    """The first images, then the sums of all; nothing where all rows are on standard output."""
    result = outcome.result
    if result.csv == "-":
        return
    has_rule, has_zone = result.deployed.threshold is not None, result.deployed.refer is not None
    heads = ["image", "class", ">probability", *(["decision"] if has_rule else []), *(["person"] if has_zone else [])]
    rows = table(*heads)
    for column in rows.columns:  # what does not fit goes on below
        column.overflow = "fold"
    for column in rows.columns[1:]:
        column.min_width = min(12, len(str(column.header)))
    for row in result.rows:
        if row.error is not None:
            rows.add_row(one_line(row.path), Text("not read", style="yellow"))
            continue
        cells = [one_line(row.path), row.class_name or "–", percent(row.probability)]
        cells += [row.decision or "–"] if has_rule else []
        cells += ["yes" if row.referred else ""] if has_zone else []
        rows.add_row(*cells)
    yield rows
    left = result.num_images - len(result.rows)
    if left:
        where = f"all are in {result.csv}" if result.csv is not None else "--csv FILE or --json has all"
        yield Text(f"{left:,} more images; {where}", style="dim")
    yield from _sums(result)
    images = "image" if result.num_images == 1 else "images"
    yield Text(f"{result.num_images:,} {images}, {result.rate} a second")


def _sums(result: PredictResult) -> Iterator[RenderableType]:
    """Images by class, as decided, where there are more than a glance counts."""
    if result.num_images < 2:
        return
    readable = result.num_images - result.num_errors
    sums = table("decided as" if result.deployed.threshold is not None else "class", ">images", ">share")
    for name, num in result.decisions.items():
        sums.add_row(name, f"{num:,}", percent(num / readable) if readable else "–")
    if result.deployed.refer is not None:
        sums.add_row(
            Text("referred to a person", style="dim"), f"{result.num_referred:,}", percent(result.num_referred / max(1, readable))
        )
    if result.num_errors:
        sums.add_row(Text("not read", style="yellow"), f"{result.num_errors:,}", "")
    yield sums


def _many(num: int, what: str) -> str:
    return f"{num:,} {what}{'' if num == 1 else 's'}"


def serve_view(outcome: Outcome[ServeResult]) -> Iterator[RenderableType]:
    """What a server did while it was there."""
    result = outcome.result
    yield Text(
        f"{result.address} answered {_many(result.num_requests, 'request')} for predictions, {_many(result.num_images, 'image')}, "
        f"{result.num_errors:,} refused or failed, in {result.seconds:,.0f} s"
    )
