"""`edgenas report`: one page with everything a run has found."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgenas.config import Flags
from edgenas.errors import RunFolderError
from edgenas.project.opening import open_project
from edgenas.project.paging.pdf import browser, print_pdf
from edgenas.project.paging.seal import older_than, read_seal
from edgenas.project.paging.writing import num_images, write_page
from edgenas.records import ReportResult, ResultsPage
from edgenas.runs import Note, Outcome, Progress, Record, RunFolder, locked


@dataclass(frozen=True, slots=True)
class ReportConfig:
    """What `edgenas report` was asked for.

    Attributes:
        pdf: print the page as well.
    """

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    pdf: bool = False


def run(config: ReportConfig) -> Iterator[Record]:
    """Gather what is there, have the page drawn, seal it; the test split is read by nobody, but for pictures of kept answers.

    Raises:
        MissingInputError: if there is no project in the folder.
        MissingBackendError: if it is to be printed and there is no browser.
        RunFolderError: if the page cannot be written, or nobody draws it.
    """
    chromium = browser() if config.pdf else None
    project = open_project(config.run, config.flags, config.overrides)
    folder = project.run
    with locked(folder):
        before = yield from _before(folder)
        yield Progress("gathering results", 0, 1)
        page = yield from write_page(project)
        yield Progress("gathering results", 1, 1)
        if page is None:
            raise RunFolderError(
                f"{folder.page} was not drawn", hint="draw the pictures that the recipe yields: edgenas.report.plots.draw"
            )
        pdf = None
        if chromium is not None:
            pdf = folder.page.with_suffix(".pdf")
            print_pdf(chromium, folder.page, pdf)
    yield from (Note(text, is_warning=True, in_view=True) for text in page.unread)
    missing = missing_in(page)
    result = ReportResult(
        page=folder.relative(folder.page),
        size_bytes=folder.page.stat().st_size,
        sections=tuple(name for name in PARTS if name not in missing),
        missing=missing,
        older_than=before,
        images=num_images(page),
        pdf=None if pdf is None else folder.relative(pdf),
        unread=page.unread,
    )
    yield Outcome(result, {"page": folder.page} if pdf is None else {"page": folder.page, "pdf": pdf})


PARTS = ("errors", "decisions", "nets", "rivals", "latency", "training", "ranking", "data", "device")
MAKERS = {"rivals": "compare", "latency": "latency table", "training": "supernet", "ranking": "fidelity", "device": "export"}


def missing_in(page: ResultsPage) -> dict[str, str]:
    """Parts of the page that wait, with the command that makes what they show."""
    again = "edgenas evaluate --split test"
    metrics = page.deployed.metrics if page.deployed is not None else None
    proof = page.search.fidelity if page.search is not None else None
    there = {
        "errors": page.judged is not None,
        "decisions": metrics is not None,
        "nets": page.search is not None,
        "rivals": page.compare is not None,
        "latency": page.table is not None,
        "training": bool(page.curves),
        "ranking": page.fidelity is not None or (proof is not None and bool(proof.rows)),
        "data": page.data is not None,
        "device": bool(page.exports),
    }
    makers = MAKERS | {"errors": "retrain", "decisions": "retrain", "nets": "search", "data": "data"}
    return {name: page.command_for(makers[name]) or again for name, is_there in there.items() if not is_there}


def _before(folder: RunFolder) -> Generator[Record, None, tuple[str, ...] | None]:
    """What the page that is there is older than; None without one."""
    try:
        seal = read_seal(folder)
    except RunFolderError as error:
        yield Note(f"{error.message}; it is written again", is_warning=True)
        return None
    return None if seal is None else older_than(folder, seal)
