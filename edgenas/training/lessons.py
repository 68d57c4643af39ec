"""What a teacher is worth to its students, by what they got right on select; shapes: N images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenas.percents import numeral, percent
from edgenas.records import TriedLesson
from edgenas.stats import Proportion, mcnemar, paired_difference

TEMPERATURE = 2.0  # of soft targets, where nothing says another


@dataclass(frozen=True, slots=True)
class Lesson:
    """One way to teach."""

    kd_weight: float
    temperature: float
    flip: bool = False

    def __str__(self) -> str:
        text = f"weight {self.kd_weight:g}, temperature {self.temperature:g}" if self.kd_weight else "labels alone"
        return text + (", mirrored" if self.flip else "")


@dataclass(frozen=True, slots=True)
class Arm:
    """A lesson as the student took it.

    Attributes:
        right_N: images of select that it got right.
        epochs, seconds: of its training; None seconds where no log says.
    """

    lesson: Lesson
    right_N: NDArray[np.bool_]
    epochs: int = 0
    seconds: float | None = None

    @property
    def top1(self) -> float:
        """Accuracy on select."""
        return float(self.right_N.mean())

    @property
    def row(self) -> TriedLesson:
        """For the probe's file."""
        how = self.lesson
        return TriedLesson(
            kd_weight=how.kd_weight,
            temperature=how.temperature,
            flip=how.flip,
            select_top1=self.top1,
            epochs=self.epochs,
            seconds=self.seconds,
        )


LESSONS = (Lesson(0.0, TEMPERATURE), Lesson(0.5, 2.0), Lesson(0.9, 2.0), Lesson(0.9, 4.0))


def choose(arms: Sequence[Arm], teacher_right_N: NDArray[np.bool_]) -> tuple[Lesson, str]:
    """The best lesson with its reason in words.

    Short trainings on few images tell small differences badly. A teacher that is better than a student of labels is trusted unless
    labels win clearly (the paired interval of the difference excludes 0); one that is not has to win clearly itself.

    Args:
        arms: labels alone, and one lesson of the teacher or more.
        teacher_right_N: images of select that the teacher gets right.
    """
    labels = next(arm for arm in arms if arm.lesson.kd_weight == 0)
    best = max((arm for arm in arms if arm.lesson.kd_weight > 0), key=lambda arm: arm.top1)
    gain = paired_difference(best.right_N, labels.right_N, rng=np.random.default_rng(0))
    is_better = float(teacher_right_N.mean()) > labels.top1
    taught = gain.high >= 0 if is_better else gain.low > 0
    shown = f"a student gets {points(best.top1)} % of select with the teacher, {points(labels.top1)} % with labels alone"
    shown += f" (difference {_interval(gain)} points), the teacher {points(float(teacher_right_N.mean()))} %"
    if taught:
        return best.lesson, f"{best.lesson}: {shown}"
    return labels.lesson, f"labels alone beat the teacher: {shown}; nets learn from labels (train.kd_weight 0)"


def guesses_no_better(top1: Proportion, labels_N: NDArray[np.int64], class_names: Sequence[str]) -> str | None:
    """In words, that a teacher is no better than always saying the most frequent class; None if it is better.

    Args:
        top1: accuracy on select.
        labels_N: right classes there.
        class_names: of the labels.
    """
    counts = np.bincount(labels_N, minlength=len(class_names))
    share = counts.max() / counts.sum()
    if top1.low > share:
        return None
    name = class_names[int(counts.argmax())]
    return f"the teacher is right on {percent(top1.value)} of select; always saying {name} is right on {percent(share)}"


def at_the_ceiling(teacher_top1: Proportion, student_top1: Proportion) -> str | None:
    """In words, that the largest subnet is as good as its teacher, so that this teacher has no more to give; else None.

    Args:
        teacher_top1: accuracy on select.
        student_top1: that of the largest subnet there.
    """
    if student_top1.value < teacher_top1.value:
        return None
    return (
        f"the largest subnet ({points(student_top1.value)} % of select) has reached its teacher "
        f"({points(teacher_top1.value)} %): a better teacher may lift all nets"
    )


def largest_behind(right: Mapping[str, NDArray[np.bool_]], *, level: float = 0.05) -> str | None:
    """In words, that the largest subnet is worse than a smaller one on the same images, beyond chance; else None.

    A supernet whose largest net has not learnt what its smaller ones have tells nothing of large nets, and in-place distillation
    teaches the others less than they know.

    Args:
        right: which images of select each subnet gets right, shape (N,), by its name, ``largest`` among them.
        level: of McNemar's test.
    """
    largest_N = right["largest"]
    for name, other_N in right.items():
        only_largest, only_other = int((largest_N & ~other_N).sum()), int((other_N & ~largest_N).sum())
        if only_other > only_largest and mcnemar(only_largest, only_other) < level:
            return (
                f"the largest subnet ({points(float(largest_N.mean()))} % of select) is behind the {name} one "
                f"({points(float(other_N.mean()))} %): its weights say little of large nets yet; train longer, or with "
                "a sampling rule in which the largest learns more often"
            )
    return None


def points(share: float) -> str:
    """A share in points of a hundred, for a reader."""
    return numeral(share)


def _interval(share: Proportion) -> str:
    return f"{100 * share.value:+.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"
