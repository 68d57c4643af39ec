"""Turning rows of genes into candidates that were evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenas.search.base import Candidate, Evaluator
from edgenas.search.constraints import MetricConstraint
from edgenas.search.objectives import DEFAULT, Objective, losses_of
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
        """A candidate for every row, in order."""
        if len(genes_AG) == 0:
            return []
        images = np.arange(len(self.labels_N))
        probabilities_ANC = self.evaluate(genes_AG, images)
        if not np.isfinite(probabilities_ANC).all():
            raise ValueError("a net's probabilities are not all finite numbers")
        right_AN = np.argmax(probabilities_ANC, axis=2) == self.labels_N
        of_label_AN = probabilities_ANC[:, images, self.labels_N].astype(np.float64)
        likelihood_A = np.log(np.maximum(of_label_AN, 1e-7)).mean(axis=1)
        losses_AO = losses_of(self.objectives, genes_AG, probabilities_ANC, self.labels_N)
        broken = {floor.name: floor.violation(probabilities_ANC, self.labels_N) for floor in self.floors}
        return [
            Candidate(
                genes=tuple(int(gene) for gene in row),
                generation=generation,
                origin=origin,
                probabilities_NC=probabilities_ANC[i],
                top1=float(right_AN[i].mean()),
                log_likelihood=float(likelihood_A[i]),
                shortfall=float(sum(violation[i] for violation in broken.values())),
                rejected_by=tuple(name for name, violation in broken.items() if violation[i] > 0),
                losses=tuple(float(loss) for loss in losses_AO[i]),
            )
            for i, row in enumerate(genes_AG)
        ]
