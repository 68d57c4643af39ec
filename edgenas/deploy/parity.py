"""Parity: does an exported model decide as its source does, image by image?

What is judged is the decision rule that ships: where a class must not be missed, positive from the threshold on, else the best
other; without one the argmax. Shares are judged by intervals, so that few images prove little; see `edgenas.deploy.gates`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenas import stats
from edgenas.deploy.decisions import (
    Seen,
    decision_gates,
    finite_decisions,
    finite_gate,
    help_for,
    new_alarms,
    new_misses,
    p_mcnemar,
    probabilities,
    sensitivity_gates,
)
from edgenas.deploy.gates import Gates, count_gate, floor_gate, life_gates, overall
from edgenas.deploy.margins import equality
from edgenas.errors import ParityError
from edgenas.records import DecisionAgreement, LogitErrors, Parity

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
    seen = Seen(
        reference_NC,
        candidate_NC,
        labels_N,
        finite_decisions(reference_NC, positive, threshold),
        finite_decisions(candidate_NC, positive, threshold),
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
    seen = Seen(None, candidate_NC, labels_N, before_N, finite_decisions(candidate_NC, positive, threshold))
    return _judged(seen, _Task(class_names, positive, threshold, gates, reference), layer_of)


def _judged(seen: Seen, task: _Task, layer_of: Callable[[int], str | None] | None) -> Parity:
    """All gates, and what was seen."""
    gates, positive, labels_N = task.gates, task.positive, seen.labels_N
    equal = None
    max_abs, mean_abs, min_cosine = float("nan"), float("nan"), float("nan")
    logits, decisions = {THE_FILE: seen.candidate_NC}, {THE_SOURCE: seen.before_N, THE_FILE: seen.after_N}
    if seen.reference_NC is not None:
        equal = equality(seen.reference_NC, seen.candidate_NC, positive, task.threshold)
        max_abs, mean_abs, min_cosine = _distances(seen.reference_NC, seen.candidate_NC)
        logits = {THE_SOURCE: seen.reference_NC, **logits}
    judged = [finite_gate(seen, layer_of)]
    judged += decision_gates(seen, gates, positive, help_for(seen, equal, positive, task.threshold))
    judged += life_gates(logits, decisions, labels_N)
    judged += sensitivity_gates(seen, gates, positive, task.class_names)
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
        new_false_negatives=None if positive is None else int(new_misses(seen, positive).sum()),
        logits=LogitErrors(max_abs=max_abs, mean_abs=mean_abs, min_cosine=min_cosine),
        gates=tuple(judged),
        decision=_agreement(seen.flipped_N),
        new_false_positives=None if positive is None else int(new_alarms(seen, positive).sum()),
        p_mcnemar=p_mcnemar(seen),
        equality=equal,
    )


def _agreement(flipped_N: NDArray[np.bool_]) -> DecisionAgreement:
    num, flips = int(flipped_N.size), int(flipped_N.sum())
    return DecisionAgreement(flips=flips, agreement=stats.wilson(num - flips, num) if num else None)


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
