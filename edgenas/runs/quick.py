"""Quick runs: the settings that ``--quick`` takes, and how a run folder remembers which of its results were made so.

A quick stage is written down with the hash of what it left, so that a mark ends with the file it is of: a training without
``--quick`` replaces the weights, one that keeps them keeps the mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edgenas.runs.files import read_sealed, sha256_file, write_sealed
from edgenas.runs.folder import RunFolder
from edgenas.runs.stages import ORDER, product

QUICK: Mapping[str, int] = {  # a few steps of everything
    "teacher.epochs": 2,
    "teacher.probe_steps": 6,
    "search.proof_epochs": 2,
    "search.proof_nets": 2,
    "search.proof_hand": 1,
    "train.epochs": 2,
    "retrain.epochs": 1,
    "retrain.scratch_epochs": 2,
    "retrain.baseline_epochs": 2,
    "retrain.race_epochs": 1,
    "profile.visits": 2,
    "profile.calibration_nets": 6,
    "profile.bound_nets": 0,
    "profile.validation_nets": 4,
    "search.num_generations": 1,
    "search.population": 6,
    "search.num_mutations": 3,
    "search.num_crossovers": 3,
    "search.num_finalists": 2,
}
QUICK_STAGES = ("profile", "train", "search", "retrain", "compare", "fidelity")  # those whose results it changes
_WITHOUT = ("init", "doctor", "spaces", "count", "recipes", "tables", "settings", "plan", "verify")  # rest on none of these
_KIND, _FILE, _VERSION = "list of quick stages", "quick.json", 1  # 1: first
_SEPARATE = ("compare", "fidelity")  # what no later stage rests on


@dataclass(frozen=True, slots=True)
class _Mark:
    """That a quick run was at work on a stage.

    Attributes:
        before: hash of what was there; None where nothing was.
        after: of what the quick run left; None while it runs, and of one that was killed.
    """

    before: str | None
    after: str | None = None


def quick_overrides(quick: bool) -> tuple[str, ...]:
    """What ``--set`` would have to say for a quick run, in front of what it says; nothing where it is not quick."""
    return tuple(f"{key}={value}" for key, value in QUICK.items()) if quick else ()


@contextmanager
def remembering(run: RunFolder | None, command: str, *, quick: bool) -> Iterator[None]:
    """Write down which results a command leaves in the block are quick ones.

    Raises:
        RunFolderError: if the list is damaged or cannot be written.
    """
    if run is None or command not in QUICK_STAGES or not run.config.exists():
        yield
        return
    marks, before = _marks(run), _hash(run, command)
    if quick:
        _write(run, marks | {command: _Mark(before)})
    elif command in marks:
        _settle(run, marks, command)
    yield
    if quick:
        _settle(run, _marks(run), command, kept=marks.get(command))


def quick_stages(run: RunFolder) -> tuple[str, ...]:
    """The stages whose results in a run folder were made by a quick run, in order.

    Raises:
        RunFolderError: if the list is damaged.
    """
    return tuple(stage for stage, mark in sorted(_marks(run).items(), key=_order) if _holds(run, stage, mark))


def quick_words(run: RunFolder | None, command: str) -> str | None:
    """That what a command shows rests on quick stages, in a sentence; None where it does not."""
    if run is None or command in _WITHOUT:
        return None
    last = ORDER.index(command) if command in ORDER else len(ORDER)
    stages = [
        stage
        for stage in quick_stages(run)
        if stage == command or (ORDER.index(stage) <= last if stage in ORDER else command not in (*ORDER, *_SEPARATE))
    ]
    return quick_sentence(stages) if stages else None


def quick_sentence(stages: Sequence[str]) -> str:
    """What is to be said of a result that rests on quick stages."""
    return f"quick: {', '.join(stages)} took a few steps only: this shows the path, not the quality, and is not for a decision"


def _order(item: tuple[str, object]) -> int:
    return QUICK_STAGES.index(item[0]) if item[0] in QUICK_STAGES else len(QUICK_STAGES)


def _settle(run: RunFolder, marks: dict[str, _Mark], command: str, *, kept: _Mark | None = None) -> None:
    """Bind a mark to what its command left; without anything new of it, the mark of before stays, or there is none."""
    mark, after = marks[command], _hash(run, command)
    if mark.after is None:
        if after is not None and after != mark.before:
            marks[command] = replace(mark, after=after)
        elif kept is not None:
            marks[command] = kept
        else:
            del marks[command]
        _write(run, marks)


def _holds(run: RunFolder, stage: str, mark: _Mark) -> bool:
    """Whether what a stage left is still what a quick run left; of one that was killed, whatever it may have left."""
    there = _hash(run, stage)
    if there is None:
        return False
    return there != mark.before if mark.after is None else there == mark.after


def _hash(run: RunFolder, stage: str) -> str | None:
    path = product(run, stage)
    return None if path is None else sha256_file(path)


def _path(run: RunFolder) -> Path:
    return run.path / _FILE


def _marks(run: RunFolder) -> dict[str, _Mark]:
    if not _path(run).is_file():
        return {}
    stored = read_sealed(_path(run), _KIND, schema_version=_VERSION).get("stages", {})
    return {str(name): _Mark(mark.get("before"), mark.get("after")) for name, mark in stored.items()}


def _write(run: RunFolder, marks: Mapping[str, _Mark]) -> None:
    write_sealed(_path(run), _KIND, {"schema_version": _VERSION, "stages": {name: asdict(mark) for name, mark in marks.items()}})
