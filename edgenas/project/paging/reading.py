"""Reading results one by one, so that one that is damaged or of before does not keep the others from being shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from edgenas.deploy.artefact import load_manifest
from edgenas.errors import EdgeNASError
from edgenas.project.net_facts import BASELINE
from edgenas.project.results import RESULT
from edgenas.records import (
    BenchResult,
    CandidateRow,
    CompareResult,
    FidelityReport,
    PageExport,
    ParityFile,
    RetrainResult,
    SearchResult,
    TrainingPicture,
)
from edgenas.runs import RunFolder, read_json
from edgenas.runs.outside import MAX_JSON_BYTES, OutsideError, parse_json, read_regular, utf8
from edgenas.runs.stages import BENCH
from edgenas.training.curves import training_picture
from edgenas.training.folder import LOG, weights_sha256

Content = TypeVar("Content")
MAX_ROWS = 2000  # nets of a search that are read


class ResultReader:
    """Reads the results of a run folder; what cannot be read is kept in words, which is its only state.

    Attributes:
        unread: a sentence each.
    """

    def __init__(self, run: RunFolder, splits_sha256: str | None) -> None:
        self.run = run
        self.splits_sha256 = splits_sha256
        self.unread: list[str] = []

    def read(self, what: str, how: Callable[[], Content]) -> Content | None:
        """What ``how`` gives; None where it raises what a user can cause."""
        try:
            return how()
        except (EdgeNASError, OutsideError, OSError, ValueError) as error:
            text = " ".join(str(error).split())
            self.unread.append(f"{what}: {text}")
            return None

    def search(self) -> SearchResult | None:
        """The search's result, if it is of these splits."""
        path = self.run.search / RESULT
        result = self.read("search", lambda: SearchResult.read(path)) if path.is_file() else None
        return None if result is None or self._is_of_other_splits("search", result.splits_sha256) else result

    def rows(self) -> tuple[CandidateRow, ...]:
        """The candidates of the search, in the file's order."""
        path = self.run.search / "search.jsonl"
        return (self.read("candidates", lambda: tuple(_rows(path))) or ()) if path.is_file() else ()

    def retrain(self) -> RetrainResult | None:
        """What `retrain` reported."""
        path = self.run.retrain / RESULT
        return self.read("retrain", lambda: RetrainResult.read(path)) if path.is_file() else None

    def compare(self) -> CompareResult | None:
        """What `compare` reported, if it is of these splits."""
        path = self.run.compare / RESULT
        result = self.read("compare", lambda: CompareResult.read(path)) if path.is_file() else None
        return None if result is None or self._is_of_other_splits("compare", result.splits_sha256) else result

    def fidelity(self) -> FidelityReport | None:
        """What `fidelity` reported, if it is of these splits and this supernet."""
        path = self.run.fidelity / RESULT
        report = self.read("fidelity", lambda: FidelityReport.read(path)) if path.is_file() else None
        if report is None or self._is_of_other_splits("fidelity", report.splits_sha256):
            return None
        if report.supernet_sha256 != weights_sha256(self.run.supernet):
            self.unread.append("fidelity: it is of an earlier supernet; run `edgenas fidelity` again")
            return None
        return report

    def exports(self) -> tuple[PageExport, ...]:
        """Every artefact folder of the run."""
        folders = sorted(path.parent for path in self.run.export.glob("*/manifest.json"))
        exports = (self.read(f"export {folder.name}", lambda folder=folder: self._export(folder)) for folder in folders)  # type: ignore[misc]
        return tuple(each for each in exports if each is not None)

    def bench(self, weights_sha256: str | None) -> BenchResult | None:
        """How the artefacts were timed in turn, if it is of these weights."""
        path = self.run.export / BENCH
        result = self.read("bench", lambda: BenchResult.read(path)) if path.is_file() else None
        return result if result is not None and result.weights_sha256 == weights_sha256 else None

    def curves(self) -> tuple[TrainingPicture, ...]:
        """How every training went that left a log."""
        folders = {
            "teacher": self.run.teacher,
            "supernet": self.run.supernet,
            "searched net": self.run.retrain,
            "hand-made net": self.run.retrain / BASELINE,
        }
        there = {name: folder for name, folder in folders.items() if (folder / LOG).is_file()}
        pictures = (
            self.read(f"log of the {name}", lambda name=name, folder=folder: training_picture(name, folder).shows)  # type: ignore[misc]
            for name, folder in there.items()
        )
        return tuple(each for each in pictures if each is not None)

    def _export(self, folder: Path) -> PageExport:
        parity = ParityFile.from_json(read_json(folder / "parity.json"))
        return PageExport(folder=self.run.relative(folder), manifest=load_manifest(folder), parity=parity)

    def _is_of_other_splits(self, what: str, sha256: str) -> bool:
        if sha256 == self.splits_sha256:
            return False
        self.unread.append(f"{what}: the images were divided otherwise then; run `edgenas {what}` again")
        return True


def _rows(path: Path) -> Iterator[CandidateRow]:
    for line in utf8(read_regular(path, MAX_JSON_BYTES)).splitlines()[:MAX_ROWS]:
        yield CandidateRow.from_json(parse_json(line))
