"""Turning rows of genes into candidates that were evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenas.search.base import Candidate, Evaluator
from edgenas.search.constraints import MetricConstraint
from edgenas.search.objectives import DEFAULT, Objective, losses_of
from edgenas.search.racing import Raced, SeenPredictions, judging, least_violation
from edgenas.spaces import Genes


@dataclass(frozen=True, slots=True)
class Judge:
    """Turns rows into candidates.

    Attributes:
        evaluate: predicts.
        labels_N: right classes of the images, shape (images,).
        floors: limits on predictions.
        objectives: what is to be large or small.
    """

    evaluate: Evaluator
    labels_N: NDArray[np.int64]
    floors: Sequence[MetricConstraint]
    objectives: Sequence[Objective] = DEFAULT

    def __call__(self, genes_AG: Genes, generation: int, origin: str) -> list[Candidate]:
        """A candidate for every row, in order; raced where the evaluator says so."""
        if len(genes_AG) == 0:
            return []
        if not isinstance(self.evaluate, Raced):
            seen = [SeenPredictions(p_NC) for p_NC in self.evaluate(genes_AG, np.arange(len(self.labels_N)))]
            return self._candidates(genes_AG, seen, generation, origin)
        seen = self.evaluate.run(genes_AG, self.labels_N, self.floors)
        candidates = self._candidates(genes_AG, seen, generation, origin)
        self.evaluate.finished(candidates, self.labels_N)
        return candidates

    def _candidates(self, genes_AG: Genes, seen: Sequence[SeenPredictions], generation: int, origin: str) -> list[Candidate]:
        return [self._candidate(row_G, shown, generation, origin) for row_G, shown in zip(genes_AG, seen, strict=True)]

    def _candidate(self, row_G: Genes, shown: SeenPredictions, generation: int, origin: str) -> Candidate:
        """A net by what it has shown; of one that was dropped only the violations that are certain count."""
        if not np.isfinite(shown.probabilities_MC).all():
            raise ValueError("a net's probabilities are not all finite numbers")
        images_M = np.arange(len(self.labels_N)) if shown.images_M is None else shown.images_M
        labels_M, p_MC = self.labels_N[images_M], shown.probabilities_MC
        of_label_M = p_MC[np.arange(len(labels_M)), labels_M].astype(np.float64)
        own = judging(self.floors, row_G if shown.images_M is None else None)
        violations = {floor.name: least_violation(floor, p_MC, images_M, self.labels_N) for floor in own}
        losses_O = losses_of(self.objectives, row_G[None], p_MC[None], labels_M)[0]
        if shown.expected_top1 is not None:  # races are for accuracy alone
            losses_O = np.array([-shown.expected_top1])
        return Candidate(
            genes=tuple(int(gene) for gene in row_G),
            generation=generation,
            origin=origin,
            probabilities_NC=p_MC,
            top1=float((np.argmax(p_MC, axis=1) == labels_M).mean()),
            log_likelihood=float(np.log(np.maximum(of_label_M, 1e-7)).mean()),
            shortfall=float(sum(violations.values())),
            rejected_by=tuple(name for name, violation in violations.items() if violation > 0),
            images_M=shown.images_M,
            dropped_for=shown.dropped_for,
            losses=tuple(float(loss) for loss in losses_O),
            expected_top1=shown.expected_top1,
        )
