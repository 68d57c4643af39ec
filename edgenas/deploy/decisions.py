"""What a source and a file made of it answer to the same images, and the gates on their decisions.

Shapes: N images, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from edgenas import stats
from edgenas.deploy.gates import Gates, Help, count_gate, floor_gate, loss_gate, mcnemar_gate, rare_gate, share_gate
from edgenas.deploy.margins import flip_bound, margins
from edgenas.records import Equality, Gate


@dataclass(frozen=True, slots=True)
class Seen:
    """What both nets answer to the same images.

    Attributes:
        reference_NC: None where only the source's decisions are known.
        before_N, after_N: classes by the decision rule, in the source and in the candidate; -1 where a logit is not finite.
    """

    reference_NC: NDArray[np.floating] | None
    candidate_NC: NDArray[np.floating]
    labels_N: NDArray[np.integer]
    before_N: NDArray[np.int64]
    after_N: NDArray[np.int64]

    @property
    def finite_N(self) -> NDArray[np.bool_]:  # noqa: N802 - shape suffix
        """Images whose logits are finite numbers in both."""
        return (self.before_N >= 0) & (self.after_N >= 0)

    @property
    def flipped_N(self) -> NDArray[np.bool_]:  # noqa: N802 - shape suffix
        """Images whose decision changed, or has become none."""
        return np.asarray((self.before_N != self.after_N) | ~self.finite_N, dtype=np.bool_)

    @property
    def same_argmax_N(self) -> NDArray[np.bool_] | None:  # noqa: N802 - shape suffix
        """Images with the same most probable class; None where the source's logits are not known."""
        if self.reference_NC is None:
            return None
        same_N = self.reference_NC.argmax(axis=1) == self.candidate_NC.argmax(axis=1)
        return np.asarray(same_N & self.finite_N, dtype=np.bool_)


def new_misses(seen: Seen, positive: int) -> NDArray[np.bool_]:
    """Images of the positive class that the source finds and the candidate misses."""
    missed_N = (seen.labels_N == positive) & (seen.before_N == positive) & (seen.after_N != positive)
    return np.asarray(missed_N, dtype=np.bool_)


def new_alarms(seen: Seen, positive: int) -> NDArray[np.bool_]:
    """Images of other classes that only the candidate decides as positive."""
    raised_N = (seen.labels_N != positive) & (seen.before_N != positive) & (seen.after_N == positive)
    return np.asarray(raised_N, dtype=np.bool_)


def p_mcnemar(seen: Seen) -> float:
    """That source and candidate are equally often right: McNemar's exact test."""
    before_N, after_N = seen.before_N == seen.labels_N, seen.after_N == seen.labels_N
    return stats.mcnemar(int((before_N & ~after_N).sum()), int((after_N & ~before_N).sum()))


def finite_decisions(logits_NC: NDArray[np.floating], positive: int | None, threshold: float | None) -> NDArray[np.int64]:
    """Classes by the decision rule; -1 where a logit is not finite."""
    return np.where(np.isfinite(logits_NC).all(axis=1), _decide(logits_NC, positive, threshold), -1)


def finite_gate(seen: Seen, layer_of: Callable[[int], str | None] | None) -> Gate:
    """No image may have a logit that is not a finite number; the layer where it first happens is named."""
    judged = count_gate("non_finite_images", int((~seen.finite_N).sum()), 0)
    if judged.verdict == "passed":
        return judged
    before, after_N = int((seen.before_N < 0).sum()), np.flatnonzero(seen.after_N < 0)
    reason = f"{judged.reason}, of {len(seen.labels_N):,} images"
    if before:
        reason += f"; {before} of them already in the source"
    layer = layer_of(int(after_N[0])) if layer_of is not None and after_N.size else None
    return replace(judged, reason=reason if layer is None else f"{reason}; first in {layer}")


@dataclass(frozen=True, slots=True)
class Helps:
    """What helps the gates on all images, on positives and on the others."""

    all: Help
    positives: Help
    others: Help


def help_for(seen: Seen, equal: Equality | None, positive: int | None, threshold: float | None) -> Helps:
    """Equality within rounding decides what no sample has to; margins help where no decision of a group changed."""
    if equal is not None and equal.is_equal:
        return Helps(Help(is_equal=True), Help(is_equal=True), Help(is_equal=True))
    if equal is None or seen.reference_NC is None:
        return Helps(Help(), Help(), Help())
    error_N = np.abs(seen.reference_NC.astype(np.float64) - seen.candidate_NC.astype(np.float64)).max(axis=1)
    margin_N = margins(seen.reference_NC, positive, threshold)

    def of(mine_N: NDArray[np.bool_]) -> Help:
        return Help() if (seen.flipped_N & mine_N).any() else flip_bound(error_N, margin_N[mine_N])

    positive_N = np.zeros(len(margin_N), dtype=bool) if positive is None else seen.labels_N == positive
    return Helps(of(np.ones(len(margin_N), dtype=bool)), of(positive_N), of(~positive_N))


def decision_gates(seen: Seen, gates: Gates, positive: int | None, helps: Helps) -> list[Gate]:
    """Whether source and candidate decide alike."""
    num, flips = len(seen.labels_N), int(seen.flipped_N.sum())
    words = "images without a flip"
    judged = [share_gate("min_agreement", stats.wilson(num - flips, num), gates.agreement, words, helped=helps.all)]
    same_N = seen.same_argmax_N
    if gates.min_top1_agreement is not None and same_N is not None:
        equal = Help(is_equal=helps.all.is_equal)
        judged.append(
            share_gate("min_top1_agreement", stats.wilson(int(same_N.sum()), num), gates.min_top1_agreement, words, helped=equal)
        )
    if positive is not None:
        judged += _positive_gates(seen, gates, positive, helps)
    if gates.min_p_mcnemar is not None:
        before_N, after_N = seen.before_N == seen.labels_N, seen.after_N == seen.labels_N
        judged.append(mcnemar_gate(before_N, after_N, gates.min_p_mcnemar, helped=helps.all))
    return judged


def loss_gates(seen: Seen, gates: Gates, positive: int | None, helps: Helps) -> list[Gate]:
    """Whether the candidate is inferior to its source by more than a margin: in accuracy, and in finding what must be found."""
    right = (seen.before_N == seen.labels_N, seen.after_N == seen.labels_N)
    judged = [_loss("accuracy_margin", right, gates.accuracy_loss, "images", helps.all)]
    if positive is not None and gates.sensitivity_loss is not None and gates.sensitivity_loss < 1:
        mine_N = seen.labels_N == positive
        of_positives = (right[0][mine_N], right[1][mine_N])
        judged.append(_loss("sensitivity_margin", of_positives, gates.sensitivity_loss, "positives", helps.positives))
    return judged


def _loss(name: str, right: tuple[NDArray[np.bool_], NDArray[np.bool_]], margin: float, kind: str, helped: Help) -> Gate:
    """The gate on what is right only before, less what is right only after."""
    before_N, after_N = right
    lost, won = int((before_N & ~after_N).sum()), int((after_N & ~before_N).sum())
    return loss_gate(name, lost, won, len(before_N), margin, kind, helped=helped)


def _positive_gates(seen: Seen, gates: Gates, positive: int, helps: Helps) -> list[Gate]:
    """Positives that only the candidate misses, and false alarms that only it raises, as counts and as shares."""
    num_positives = int((seen.labels_N == positive).sum())
    judged: list[Gate] = []
    for name, found_N, num, most, share, kind, helped in (
        (
            "max_new_false_negative",
            new_misses(seen, positive),
            num_positives,
            gates.max_new_false_negatives,
            gates.max_new_false_negative_share,
            "positives without a new miss",
            helps.positives,
        ),
        (
            "max_new_false_positive",
            new_alarms(seen, positive),
            len(seen.labels_N) - num_positives,
            gates.max_new_false_positives,
            gates.max_new_false_positive_share,
            "others without a new false alarm",
            helps.others,
        ),
    ):
        count = int(found_N.sum())
        if most is not None:
            gate = count_gate(f"{name}s", count, most)
            what = "positives newly missed" if name.endswith("negative") else "others newly called positive"
            judged.append(replace(gate, reason=f"{count:,} of {num:,} {what}, allowed {most}") if gate.reason else gate)
        if share is not None:
            judged.append(rare_gate(f"{name}_share", count, num, share, kind, helped=helped))
    return judged


def sensitivity_gates(seen: Seen, gates: Gates, positive: int | None, class_names: Sequence[str]) -> list[Gate]:
    """Whether the candidate finds what it must: its own quality, which no likeness to the source replaces."""
    judged = []
    if gates.min_sensitivity is not None and positive is not None:
        mine_N = seen.labels_N == positive
        share = stats.wilson(int((seen.after_N[mine_N] == positive).sum()), int(mine_N.sum()))
        judged.append(share_gate("min_sensitivity", share, gates.min_sensitivity, "positives without a miss"))
    for name, floor in gates.floors.items():
        index = class_names.index(name)
        mine_N = seen.labels_N == index
        judged.append(
            floor_gate(name, int((seen.after_N[mine_N] == index).sum()), int(mine_N.sum()), floor, gates.floor_confidence)
        )
    return judged


def probabilities(logits_NC: NDArray[np.floating]) -> NDArray[np.float64]:
    """Class probabilities in double precision; NaN where logits are not finite."""
    with np.errstate(invalid="ignore"):
        result: NDArray[np.float64] = scipy.special.softmax(logits_NC.astype(np.float64), axis=1)
    return result


def _decide(logits_NC: NDArray[np.floating], positive: int | None, threshold: float | None) -> NDArray[np.int64]:
    with np.errstate(invalid="ignore"):
        return stats.decide(probabilities(logits_NC), positive, threshold)
