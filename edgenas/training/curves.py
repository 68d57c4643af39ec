"""The picture of a training, from its log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgenas.errors import RunFolderError
from edgenas.records import LogRow, TrainingPicture
from edgenas.runs import Picture
from edgenas.runs.outside import MAX_JSON_BYTES, OutsideError, parse_json, read_regular, utf8
from edgenas.training.folder import LOG

PICTURES = ("training.png", "training.svg")  # beside the log


def training_picture(label: str, folder: Path) -> Picture[TrainingPicture]:
    """Loss and accuracies on select over the epochs of the finished training in ``folder``.

    Raises:
        RunFolderError: if the log cannot be read or is none.
    """
    log = folder / LOG
    try:
        rows = [LogRow.from_json(parse_json(line)) for line in utf8(read_regular(log, MAX_JSON_BYTES)).splitlines()]
        shows = _curves(label, rows)
    except OutsideError as error:
        raise RunFolderError(f"{log} {error}") from error
    except (RunFolderError, ValueError, KeyError) as error:
        raise RunFolderError(f"{log} is no log of a training: {error!r}", hint="--force trains again") from error
    return Picture(shows, tuple(folder / name for name in PICTURES))


def curves_of(label: str, folder: Path) -> Iterator[Picture[TrainingPicture]]:
    """`training_picture`, where the training in ``folder`` left a log."""
    if (folder / LOG).is_file():
        yield training_picture(label, folder)


def _curves(label: str, rows: Sequence[LogRow]) -> TrainingPicture:
    select: dict[str, dict[int, float]] = {}
    spread: dict[int, float] = {}
    for row in rows:
        more = row.shown.top1 if row.shown is not None else {}
        for name, value in {**row.select, **more}.items():
            select.setdefault(name, {})[row.epoch] = value
        if row.shown is not None:
            spread[row.epoch] = row.shown.spread
    epochs, loss = tuple(row.epoch for row in rows), tuple(row.losses["loss"] for row in rows)
    rates = tuple(row.learning_rate for row in rows if row.learning_rate is not None)
    rates = rates if len(rates) == len(rows) else ()
    return TrainingPicture(epochs=epochs, loss=loss, select=select, title=label, learning_rate=rates, spread=spread)
