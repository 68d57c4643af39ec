"""The seal beside the page: its hash, and the hashes of all results that it was drawn from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgenas.errors import RunFolderError
from edgenas.project.results import RESULT
from edgenas.records import PageSeal
from edgenas.runs import RunFolder, sha256_file
from edgenas.runs.stages import BENCH, typed

SEAL = "seal.json"


def seal_path(run: RunFolder) -> Path:
    """The seal, beside the page."""
    return run.page.parent / SEAL


def results_of(run: RunFolder) -> dict[str, str]:
    """SHA-256 of every result that a page is drawn from, by its path in the run folder."""
    return {run.relative(path): sha256_file(path) for path in _results(run) if path.is_file()}


def _results(run: RunFolder) -> Iterator[Path]:
    yield run.splits
    yield from sorted(run.latency.glob("*.json"))
    yield run.search / RESULT
    yield run.search / "search.jsonl"
    yield run.retrain / RESULT
    yield run.compare / RESULT
    yield run.fidelity / RESULT
    yield from sorted(run.answers.glob("*.json"))
    yield from sorted(run.export.glob("*/manifest.json"))
    yield from sorted(run.export.glob("*/parity.json"))
    yield run.export / BENCH


def read_seal(run: RunFolder) -> PageSeal | None:
    """The seal of the page that is there; None without a page.

    Raises:
        RunFolderError: if the page is not the one that was sealed, or the seal is gone or damaged.
    """
    if not run.page.is_file():
        return None
    path, remake = seal_path(run), f"run `{typed(run, 'report')}`"
    if not path.is_file():
        raise RunFolderError(f"{run.page} has no seal: {path} does not exist", hint=remake)
    seal = PageSeal.read(path, hint=remake)
    if sha256_file(run.page) != seal.page_sha256:
        raise RunFolderError(f"{run.page} was edited or damaged: it does not match its seal", hint=remake)
    return seal


def older_than(run: RunFolder, seal: PageSeal) -> tuple[str, ...]:
    """Results that are other than when the page was drawn, new or gone, by their paths in the run folder."""
    now = results_of(run)
    return tuple(path for path in dict.fromkeys((*now, *seal.sources)) if now.get(path) != seal.sources.get(path))
