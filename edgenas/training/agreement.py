"""Does a net of others mean by its outputs the classes that they are taken for?

Libraries order classes differently: by name, by number in the name, as a list has them. A teacher whose order is another is always
wrong, and teaches just that.

Shapes: N images, K classes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from edgenas.errors import CheckpointError
from edgenas.percents import percent
from edgenas.stats import Proportion, mcnemar, wilson

SURE = 0.01  # p-value below which another order is better
USEFUL = 0.25  # Cohen's kappa below which a net teaches nothing worth having


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a net's answers and the labels go together.

    Attributes:
        top1: as the outputs are taken.
        chance: what the same answers would hit if they were given to the images at random.
        meant: for every class that is answered, the class that is meant by it; None where no order is shown to be better.
        top1_meant: with that order.
    """

    top1: Proportion
    chance: float
    meant: tuple[int, ...] | None = None
    top1_meant: Proportion | None = None

    @property
    def best(self) -> Proportion:
        """With the order that is better, where one is."""
        return self.top1 if self.top1_meant is None else self.top1_meant

    @property
    def is_undecided(self) -> bool:
        """Whether it may be no better than chance."""
        return self.top1.low <= self.chance

    @property
    def is_chance(self) -> bool:
        """Whether it is shown to be of no use: its interval holds chance, and ends below a kappa of `USEFUL`."""
        return self.is_undecided and self.top1.high < self.chance + USEFUL * (1 - self.chance)


def agreement(answered_N: NDArray[np.int64], labels_N: NDArray[np.int64], num_classes: int) -> Agreement:
    """Compare answers with labels, as they are and under the best order of the classes.

    With many classes and few images some order always looks better. So the best order of one half of the images is tried on the
    other half, in turn, and counts if it is right more often there (`mcnemar`).
    """
    right_N = answered_N == labels_N
    shares_K, said_K = (np.bincount(each_N, minlength=num_classes) / max(1, len(labels_N)) for each_N in (labels_N, answered_N))
    result = Agreement(wilson(int(right_N.sum()), len(labels_N)), float((shares_K * said_K).sum()))
    half_N = np.zeros(len(labels_N), dtype=np.int64)
    half_N[np.argsort(labels_N, kind="stable")] = np.arange(len(labels_N)) % 2
    meant_right_N = np.zeros(len(labels_N), dtype=np.bool_)
    for half in (0, 1):
        here_N = half_N == half
        meant_K = _best_order(answered_N[~here_N], labels_N[~here_N], num_classes)
        meant_right_N[here_N] = meant_K[answered_N[here_N]] == labels_N[here_N]
    gained, lost = int((meant_right_N & ~right_N).sum()), int((right_N & ~meant_right_N).sum())
    meant_K = _best_order(answered_N, labels_N, num_classes)
    if gained <= lost or mcnemar(gained, lost) >= SURE or np.array_equal(meant_K, np.arange(num_classes)):
        return result
    top1 = wilson(int((meant_K[answered_N] == labels_N).sum()), len(labels_N))
    return Agreement(result.top1, result.chance, tuple(int(each) for each in meant_K), top1)


def _best_order(answered_N: NDArray[np.int64], labels_N: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """For every class that is answered the class that fits most often; a class keeps its place where nothing speaks against it."""
    counts_KK = np.zeros((num_classes, num_classes))
    np.add.at(counts_KK, (answered_N, labels_N), 1)
    counts_KK[np.diag_indices(num_classes)] += 0.5
    _, meant_K = scipy.optimize.linear_sum_assignment(counts_KK, maximize=True)
    return np.asarray(meant_K, dtype=np.int64)


def require_agreement(agreed: Agreement, who: str, outputs: Sequence[str], class_names: Sequence[str]) -> str | None:
    """Check that a given net may teach.

    Args:
        agreed: on select.
        who: the net, for messages.
        outputs: the classes that its outputs are taken for, in their order.
        class_names: of the images, in the order of labels.

    Returns:
        A warning where the images are too few to tell it from chance; None where all is well.

    Raises:
        CheckpointError: with the order that was found and the setting for it; or if the net is no better than chance.
    """
    if agreed.meant is not None:
        order = _order(agreed.meant, outputs, class_names)
        assert agreed.top1_meant is not None
        natural = ", that of natural sorting," if order == sorted(class_names, key=natural_key) else ""
        raise CheckpointError(
            f"{who} has another order of classes: it is right on {_shown(agreed.top1)} of select, and with the order"
            f"{natural} {', '.join(order)} of its outputs on {_shown(agreed.top1_meant)}",
            hint=_classes_setting(order),
        )
    facts = f"{who} is right on {_shown(agreed.top1)} of select, where its answers would hit {percent(agreed.chance)} by chance"
    if agreed.is_chance:
        hint = "look at its weights, teacher.mean, teacher.std and teacher.classes; --set teacher.check=false takes it all the same"
        raise CheckpointError(f"{facts}: it has nothing to teach", hint=hint)
    return f"{facts}: too few images to tell whether it knows the classes" if agreed.is_undecided else None


def require_no_better(
    agreed: Agreement,
    other: Agreement,
    who: str,
    reads: tuple[Sequence[float], Sequence[float]],
    outputs: Sequence[str],
    class_names: Sequence[str],
) -> None:
    """Check that a given net does not know the classes better with another mean and deviation than timm names for it.

    Args:
        agreed: as timm says.
        other: with the mean and deviation of ``reads``.
        who, outputs, class_names: as `require_agreement`.
        reads: mean and deviation.

    Raises:
        CheckpointError: if it does, with the settings for them, and for the order of the classes that was found with them.
    """
    if other.best.low <= agreed.best.high:
        return
    mean, std = (f"[{', '.join(f'{value:g}' for value in values)}]" for values in reads)
    settings = f"--set 'teacher.mean={mean}' --set 'teacher.std={std}'"
    also = ""
    if other.meant is not None:
        order = _order(other.meant, outputs, class_names)
        settings += f" {_classes_setting(order)}"
        also = f" and the order {', '.join(order)} of its outputs"
    raise CheckpointError(
        f"{who} is right on {_shown(agreed.best)} of select with the mean and deviation that timm names for it, and on "
        f"{_shown(other.best)} with mean {mean}, deviation {std}{also}",
        hint=settings,
    )


def _order(meant: Sequence[int], outputs: Sequence[str], class_names: Sequence[str]) -> list[str]:
    """The classes that outputs mean, in their order."""
    return [class_names[meant[list(class_names).index(name)]] for name in outputs]


def _classes_setting(order: Sequence[str]) -> str:
    listed = ", ".join(f'"{_escaped(name)}"' for name in order)
    return f"--set 'teacher.classes=[{listed}]'"


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts names with numbers in them by these numbers, as people and some libraries do."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in re.split(r"(\d+)", name) if part]


def _shown(share: Proportion) -> str:
    return f"{percent(share.value)} ({share.n:,} images)"


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')
