"""The folder of one training: its weights, the state of an unfinished one, its log; what each says, and when it is whole."""

from __future__ import annotations

from pathlib import Path

from edgenas.errors import CheckpointError, RunFolderError
from edgenas.records import LogRow
from edgenas.runs import sha256_file, stages, write_text
from edgenas.runs.outside import MAX_JSON_BYTES, OutsideError, parse_json, read_regular, utf8
from edgenas.training.headers import header_in

WEIGHTS = stages.WEIGHTS
STATE = "state.safetensors"
LOG = "log.jsonl"
PART = "log.part.jsonl"  # of the job that is under way; an earlier job's log stays until this one is done


def has_weights(folder: Path) -> bool:
    """Whether a folder holds trained weights.

    Raises:
        CheckpointError: if something that is no file has their name.
    """
    path = folder / WEIGHTS
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path} is no file", hint="move it away")
    return path.is_file()


def weights_sha256(folder: Path) -> str | None:
    """Hash of the trained weights in a folder; None if there are none."""
    return sha256_file(folder / WEIGHTS) if has_weights(folder) else None


def settle(folder: Path, *, finished: bool = False) -> None:
    """Clear away the state and put the log in its place once a job's weights are written, also if it was killed just then.

    Raises:
        RunFolderError: if something that is no file has the name of one.
    """
    for name in (WEIGHTS, STATE, LOG, PART):
        if (folder / name).exists() and not (folder / name).is_file():
            raise RunFolderError(f"{folder / name} is no file", hint="move it away")
    if finished or _has_finished(folder):
        if (folder / PART).is_file():
            (folder / PART).replace(folder / LOG)
        (folder / STATE).unlink(missing_ok=True)


def _has_finished(folder: Path) -> bool:
    """Whether the weights are those of the job whose state or log is there, by hash: clocks may be set back."""
    weights, part = folder / WEIGHTS, folder / PART
    if not weights.is_file():
        return False
    if (folder / STATE).is_file():
        header = header_in(folder / STATE)
        return "replaces" in header and header["replaces"] != sha256_file(weights)
    return part.is_file() and weights.stat().st_mtime_ns > part.stat().st_mtime_ns  # only the log is at stake


def trim_log(path: Path, epochs: int) -> None:
    """Keep the lines of the first ``epochs`` epochs; those that a kill cut short or that will come again go.

    Raises:
        RunFolderError: if the file cannot be read or written.
    """
    if not path.is_file():
        return
    try:
        lines = read_regular(path, MAX_JSON_BYTES).decode("utf-8", errors="replace").splitlines(keepends=True)
    except OutsideError as error:
        raise RunFolderError(f"{path} {error}") from error
    kept = [line for line in lines if line.endswith("\n") and 0 < _epoch_of(line) <= epochs]
    if kept:
        write_text(path, "".join(kept))
    else:
        path.unlink(missing_ok=True)


def _epoch_of(line: str) -> int:
    try:
        return int(parse_json(line)["epoch"])
    except (ValueError, TypeError, KeyError, OverflowError):
        return 0


def seconds_of(folder: Path) -> float | None:
    """Seconds that the training in a folder took, however often it was interrupted; None if its log does not say."""
    row = _last_row(folder)
    return None if row is None else row.elapsed_s


def epochs_of(folder: Path) -> int | None:
    """Epochs of the training in a folder; None if its log does not say."""
    row = _last_row(folder)
    return None if row is None else row.epoch


def _last_row(folder: Path) -> LogRow | None:
    try:
        lines = utf8(read_regular(folder / LOG, MAX_JSON_BYTES)).splitlines()
        return LogRow.from_json(parse_json(lines[-1]))
    except (OutsideError, ValueError, IndexError, RunFolderError):
        return None
