"""What a search is asked: limits, costs, floors on sensitivities, and the split that is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.data.images import Images
from edgenas.project.early import require_classes
from edgenas.project.nets import proof_epochs
from edgenas.project.opening import Project
from edgenas.project.searching.costing import Costing
from edgenas.project.searching.floors import floor_rows, floors_asked, require_floors
from edgenas.project.settings import SearchSettings
from edgenas.records import CandidateRow, RacedRow
from edgenas.search import (
    ALGORITHMS,
    Accuracy,
    Candidate,
    CostObjective,
    Objective,
    Sensitivity,
    SensitivityFloor,
    cost_of,
    takes,
    undominated,
)
from edgenas.search.enumeration import ENUMERATION
from edgenas.search.limits import LATENCY, SENSITIVITY, in_reach
from edgenas.search.objectives import ACCURACY, DEFAULT, losses_of
from edgenas.stats import decide, sensitivities, wilson


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched: limits, costs and the split that is read.

    Attributes:
        proof_epochs: that the best finalists are trained alone for; 0 where nothing is proven.
    """

    project: Project
    images: Images
    costing: Costing
    floors: tuple[SensitivityFloor, ...]
    labels_N: NDArray[np.int64]
    objectives: tuple[Objective, ...] = DEFAULT
    proof_epochs: int = 0

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this question from others, JSON-ready."""
        return {"settings": self.project.settings.search.identity, "tables": self.costing.identity}

    @property
    def is_strict(self) -> bool:
        """Whether a net that misses a floor is none."""
        return self.project.settings.search.strict_sensitivity

    @property
    def limits(self) -> dict[str, float]:
        """Limits on costs and floors on sensitivities, by name."""
        costs = {limit.name: limit.limit for limit in self.costing.limits}
        return costs | {floor.name: floor.floor for floor in self.floors}

    @property
    def goals(self) -> tuple[str, ...] | None:
        """The objectives in words; None for accuracy alone."""
        if self.objectives == DEFAULT:
            return None
        return tuple(f"{'max' if each.maximize else 'min'} {each.name}" for each in self.objectives)

    def losses(
        self, genes_G: NDArray[np.int16], probabilities_NC: NDArray[np.floating], labels_N: NDArray[np.int64]
    ) -> tuple[float, ...]:
        """The objectives of one net on other images, turned so that smaller is better; empty for accuracy alone."""
        if self.objectives == DEFAULT:
            return ()
        losses_AO = losses_of(self.objectives, genes_G[None], probabilities_NC[None], labels_N)
        return tuple(float(loss) for loss in losses_AO[0])

    def front(self, candidates: Sequence[Candidate], described: Sequence[CandidateRow]) -> tuple[CandidateRow, ...] | None:
        """The rows of the candidates that no other beats in all of several objectives; None with one."""
        if len(self.objectives) < 2:
            return None
        rows = {id(candidate): row for candidate, row in zip(candidates, described, strict=True)}
        return tuple(rows[id(candidate)] for candidate in undominated(candidates))

    def ended(self, candidates: Sequence[Candidate], budget: int, num_earlier: int = 0) -> str:
        """Whether all that meets the limits was evaluated or the budget ended the search; how many nets no other beats."""
        num, known = len(candidates) - num_earlier, f", beside {num_earlier:,} that were known" if num_earlier else ""
        is_whole = self.project.settings.search.algorithm == "exhaustive" or any(each.origin == ENUMERATION for each in candidates)
        every = "the one net that meets" if len(candidates) == 1 else f"all {len(candidates):,} nets that meet"
        text = (
            f"{every} the limits {'was' if len(candidates) == 1 else 'were'} evaluated"
            if is_whole
            else f"{num:,} nets of a budget of {budget:,} were evaluated{known}: there may be better ones"
        )
        if len(self.objectives) < 2:
            return text
        return f"{text}; {len(undominated(candidates))} beaten by no other in all of {', '.join(self.goals or ())}"

    def describe(self, candidate: Candidate) -> CandidateRow:
        """The contract's CAND of one candidate, not measured yet."""
        decided_M = candidate.probabilities_NC.argmax(axis=1)  # the threshold is chosen later, on calibrate
        labels_M = self.labels_N if candidate.images_M is None else self.labels_N[candidate.images_M]
        costs = self.costing.describe(np.array(candidate.genes, dtype=np.int16))
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
    return RacedRow(
        images=len(candidate.images_M),
        of=num_images,
        dropped_for=candidate.dropped_for,
        expected_top1=candidate.expected_top1,
    )


def require_algorithm(settings: SearchSettings) -> None:
    """Check that there is the algorithm, and that it can search for what is asked.

    Raises:
        UsageError: if there is none of that name.
        PluginError: naming the package that brings it, if it cannot be used or only knows accuracy.
    """
    algorithm = ALGORITHMS.find(settings.algorithm)
    if (settings.maximize or settings.minimize) and not takes(algorithm, "objectives"):
        raise ALGORITHMS.refused(settings.algorithm, "searches for accuracy alone, not for maximize or minimize")


def objectives_of(project: Project, images: Images, costing: Costing) -> tuple[Objective, ...]:
    """What the search makes large or small, in the order asked for."""
    objectives: list[Objective] = []
    for goal in project.settings.search.goals:
        if goal.kind == ACCURACY:
            objectives.append(Accuracy())
        elif goal.kind == SENSITIVITY:
            objectives.append(Sensitivity(goal.subject, images.class_names.index(goal.subject)))
        elif goal.kind == LATENCY:
            device = next(device for device in costing.devices if device.alias == goal.subject)
            objectives.append(CostObjective(goal.name, device.limited, goal.maximize))
        else:
            objectives.append(CostObjective(goal.name, cost_of(goal.kind, project.space, images.task), goal.maximize))
    return tuple(objectives)


def ask(project: Project, images: Images, costing: Costing) -> Question:
    """The question that the settings put.

    Raises:
        ConfigError, InfeasibleError: as `require_floors`.
    """
    require_classes(project)
    require_floors(project.settings.search, images)
    floors = floors_asked(project.settings.search, images)
    objectives = objectives_of(project, images, costing)
    return Question(project, images, costing, floors, images.labels("select"), objectives, proof_epochs(project))


def missed(floor: SensitivityFloor, p_NC: NDArray[np.floating], labels_N: NDArray[np.int64], split: str) -> str:
    """Why a floor rejects a net, in words, decided as the floor decides, whose threshold is the net's own."""
    mine_N = labels_N == floor.class_index
    if not mine_N.any():
        return f"no image of the class on {split}"
    num_right = int((decide(p_NC[mine_N], floor.positive, floor.threshold) == floor.class_index).sum())
    share = wilson(num_right, int(mine_N.sum()), confidence=floor.confidence or 0.95)
    held, words = (share.value, "") if floor.confidence is None else (share.low, f"at least with confidence {floor.confidence:g} ")
    return f"{num_right} of {share.n} on {split}, {words}{in_reach(held, is_lower=True)}; asked {floor.floor:.12g}"
