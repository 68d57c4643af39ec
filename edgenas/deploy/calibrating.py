"""What a reduced precision is fitted and tried on before anything is judged: images of *calibrate*, and the rule that decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from edgenas import stats
from edgenas.deploy.decisions import probabilities
from edgenas.errors import ExportError
from edgenas.graphs.leaving import Effect
from edgenas.records import CalibrationMethod

MIN_IMAGES = 8  # fewer say nothing of a range


@dataclass(frozen=True, slots=True)
class CalibrationImages:
    """Images of *calibrate* with what they are, and what decides; images of shape (N, C, H, W) to whoever asks for rows.

    Attributes:
        images_NCHW: preprocessed.
        labels_N: true classes; None where they are not known.
        positive: index of the class that must not be missed.
        threshold: probability from which it is decided; None decides by the largest probability.
        method: how ranges of activations are taken.
        max_changed: share of images that may be decided otherwise.
        max_new_misses: images that may be missed newly.
        adjusts: whether the logit of ``positive`` may be raised against what rounding does to it (`edgenas.deploy.adjusting`).
    """

    images_NCHW: NDArray[np.float32] = field(repr=False)
    labels_N: NDArray[np.int64] | None = field(default=None, repr=False)
    positive: int | None = None
    threshold: float | None = None
    method: CalibrationMethod = "minmax"
    max_changed: float = 0.005
    max_new_misses: int = 0
    adjusts: bool = True

    def __len__(self) -> int:
        return len(self.images_NCHW)

    def __getitem__(self, rows: slice, /) -> NDArray[np.float32]:
        return self.images_NCHW[rows]

    def as_json(self) -> Mapping[str, object]:
        """What tells it from another, the pixels apart."""
        return {
            "images": len(self),
            "method": self.method,
            "positive": self.positive,
            "threshold": self.threshold,
            "max_changed": self.max_changed,
            "max_new_misses": self.max_new_misses,
            "adjusts": self.adjusts,
        }

    @property
    def may_adjust(self) -> bool:
        """Whether there is a class whose logit may be raised."""
        return self.adjusts and self.positive is not None

    def some(self, rows_N: Sequence[int] | NDArray[np.integer]) -> CalibrationImages:
        """The same of some images."""
        labels_N = None if self.labels_N is None else self.labels_N[rows_N]
        return replace(self, images_NCHW=self.images_NCHW[rows_N], labels_N=labels_N)

    def require(self) -> None:
        """Raise `ExportError` where there are too few images, or where one holds what is not a number."""
        require_enough(len(self))
        broken = int((~np.isfinite(self.images_NCHW).reshape(len(self), -1).all(axis=1)).sum())
        if broken:
            raise ExportError(f"{broken} of {len(self)} images of calibrate hold what is not a number")

    def decided(self, logits_NK: NDArray[np.floating]) -> NDArray[np.int64]:
        """Classes by the rule that ships."""
        return stats.decide(probabilities(logits_NK), self.positive, self.threshold)

    def holds(self, effect: Effect) -> bool:
        """Whether so few decisions change that the gates have a chance on test."""
        few = effect.changed <= self.max_changed * effect.num
        return few and isfinite(effect.error) and (self.positive is None or effect.new_misses <= self.max_new_misses)

    @property
    def words(self) -> str:
        """What is allowed."""
        changed = f"{int(self.max_changed * len(self))} changed decisions of {len(self)}"
        return changed if self.positive is None else f"{changed} and {self.max_new_misses} new misses"


def require_enough(num: int) -> None:
    """Raise `ExportError` where *calibrate* has too few images to take ranges from."""
    if num < MIN_IMAGES:
        raise ExportError(
            f"int8 is calibrated on images of calibrate, which has {num}; it takes {MIN_IMAGES} or more",
            hint="raise data.calibrate, or export with precision fp32",
        )


def chosen_rows(labels_N: NDArray[np.integer], positive: int | None, limit: int) -> NDArray[np.int64]:
    """At most ``limit`` rows spread over a split, half of them of the class that must not be missed where there are as many."""
    rows_N = np.arange(len(labels_N))
    if len(rows_N) <= limit:
        return rows_N
    mine = rows_N[labels_N == positive] if positive is not None else rows_N[:0]
    others = rows_N[labels_N != positive] if positive is not None else rows_N
    num_mine = min(len(mine), max(limit // 2, limit - len(others)))
    return np.sort(np.concatenate([_spread(mine, num_mine), _spread(others, limit - num_mine)]))


def _spread(rows: NDArray[np.int64], num: int) -> NDArray[np.int64]:
    return rows[np.linspace(0, len(rows) - 1, num).astype(np.int64)] if num else rows[:0]
