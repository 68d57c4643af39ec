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
from edgenas.search.limits import in_reach
from edgenas.stats import decide, sensitivities, wilson


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
        row = CandidateRow(
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
            raced=raced_row(candidate, len(self.labels_N)),
            floors=floor_rows(candidate, self.floors, self.labels_N),
        )
        floors = {floor.name: floor.of_net(np.array(candidate.genes, dtype=np.int16)) for floor in self.floors}
        for name in candidate.rejected_by:
            known = name in floors
            why = missed(floors[name], candidate.probabilities_NC, labels_M, "select") if known else "as the search judged it"
            row = row.rejected(name, why)
        return row


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


def missed(floor: SensitivityFloor, p_NC: NDArray[np.floating], labels_N: NDArray[np.int64], split: str) -> str:
    """Why a floor rejects a net, in words, decided as the floor decides, whose threshold is the net's own."""
    mine_N = labels_N == floor.class_index
    if not mine_N.any():
        return f"no image of the class on {split}"
    found = int((decide(p_NC[mine_N], floor.positive, floor.threshold) == floor.class_index).sum())
    share = wilson(found, int(mine_N.sum()), confidence=floor.confidence or 0.95)
    held, words = (share.value, "") if floor.confidence is None else (share.low, f"at least with confidence {floor.confidence:g} ")
    return f"{found} of {share.n} on {split}, {words}{in_reach(held, is_lower=True)}; asked {floor.floor:.12g}"
