"""Which genes decide: what a model of the evaluated nets loses when a gene is shuffled (Breiman, Machine Learning 2001).

A gene's importance is only as good as the model. So the model is tried on nets that it was not fitted on, and where it predicts
them no better than their mean does, nothing is to be said of genes.

Shapes: A nets, G genes, F features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenas.spaces import Genes
from edgenas.stats import Proportion

MIN_NETS = 30  # that a model is fitted on at all
NUM_FOLDS = 5
NUM_SHUFFLES = 10  # of a gene in each fold
NUM_RESAMPLES = 2_000
PENALTIES = np.logspace(-2, 3, 11)  # of the ridge regression, the best on the nets that it is fitted on is taken


@dataclass(frozen=True, slots=True)
class GeneImportance:
    """What genes are worth to a model.

    Attributes:
        r2: share of the variance of nets that were left out which the model explains, with a bootstrap interval over nets; negative
            where it is worse than the mean.
        drops: by the place of a gene, how far r2 falls when it is shuffled, with a bootstrap interval over nets; the largest first.
    """

    r2: Proportion
    drops: dict[int, Proportion]


def gene_importance(genes_AG: Genes, values_A: NDArray[np.float64], *, rng: np.random.Generator) -> GeneImportance | None:
    """How well a ridge regression on options predicts nets that it was not fitted on, and what it loses without each gene.

    Every option of a gene is a feature of its own, and so is its absence; of pairs of genes the model knows nothing. The nets are
    divided into five parts; each is predicted by a model of the others, as it is and with one gene after the other shuffled.

    Args:
        genes_AG: one row a net.
        values_A: what is explained, e.g. accuracies.
        rng: of parts, shuffles and resamples.

    Returns:
        None where there are fewer than `MIN_NETS` nets, or these are all alike.
    """
    varied = [gene for gene in range(genes_AG.shape[1]) if len(np.unique(genes_AG[:, gene])) > 1]
    if len(genes_AG) < MIN_NETS or np.ptp(values_A) == 0 or not varied:
        return None
    whole_A = np.zeros(len(genes_AG))  # squared errors of left-out nets
    shuffled_GA = np.zeros((len(varied), len(genes_AG)))
    for held_A, predict in _models(genes_AG, values_A, rng):
        rows_AG, truth_A = genes_AG[held_A], values_A[held_A]
        whole_A[held_A] = (predict(rows_AG) - truth_A) ** 2
        for place, gene in enumerate(varied):
            for _ in range(NUM_SHUFFLES):
                changed_AG = rows_AG.copy()
                changed_AG[:, gene] = rng.permutation(rows_AG[:, gene])
                shuffled_GA[place, held_A] += (predict(changed_AG) - truth_A) ** 2 / NUM_SHUFFLES
    spread_A = (values_A - values_A.mean()) ** 2
    picks_RA = rng.integers(len(values_A), size=(NUM_RESAMPLES, len(values_A)))

    def share(lost_A: NDArray[np.float64], less: float) -> Proportion:
        """``less`` minus lost variance over all variance, resampled over nets."""
        drawn_R = less - lost_A[picks_RA].sum(axis=1) / np.maximum(spread_A[picks_RA].sum(axis=1), 1e-12)
        low, high = np.quantile(drawn_R, [0.025, 0.975])
        return Proportion(less - float(lost_A.sum() / spread_A.sum()), float(low), float(high), len(values_A))

    drops = {gene: share(whole_A - lost_A, 0.0) for gene, lost_A in zip(varied, shuffled_GA, strict=True)}
    return GeneImportance(share(whole_A, 1.0), dict(sorted(drops.items(), key=lambda item: -item[1].value)))


class _Model:
    """A ridge regression on the options of genes."""

    def __init__(self, genes_AG: Genes, values_A: NDArray[np.float64], options: Sequence[NDArray[np.int16]]) -> None:
        from sklearn.linear_model import RidgeCV

        self.options = options
        self.fitted = RidgeCV(alphas=PENALTIES).fit(self._features(genes_AG), values_A)

    def __call__(self, genes_AG: Genes) -> NDArray[np.float64]:
        """Predicted values, shape (A,)."""
        return np.asarray(self.fitted.predict(self._features(genes_AG)), dtype=np.float64)

    def _features(self, genes_AG: Genes) -> NDArray[np.float64]:
        columns = [genes_AG[:, gene, None] == options for gene, options in enumerate(self.options) if len(options) > 1]
        return np.concatenate(columns, axis=1).astype(np.float64)


def _models(genes_AG: Genes, values_A: NDArray[np.float64], rng: np.random.Generator) -> Iterator[tuple[NDArray[np.int64], _Model]]:
    """Every part of the nets with a model of all others."""
    options = [np.unique(genes_AG[:, gene]) for gene in range(genes_AG.shape[1])]
    parts = np.array_split(rng.permutation(len(genes_AG)), NUM_FOLDS)
    for place, held_A in enumerate(parts):
        others_A = np.concatenate([part for other, part in enumerate(parts) if other != place])
        yield held_A, _Model(genes_AG[others_A], values_A[others_A], options)
