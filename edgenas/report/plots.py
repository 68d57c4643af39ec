"""Pictures by kind, and that of a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgenas.records import CandidateRow
from edgenas.report.curves import training_plot
from edgenas.runs import Picture, atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELS = {
    "latency_ms_predicted": "predicted latency (ms)",
    "latency_ms_upper": "upper bound on the latency (ms)",
    "macs": "multiply-accumulates",
    "params": "parameters",
}


def draw(picture: Picture) -> None:
    """Draw a picture into its files."""
    DRAWERS[picture.kind](**picture.data, paths=picture.paths)


def pareto_plot(
    rows: Sequence[CandidateRow],
    front: Sequence[int],
    *,
    cost: str,
    limit: float | None,
    winner: CandidateRow | None,
    paths: Sequence[Path],
    title: str,
) -> None:
    """Draw accuracy over cost of every evaluated net, the Pareto set, the limit and the winner.

    Args:
        rows: candidates as in `search.jsonl`.
        front: indices of the Pareto set, by growing cost.
        cost: of ``rows``, on the horizontal axis.
        limit: of that cost, drawn as a line.
        winner: one of ``rows``, with what was measured of it.
        paths: files to write; the suffix chooses the format.
        title: above the plot.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    costs = np.array([row.cost(cost) for row in rows], dtype=float)
    scores = 100 * np.array([row.top1 for row in rows], dtype=float)
    generations = np.array([row.generation for row in rows])
    points = axes.scatter(costs, scores, c=generations, cmap="viridis", s=18, alpha=0.75, linewidths=0, label="evaluated")
    if len(set(generations.tolist())) > 1:
        figure.colorbar(points, ax=axes, label="generation", ticks=sorted(set(generations.tolist())))
    axes.step(costs[list(front)], scores[list(front)], where="post", color="tab:red", linewidth=1.4, label="Pareto set")
    axes.scatter(costs[list(front)], scores[list(front)], color="tab:red", s=18, zorder=3)
    if limit is not None:
        _mark_limit(axes, limit, highest=float(costs.max()))
    if winner is not None:
        at = (np.array([winner.cost(cost)], dtype=float), [100 * winner.top1])
        axes.scatter(*at, marker="*", s=220, color="gold", edgecolor="black", zorder=4, label="winner")
    axes.set_xlabel(LABELS.get(cost, cost))
    axes.set_ylabel("top-1 on the select split (%), inherited weights")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(loc="best", fontsize=8)
    for path in paths:
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=path.suffix.lstrip("."))


def _mark_limit(axes: Axes, limit: float, *, highest: float) -> None:
    """A line at the limit; one that lies far beyond the highest cost is only named."""
    if limit > 1.25 * highest:
        axes.plot([], [], color="black", linestyle="--", linewidth=1, label=f"limit {limit:.3g} is beyond the axis")
    else:
        axes.axvline(limit, color="black", linestyle="--", linewidth=1, label=f"limit {limit:.3g}")


DRAWERS: dict[str, Callable[..., None]] = {"pareto": pareto_plot, "training": training_plot}
