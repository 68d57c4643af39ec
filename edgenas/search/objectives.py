"""What a search makes large or small: accuracy, the sensitivity of a class, or any cost.

Shapes: A nets, N images, C classes, O objectives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgenas.registries import choices
from edgenas.search.limits import LATENCY, SENSITIVITY
from edgenas.search.quantities import QUANTITIES, Cost
from edgenas.spaces import Genes
from edgenas.stats import decide

ACCURACY = "accuracy"
EXAMPLE = f"write e.g. {ACCURACY}, {SENSITIVITY}:CLASS, {LATENCY} or params"

_GOAL = re.compile(r"\s*(?P<kind>[\w-]+(\.[\w-]+)*)\s*(\[(?P<inner>.+)\]|:\s*(?P<after>.+?))?\s*", re.DOTALL)


class Objective(Protocol):
    """A number of every evaluated net that is to be large, or small."""

    @property
    def name(self) -> str:
        """E.g. ``accuracy``, ``sensitivity[covid-19]``, ``latency_ms``."""
        ...

    @property
    def maximize(self) -> bool:
        """Whether larger is better."""
        ...

    def values(
        self, genes_AG: Genes, probabilities_ANC: NDArray[np.floating], labels_N: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """The number, of every net, shape (archs,)."""
        ...


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of right argmax decisions."""

    maximize: bool = True
    name: str = ACCURACY

    def values(
        self, genes_AG: Genes, probabilities_ANC: NDArray[np.floating], labels_N: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """As `Objective.values`."""
        right_A: NDArray[np.float64] = (np.argmax(probabilities_ANC, axis=2) == labels_N).mean(axis=1)
        return right_A


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Share of the images of one class that are decided as it, by the argmax: the threshold is chosen later."""

    class_name: str
    class_index: int
    maximize: bool = True

    @property
    def name(self) -> str:
        """As floors on it are called."""
        return f"{SENSITIVITY}[{self.class_name}]"

    def values(
        self, genes_AG: Genes, probabilities_ANC: NDArray[np.floating], labels_N: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """As `Objective.values`; 0 without images of the class."""
        mine_N = labels_N == self.class_index
        if not mine_N.any():
            return np.zeros(len(probabilities_ANC))
        hits = [float((decide(p_NC[mine_N], None, None) == self.class_index).mean()) for p_NC in probabilities_ANC]
        return np.array(hits)


@dataclass(frozen=True, slots=True)
class CostObjective:
    """A cost that genes alone decide."""

    name: str
    cost: Cost
    maximize: bool = False

    def values(
        self, genes_AG: Genes, probabilities_ANC: NDArray[np.floating], labels_N: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """As `Objective.values`."""
        return np.asarray(self.cost(genes_AG), dtype=np.float64)


DEFAULT: tuple[Objective, ...] = (Accuracy(),)


def losses_of(
    objectives: Sequence[Objective], genes_AG: Genes, probabilities_ANC: NDArray[np.floating], labels_N: NDArray[np.integer]
) -> NDArray[np.float64]:
    """The values of every net, turned so that smaller is better, shape (archs, objectives)."""
    columns = [objective.values(genes_AG, probabilities_ANC, labels_N) for objective in objectives]
    signs_O = np.array([-1.0 if objective.maximize else 1.0 for objective in objectives])
    losses_AO: NDArray[np.float64] = np.stack(columns, axis=1) * signs_O
    return losses_AO


@dataclass(frozen=True, slots=True)
class Goal:
    """An objective as it was asked for.

    Attributes:
        kind: ``accuracy``, ``sensitivity``, ``latency_ms`` or another of `QUANTITIES`.
        subject: a class, or the name of a latency table; empty without.
        maximize: whether larger is better.
    """

    kind: str
    subject: str
    maximize: bool

    @property
    def name(self) -> str:
        """As the objective is called."""
        return f"{self.kind}[{self.subject}]" if self.subject else self.kind


def parse_goals(maximize: Iterable[str], minimize: Iterable[str]) -> tuple[list[Goal], list[str]]:
    """The goals that can be read, what is to be large first, and a line for each that cannot; accuracy where none is asked for."""
    goals: list[Goal] = []
    problems: list[str] = []
    for texts, is_large in ((maximize, True), (minimize, False)):
        for text in texts:
            goal = _parsed(text, is_large)
            if isinstance(goal, Goal):
                goals.append(goal)
            else:
                problems.append(f"{text!r}: {goal}")
    names = [goal.name for goal in goals]
    problems += [
        f"{name} is asked for {names.count(name)} times; keep one" for name in dict.fromkeys(names) if names.count(name) > 1
    ]
    return goals or [Goal(ACCURACY, "", True)], problems


def _parsed(text: str, maximize: bool) -> Goal | str:
    """The goal, or what is wrong with the text."""
    parts = _GOAL.fullmatch(text)
    if parts is None:
        return EXAMPLE
    kind, inner, after = parts.group("kind", "inner", "after")
    subject = (inner or after or "").strip()
    if kind not in (ACCURACY, SENSITIVITY, LATENCY) and kind not in QUANTITIES:
        known = (ACCURACY, SENSITIVITY, LATENCY, *QUANTITIES)
        return f"{kind!r} is nothing that can be made large or small; {choices(kind, known)}"
    if kind == SENSITIVITY and not subject:
        return f"a sensitivity is of a class: {SENSITIVITY}:CLASS"
    if subject and kind not in (SENSITIVITY, LATENCY):
        return f"{kind} takes no name"
    if kind in (ACCURACY, SENSITIVITY) and not maximize:
        return f"{kind} is to be large: maximize it"
    return Goal(kind, subject, maximize)
