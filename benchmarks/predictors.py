"""Other ways to predict the latency of a net, to stand beside edgenas's tables on the same measurements.

All learn from whole nets: rows of genes, chains of components, milliseconds. Shapes: A nets.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.spaces import Genes, SearchSpace

Floats = NDArray[np.float64]
Chain = tuple[Hashable, ...]
Predict = Callable[[Genes, Sequence[Chain]], Floats]


def affine(raw_A: Floats, ms_A: Floats) -> Callable[[Floats], Floats]:
    """Scale and offset of least relative squares."""
    design_A2 = np.stack([raw_A / ms_A, 1 / ms_A], axis=1)
    scale, offset = np.linalg.lstsq(design_A2, np.ones(len(ms_A)), rcond=None)[0]
    return lambda raw: np.asarray(scale * raw + offset)


def macs_regression(macs: Callable[[Genes], Floats], genes_AG: Genes, ms_A: Floats) -> Predict:
    """A line through multiply-accumulates."""
    line = affine(macs(genes_AG), ms_A)
    return lambda genes, _: line(macs(genes))


def isolated_sum(cost_ms: Mapping[Hashable, float], chains: Sequence[Chain] | None = None, ms_A: Floats | None = None) -> Predict:
    """Sum of components that were timed alone, as once-for-all's latency tables (Cai et al., ICLR 2020, arXiv:1908.09791) do.

    Args:
        cost_ms: of every component alone.
        chains: whole nets that scale and offset are fitted on; None takes the plain sum.
        ms_A: of those nets.
    """

    def total(nets: Sequence[Chain]) -> Floats:
        return np.array([sum(cost_ms[component] for component in net) for net in nets], dtype=np.float64)

    if chains is None or ms_A is None:
        return lambda _, nets: total(nets)
    line = affine(total(chains), ms_A)
    return lambda _, nets: line(total(nets))


def hat_features(chain: Chain) -> list[float]:
    """Ten numbers of a net, as HAT's predictor reads ten of a transformer: how deep, how wide, how many tokens and keys."""
    blocks = [component for component in chain if hasattr(component, "mlp_hidden")]

    def mean(name: str) -> float:
        return float(np.mean([getattr(block, name, 0) or 0 for block in blocks])) if blocks else 0.0

    first: Any = chain[0]
    widths = [getattr(component, "embed_dim", 0) for component in chain]
    return [
        float(getattr(first, "in_grid", getattr(first, "image_px", 0))),
        float(len(blocks)),
        mean("embed_dim"),
        float(max(widths)),
        mean("qkv_dim"),
        mean("num_heads"),
        mean("mlp_hidden"),
        mean("grid"),
        mean("reduction_size"),
        float(min(widths)),
    ]


def hat_mlp(chains: Sequence[Chain], ms_A: Floats) -> Predict:
    """Ten features and a network of three layers of 400 (HAT: Wang et al., ACL 2020, arXiv:2005.14187, section 3.2)."""
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scale = float(ms_A.mean())
    net = MLPRegressor(hidden_layer_sizes=(400, 400, 400), max_iter=3000, random_state=0, alpha=1e-4, n_iter_no_change=100)
    model = make_pipeline(StandardScaler(), net)
    model.fit(np.array([hat_features(chain) for chain in chains]), ms_A / scale)
    return lambda _, nets: np.asarray(model.predict(np.array([hat_features(net) for net in nets])) * scale)


def gradient_boosting(space: SearchSpace, genes_AG: Genes, ms_A: Floats) -> Predict:
    """Gradient-boosted trees on the genes, on the logarithm of milliseconds."""
    from sklearn.ensemble import GradientBoostingRegressor

    def features(genes: Genes) -> Floats:
        columns = []
        for position, choice in enumerate(space.choices):
            numeric = all(isinstance(option, (int, float)) for option in choice.options)
            table = np.array([*(choice.options if numeric else range(len(choice.options))), -1], dtype=np.float64)
            columns.append(table[genes[:, position]])
        return np.stack(columns, axis=1)

    model = GradientBoostingRegressor(n_estimators=600, learning_rate=0.05, max_depth=3, subsample=0.8, random_state=0)
    model.fit(features(genes_AG), np.log(ms_A))
    return lambda genes, _: np.exp(model.predict(features(genes)))
