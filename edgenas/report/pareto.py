"""The picture of a search: accuracy over cost, or the objectives that it was asked for, of every net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from edgenas.records import FrontAxis, ParetoPicture
from edgenas.report.figures import new_figure, save
from edgenas.report.page.quantities import drawn_label, is_share, off_front
from edgenas.report.search_pictures import COSTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UPRIGHT, LEVEL = 44, 64  # characters of a label beside the picture and of one below it
FAR = 1.25  # times the range of the nets, beyond which a limit is only named
NEAR = 0.25  # of that range, within which a limit on an axis that does not begin at 0 is drawn


@dataclass(frozen=True, slots=True)
class _Side:
    """One axis.

    Attributes:
        label: with its unit.
        values_A: of every net.
        winner: its value; None without one.
        maximize: whether larger is better.
        limits: with what is said of them.
    """

    label: str
    values_A: NDArray[np.float64]
    winner: float | None
    maximize: bool
    limits: tuple[tuple[float, str], ...] = ()


def pareto_plot(shown: ParetoPicture, paths: Sequence[Path]) -> None:
    """Draw every evaluated net, the Pareto set, the limits and the winner.

    Args:
        shown: nets, limits and winner.
        paths: files to write; the suffix chooses the format.
    """
    save(pareto_figure(shown), paths)


def pareto_figure(shown: ParetoPicture) -> Figure:
    """The picture before it is written."""
    figure = new_figure(7.2, 4.5)
    axes = figure.add_subplot()
    x, y = (_side(shown, axis) for axis in shown.axes[:2]) if shown.axes else _accuracy_over_cost(shown)
    front = list(shown.front)
    _nets(figure, axes, shown, x, y)
    where: Literal["pre", "post"] = "pre" if x.maximize else "post"
    label = "Pareto set of these two" if shown.unbeaten else "Pareto set"
    axes.step(x.values_A[front], y.values_A[front], where=where, color="tab:red", linewidth=1.4, label=label)
    axes.scatter(x.values_A[front], y.values_A[front], color="tab:red", s=18, zorder=3)
    _mark_limits(axes, x, is_x=True)
    _mark_limits(axes, y, is_x=False)
    if x.winner is not None and y.winner is not None:
        at = (np.array([x.winner], dtype=float), [y.winner])
        axes.scatter(*at, marker="*", s=220, color="gold", edgecolor="black", zorder=4, label="winner")
    axes.set_xlabel(x.label)
    axes.set_ylabel(y.label)
    lines = _lines(shown)
    axes.set_title("\n".join([shown.title, *(fill(line, 110) for line in lines)]), fontsize=8 if lines else 10)
    axes.grid(alpha=0.25)
    axes.legend(loc=_worst_corner(x, y) if shown.axes else "best", fontsize=8)
    return figure


def _worst_corner(x: _Side, y: _Side) -> Literal["upper left", "upper right", "lower left", "lower right"]:
    """Where the front is not."""
    if y.maximize:
        return "lower left" if x.maximize else "lower right"
    return "upper left" if x.maximize else "upper right"


def _accuracy_over_cost(shown: ParetoPicture) -> tuple[_Side, _Side]:
    """The axes of a search for accuracy."""
    costs_A = np.array([row.cost(shown.cost) for row in shown.rows], dtype=float)
    scores_A = 100 * np.array([row.top1 for row in shown.rows], dtype=float)
    cost = None if shown.winner is None else float(shown.winner.cost(shown.cost) or 0.0)
    limits = () if shown.limit is None else ((shown.limit, f"limit {shown.limit:.3g}"),)
    return (
        _Side(COSTS.get(shown.cost, shown.cost), costs_A, cost, False, limits),
        _Side(
            "top-1 on the select split (%), inherited weights",
            scores_A,
            None if shown.winner is None else 100 * shown.winner.top1,
            True,
        ),
    )


def _side(shown: ParetoPicture, axis: FrontAxis) -> _Side:
    """An axis that was asked for."""
    scale, unit = (100.0, " %") if is_share(axis.name) else (1.0, "")
    values_A = scale * np.array(axis.values, dtype=float)
    places = [place for place, row in enumerate(shown.rows) if shown.winner is not None and row.arch == shown.winner.arch]
    ends = {"limit": axis.upper, "at least": axis.lower}
    limits = [(scale * end, f"{word} {_number(scale * end)}{unit}") for word, end in ends.items() if end is not None]
    label = fill(drawn_label(axis.name, is_bound=axis.is_bound), LEVEL if axis is shown.axes[0] else UPRIGHT)
    better = f"{'inherited weights, ' if unit else ''}{'more' if axis.maximize else 'less'} is better"
    return _Side(f"{label}\n{better}", values_A, float(values_A[places[0]]) if places else None, axis.maximize, tuple(limits))


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _nets(figure: Figure, axes: Axes, shown: ParetoPicture, x: _Side, y: _Side) -> None:
    """A point a net: its colour is its generation, or a third objective."""
    values_A = np.array([row.generation for row in shown.rows])
    third = _side(shown, shown.axes[2]) if len(shown.axes) > 2 else None
    if third is not None:
        values_A = third.values_A
    points = axes.scatter(x.values_A, y.values_A, c=values_A, cmap="viridis", s=18, alpha=0.75, linewidths=0, label="evaluated")
    various = sorted(set(values_A.tolist()))
    if len(various) > 1:
        figure.colorbar(points, ax=axes, label="generation" if third is None else third.label, ticks=None if third else various)
    if shown.unbeaten:
        at, label = list(shown.unbeaten), f"beaten by none in all {len(shown.axes)}"
        axes.scatter(
            x.values_A[at], y.values_A[at], s=46, facecolors="none", edgecolors="tab:red", linewidths=0.8, zorder=5, label=label
        )


def _lines(shown: ParetoPicture) -> list[str]:
    """What stands below the title."""
    lines = [f"asked for: {', '.join(shown.asked)}"] if shown.asked else []
    if len(shown.axes) > 2:
        others = ", ".join(axis.name for axis in shown.axes[3:])
        lines.append(f"colour: {shown.axes[2].name}{f'; {others} not drawn' if others else ''}")
    off = off_front(shown.axes, shown.rows, shown.unbeaten or shown.front, shown.winner) if shown.axes else ""
    lines += [off] if off else []
    return lines if shown.words is None else [*lines, shown.words]


def _mark_limits(axes: Axes, side: _Side, *, is_x: bool) -> None:
    """A line at each limit; one that lies far beyond the nets is only named."""
    low, high = float(side.values_A.min()), float(side.values_A.max())
    for limit, words in side.limits:
        if limit > FAR * high or limit < low - NEAR * (high - low) - 1e-9 * abs(low):
            axes.plot([], [], color="black", linestyle="--", linewidth=1, label=f"{words} is beyond the axis")
        else:
            draw = axes.axvline if is_x else axes.axhline
            draw(limit, color="black", linestyle="--" if is_x else ":", linewidth=1, label=words)
