"""What a search is asked: limits, costs, floors on sensitivities, and the split that is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.data.images import Images
from edgenas.project.opening import Project
from edgenas.project.searching.budget import Budget
from edgenas.project.searching.floors import floor_rows, floors_asked, require_floors
from edgenas.records import CandidateRow, RacedRow
from edgenas.search import Candidate, SensitivityFloor
from edgenas.stats import sensitivities


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
    def is_strict(self) -> bool:
        """Whether a net that misses a floor is none."""
        return self.project.settings.search.strict_sensitivity

    @property
    def limits(self) -> dict[str, float]:
        """Limits on costs and floors on sensitivities, by name."""
        costs = {limit.name: limit.limit for limit in self.budget.limits}
        return costs | {floor.name: floor.floor for floor in self.floors}

    def describe(self, candidate: Candidate) -> CandidateRow:
        """The contract's CAND of one candidate, not measured yet."""
        decided_M = candidate.probabilities_NC.argmax(axis=1)  # the threshold is chosen later, on calibrate
        labels_M = self.labels_N if candidate.images_M is None else self.labels_N[candidate.images_M]
        costs = self.budget.describe(np.array(candidate.genes, dtype=np.int16))
        return CandidateRow(
            arch=costs.arch,
            params=costs.params,
            macs=costs.macs,
            latency_ms_predicted=costs.latency_ms_predicted,
            latency_ms_upper=costs.latency_ms_upper,
            latencies=costs.latencies,
            top1=candidate.top1,
            sensitivity=sensitivities(decided_M, labels_M, self.images.class_names),
            generation=candidate.generation,
            origin=candidate.origin,
            rejected_by=candidate.rejected_by,
            raced=raced_row(candidate, len(self.labels_N)),
            floors=floor_rows(candidate, self.floors, self.labels_N),
        )


def raced_row(candidate: Candidate, num_images: int) -> RacedRow | None:
    """What the row of a net says of its race; None where it has seen all images."""
    if candidate.images_M is None or candidate.dropped_for is None:
        return None
    return RacedRow(images=len(candidate.images_M), of=num_images, dropped_for=candidate.dropped_for)


def ask(project: Project, images: Images, budget: Budget) -> Question:
    """The question that the settings put.

    Raises:
        ConfigError, InfeasibleError: as `require_floors`.
    """
    require_floors(project.settings.search, images)
    floors = floors_asked(project.settings.search, images)
    return Question(project, images, budget, floors, images.labels("select"))
