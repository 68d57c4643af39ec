"""Where a net's weights start: drawn, or `--init SOURCE`; kept apart in what a checkpoint says of itself."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor, nn

from edgenas.errors import CheckpointError
from edgenas.records import CheckpointFacts, InitFacts, SelectionFacts
from edgenas.spaces import SearchSpace
from edgenas.supernets import Supernet
from edgenas.supernets.selected_start import donor_of, is_wider, require_kind, select_net, select_supernet
from edgenas.supernets.selection import METHODS, Donor, Method, exceeds
from edgenas.supernets.selection_layouts import heads_of
from edgenas.supernets.start import load_weights
from edgenas.training.foreign import Foreign, fetch
from edgenas.training.headers import facts_in, is_file
from edgenas.training.ranks import current

Selection = Literal["auto", "leading", "even", "importance"]
Judge = Callable[[nn.Module], float]  # of a plain net, lower is better

DRAWN = "drawn"
_HEAD = re.compile(r"(net\.)?head\.(?!norm\.)")


@dataclass(frozen=True, slots=True)
class Start:
    """How a net starts.

    Attributes:
        init: for its checkpoints; None for drawn weights.
        notes: what a user should know of the source, a sentence each.
        begin: loads the weights after all, where a saved state that knows them made reading them needless but is of no use.
    """

    init: InitFacts | None = None
    notes: tuple[str, ...] = ()
    begin: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Chooser:
    """How weights of a larger net are selected.

    Attributes:
        asked: a method, or auto for the one whose net has the lowest loss.
        judge: tells that loss; None takes the first method where it would have to be asked, for whoever only wants to know whether
            a source fits.
        class_names: in the order of the logits; the head of a source of other classes stays fresh.
    """

    asked: Selection = "auto"
    judge: Judge | None = None
    class_names: Sequence[str] | None = None


def start_from(supernet: nn.Module, source: str | None, state: Path, chooser: Chooser | None = None) -> Start:
    """Fill a supernet from a source.

    Weights of nets that the supernet holds are loaded as they are, those of wider or deeper ones by weight selection. A training
    that was interrupted needs the source no more: a model of timm is not fetched again, and a file may be gone. A file
    that is there is read, so that a training begun with other weights is not continued with these.

    Args:
        supernet: freshly initialised; changed in place.
        source: ``timm:NAME``, a file or a run folder; None keeps the drawn weights.
        state: where an interrupted training keeps its state.
        chooser: how weights are selected; None takes the first method.

    Raises:
        UsageError: if timm has no such model.
        CheckpointError: if the weights cannot be read, or listing why they are none for this supernet.
    """
    if source is None:
        return Start()
    how = Chooser() if chooser is None else chooser
    kept = CheckpointFacts.said_by(state, facts_in(state)).init
    if kept is not None and kept.source != source:
        kept = None
    if kept is not None and not (is_file(source) and Path(source).exists()):
        text, init = f"{source} is not read again: the interrupted training has its weights", kept
        return Start(kept, (text,), lambda: _load_again(supernet, init, how, state))
    weights = fetch(source)
    if kept is not None and kept.sha256 == weights.sha256:
        how = chosen_before(how, kept)
    notes, selection = _fill(supernet, weights, how)
    notes = (*weights.notes, *notes)
    init = InitFacts(source=source, sha256=weights.sha256, notes=tuple(notes), selection=selection)
    if kept is not None and kept.sha256 == weights.sha256 and _asked(kept) == _asked(init):
        init = kept  # its notes may be worded otherwise
    return Start(init, notes)


def chosen_before(chooser: Chooser, kept: InitFacts) -> Chooser:
    """The chooser that takes what an interrupted training chose, without asking again."""
    if kept.selection is None or kept.selection.asked != chooser.asked:
        return chooser
    return replace(chooser, asked=cast(Selection, kept.selection.method), judge=None)


def _asked(init: InitFacts) -> str | None:
    """The method that was taken; None where nothing was selected."""
    return init.selection.method if init.selection is not None else None


def _load_again(supernet: nn.Module, init: InitFacts, chooser: Chooser, state: Path) -> None:
    weights = fetch(init.source)
    if weights.sha256 != init.sha256:
        raise CheckpointError(
            f"{init.source} holds other weights than when the training began", hint=f"delete {state} to start again"
        )
    _fill(supernet, weights, chosen_before(chooser, init))


def _fill(supernet: nn.Module, weights: Foreign, chooser: Chooser) -> tuple[tuple[str, ...], SelectionFacts | None]:
    """Load weights exactly where the supernet has a place for all of them, by selection where it has not."""
    drawn = {name: value.clone() for name, value in supernet.state_dict().items()}
    try:
        donor, refused = _donor(weights), None
    except CheckpointError as error:
        donor, refused = None, error
    if donor is None or not is_wider(donor, supernet):
        try:
            notes = load_weights(supernet, weights.tensors, weights.source)
        except CheckpointError as error:
            if donor is None:
                raise (refused if refused is not None and weights.earlier is not None else error) from error
            require_kind(cast(Supernet, supernet).space, donor, weights.source)
        else:
            return (*notes, *_other_classes(supernet, drawn, weights, chooser.class_names)), None
    assert donor is not None
    ours, source = cast(Supernet, supernet), weights.source
    largest = tuple(int(gene) for gene in ours.space.extreme(largest=True)[0])

    def fill(method: Method) -> tuple[str, ...]:
        return select_supernet(supernet, donor, method, source)

    notes, facts = _select(supernet, fill, lambda: ours.extract(largest), source, chooser, differ=is_wider(donor, supernet))
    return (*notes, *_other_classes(supernet, drawn, weights, chooser.class_names)), facts


def _donor(weights: Foreign) -> Donor:
    """The plain net that weights can be selected from: of a supernet the largest."""
    if weights.earlier is None:
        return donor_of(weights.tensors, weights.source, weights.heads)
    net = weights.earlier.net()
    return donor_of(net.state_dict(), weights.source, heads_of(net))


@torch.no_grad()
def _other_classes(
    net: nn.Module, drawn: dict[str, Tensor], weights: Foreign, class_names: Sequence[str] | None
) -> tuple[str, ...]:
    """Undo the loading of a head of as many, but other classes; what to say of it."""
    theirs = weights.earlier.class_names if weights.earlier is not None else None
    if theirs is None or class_names is None or theirs == tuple(class_names) or len(theirs) != len(class_names):
        return ()
    for name, value in net.state_dict().items():
        if _HEAD.match(name):
            value.copy_(drawn[name])
    return (f"the head starts fresh: its classes were {', '.join(theirs)}",)


def _select(
    net: nn.Module,
    fill: Callable[[Method], tuple[str, ...]],
    shown: Callable[[], nn.Module],
    source: str,
    chooser: Chooser,
    *,
    differ: bool,
) -> tuple[tuple[str, ...], SelectionFacts | None]:
    """Fill a net by the method that is asked for, or by that of the lowest loss.

    Args:
        net: with drawn weights.
        fill: selects weights by a method; what it noted.
        shown: the plain net that is judged.
        source: for messages.
        chooser: which method.
        differ: whether methods take different weights, as they do of wider nets alone.
    """
    if not differ:
        return fill(METHODS[0]), None
    if chooser.asked != "auto" or chooser.judge is None:
        method: Method = METHODS[0] if chooser.asked == "auto" else chooser.asked
        return (_taken(method, source), *fill(method)), SelectionFacts(asked=chooser.asked, method=method, select_loss={})
    drawn = {name: value.clone() for name, value in net.state_dict().items()}
    losses = {DRAWN: chooser.judge(shown())}
    for each in METHODS:
        net.load_state_dict(drawn)
        fill(each)
        losses[each] = chooser.judge(shown())
    losses = current().first(losses)  # all ranks choose alike
    method = min(METHODS, key=lambda each: losses[each])
    net.load_state_dict(drawn)
    facts = SelectionFacts(asked="auto", method=method, select_loss=losses)
    return (*_compared(method, source, losses), *fill(method)), facts


def _taken(method: str, source: str) -> str:
    words = {"leading": "the leading ones", "even": "evenly spaced ones", "importance": "those of the largest L2 norm"}
    return f"weights of {source} are selected (arXiv:2311.18823): of blocks the first, of channels and heads {words[method]}"


def _compared(method: str, source: str, losses: dict[str, float]) -> tuple[str, ...]:
    shown = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
    chosen = f"{_taken(method, source)}; loss on select of the best linear head on the largest net: {shown}"
    if losses[DRAWN] > losses[method]:
        return (chosen,)
    return (chosen, f"features of drawn weights are no worse than these: without --init {source} the supernet may do as well")


def require_like(space: SearchSpace, weights: Foreign) -> None:
    """Check, before any net is built, that nets of a space may start from weights.

    Raises:
        CheckpointError: if they are of another family, or of no kind of net that is known.
    """
    require_kind(space, _donor(weights), weights.source)


def start_net(net: nn.Module, space: SearchSpace, genes: tuple[int, ...], weights: Foreign, chooser: Chooser) -> InitFacts:
    """Fill a plain net of a space: from the same net, from a supernet that holds it, or by selection from a larger one.

    Args:
        net: freshly initialised; changed in place.
        space: that it is of.
        genes: its own.
        weights: as `fetch` gives them.
        chooser: as of `start_from`.

    Returns:
        What its checkpoint says of its start.

    Raises:
        CheckpointError: listing why the weights are none for this net.
    """
    drawn = {name: value.clone() for name, value in net.state_dict().items()}
    earlier, source = weights.earlier, weights.source
    is_same = earlier is not None and earlier.space == space and (earlier.arch is None or earlier.arch == genes)
    if earlier is not None and is_same:
        own = earlier.net(genes)
        if _is_alike(own, net):
            net.load_state_dict(own.state_dict())
            notes = (*weights.notes, *_other_classes(net, drawn, weights, chooser.class_names))
            return InitFacts(source=source, sha256=weights.sha256, notes=notes)
        donor = donor_of(own.state_dict(), source, heads_of(own))
    else:
        donor = _donor(weights)
    require_kind(space, donor, source)

    def fill(method: Method) -> tuple[str, ...]:
        return select_net(net, space, donor, method, source)

    differ = exceeds(donor, net.state_dict())
    notes, selection = _select(net, fill, lambda: copy.deepcopy(net), source, chooser, differ=differ)
    notes = (*weights.notes, *notes, *_other_classes(net, drawn, weights, chooser.class_names))
    return InitFacts(source=source, sha256=weights.sha256, notes=notes, selection=selection)


def _is_alike(net: nn.Module, other: nn.Module) -> bool:
    """Whether two nets have the same weights by name and shape."""
    shapes = [{name: value.shape for name, value in each.state_dict().items()} for each in (net, other)]
    return shapes[0] == shapes[1]


def require_same_start(path: Path, source: str | None) -> None:
    """Check that a trained supernet started from ``source``, where one is asked for.

    Raises:
        CheckpointError: if it started otherwise.
    """
    if source is None:
        return
    kept = CheckpointFacts.said_by(path, facts_in(path)).init
    began = kept.source if kept is not None else "drawn weights"
    if began != source:
        raise CheckpointError(f"the run's supernet started from {began}, not from {source}", hint="--force trains it again")
    if kept is not None and is_file(source) and Path(source).exists() and fetch(source).sha256 != kept.sha256:
        raise CheckpointError(
            f"the run's supernet started from other weights than {source} holds now", hint="--force trains it again"
        )
