"""Where a supernet's weights start: drawn, or `--init SOURCE`; kept apart in what a checkpoint says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from edgenas.errors import CheckpointError
from edgenas.records import CheckpointFacts, InitFacts
from edgenas.supernets.start import load_weights
from edgenas.training.checkpoints import facts_in
from edgenas.training.foreign import fetch, is_file


@dataclass(frozen=True, slots=True)
class Start:
    """How a supernet starts.

    Attributes:
        init: for its checkpoints; None for drawn weights.
        notes: what a user should know of the source, a sentence each.
        begin: loads the weights after all, where a saved state that knows them made reading them needless but is of no use.
    """

    init: InitFacts | None = None
    notes: tuple[str, ...] = ()
    begin: Callable[[], None] | None = None


def start_from(supernet: nn.Module, source: str | None, state: Path) -> Start:
    """Fill a supernet from a source.

    A training that was interrupted needs the source no more: a model of timm is not fetched again, and a file may be gone. A file
    that is there is read, so that a training begun with other weights is not continued with these.

    Args:
        supernet: freshly initialised; changed in place.
        source: ``timm:NAME`` or a file; None keeps the drawn weights.
        state: where an interrupted training keeps its state.

    Raises:
        UsageError: if timm has no such model.
        CheckpointError: if the weights cannot be read, or listing why they are none for this supernet.
    """
    if source is None:
        return Start()
    kept = CheckpointFacts.from_json(facts_in(state)).init
    if kept is not None and kept.source != source:
        kept = None
    if kept is not None and not (is_file(source) and Path(source).exists()):
        text, sha256 = f"{source} is not read again: the interrupted training has its weights", kept.sha256
        return Start(kept, (text,), lambda: _load_again(supernet, source, sha256, state))
    weights = fetch(source)
    notes = load_weights(supernet, weights.tensors, source)
    init = InitFacts(source=source, sha256=weights.sha256, notes=tuple(notes))
    if kept is not None and kept.sha256 == weights.sha256:
        init = kept  # its notes may be worded otherwise
    return Start(init, notes)


def _load_again(supernet: nn.Module, source: str, sha256: str, state: Path) -> None:
    weights = fetch(source)
    if weights.sha256 != sha256:
        raise CheckpointError(f"{source} holds other weights than when the training began", hint=f"delete {state} to start again")
    load_weights(supernet, weights.tensors, source)


def require_same_start(path: Path, source: str | None) -> None:
    """Check that a trained supernet started from ``source``, where one is asked for.

    Raises:
        CheckpointError: if it started otherwise.
    """
    if source is None:
        return
    kept = CheckpointFacts.from_json(facts_in(path)).init
    began = kept.source if kept is not None else "drawn weights"
    if began != source:
        raise CheckpointError(f"the run's supernet started from {began}, not from {source}", hint="--force trains it again")
    if kept is not None and is_file(source) and Path(source).is_file() and fetch(source).sha256 != kept.sha256:
        raise CheckpointError(
            f"the run's supernet started from other weights than {source} holds now", hint="--force trains it again"
        )
