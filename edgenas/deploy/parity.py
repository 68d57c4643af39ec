"""Parity: does an exported model decide as its source does, image by image?

What is judged is the decision rule that ships: where a class must not be missed, positive from the threshold on, else the best
other; without one the argmax. Shares are judged by intervals, so that few images prove little; see `edgenas.deploy.gates`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from edgenas import stats
from edgenas.deploy.gates import (
    Gates,
    Help,
    count_gate,
    floor_gate,
    life_gates,
    mcnemar_gate,
    overall,
    rare_gate,
    share_gate,
)
from edgenas.deploy.margins import equality, flip_bound, margins
from edgenas.errors import ParityError
from edgenas.records import DecisionAgreement, Equality, Gate, LogitErrors, Parity

__all__ = ["Gates", "compare", "compare_decisions", "floor_gate", "not_run", "probabilities"]


def not_run(reason: str, *, emulated: Parity | None = None) -> Parity:
    """Parity of a file that cannot run here: ``not_run``, unless already its emulation ``failed`` or is ``undecided``."""
    if emulated is not None and emulated.verdict in ("failed", "undecided"):
        how = "failed" if emulated.verdict == "failed" else "is undecided"
        return Parity(emulated.verdict, f"{reason}; its emulation {how}: {emulated.reason}", emulated=emulated)
    return Parity("not_run", reason, emulated=emulated)


THE_SOURCE, THE_FILE = "the source", "the exported model"


@dataclass(frozen=True, slots=True)
class _Task:
    """What is judged, and how: the arguments of `compare` that are no answers."""

    class_names: Sequence[str]
    positive: int | None
    threshold: float | None
    gates: Gates
    reference: str


@dataclass(frozen=True, slots=True)
class _Seen:
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


def compare(
    reference_NC: NDArray[np.floating],
    candidate_NC: NDArray[np.floating],
    labels_N: NDArray[np.integer],
    *,
    class_names: Sequence[str],
    positive: int | None,
    threshold: float | None,
    gates: Gates,
    reference: str = "torch-cpu",
    layer_of: Callable[[int], str | None] | None = None,
) -> Parity:
    """Judge a candidate's logits against the reference's, image by image.

    An image with a logit that is not a finite number agrees with nothing and finds nothing.

    Args:
        reference_NC: logits of the source model, shape (images, classes).
        candidate_NC: logits of the exported model for the same images in the same order.
        labels_N: true classes.
        class_names: one a class.
        positive: index of the class that must not be missed; None leaves its gates out.
        threshold: least probability at which ``positive`` is decided; None gives the argmax.
        gates: the limits.
        reference: name of the reference for the report.
        layer_of: names the first layer of the candidate that gives numbers which are not finite, for the image at a position.

    Raises:
        ParityError: if the two logits differ in shape, which no tolerance covers.
        ValueError: if labels or names do not fit the reference.
    """
    _require_shapes(reference_NC, candidate_NC, labels_N, class_names)
    seen = _Seen(
        reference_NC,
        candidate_NC,
        labels_N,
        _finite_decisions(reference_NC, positive, threshold),
        _finite_decisions(candidate_NC, positive, threshold),
    )
    return _judged(seen, _Task(class_names, positive, threshold, gates, reference), layer_of)


def compare_decisions(
    before_N: NDArray[np.int64],
    candidate_NC: NDArray[np.floating],
    labels_N: NDArray[np.integer],
    *,
    class_names: Sequence[str],
    positive: int | None,
    threshold: float | None,
    gates: Gates,
    reference: str,
    layer_of: Callable[[int], str | None] | None = None,
) -> Parity:
    """As `compare` where only the reference's decisions are known, not its logits: nothing is said of their distances.

    Raises:
        ParityError: if the candidate's logits are not of these images and classes.
    """
    if candidate_NC.shape != (len(before_N), len(class_names)) or labels_N.shape != before_N.shape:
        raise ParityError(
            f"the exported model gives logits of shape {candidate_NC.shape}, expected {(len(before_N), len(class_names))}"
        )
    seen = _Seen(None, candidate_NC, labels_N, before_N, _finite_decisions(candidate_NC, positive, threshold))
    return _judged(seen, _Task(class_names, positive, threshold, gates, reference), layer_of)


def _judged(seen: _Seen, task: _Task, layer_of: Callable[[int], str | None] | None) -> Parity:
    """All gates, and what was seen."""
    gates, positive, labels_N = task.gates, task.positive, seen.labels_N
    equal = None
    max_abs, mean_abs, min_cosine = float("nan"), float("nan"), float("nan")
    logits, decisions = {THE_FILE: seen.candidate_NC}, {THE_SOURCE: seen.before_N, THE_FILE: seen.after_N}
    if seen.reference_NC is not None:
        equal = equality(seen.reference_NC, seen.candidate_NC, positive, task.threshold)
        max_abs, mean_abs, min_cosine = _distances(seen.reference_NC, seen.candidate_NC)
        logits = {THE_SOURCE: seen.reference_NC, **logits}
    judged = [_finite_gate(seen, layer_of)]
    judged += _decision_gates(seen, gates, positive, _help_for(seen, equal, positive, task.threshold))
    judged += life_gates(logits, decisions, labels_N)
    judged += _sensitivity_gates(seen, gates, positive, task.class_names)
    if gates.max_abs_logit is not None and seen.reference_NC is not None:
        judged.append(count_gate("max_abs_logit", max_abs, gates.max_abs_logit))
    verdict, reason = overall(judged)
    same_N = seen.same_argmax_N
    return Parity(
        verdict=verdict,
        reason=reason,
        reference=task.reference,
        num_images=int(labels_N.size),
        num_positives=None if positive is None else int((labels_N == positive).sum()),
        top1_agreement=float(same_N.mean()) if same_N is not None and same_N.size else None,
        flips={name: int(seen.flipped_N[labels_N == index].sum()) for index, name in enumerate(task.class_names)},
        new_false_negatives=None if positive is None else int(_new_misses(seen, positive).sum()),
        logits=LogitErrors(max_abs=max_abs, mean_abs=mean_abs, min_cosine=min_cosine),
        gates=tuple(judged),
        decision=_agreement(seen.flipped_N),
        new_false_positives=None if positive is None else int(_new_alarms(seen, positive).sum()),
        p_mcnemar=_mcnemar(seen),
        equality=equal,
    )


def _new_misses(seen: _Seen, positive: int) -> NDArray[np.bool_]:
    missed_N = (seen.labels_N == positive) & (seen.before_N == positive) & (seen.after_N != positive)
    return np.asarray(missed_N, dtype=np.bool_)


def _new_alarms(seen: _Seen, positive: int) -> NDArray[np.bool_]:
    raised_N = (seen.labels_N != positive) & (seen.before_N != positive) & (seen.after_N == positive)
    return np.asarray(raised_N, dtype=np.bool_)


def _mcnemar(seen: _Seen) -> float:
    before_N, after_N = seen.before_N == seen.labels_N, seen.after_N == seen.labels_N
    return stats.mcnemar(int((before_N & ~after_N).sum()), int((after_N & ~before_N).sum()))


def _finite_decisions(logits_NC: NDArray[np.floating], positive: int | None, threshold: float | None) -> NDArray[np.int64]:
    """Classes by the decision rule; -1 where a logit is not finite."""
    return np.where(np.isfinite(logits_NC).all(axis=1), _decide(logits_NC, positive, threshold), -1)


def _finite_gate(seen: _Seen, layer_of: Callable[[int], str | None] | None) -> Gate:
    """No image may have a logit that is not a finite number; the layer where it first happens is named."""
    judged = count_gate("non_finite_images", int((~seen.finite_N).sum()), 0)
    if judged.verdict == "passed":
        return judged
    before, after_N = int((seen.before_N < 0).sum()), np.flatnonzero(seen.after_N < 0)
    reason = f"{judged.reason}, of {len(seen.labels_N)} images"
    if before:
        reason += f"; {before} of them already in the source"
    layer = layer_of(int(after_N[0])) if layer_of is not None and after_N.size else None
    return replace(judged, reason=reason if layer is None else f"{reason}; first in {layer}")


@dataclass(frozen=True, slots=True)
class _Helps:
    """What helps the gates on all images, on positives and on the others."""

    all: Help
    positives: Help
    others: Help


def _help_for(seen: _Seen, equal: Equality | None, positive: int | None, threshold: float | None) -> _Helps:
    """Equality within rounding decides what no sample has to; margins help where no decision of a group changed."""
    if equal is not None and equal.is_equal:
        return _Helps(Help(is_equal=True), Help(is_equal=True), Help(is_equal=True))
    if equal is None or seen.reference_NC is None:
        return _Helps(Help(), Help(), Help())
    error_N = np.abs(seen.reference_NC.astype(np.float64) - seen.candidate_NC.astype(np.float64)).max(axis=1)
    margin_N = margins(seen.reference_NC, positive, threshold)

    def of(mine_N: NDArray[np.bool_]) -> Help:
        return Help() if (seen.flipped_N & mine_N).any() else flip_bound(error_N, margin_N[mine_N])

    positive_N = np.zeros(len(margin_N), dtype=bool) if positive is None else seen.labels_N == positive
    return _Helps(of(np.ones(len(margin_N), dtype=bool)), of(positive_N), of(~positive_N))


def _decision_gates(seen: _Seen, gates: Gates, positive: int | None, helps: _Helps) -> list[Gate]:
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


def _positive_gates(seen: _Seen, gates: Gates, positive: int, helps: _Helps) -> list[Gate]:
    """Positives that only the candidate misses, and false alarms that only it raises, as counts and as shares."""
    num_positives = int((seen.labels_N == positive).sum())
    judged: list[Gate] = []
    for name, found_N, num, most, share, kind, helped in (
        (
            "max_new_false_negative",
            _new_misses(seen, positive),
            num_positives,
            gates.max_new_false_negatives,
            gates.max_new_false_negative_share,
            "positives without a new miss",
            helps.positives,
        ),
        (
            "max_new_false_positive",
            _new_alarms(seen, positive),
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
            judged.append(replace(gate, reason=f"{count} of {num} {what}, allowed {most}") if gate.reason else gate)
        if share is not None:
            judged.append(rare_gate(f"{name}_share", count, num, share, kind, helped=helped))
    return judged


def _sensitivity_gates(seen: _Seen, gates: Gates, positive: int | None, class_names: Sequence[str]) -> list[Gate]:
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


def _agreement(flipped_N: NDArray[np.bool_]) -> DecisionAgreement:
    num, flips = int(flipped_N.size), int(flipped_N.sum())
    return DecisionAgreement(flips=flips, agreement=stats.wilson(num - flips, num) if num else None)


def probabilities(logits_NC: NDArray[np.floating]) -> NDArray[np.float64]:
    """Class probabilities in double precision; NaN where logits are not finite."""
    with np.errstate(invalid="ignore"):
        result: NDArray[np.float64] = softmax(logits_NC.astype(np.float64), axis=1)
    return result


def _decide(logits_NC: NDArray[np.floating], positive: int | None, threshold: float | None) -> NDArray[np.int64]:
    with np.errstate(invalid="ignore"):
        return stats.decide(probabilities(logits_NC), positive, threshold)


def _require_shapes(
    reference_NC: NDArray[np.floating],
    candidate_NC: NDArray[np.floating],
    labels_N: NDArray[np.integer],
    class_names: Sequence[str],
) -> None:
    if reference_NC.ndim != 2 or labels_N.shape != reference_NC.shape[:1] or len(class_names) != reference_NC.shape[1]:
        raise ValueError(
            f"reference logits {reference_NC.shape}, labels {labels_N.shape} and {len(class_names)} class names do not fit"
        )
    if labels_N.size and not 0 <= labels_N.min() <= labels_N.max() < len(class_names):
        raise ValueError(f"labels lie in [{labels_N.min()}, {labels_N.max()}], there are {len(class_names)} classes")
    if candidate_NC.shape != reference_NC.shape:
        raise ParityError(f"the exported model gives logits of shape {candidate_NC.shape}, its source {reference_NC.shape}")


def _distances(reference_NC: NDArray[np.floating], candidate_NC: NDArray[np.floating]) -> tuple[float, float, float]:
    if not reference_NC.size:
        return float("nan"), float("nan"), float("nan")
    first_NC, second_NC = reference_NC.astype(np.float64), candidate_NC.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        difference_NC = np.abs(first_NC - second_NC)
        norms_N = np.linalg.norm(first_NC, axis=1) * np.linalg.norm(second_NC, axis=1)
        cosine_N = np.where(norms_N == 0, 1.0, (first_NC * second_NC).sum(axis=1) / norms_N)
    return float(difference_NC.max()), float(difference_NC.mean()), float(cosine_N.min())
