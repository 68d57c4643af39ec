"""Pictures by kind, and that of a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgenas.records import CandidateRow
from edgenas.report.curves import training_plot
from edgenas.runs import Picture, atomic_path


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
    if limit is not None and limit > 1.25 * costs.max():
        axes.plot([], [], color="black", linestyle="--", linewidth=1, label=f"limit {limit:.3g} is beyond the axis")
    elif limit is not None:
        axes.axvline(limit, color="black", linestyle="--", linewidth=1, label=f"limit {limit:.3g}")
    if winner is not None:
        axes.scatter(
            np.array([winner.cost(cost)], dtype=float),
            [100 * winner.top1],
            marker="*",
            s=220,
            color="gold",
            edgecolor="black",
            zorder=4,
            label="winner",
        )
    labels = {
        "latency_ms_predicted": "predicted latency (ms)",
        "latency_ms_upper": "upper bound on the latency (ms)",
        "macs": "multiply-accumulates",
        "params": "parameters",
    }
    axes.set_xlabel(labels.get(cost, cost))
    axes.set_ylabel("top-1 on the select split (%), inherited weights")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(loc="best", fontsize=8)
    for path in paths:
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=path.suffix.lstrip("."))


DRAWERS: dict[str, Callable[..., None]] = {"pareto": pareto_plot, "training": training_plot}
