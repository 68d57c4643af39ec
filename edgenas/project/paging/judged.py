"""What kept answers show image by image: errors of the positive class, its ROC curve, whether probabilities are what they say.

Shapes: N images, B bins, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgenas.project.answers import Answers
from edgenas.records import Gallery, JudgedImages, PageImage, Proportion, Reliability, ReliabilityBin, RocCurve, RocPoint
from edgenas.stats import wilson
from edgenas.training.scores import auroc

CONFIDENCE = 0.95
NUM_BINS = 10
MAX_POINTS = 240  # of a curve
SHOWN = 24  # images of a gallery
NUM_RESAMPLES = 1000

Thumbnail = Callable[[int], PageImage | None]  # of the image at a position of the split; None where it cannot be read


def judged(answers: Answers, thumbnail: Thumbnail) -> JudgedImages:
    """Everything that the answers to one split show.

    Args:
        answers: of one net.
        thumbnail: of an image by its position in the split, with its name and label alone.
    """
    if answers.positive_N is None or answers.facts.positive is None:
        wrong_N = np.flatnonzero(answers.decided_N != answers.labels_N)
        order_N = wrong_N[np.argsort(-answers.confidence_N[wrong_N], kind="stable")]
        confused = _gallery(answers, order_N, len(answers.labels_N), thumbnail)
        return JudgedImages(roc=None, reliability=reliability(answers), missed=None, alarms=None, confused=confused)
    positive = answers.facts.classes.index(answers.facts.positive)
    is_positive_N, is_called_N = answers.labels_N == positive, answers.decided_N == positive
    missed_N, alarms_N = np.flatnonzero(is_positive_N & ~is_called_N), np.flatnonzero(~is_positive_N & is_called_N)
    by_p_N = answers.positive_N
    return JudgedImages(
        roc=roc_curve(by_p_N, is_positive_N, is_called_N, answers.facts.threshold),
        reliability=reliability(answers),
        missed=_gallery(answers, missed_N[np.argsort(by_p_N[missed_N], kind="stable")], int(is_positive_N.sum()), thumbnail),
        alarms=_gallery(answers, alarms_N[np.argsort(-by_p_N[alarms_N], kind="stable")], int((~is_positive_N).sum()), thumbnail),
        confused=None,
    )


def _gallery(answers: Answers, order_N: NDArray[np.int64], of: int, thumbnail: Thumbnail) -> Gallery:
    """The first of some images, the worst first."""
    images: list[PageImage] = []
    unread = 0
    for position in order_N[:SHOWN].tolist():
        image = thumbnail(position)
        if image is None:
            unread += 1
            continue
        p = answers.positive_N if answers.positive_N is not None else answers.confidence_N
        decided = answers.facts.classes[answers.decided_N[position]]
        images.append(with_answer(image, decided, float(p[position])))
    return Gallery(images=tuple(images), num=len(order_N), of=of, unread=unread)


def with_answer(image: PageImage, decided: str, probability: float) -> PageImage:
    """An image with what a net said of it."""
    return PageImage(
        name=image.name,
        mime=image.mime,
        content=image.content,
        width=image.width,
        height=image.height,
        label=image.label,
        decided=decided,
        positive=probability,
    )


def roc_curve(
    p_N: NDArray[np.float64], is_positive_N: NDArray[np.bool_], is_called_N: NDArray[np.bool_], threshold: float | None
) -> RocCurve | None:
    """Sensitivity and false alarms at every threshold; None where there are no images of the class, or no others."""
    positives, others = int(is_positive_N.sum()), int((~is_positive_N).sum())
    if not positives or not others:
        return None
    order_N = np.argsort(-p_N, kind="stable")
    sorted_N = p_N[order_N]
    last_of_tie_N = np.append(np.flatnonzero(np.diff(sorted_N)), len(sorted_N) - 1)
    found_N = np.cumsum(is_positive_N[order_N])[last_of_tie_N] / positives
    alarms_N = np.cumsum(~is_positive_N[order_N])[last_of_tie_N] / others
    kept_N = np.unique(np.linspace(0, len(last_of_tie_N) - 1, MAX_POINTS).astype(np.int64))
    points = [RocPoint(threshold=1.0, false_alarms=0.0, sensitivity=0.0)]
    points += [
        RocPoint(threshold=float(sorted_N[last_of_tie_N[i]]), false_alarms=float(alarms_N[i]), sensitivity=float(found_N[i]))
        for i in kept_N.tolist()
    ]
    return RocCurve(
        points=tuple(points),
        area=auroc(p_N, is_positive_N, CONFIDENCE),
        threshold=threshold,
        sensitivity=wilson(int((is_called_N & is_positive_N).sum()), positives),
        false_alarms=wilson(int((is_called_N & ~is_positive_N).sum()), others),
    )


def reliability(answers: Answers) -> Reliability:
    """Accuracy of the argmax over its probability, in bins of equal width, with the mean distance of both.

    The distance has the interval of a percentile bootstrap over images, which is as likely to be too high as the distance itself:
    of few images even a true probability is off (Kumar et al., NeurIPS 2019, arXiv:1909.10155).
    """
    right_N = (answers.argmax_N == answers.labels_N).astype(np.float64)
    confidence_N = answers.confidence_N
    bin_N = np.clip((confidence_N * NUM_BINS).astype(np.int64), 0, NUM_BINS - 1)
    bins = []
    for index in np.unique(bin_N).tolist():
        mine_N = bin_N == index
        accuracy = wilson(int(right_N[mine_N].sum()), int(mine_N.sum()))
        mean = float(confidence_N[mine_N].mean())
        bins.append(ReliabilityBin(low=index / NUM_BINS, high=(index + 1) / NUM_BINS, confidence=mean, accuracy=accuracy))
    return Reliability(bins=tuple(bins), error=_calibration_error(bin_N, confidence_N - right_N))


def _calibration_error(bin_N: NDArray[np.int64], excess_N: NDArray[np.float64]) -> Proportion:
    n = len(bin_N)
    if not n:
        return Proportion(float("nan"), 0.0, 1.0, 0)
    value = float(np.abs(np.bincount(bin_N, excess_N, NUM_BINS)).sum()) / n
    rng, drawn = np.random.default_rng(0), []
    for _ in range(NUM_RESAMPLES if n <= 20_000 else 100):
        rows_N = rng.integers(n, size=n)
        drawn.append(float(np.abs(np.bincount(bin_N[rows_N], excess_N[rows_N], NUM_BINS)).sum()) / n)
    low, high = np.quantile(drawn, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return Proportion(value, min(float(low), value), max(float(high), value), n)
