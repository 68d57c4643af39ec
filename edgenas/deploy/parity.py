"""Parity: does an exported model decide as its source does, image by image?

Proportions are judged by Wilson intervals: a gate is passed only if the interval's lower end proves the limit, failed only if
its upper end excludes it, undecided otherwise. Counts are exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from edgenas import stats
from edgenas.errors import ParityError
from edgenas.records import DecisionAgreement, Gate, LogitErrors, Parity, Verdict


@dataclass(frozen=True, slots=True)
class Gates:
    """What an exported model must meet; None leaves a gate out.

    Attributes:
        min_top1_agreement: share of images with the same argmax, proven by Wilson's interval.
        max_new_false_negatives: positives that the reference finds and the candidate misses.
        min_sensitivity: share of positives that the candidate finds, proven by Wilson's interval.
        max_abs_logit: largest absolute difference of two logits.
        floors: least sensitivity by class, of a search.
        floor_confidence: of the interval that proves a floor; None holds the share itself against it.
    """

    min_top1_agreement: float = 0.99
    max_new_false_negatives: int = 0
    min_sensitivity: float | None = None
    max_abs_logit: float | None = None
    floors: Mapping[str, float] = field(default_factory=dict)
    floor_confidence: float | None = None

    def __post_init__(self) -> None:
        for name in ("min_top1_agreement", "min_sensitivity"):
            share = getattr(self, name)
            if share is not None and not 0 <= share < 1:
                raise ValueError(f"{name} {share} is not in [0, 1): no number of images proves 1")


def not_run(reason: str, *, emulated: Parity | None = None) -> Parity:
    """Parity of a file that cannot run here: ``not_run``, or ``failed`` if already its emulation failed."""
    if emulated is not None and emulated.verdict == "failed":
        return Parity("failed", f"{reason}; its emulation failed: {emulated.reason}", emulated=emulated)
    return Parity("not_run", reason, emulated=emulated)


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

    Raises:
        ParityError: if the two logits differ in shape, which no tolerance covers.
        ValueError: if labels or names do not fit the reference.
    """
    _require_shapes(reference_NC, candidate_NC, labels_N, class_names)
    finite_N = np.isfinite(candidate_NC).all(axis=1) & np.isfinite(reference_NC).all(axis=1)
    agreement = stats.accuracy(np.where(finite_N, candidate_NC.argmax(axis=1), -1), reference_NC.argmax(axis=1))
    max_abs, mean_abs, min_cosine = _distances(reference_NC, candidate_NC)
    before_N = _decide(reference_NC, positive, threshold)
    after_N = np.where(finite_N, _decide(candidate_NC, positive, threshold), -1)
    positive_N = None if positive is None else labels_N == positive
    hits = None if positive_N is None else (before_N[positive_N] == positive, after_N[positive_N] == positive)

    finite = _count("non_finite_images", int((~finite_N).sum()), 0)
    judged = [finite, _proportion("min_top1_agreement", agreement, gates.min_top1_agreement, "images without a flip")]
    if hits is not None:
        judged += _positive_gates(*hits, gates)
    for name, floor in gates.floors.items():
        mine_N = labels_N == class_names.index(name)
        found = int((after_N[mine_N] == class_names.index(name)).sum())
        judged.append(floor_gate(name, found, int(mine_N.sum()), floor, gates.floor_confidence))
    if gates.max_abs_logit is not None:
        judged.append(_count("max_abs_logit", max_abs, gates.max_abs_logit))
    (verdict, reason), flipped_N = _overall(judged), before_N != after_N
    return Parity(
        verdict=verdict,
        reason=reason,
        reference=reference,
        num_images=int(labels_N.size),
        num_positives=None if hits is None else int(hits[0].size),
        top1_agreement=agreement.value if agreement.n else None,
        flips={name: int(flipped_N[labels_N == index].sum()) for index, name in enumerate(class_names)},
        new_false_negatives=None if hits is None else int((hits[0] & ~hits[1]).sum()),
        logits=LogitErrors(max_abs=max_abs, mean_abs=mean_abs, min_cosine=min_cosine),
        gates=tuple(judged),
        decision=_agreement(flipped_N),
    )


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


def _count(name: str, value: float, limit: float) -> Gate:
    passed = value <= limit  # False for NaN
    return Gate(name, limit, value, value, value, "passed" if passed else "failed", "" if passed else f"{value:g} > {limit:g}")


def _positive_gates(before_P: NDArray[np.bool_], after_P: NDArray[np.bool_], gates: Gates) -> list[Gate]:
    """The gates on the positives, P images: which of them the reference and the candidate find."""
    name, limit, num = "max_new_false_negatives", gates.max_new_false_negatives, int(before_P.size)
    missed = int((before_P & ~after_P).sum())
    judged = _count(name, missed, limit)
    if num == 0:
        judged = replace(judged, verdict="undecided", reason="there are no positive images")
    elif judged.verdict == "failed":
        judged = replace(judged, reason=f"{missed} of {num} positives newly missed, allowed {limit}")
    if gates.min_sensitivity is None:
        return [judged]
    share = stats.wilson(int(after_P.sum()), num)
    return [judged, _proportion("min_sensitivity", share, gates.min_sensitivity, "positives without a miss")]


def floor_gate(class_name: str, found: int, num: int, floor: float, confidence: float | None) -> Gate:
    """Whether a class is found as often as a search's floor says.

    Args:
        class_name: whose images they are.
        found: images that were decided as it.
        num: of its images.
        floor: least share.
        confidence: two-sided, of the interval that must prove it; None holds the share itself against it.
    """
    name, sure = f"sensitivity[{class_name}]", 0.95 if confidence is None else confidence
    share = stats.wilson(found, num, confidence=sure)
    if confidence is not None:
        return _proportion(name, share, floor, "images without a miss", confidence=sure)
    if num == 0:
        return Gate(name, floor, None, share.low, share.high, "undecided", f"there are no images of {class_name}")
    passed = share.value >= floor
    reason = "" if passed else f"{found} of {num} is below {floor:g}"
    return Gate(name, floor, share.value, share.low, share.high, "passed" if passed else "failed", reason)


def _proportion(name: str, share: stats.Proportion, limit: float, trials: str, *, confidence: float = 0.95) -> Gate:
    numbers = f"{share.value:.4f} of {share.n} ({100 * confidence:g} % interval {share.low:.4f} to {share.high:.4f})"
    if share.low >= limit:
        return Gate(name, limit, share.value, share.low, share.high, "passed")
    if share.high < limit:
        return Gate(name, limit, share.value, share.low, share.high, "failed", f"{numbers} is below {limit:g}")
    needed = f"{stats.trials_to_prove(limit, confidence=confidence)} {trials}" if limit < 1 else f"no number of {trials}"
    reason = f"{numbers} does not decide {limit:g}; {needed} would"
    return Gate(name, limit, share.value, share.low, share.high, "undecided", reason)


def _overall(gates: Sequence[Gate]) -> tuple[Verdict, str]:
    order: tuple[Verdict, ...] = ("failed", "undecided")
    for verdict in order:
        reasons = [f"{gate.name} {gate.reason}" for gate in gates if gate.verdict == verdict]
        if reasons:
            return verdict, "; ".join(reasons)
    return "passed", ""
