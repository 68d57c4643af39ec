"""Hard limits: values that judge a whole matrix of candidates at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgenas.records import AT_LEAST, lower_name
from edgenas.search.quantities import Cost
from edgenas.spaces import Genes
from edgenas.stats import decide, wilson

FLOOR = "sensitivity["  # how names of floors on sensitivities begin among limits


class CostConstraint(Protocol):
    """A limit that genes alone decide."""

    @property
    def name(self) -> str:
        """As in the contract's ``limits``."""
        ...

    def violation(self, genes_AG: Genes) -> NDArray[np.float64]:
        """Relative excess of every row, shape (archs,); 0.0 exactly where the limit is met."""
        ...


class CostLimit(CostConstraint, Protocol):
    """A limit on a number that every architecture has."""

    @property
    def limit(self) -> float:
        """In the unit of ``cost``."""
        ...

    @property
    def cost(self) -> Cost:
        """The number, of every row."""
        ...

    def distance(self, costs_A: NDArray[np.float64]) -> NDArray[np.float64]:
        """Costs in the order in which they come to meet the limit, the smallest best, shape (archs,)."""
        ...

    def used(self, cost: float) -> float:
        """Which share of the limit a cost takes up: 1 at the limit, less where there is room, more where it is broken."""
        ...


class MetricConstraint(Protocol):
    """A limit that predictions decide."""

    @property
    def name(self) -> str:
        """As in the contract's ``limits``."""
        ...

    def violation(self, probabilities_ANC: NDArray[np.floating], labels_N: NDArray[np.integer]) -> NDArray[np.float64]:
        """Relative shortfall of every candidate, shape (archs,); 0.0 exactly where the limit is met."""
        ...


@dataclass(frozen=True, slots=True)
class UpperLimit:
    """A cost of at most ``limit``, e.g. predicted latency in milliseconds."""

    name: str
    limit: float
    cost: Cost

    def __post_init__(self) -> None:
        if not self.limit > 0:
            raise ValueError(f"a limit on {self.name} must be positive, not {self.limit:g}")

    def __str__(self) -> str:
        return f"{self.name} <= {self.limit:.12g}"

    def violation(self, genes_AG: Genes) -> NDArray[np.float64]:
        """Relative excess of every row, shape (archs,); 0.0 exactly where the limit is met."""
        excess_A: NDArray[np.float64] = np.maximum(0.0, self.cost(genes_AG) / self.limit - 1.0)
        return excess_A

    def distance(self, costs_A: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `CostLimit.distance`: the cheapest is best."""
        return costs_A

    def used(self, cost: float) -> float:
        """As `CostLimit.used`."""
        return cost / self.limit


@dataclass(frozen=True, slots=True)
class LowerLimit:
    """A cost of at least ``limit``, e.g. a million parameters; its name tells it from an upper limit on the same ``quantity``."""

    quantity: str
    limit: float
    cost: Cost

    def __post_init__(self) -> None:
        if not self.limit > 0:
            raise ValueError(f"a limit on {self.quantity} must be positive, not {self.limit:g}")

    @property
    def name(self) -> str:
        """As in the contract's ``limits``."""
        return lower_name(self.quantity)

    def __str__(self) -> str:
        return f"{self.quantity} >= {self.limit:.12g}"

    def violation(self, genes_AG: Genes) -> NDArray[np.float64]:
        """Relative shortfall of every row, shape (archs,); 0.0 exactly where the limit is met."""
        shortfall_A: NDArray[np.float64] = np.maximum(0.0, 1.0 - self.cost(genes_AG) / self.limit)
        return shortfall_A

    def distance(self, costs_A: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `CostLimit.distance`: the dearest is best."""
        return -costs_A

    def used(self, cost: float) -> float:
        """As `CostLimit.used`; infinite where the cost is 0."""
        return self.limit / cost if cost > 0 else float("inf")


@dataclass(frozen=True, slots=True)
class SensitivityFloor:
    """At least ``floor`` of the images of one class must be decided as it.

    Without a confidence the share on the split that is searched must reach the floor, with one the lower end of its interval.

    Attributes:
        positive: index of the class that is decided from ``threshold`` on; None for the argmax.
        threshold: least probability at which ``positive`` is decided.
        confidence: two-sided, of Wilson's interval.
        thresholds: the threshold of each net by its row; a floor with these says nothing before it is asked `of_net`.
    """

    class_name: str
    class_index: int
    floor: float
    positive: int | None
    threshold: float | None
    confidence: float | None = None
    thresholds: Callable[[Genes], float] | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """As in the contract's ``limits`` and ``rejected_by``."""
        return f"sensitivity[{self.class_name}]"

    def __str__(self) -> str:
        return f"{self.name} >= {self.floor:.12g}"

    def of_net(self, genes_G: Genes) -> SensitivityFloor:
        """The floor as it judges one net, with its own threshold."""
        return self if self.thresholds is None else replace(self, threshold=self.thresholds(genes_G), thresholds=None)

    @property
    def plain(self) -> SensitivityFloor:
        """The floor on the share itself, whatever its interval, decided by the argmax where each net has its own threshold."""
        return replace(self, confidence=None, thresholds=None)

    def values(self, probabilities_ANC: NDArray[np.floating], labels_N: NDArray[np.integer]) -> NDArray[np.float64]:
        """Sensitivity of every candidate, shape (archs,); NaN without images of the class."""
        mine_N = labels_N == self.class_index
        if not mine_N.any():
            return np.full(len(probabilities_ANC), np.nan)
        hits = [
            float((decide(p_NC[mine_N], self.positive, self.threshold) == self.class_index).mean()) for p_NC in probabilities_ANC
        ]
        return np.array(hits)

    def violation(self, probabilities_ANC: NDArray[np.floating], labels_N: NDArray[np.integer]) -> NDArray[np.float64]:
        """Shortfall of every candidate relative to the floor, shape (archs,); not-a-number counts as a full miss."""
        values_A, num = np.nan_to_num(self.values(probabilities_ANC, labels_N), nan=0.0), int((labels_N == self.class_index).sum())
        if self.confidence is not None and num:
            values_A = np.array([wilson(round(value * num), num, confidence=self.confidence).low for value in values_A])
        shortfall_A: NDArray[np.float64] = np.maximum(0.0, 1.0 - values_A / self.floor) if self.floor > 0 else values_A * 0
        return shortfall_A


def floors_of(limits: Mapping[str, float], class_names: Sequence[str]) -> tuple[SensitivityFloor, ...]:
    """The floors among a search's limits, judged by the argmax as there: the threshold is chosen later, on calibrate."""
    floors = {name.removeprefix(FLOOR).removesuffix("]"): floor for name, floor in limits.items() if name.startswith(FLOOR)}
    return tuple(
        SensitivityFloor(name, class_names.index(name), floor, positive=None, threshold=None)
        for name, floor in floors.items()
        if name in class_names
    )


def limit_of(name: str, limit: float, cost: Cost) -> CostLimit:
    """The limit that has this name in the contract's ``limits``."""
    quantity = name.removesuffix(AT_LEAST)
    return LowerLimit(quantity, limit, cost) if name != quantity else UpperLimit(name, limit, cost)


def total_violation(constraints: Sequence[CostConstraint], genes_AG: Genes) -> NDArray[np.float64]:
    """Sum of the relative excesses of every row, shape (archs,); 0.0 exactly where all limits are met."""
    total_A = np.zeros(len(genes_AG))
    for constraint in constraints:
        total_A += constraint.violation(genes_AG)
    return total_A
