"""What the reports of classifiers hold beside accuracy and sensitivity: predictive values, F1, AUROC, calibration.

The numbers are those of scikit-learn, which tests compare; importing it takes longer than the evaluation of a small net.

Shapes: N images, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgenas.records import ClassScores, Proportion, Scores
from edgenas.stats import expected_calibration_error, normal_quantile, wilson

NUM_RESAMPLES = 400  # of images, for what has no formula of its interval
TOP = 5

Number = Callable[[NDArray[np.int64]], float]  # of the images with these indices


def scores(
    probabilities_NC: NDArray[np.floating],
    decided_N: NDArray[np.int64],
    labels_N: NDArray[np.int64],
    class_names: Sequence[str],
    *,
    prevalence: float | None = None,
    confidence: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Scores:
    """The scores of predictions, with intervals.

    Shares of images have Wilson intervals, AUROC that of Hanley & McNeil (Radiology 1982), macro F1 and the calibration error
    percentiles over resampled images. Predictive values are those of the classes' shares among these images; where a class is rarer
    in use they say nothing, and ``prevalence`` gives those that Bayes' rule makes of sensitivity and specificity.

    Args:
        probabilities_NC: class probabilities.
        decided_N: the class that was decided, by whatever rule.
        labels_N: class indices.
        class_names: of the columns.
        prevalence: share of a class's images in use, in (0, 1); None leaves the values at a prevalence out.
        confidence: of the intervals.
        num_resamples: of the images.
        seed: of the resamples.
    """
    num_classes = len(class_names)
    rng = np.random.default_rng(seed)
    resamples = [rng.integers(len(labels_N), size=len(labels_N)) for _ in range(num_resamples)] if len(labels_N) else []
    sure_N, right_N = probabilities_NC.max(axis=1, initial=0.0), probabilities_NC.argmax(axis=1) == labels_N

    def f1(rows: NDArray[np.int64]) -> float:
        return macro_f1(decided_N[rows], labels_N[rows], num_classes)

    def calibration_error(rows: NDArray[np.int64]) -> float:
        return expected_calibration_error(sure_N[rows], right_N[rows])

    interval = _Resampled(resamples, len(labels_N), confidence)
    return Scores(
        classes={
            name: _of_class(probabilities_NC[:, index], decided_N == index, labels_N == index, prevalence, confidence)
            for index, name in enumerate(class_names)
        },
        macro_f1=interval(f1),
        calibration_error=interval(calibration_error),
        top5=_top5(probabilities_NC, labels_N, confidence) if num_classes > TOP else None,
        prevalence=prevalence,
    )


class _Resampled:
    """Percentile intervals of numbers over the same resamples."""

    def __init__(self, resamples: Sequence[NDArray[np.int64]], n: int, confidence: float) -> None:
        self.resamples, self.n = resamples, n
        self.ends = [0.5 - confidence / 2, 0.5 + confidence / 2]

    def __call__(self, number: Number) -> Proportion:
        if not self.n:
            return Proportion(math.nan, 0.0, 1.0, 0)
        value = number(np.arange(self.n))
        low, high = np.quantile([number(rows) for rows in self.resamples], self.ends)
        return Proportion(value, min(float(low), value), max(float(high), value), self.n)


def _top5(probabilities_NC: NDArray[np.floating], labels_N: NDArray[np.int64], confidence: float) -> Proportion:
    """Share of images whose class is among the five likeliest."""
    if not len(labels_N):
        return wilson(0, 0, confidence=confidence)
    likeliest_N5 = np.argsort(probabilities_NC, axis=1, kind="stable")[:, -TOP:]
    right = int((likeliest_N5 == labels_N[:, None]).any(axis=1).sum())
    return wilson(right, len(labels_N), confidence=confidence)


def _of_class(
    p_N: NDArray[np.floating],
    decided_N: NDArray[np.bool_],
    is_it_N: NDArray[np.bool_],
    prevalence: float | None,
    confidence: float,
) -> ClassScores:
    """One class against all others."""

    def share(of_N: NDArray[np.bool_], hits_N: NDArray[np.bool_]) -> Proportion:
        return wilson(int((of_N & hits_N).sum()), int(of_N.sum()), confidence=confidence)

    sensitivity, specificity = share(is_it_N, decided_N), share(~is_it_N, ~decided_N)
    at = (None, None) if prevalence is None else predictive_values(sensitivity, specificity, prevalence)
    return ClassScores(
        ppv=share(decided_N, is_it_N),
        npv=share(~decided_N, ~is_it_N),
        specificity=specificity,
        auroc=auroc(p_N, is_it_N, confidence),
        ppv_at_prevalence=at[0],
        npv_at_prevalence=at[1],
    )


def predictive_values(sensitivity: Proportion, specificity: Proportion, prevalence: float) -> tuple[Proportion, Proportion]:
    """Positive and negative predictive value where a class has another share than among the judged images, by Bayes' rule.

    Both grow with sensitivity and specificity, so the ends of these intervals give ends that hold at least as surely as both
    together.

    Args:
        sensitivity: share of the class's images that are decided as it.
        specificity: share of the others that are not.
        prevalence: of the class, in (0, 1).

    Raises:
        ValueError: if the prevalence is no share between none and all.
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"a prevalence is between 0 and 1, not {prevalence:g}")

    def ppv(sens: float, spec: float) -> float:
        hits, wrong = sens * prevalence, (1 - spec) * (1 - prevalence)
        return hits / (hits + wrong) if hits + wrong > 0 else math.nan

    def npv(sens: float, spec: float) -> float:
        right, missed = spec * (1 - prevalence), (1 - sens) * prevalence
        return right / (right + missed) if right + missed > 0 else math.nan

    n = sensitivity.n + specificity.n
    ends = ((share.value, share.low, share.high) for share in (sensitivity, specificity))
    (sens, spec), low, high = zip(*ends, strict=True)
    return (
        Proportion(ppv(sens, spec), _or(ppv(*low), 0.0), _or(ppv(*high), 1.0), n),
        Proportion(npv(sens, spec), _or(npv(*low), 0.0), _or(npv(*high), 1.0), n),
    )


def _or(value: float, other: float) -> float:
    return other if math.isnan(value) else value


def macro_f1(decided_N: NDArray[np.int64], labels_N: NDArray[np.int64], num_classes: int) -> float:
    """Mean over the classes that some image has of the harmonic mean of their precision and sensitivity.

    Args:
        decided_N: the class that was decided.
        labels_N: class indices.
        num_classes: above all of them.
    """
    right_C, decided_C, there_C = (
        np.bincount(each, minlength=num_classes) for each in (labels_N[decided_N == labels_N], decided_N, labels_N)
    )
    is_there_C = there_C > 0
    return float((2 * right_C / np.maximum(decided_C + there_C, 1))[is_there_C].mean())


def auroc(p_N: NDArray[np.floating], is_it_N: NDArray[np.bool_], confidence: float) -> Proportion:
    """How often an image of the class is thought likelier to be of it than one of another, with Hanley and McNeil's interval."""
    positives, negatives = int(is_it_N.sum()), int((~is_it_N).sum())
    if not positives or not negatives:
        return Proportion(math.nan, 0.0, 1.0, len(is_it_N))
    _, place_N, num_V = np.unique(p_N, return_inverse=True, return_counts=True)
    rank_V = np.cumsum(num_V) - (num_V - 1) / 2  # equal ones share the mean of their ranks: half a pair is right
    area = float(rank_V[place_N[is_it_N]].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    both_above, both_below = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (positives - 1) * (both_above - area**2) + (negatives - 1) * (both_below - area**2)
    half = normal_quantile(0.5 + confidence / 2) * math.sqrt(max(0.0, spread) / (positives * negatives))
    if half == 0:  # all pairs are right: no more than one of as many can be wrong
        least = wilson(min(positives, negatives), min(positives, negatives), confidence=confidence).low
        return Proportion(area, min(area, least), 1.0, len(is_it_N))
    return Proportion(area, max(0.0, area - half), min(1.0, area + half), len(is_it_N))
