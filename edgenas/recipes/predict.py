"""`edgenas predict`: what the exported net says of images, however many."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from edgenas.data.files import EXTENSIONS
from edgenas.data.preprocess import Unforeseen
from edgenas.errors import DataError
from edgenas.escaping import one_line
from edgenas.predicting.paths import Frames as Frames  # what the command makes
from edgenas.predicting.paths import count_of, is_live, items_of
from edgenas.predicting.predictor import Predictor
from edgenas.predicting.stream import predictions
from edgenas.records import Prediction, PredictResult
from edgenas.runs import Note, Outcome, Progress, Record

MAX_ROWS = 20  # that a terminal shows
MAX_PROBLEMS = 20  # that an error names

_UNFORESEEN: dict[Unforeseen, str] = {
    "range": "with values of more than 8 bits, for which the net was given no range: 0 to 65535 (of floats 0 to 255) were shown "
    "from black to white; give it 8 bits as in training, or train on such images",
    "ground": "with transparent pixels, for which the net was given no ground: alpha was ignored; lay them on one as in "
    "training, or train on such images",
}

Sink = Callable[[Sequence[Prediction], Sequence[str]], None]  # takes rows, and the names of the classes


@dataclass(frozen=True, slots=True)
class PredictConfig:
    """What `edgenas predict` was asked for.

    Attributes:
        folder: of a run, or of an artefact.
        paths: files, folders, patterns, cameras, ``-``.
        net: of a run; None takes its own.
        batch_size: images a call.
        frames: of videos.
        stdin: where ``-`` reads.
        sinks: take all rows as they come; the first ones are in the result in any case.
        csv: where one of them writes, as it was asked for.
    """

    folder: Path
    paths: tuple[str, ...]
    net: str | None = None
    batch_size: int = 1
    frames: Frames = field(default_factory=Frames)
    stdin: BinaryIO | None = None
    sinks: tuple[Sink, ...] = ()
    csv: str | None = None


@dataclass(slots=True)
class _Counted:
    """What there was so far; it changes with every row."""

    rows: list[Prediction] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    decisions: Counter[str] = field(default_factory=Counter)
    num_images: int = 0
    num_errors: int = 0
    num_referred: int = 0

    def add(self, rows: Sequence[Prediction]) -> None:
        """Count rows, and keep the first ones."""
        self.rows += rows[: max(0, MAX_ROWS - len(self.rows))]
        for row in rows:
            self.num_images += 1
            self.num_referred += bool(row.referred)
            if row.decision is not None:
                self.decisions[row.decision] += 1
            if row.error is not None:
                self.num_errors += 1
                if len(self.problems) < MAX_PROBLEMS:
                    self.problems.append(one_line(row.error if row.path in row.error else f"{row.path}: {row.error}"))


def run(config: PredictConfig) -> Iterator[Record]:
    """Ask the newest artefact of a run, or the one given, about images.

    Raises:
        MissingInputError: if nothing was exported yet.
        ArtefactError: if the artefact cannot be used.
        MissingBackendError: if its runtime, or what reads videos, is missing here.
        DataError: if the arguments name no image.
    """
    with Predictor.open(config.folder, net=config.net, batch_size=config.batch_size).closing() as predictor:
        for warning in predictor.warnings:
            yield Note(warning, is_warning=True)
        deployed, counted = predictor.deployed, _Counted()
        yield Note(f"{deployed.artifact}/{deployed.file} with {deployed.runtime} on {deployed.device}")
        total, began = count_of(config.paths), time.monotonic()
        yield Progress("predicting", 0, total or 1)
        items = items_of(config.paths, config.frames, config.stdin)
        for rows in predictions(predictor, items, live=is_live(config.paths)):
            counted.add(rows)
            for sink in config.sinks:
                sink(rows, predictor.manifest.classes)
            done, seconds = counted.num_images, time.monotonic() - began
            yield Progress("predicting", done, max(done + 1, total or 0), {"images/s": round(done / seconds)})
        seconds = time.monotonic() - began
    done = counted.num_images
    yield Progress("predicting", done, done)
    for what, num in sorted(predictor.unforeseen.items()):
        yield Note(f"{images(num)} {_UNFORESEEN[what]}", is_warning=True)
    if not done:
        raise DataError(f"no image in {', '.join(config.paths)}")
    result = PredictResult(
        rows=tuple(counted.rows),
        images_per_s=done / seconds,
        deployed=deployed,
        num_images=done,
        num_errors=counted.num_errors,
        num_referred=counted.num_referred,
        decisions={name: counted.decisions[name] for name in predictor.manifest.classes},
        csv=config.csv,
    )
    if config.csv == "-":
        yield Note(words_of(result))
    yield Outcome(result, {}, _failure(counted))


def words_of(result: PredictResult) -> str:
    """How many images, as what they were decided, and how fast, in a line."""
    parts = [f"{name} {num:,}" for name, num in result.decisions.items() if num]
    parts += [f"referred {result.num_referred:,}"] if result.deployed.refer is not None else []
    parts += [f"not readable {result.num_errors:,}"] if result.num_errors else []
    return f"{images(result.num_images)}, {result.rate} a second: {', '.join(parts)}"


def has_name_of_image(path: str) -> bool:
    """Whether a path ends as those of images do."""
    return Path(path).suffix.lower() in EXTENSIONS


def images(num: int) -> str:
    """So many images, in words."""
    return f"{num:,} {'image' if num == 1 else 'images'}"


def _failure(counted: _Counted) -> DataError | None:
    if not counted.num_errors:
        return None
    rest = counted.num_errors - len(counted.problems)
    more = [f"and {rest:,} more"] if rest else []
    return DataError(f"{counted.num_errors:,} of {images(counted.num_images)} could not be read", problems=counted.problems + more)
