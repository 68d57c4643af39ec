"""One call of `edgenas run` on its way through the stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgenas.errors import EdgeNASError
from edgenas.project.running.book import Book
from edgenas.project.running.words import estimates_of, expected, headline
from edgenas.project.settings import ProjectSettings
from edgenas.records import PlanResult, StageRow
from edgenas.runs import Note, Outcome, Record, quietly
from edgenas.runs.durations import duration
from edgenas.runs.quick import remembering
from edgenas.runs.stages import UNFINISHED, product

WHAT = {
    "init": "reading the images, dividing them",
    "profile": "measuring this device",
    "plan": "what the limits leave, how long it will take",
    "train": "training the teacher, then the supernet",
    "search": "searching under the limits",
    "retrain": "training the winner to the end",
    "evaluate": "reading the test split",
    "export": "writing the net, each test image through both",
    "report": "writing the page of results",
}


@dataclass(slots=True)
class Walk:
    """One call on its way through the stages; it changes as they are taken.

    Attributes:
        book: what is done already.
        starts: the recipe of every stage.
        settings: in force; they can be read once `init` is done.
        has_table: whether `edgenas profile` has measured a table that fits.
        quick: a few steps of everything are asked for.
        not_needed: why stages are left out, by stage.
        rows: of the stages that were reached.
        results: what the stages of this call answered.
        failure: of the stage that ended it.
    """

    book: Book
    starts: Mapping[str, Callable[[], Iterator[Record]]]
    settings: Callable[[], ProjectSettings]
    has_table: Callable[[], bool]
    quick: bool = False
    not_needed: Mapping[str, str] = field(default_factory=dict)
    rows: dict[str, StageRow] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    failure: EdgeNASError | None = None

    def take(self, stage: str, head: str) -> Iterator[Record]:
        """Take a stage, unless it is done, and say so."""
        if (why := self.not_needed.get(stage)) is not None:
            self.rows[stage] = StageRow(name=stage, state="not needed", words=why)
            yield Note(f"{head}: not needed: {why}", is_heading=True)
            return
        if self._is_done(stage):
            kept = self.book.kept(stage)
            seconds, words = (None, "") if kept is None else (kept.seconds, kept.words)
            estimate = self.book.state.estimates.get(stage)
            self.rows[stage] = StageRow(name=stage, state="kept", seconds=seconds, estimate=estimate, words=words)
            took = f" (took {duration(kept.seconds)})" if kept is not None else ""
            yield Note(f"{head}: done before{took}, skipped", is_heading=True)
            return
        estimate = self.book.state.estimates.get(stage)
        yield Note(f"{head}: {WHAT[stage]}{f', {expected(estimate)}' if estimate is not None else ''}", is_heading=True)
        settings = self.settings() if stage != "init" else None
        identity = "" if settings is None else self.book.identity(stage, settings)
        try:
            with self.book.timed(stage, identity), remembering(self.book.run, stage, quick=self.quick):
                outcome = yield from quietly(self.starts[stage]())
        except EdgeNASError as error:
            self._fail(stage, error, error.result)
        else:
            self._note(stage, outcome)
        yield Note(f"{head}: {self._ending(stage)}", is_heading=True)

    def tell(self) -> Iterator[Record]:
        """Write the page of what there is, after a stage has failed; that it cannot be written is a warning."""
        if "report" not in self.starts or product(self.book.run, "search") is None:
            return
        try:
            yield from (record for record in self.starts["report"]() if not isinstance(record, Outcome))
        except EdgeNASError as error:
            yield Note(f"the page of results is not written: {error}", is_warning=True)

    def row(self, stage: str) -> StageRow:
        """What became of a stage."""
        return self.rows.get(stage, StageRow(name=stage, state="not reached", estimate=self.book.state.estimates.get(stage)))

    def _note(self, stage: str, outcome: Outcome[Any]) -> None:
        """Keep what a stage answered."""
        self.results[stage] = outcome.result.as_json()
        if isinstance(outcome.result, PlanResult):
            baseline = self.settings().retrain.baseline
            self.book.expect(estimates_of(outcome.result.times, baseline=baseline))
        if outcome.failure is not None:
            self._fail(stage, outcome.failure, self.results[stage])
            return
        words = headline(outcome.result)
        self.book.finish(stage, words)
        kept = self.book.state.stages[stage]
        estimate = self.book.state.estimates.get(stage)
        self.rows[stage] = StageRow(name=stage, state="done", seconds=kept.seconds, estimate=estimate, words=words)

    def _fail(self, stage: str, error: EdgeNASError, result: Mapping[str, Any]) -> None:
        self.failure, self.results[stage] = error, dict(result)
        kept, estimate = self.book.kept(stage), self.book.state.estimates.get(stage)
        seconds = None if kept is None else kept.seconds
        self.rows[stage] = StageRow(name=stage, state="failed", seconds=seconds, estimate=estimate, words=error.message)

    def _ending(self, stage: str) -> str:
        row = self.rows[stage]
        took = "" if row.seconds is None else f" {'in' if row.state == 'done' else 'after'} {duration(row.seconds)}"
        return f"{row.state}{took}" + (f"; {row.words}" if row.words and row.state == "done" else "")

    def _is_done(self, stage: str) -> bool:
        if stage == "init":
            unfinished = self.book.run.splits.with_name(UNFINISHED)
            return self.book.run.config.exists() and product(self.book.run, "init") is not None and not unfinished.exists()
        if self.book.is_done(stage, self.settings()):
            return True
        return stage == "profile" and self.book.kept(stage) is None and self.has_table()
