"""Pictures by kind, and that of a search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from edgenas.records import (
    AnalysisPicture,
    ComparePicture,
    FidelityPicture,
    ParetoPicture,
    ResultsPage,
    SamplePicture,
    TrainingPicture,
)
from edgenas.report.compare import compare_plot
from edgenas.report.curves import training_plot
from edgenas.report.fidelity import fidelity_plot
from edgenas.report.figures import new_figure, save
from edgenas.report.page import document
from edgenas.report.samples import samples_plot
from edgenas.report.search_pictures import COSTS, analysis_plot
from edgenas.runs import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Shown = ParetoPicture | AnalysisPicture | TrainingPicture | FidelityPicture | SamplePicture | ComparePicture | ResultsPage


def draw(picture: Picture[Shown]) -> None:
    """Draw a picture into its files."""
    match picture.shows:
        case ParetoPicture():
            pareto_plot(picture.shows, picture.paths)
        case AnalysisPicture():
            analysis_plot(picture.shows, picture.paths)
        case TrainingPicture():
            training_plot(picture.shows, picture.paths)
        case FidelityPicture():
            fidelity_plot(picture.shows, picture.paths)
        case ComparePicture():
            compare_plot(picture.shows, picture.paths)
        case SamplePicture():
            samples_plot(picture.shows, picture.paths)
        case ResultsPage():
            document.write(picture.shows, picture.paths[0])


def pareto_plot(shown: ParetoPicture, paths: Sequence[Path]) -> None:
    """Draw accuracy over cost of every evaluated net, the Pareto set, the limit and the winner.

    Args:
        shown: nets, limit and winner.
        paths: files to write; the suffix chooses the format.
    """
    figure = new_figure(7.2, 4.5)
    axes = figure.add_subplot()
    rows, cost, winner = shown.rows, shown.cost, shown.winner
    costs = np.array([row.cost(cost) for row in rows], dtype=float)
    scores = 100 * np.array([row.top1 for row in rows], dtype=float)
    generations, front = np.array([row.generation for row in rows]), list(shown.front)
    points = axes.scatter(costs, scores, c=generations, cmap="viridis", s=18, alpha=0.75, linewidths=0, label="evaluated")
    if len(set(generations.tolist())) > 1:
        figure.colorbar(points, ax=axes, label="generation", ticks=sorted(set(generations.tolist())))
    axes.step(costs[front], scores[front], where="post", color="tab:red", linewidth=1.4, label="Pareto set")
    axes.scatter(costs[front], scores[front], color="tab:red", s=18, zorder=3)
    if shown.limit is not None:
        _mark_limit(axes, shown.limit, highest=float(costs.max()))
    if winner is not None:
        at = (np.array([winner.cost(cost)], dtype=float), [100 * winner.top1])
        axes.scatter(*at, marker="*", s=220, color="gold", edgecolor="black", zorder=4, label="winner")
    axes.set_xlabel(COSTS.get(cost, cost))
    axes.set_ylabel("top-1 on the select split (%), inherited weights")
    axes.set_title(
        shown.title if shown.words is None else f"{shown.title}\n{fill(shown.words, 110)}",
        fontsize=10 if shown.words is None else 8,
    )
    axes.grid(alpha=0.25)
    axes.legend(loc="best", fontsize=8)
    save(figure, paths)


def _mark_limit(axes: Axes, limit: float, *, highest: float) -> None:
    """A line at the limit; one that lies far beyond the highest cost is only named."""
    if limit > 1.25 * highest:
        axes.plot([], [], color="black", linestyle="--", linewidth=1, label=f"limit {limit:.3g} is beyond the axis")
    else:
        axes.axvline(limit, color="black", linestyle="--", linewidth=1, label=f"limit {limit:.3g}")
