"""What is drawn while a command runs, on stderr, and what it found out, on stdout."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

from rich.console import Console
from rich.progress import TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from edgenas.report import views
from edgenas.report.bars import Bar, Bars, Labelled
from edgenas.report.console import LiteralConsole
from edgenas.report.front import FrontPicture
from edgenas.report.plots import draw
from edgenas.runs import Epoch, Front, Note, Outcome, Picture, Record
from edgenas.runs import Progress as Step

ROOMY = 80  # columns from which on a line of progress has room for more than numbers
PAUSE_S = 0.7  # of silence before a command says that it is starting
PACE_S = 1800.0  # the pace of so long tells the time left: steps of work may take minutes each


class Screen:
    """Shows a recipe's records as they come, then its outcome.

    Args:
        console: for progress, notes and warnings; None takes stderr.
        results: for what was found out; None takes ``console`` if one is given, else stdout.
    """

    def __init__(self, console: Console | None = None, results: Console | None = None) -> None:
        self.results = results or console or LiteralConsole()
        self.console = console or LiteralConsole(stderr=True)
        self.warnings: list[str] = []

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Say on a terminal that a command is starting, once that takes `PAUSE_S`: PyTorch alone takes seconds to import."""
        if not self.console.is_terminal:
            yield
            return
        status = self.console.status("starting", spinner_style="cyan")
        timer = Timer(PAUSE_S, status.start)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            status.stop()

    def follow(self, records: Iterator[Record], stop: object = False) -> Outcome[Any]:
        """Draw progress and notes until the outcome comes; warnings are kept for ``--json``.

        Args:
            records: of a recipe.
            stop: once it is true, the recipe is interrupted at the record it is at, where its state is whole.

        Raises:
            KeyboardInterrupt: if it was.
        """
        outcome: Outcome[Any] | None = None
        with self._bars() as bars:
            lines = _Lines(bars, self.console)
            for record in records:
                if isinstance(record, Step):
                    lines.step(record)
                elif isinstance(record, Note):
                    if record.is_heading:
                        lines.end()
                    else:
                        lines.put_away()
                    self._note(record)
                elif isinstance(record, Epoch):
                    self._epoch(record)
                elif isinstance(record, Front):
                    lines.front(record)
                elif isinstance(record, Picture):
                    self._draw(record)
                else:
                    outcome = record
                if stop and isinstance(records, Generator):
                    records.throw(KeyboardInterrupt())
            lines.keep_front()
            lines.end()
        if outcome is None:
            raise RuntimeError("a recipe ended without an outcome")
        return outcome

    def show(self, command: str, outcome: Outcome[Any]) -> None:
        """Draw what a command found out.

        Raises:
            OSError: if it cannot be written; a `BrokenPipeError` where the reader has seen enough.
        """
        for renderable in views.VIEWS[command](outcome):
            self.results.print(renderable)

    def _draw(self, picture: Picture[Any]) -> None:
        """Draw it; that an extra cannot be drawn, even by a fault of ours, must not end a command whose work is done."""
        try:
            draw(picture)
        except Exception as error:
            if not picture.is_extra:
                raise
            logging.getLogger(__name__).info("an extra was not drawn", exc_info=error)
            self._note(Note(f"{picture.paths[0]} is not written: {error}", is_warning=True))

    def _note(self, note: Note) -> None:
        if note.is_warning:
            self.warnings.append(note.text)
        if note.in_view and (self.results is self.console or self.results.is_terminal or not note.is_warning):
            return  # the view says it where the person looks
        style = "yellow" if note.is_warning else ("bold" if note.is_heading else None)
        self.console.print(note.text, style=style, markup=False)

    def _epoch(self, record: Epoch) -> None:
        """One line; what does not fit a terminal's width is left out."""
        width = self.console.width if self.console.is_terminal else None
        self.console.print(epoch_line(record, width), markup=False, soft_wrap=True)

    def _bars(self) -> Bars:
        """What is done of how many, the time and the time left; the bar and what is worth showing where there is room."""
        shown = Column(no_wrap=True, overflow="ellipsis", ratio=1)
        columns = [
            TextColumn("{task.description}", markup=False, table_column=Column(min_width=8, overflow="fold")),
            TextColumn("{task.fields[count]}", markup=False, table_column=Column(min_width=7, no_wrap=True)),
            Labelled("elapsed", TimeElapsedColumn(), "cyan"),
            Labelled("left", TimeRemainingColumn(compact=True), "cyan"),
        ]
        if self.console.width >= ROOMY:
            columns.insert(1, Bar(self.console.width))
            columns.append(TextColumn("{task.fields[shown]}", style="dim", markup=False, table_column=shown))
        return Bars(
            *columns,
            console=self.console,
            expand=True,
            speed_estimate_period=PACE_S,
            disable=not self.console.is_terminal,
        )


class _Lines:
    """One bar a label; where stderr is no terminal, a plain line when a part ends or half a minute has passed."""

    def __init__(self, bars: Bars, console: Console) -> None:
        self.bars = bars
        self.console = console
        self.tasks: dict[str, TaskID] = {}
        self.last_s = time.monotonic()

    def front(self, record: Front) -> None:
        """Let the picture of a search grow."""
        if self.bars.above is None or self.bars.above.label != record.label:
            self.keep_front()
            self.bars.above = FrontPicture(record)
        self.bars.above.add(record)

    def keep_front(self) -> None:
        """Print the picture of a search that has ended, once, above the bars."""
        picture, self.bars.above = self.bars.above, None
        if picture is not None and self.console.is_terminal:
            self.console.print(picture)

    def step(self, step: Step) -> None:
        if self.bars.above is not None and step.label != self.bars.above.label:
            self.keep_front()
        gap = " " if self.console.is_terminal else "  "
        shown = gap.join(f"{name} {_short(value)}" for name, value in step.fields.items())
        if self._begins(step):
            self.put_away()
            self.tasks[step.label] = self.bars.add_task(step.label, total=step.total, shown=shown, count=_count(step))
        self.bars.update(self.tasks[step.label], completed=step.done, total=step.total, shown=shown, count=_count(step))
        if not self.console.is_terminal and (step.done >= step.total or time.monotonic() - self.last_s > 30):
            self.last_s = time.monotonic()
            self.console.print(f"{step.label}: {_count(step)}  {shown}".rstrip(), markup=False)
            if self.bars.above is not None:
                self.console.print(self.bars.above.line)

    def _begins(self, step: Step) -> bool:
        """Whether it needs a bar: the first of its label, one that starts again, one that goes on after it was put away."""
        if step.label not in self.tasks:
            return True
        task = self.bars.tasks[self.tasks[step.label]]
        return step.done < task.completed or (not task.visible and step.done > task.completed)

    def end(self) -> None:
        """A stage begins or ends: what was not needed to the end, as images that none asked for, is no bar of the next one."""
        self.put_away()
        for task in self.bars.tasks:
            if task.visible and self.console.is_terminal:
                self.bars.update(task.id, visible=False)
                self.console.print(f"{task.description}: {task.fields.get('count', '')}".rstrip(), markup=False)
        self.tasks.clear()
        self.bars.refresh()

    def put_away(self) -> None:
        """Finished parts become a line each: bars below each other are as wide as the widest of them needs."""
        for task in self.bars.tasks:
            if task.visible and task.finished and self.console.is_terminal:
                self.bars.update(task.id, visible=False)
                elapsed = f"{task.finished_time:.0f} s" if task.finished_time is not None else ""
                self.console.print(f"{task.description}: {task.fields.get('count', '')}  {elapsed}".rstrip(), markup=False)


def epoch_line(record: Epoch, width: int | None) -> str:
    """What is said of an epoch, in columns that stand below each other.

    Where a line has no room, it loses the time, the rate, the loss, then what stands in brackets of the label, last accuracies from
    the end: the first of them stays.

    Args:
        record: of the epoch.
        width: characters of a line; None has no end.
    """
    digits = len(str(record.epochs))
    place = f"epoch {record.epoch:>{digits}}/{record.epochs}"
    seconds = f"{record.seconds:.0f} s" if record.seconds >= 10 else f"{record.seconds:.1f} s"
    loss, rate = f"loss {_short(record.loss)}", f"lr {record.learning_rate:<7.2g}"
    named, accuracies = f"{record.label}: {place}", [f"{name} {value:.3f}" for name, value in record.select.items()]
    short = f"{record.label.partition(' (')[0]}: {place}"
    lines = [
        [named, loss, *accuracies, rate, seconds],
        [named, loss, *accuracies, rate],
        [named, loss, *accuracies],
        [named, *accuracies],
        [short, *accuracies],
        *([short, *accuracies[:num]] for num in range(len(accuracies) - 1, 0, -1)),
    ]
    return next((line for line in map("  ".join, lines) if width is None or len(line) <= width), "  ".join(lines[-1]))


def _count(step: Step) -> str:
    return f"{step.done} %" if step.unit == "%" else f"{step.done:,}/{step.total:,}" + (f" {step.unit}" if step.unit else "")


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)
