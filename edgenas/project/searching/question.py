"""What a search is asked: limits, costs, floors on sensitivities, and the split that is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.data.images import Images
from edgenas.errors import ConfigError
from edgenas.project.opening import SET_POSITIVE, Project
from edgenas.project.searching.budget import Budget
from edgenas.records import CandidateRow
from edgenas.search import Candidate, SensitivityFloor
from edgenas.search.limits import in_reach
from edgenas.stats import Proportion, sensitivities


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched: limits, costs and the split that is read."""

    project: Project
    images: Images
    budget: Budget
    floors: tuple[SensitivityFloor, ...]
    labels_N: NDArray[np.int64]

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this question from others, JSON-ready."""
        return {"settings": self.project.settings.search.identity, "tables": self.budget.identity}

    @property
    def limits(self) -> dict[str, float]:
        """Limits on costs and floors on sensitivities, by name."""
        costs = {limit.name: limit.limit for limit in self.budget.limits}
        return costs | {floor.name: floor.floor for floor in self.floors}

    def describe(self, candidate: Candidate) -> CandidateRow:
        """The contract's CAND of one candidate, not measured yet."""
        decided_N = candidate.probabilities_NC.argmax(axis=1)  # the threshold is chosen later, on calibrate
        costs = self.budget.describe(np.array(candidate.genes, dtype=np.int16))
        shares = sensitivities(decided_N, self.labels_N, self.images.class_names)
        row = CandidateRow(
            arch=costs.arch,
            params=costs.params,
            macs=costs.macs,
            latency_ms_predicted=costs.latency_ms_predicted,
            latency_ms_upper=costs.latency_ms_upper,
            latencies=costs.latencies,
            top1=candidate.top1,
            sensitivity=shares,
            generation=candidate.generation,
            origin=candidate.origin,
        )
        floors = {floor.name: floor for floor in self.floors}
        for name in candidate.rejected_by:
            row = row.rejected(name, missed(floors[name], shares, "select") if name in floors else "as the search judged it")
        return row


def ask(project: Project, images: Images, budget: Budget) -> Question:
    """The question that the settings put.

    Raises:
        ConfigError: if a sensitivity is asked for without a positive class, or of no class of the data.
    """
    settings = project.settings.search
    if settings.floors and images.positive is None:
        raise ConfigError("a sensitivity is asked for, but no positive class is set", hint=SET_POSITIVE)
    unknown = [name for name in settings.floors if name not in images.class_names]
    if unknown:
        raise ConfigError(
            f"a sensitivity is asked for of no class of the data: {', '.join(unknown)}",
            hint=f"classes are: {', '.join(images.class_names)}",
        )
    floors = tuple(
        SensitivityFloor(name, images.class_names.index(name), floor, positive=None, threshold=None)
        for name, floor in settings.floors.items()
    )
    return Question(project, images, budget, floors, images.labels("select"))


def missed(floor: SensitivityFloor, shares: Mapping[str, Proportion], split: str) -> str:
    """Why a floor rejects a net, in words."""
    share = shares[floor.class_name]
    if share.n == 0:
        return f"no image of the class on {split}"
    return (
        f"{round(share.value * share.n)} of {share.n} on {split}, {in_reach(share.value, is_lower=True)}; asked {floor.floor:.12g}"
    )
