"""Writing the page: its drawing is asked of whoever shows records, then it is sealed."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from pathlib import Path

from edgenas.data.images import Images
from edgenas.project.opening import Project
from edgenas.project.paging.gather import page_of
from edgenas.project.paging.seal import seal_path
from edgenas.records import PageSeal, ResultsPage
from edgenas.runs import Note, Picture, Record, RunFolder, sha256_file


def write_page(
    project: Project, images: Images | None = None, *, is_extra: bool = False
) -> Generator[Record, None, ResultsPage | None]:
    """Ask for the page to be drawn into the run folder, and seal it.

    Args:
        project: whose results are shown.
        images: of the project, where they are open already.
        is_extra: a page that cannot be drawn is a warning.

    Returns:
        What it shows; None where nobody drew it.

    Raises:
        EdgeNASError: if it cannot be gathered or sealed, and is no extra.
    """
    page = page_of(project, images)
    before = _identity(project.run.page)
    yield Picture(page, (project.run.page,), is_extra=is_extra)
    if _identity(project.run.page) == before:
        return None
    seal(project.run, page)
    return page


def page_beside(project: Project, images: Images | None = None) -> Generator[Record, None, dict[str, Path]]:
    """The page, written after a command's own results: whatever goes wrong with it is a warning.

    Returns:
        The output of that name; nothing where there is none.
    """
    try:
        page = yield from write_page(project, images, is_extra=True)
    except Exception as error:  # even by a fault of ours: the command's own work is done
        logging.getLogger(__name__).info("the page is not written", exc_info=error)
        yield Note(f"the page of results is not written: {error}", is_warning=True)
        return {}
    return {} if page is None else {"report": project.run.page}


def seal(run: RunFolder, page: ResultsPage) -> None:
    """Write what the drawn page is of, and its hash.

    Raises:
        RunFolderError: if it cannot be written.
    """
    record = PageSeal(page_sha256=sha256_file(run.page), made=page.made, sources=page.hashes, num_images=num_images(page))
    record.write(seal_path(run))


def num_images(page: ResultsPage) -> int:
    """Images of the data set that the page embeds."""
    judged = page.judged
    galleries = () if judged is None else (judged.missed, judged.alarms, judged.confused)
    return len(page.data.contact if page.data is not None else ()) + sum(len(each.images) for each in galleries if each is not None)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status: os.stat_result = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
