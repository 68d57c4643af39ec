"""Parity: does an exported model decide as its source does, image by image?

What is judged is the decision rule that ships: where a class must not be missed, positive from the threshold on, else the best
other; without one the argmax. Shares are judged by intervals, so that few images prove little; see `edgenas.deploy.gates`.
"""

from __future__ import annotations

import math
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
    loss_gates,
    new_alarms,
    new_misses,
    p_mcnemar,
    probabilities,
    sensitivity_gates,
)
from edgenas.deploy.gates import Gates, count_gate, floor_gate, life_gates, overall
from edgenas.deploy.margins import equality, margins
from edgenas.deploy.shifts import calibration_shift, logit_errors
from edgenas.deploy.unseen import margins_of, reach_of, unseen_flips
from edgenas.errors import ParityError
from edgenas.records import CalibrationShift, DecisionAgreement, Gate, LogitErrors, Margins, Parity, UnseenFlips, Verdict

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
    distances = LogitErrors(max_abs=math.nan, mean_abs=math.nan, min_cosine=math.nan)
    logits, decisions = {THE_FILE: seen.candidate_NC}, {THE_SOURCE: seen.before_N, THE_FILE: seen.after_N}
    if seen.reference_NC is not None:
        equal = equality(seen.reference_NC, seen.candidate_NC, positive, task.threshold)
        distances = logit_errors(seen.reference_NC, seen.candidate_NC)
        logits = {THE_SOURCE: seen.reference_NC, **logits}
    judged = [finite_gate(seen, layer_of)]
    helps = help_for(seen, equal, positive, task.threshold)
    judged += decision_gates(seen, gates, positive, helps)
    judged += loss_gates(seen, gates, positive, helps)
    judged += life_gates(logits, decisions, labels_N)
    judged += sensitivity_gates(seen, gates, positive, task.class_names)
    if gates.max_abs_logit is not None and seen.reference_NC is not None:
        max_abs = math.nan if distances.max_abs is None else distances.max_abs
        judged.append(count_gate("max_abs_logit", max_abs, gates.max_abs_logit))
    verdict, reason = _worst(judged, gates)
    same_N, evidence = seen.same_argmax_N, _evidence(seen, task)
    return Parity(
        verdict=verdict,
        reason=reason,
        reference=task.reference,
        num_images=int(labels_N.size),
        num_positives=None if positive is None else int((labels_N == positive).sum()),
        top1_agreement=float(same_N.mean()) if same_N is not None and same_N.size else None,
        flips={name: int(seen.flipped_N[labels_N == index].sum()) for index, name in enumerate(task.class_names)},
        new_false_negatives=None if positive is None else int(new_misses(seen, positive).sum()),
        logits=distances,
        gates=tuple(judged),
        decision=_agreement(seen.flipped_N),
        new_false_positives=None if positive is None else int(new_alarms(seen, positive).sum()),
        p_mcnemar=p_mcnemar(seen),
        equality=equal,
        margins=evidence.margins,
        unseen=evidence.unseen,
        unseen_positives=evidence.unseen_positives,
        calibration=evidence.calibration,
    )


def _worst(judged: Sequence[Gate], gates: Gates) -> tuple[Verdict, str]:
    """As `overall`; a margin that nobody has set follows from another gate, whose reason is enough."""
    verdict, reason = overall(judged)
    by_set, reason_of_set = overall([each for each in judged if each.name not in gates.followed])
    return verdict, reason_of_set if by_set == verdict else reason


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What is known beyond the verdict, as in `Parity`; nothing of it decides a gate."""

    unseen: UnseenFlips | None
    unseen_positives: UnseenFlips | None = None
    margins: Margins | None = None
    calibration: CalibrationShift | None = None


def _evidence(seen: Seen, task: _Task) -> _Evidence:
    """How far decisions are from others, and what is to be expected of images that were not seen."""
    margin_N = reach_N = of_margins = calibration = unseen_positives = None
    if seen.reference_NC is not None:
        with np.errstate(invalid="ignore"):
            margin_N = margins(seen.reference_NC, task.positive, task.threshold)
            reach_N = reach_of(seen.reference_NC, seen.candidate_NC) if len(margin_N) else margin_N
        of_margins = margins_of(seen.reference_NC, seen.candidate_NC, seen.flipped_N, task.positive, task.threshold)
        calibration = calibration_shift(seen.reference_NC, seen.candidate_NC, seen.labels_N)
    if task.positive is not None:
        mine_N = seen.labels_N == task.positive
        of_mine = (None, None) if margin_N is None or reach_N is None else (margin_N[mine_N], reach_N[mine_N])
        unseen_positives = unseen_flips(seen.flipped_N[mine_N], *of_mine)
    return _Evidence(unseen_flips(seen.flipped_N, margin_N, reach_N), unseen_positives, of_margins, calibration)


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
