"""What the nets of a search say together, as pictures: growth of the front, the top nets, genes, prices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from edgenas.percents import percent
from edgenas.records import AnalysisPicture, ImportanceFacts, PriceRow
from edgenas.report.cells import count, interval
from edgenas.report.figures import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COSTS = {
    "latency_ms_predicted": "predicted latency (ms)",
    "latency_ms_upper": "upper bound on the latency (ms)",
    "macs": "multiply-accumulates",
    "params": "parameters",
    "memory_mb": "memory (MB)",
}
MAX_GENES = 14
NARROW, HALF = 28, 48  # characters of a title above one of two panels, beside names of genes and beside numbers


def analysis_plot(shown: AnalysisPicture, paths: Sequence[Path]) -> None:
    """Draw one part.

    Args:
        shown: what is drawn.
        paths: files to write; the suffix chooses the format.
    """
    figure = new_figure(7.2, 4.5)
    PARTS[shown.part](figure, shown)
    save(figure, paths)


def _hypervolume(figure: Figure, shown: AnalysisPicture) -> None:
    """The share of the box that is dominated, over the nets evaluated."""
    facts = shown.analysis.hypervolume
    assert facts is not None
    axes = figure.add_subplot()
    evaluated, shares = [row.evaluated for row in facts.rows], [100 * row.share for row in facts.rows]
    axes.step(evaluated, shares, where="post", color="tab:blue", linewidth=1.2)
    axes.scatter(evaluated, shares, color="tab:blue", s=22, zorder=3)
    for row, share in zip(facts.rows, shares, strict=True):
        axes.annotate(
            str(row.generation), (row.evaluated, share), textcoords="offset points", xytext=(0, 6), ha="center", fontsize=7
        )
    points = ", ".join(_coordinate(name, value) for name, value in facts.reference.items())
    axes.set_title(f"{shown.title}: hypervolume after each generation\n{fill(f'reference point: {points}', 100)}", fontsize=9)
    axes.set_xlabel("nets evaluated")
    axes.set_ylabel("hypervolume (% of the box up to the best of each)")
    axes.margins(y=0.15)
    axes.grid(alpha=0.25)


def _top(figure: Figure, shown: AnalysisPicture) -> None:
    """Accuracy against sensitivity; nets at one place are one point, the larger the more they are."""
    facts = shown.analysis.top
    assert facts is not None
    axes = figure.add_subplot()
    rows = [shown.rows[place] for place in facts.rows]
    places: dict[tuple[float, float], list[float]] = {}
    for row in rows:
        at = (100 * row.top1, 100 * row.sensitivity[facts.class_name].value)
        places.setdefault(at, []).append(float(row.cost(shown.cost) or 0.0))
    x, y = zip(*places, strict=True)
    cheapest, sizes = [min(costs) for costs in places.values()], [16 + 12 * len(costs) for costs in places.values()]
    points = axes.scatter(x, y, c=cheapest, s=sizes, cmap="viridis", alpha=0.85, linewidths=0)
    figure.colorbar(points, ax=axes, label=f"{COSTS.get(shown.cost, shown.cost)}, the cheapest of a point")
    if shown.winner is not None:
        at = (100 * shown.winner.top1, 100 * shown.winner.sensitivity[facts.class_name].value)
        axes.scatter(*at, marker="*", s=220, color="gold", edgecolor="black", zorder=4, label="winner")
        axes.legend(loc="best", fontsize=8)
    num, images = rows[0].sensitivity[facts.class_name].n, shown.analysis.front.num_images
    step = f"one image is {100 / images:.2g} points of top-1, {100 / max(1, num):.2g} of the sensitivity"
    axes.set_title(f"{shown.title}: the {len(rows)} most accurate nets\n{step}; larger points are several nets", fontsize=9)
    axes.set_xlabel("top-1 on the select split (%), inherited weights")
    axes.set_ylabel(f"sensitivity of {facts.class_name} (%), {num} images")
    axes.grid(alpha=0.25)


def _importance(figure: Figure, shown: AnalysisPicture) -> None:
    """A panel a metric that a model could be fitted to: by how much its r2 falls without each gene."""
    fitted = [each for each in shown.analysis.importance if each.rows]
    for place, facts in enumerate(fitted, 1):
        _genes(figure.add_subplot(1, len(fitted), place), facts)
    figure.suptitle(f"{shown.title}: which genes decide", fontsize=10)


def _genes(axes: Axes, facts: ImportanceFacts) -> None:
    rows = facts.rows[:MAX_GENES][::-1]
    values = np.array([row.drop.value for row in rows])
    spans = np.array([[row.drop.value - row.drop.low, row.drop.high - row.drop.value] for row in rows]).T.clip(min=0)
    axes.barh([row.gene for row in rows], values, xerr=spans, color="tab:blue", alpha=0.8, error_kw={"linewidth": 0.8})
    assert facts.r2 is not None
    fit = f"r2 {facts.r2.value:.2f} [{facts.r2.low:.2f}, {facts.r2.high:.2f}]"
    axes.set_title(_wrapped([f"{_name(facts.metric)}, {facts.num_nets} nets", f"{fit} on nets left out"], NARROW), fontsize=8)
    axes.set_xlabel("r2 lost when the gene is shuffled", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.grid(alpha=0.25, axis="x")


def _prices(figure: Figure, shown: AnalysisPicture) -> None:
    """A row of panels a cost, a panel a metric: what every step along the front adds, with its interval, between its costs."""
    prices = shown.analysis.prices
    panels: dict[tuple[str, str], list[PriceRow]] = {}
    for price in prices:
        panels.setdefault((price.cost, price.metric), []).append(price)
    num_costs, num_metrics = (len({key[part] for key in panels}) for part in (0, 1))
    figure.set_figheight(figure.get_figheight() * (1 + 0.7 * (num_costs - 1)))
    for place, panel in enumerate(panels.values(), 1):
        _steps(figure.add_subplot(num_costs, num_metrics, place), panel, shown)
    figure.suptitle(f"{shown.title}: what more cost buys, 95 % intervals", fontsize=10)


def _steps(axes: Axes, prices: Sequence[PriceRow], shown: AnalysisPicture) -> None:
    steps = [price for price in prices if not price.is_whole]
    for price in steps:
        low = price.start if price.start is not None else float(shown.rows[price.first].cost(price.cost) or 0.0)
        high = low + price.extra
        gain, middle = 100 * price.gain.value, (low + high) / 2
        is_sure = price.gain.low > 0
        axes.bar(middle, gain, width=high - low, color="tab:green" if is_sure else "lightgrey", edgecolor="grey", linewidth=0.6)
        span = [[max(0.0, gain - 100 * price.gain.low)], [max(0.0, 100 * price.gain.high - gain)]]
        axes.errorbar(middle, gain, yerr=span, color="black", linewidth=0.9, capsize=2)
    axes.axhline(0, color="black", linewidth=0.8)
    whole = [f"all of it: {interval(price.gain)} points" for price in prices if price.is_whole]
    axes.set_title(_wrapped([f"{_name(prices[0].metric)}; grey may be nothing", *whole], HALF), fontsize=8)
    axes.set_xlabel(COSTS.get(prices[0].cost, prices[0].cost), fontsize=8)
    axes.set_ylabel("points gained by the step", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25, axis="y")


def _wrapped(lines: Sequence[str], width: int) -> str:
    """Lines of a title, each broken where it is wider than that many characters: a figure makes no room for a wide one."""
    return "\n".join(fill(line, width) for line in lines)


def _name(metric: str) -> str:
    """A metric or a cost as pictures call it."""
    return "top-1" if metric == "top1" else COSTS.get(metric, metric)


def _coordinate(name: str, value: float) -> str:
    """A coordinate of the reference point."""
    if name in ("top1", "accuracy") or name.startswith("sensitivity"):
        return f"{_name(name)} {percent(value)}"
    return f"{value:.3g} ms" if name.startswith("latency") else f"{count(value)} {_name(name)}"


PARTS: dict[str, Callable[[Figure, AnalysisPicture], None]] = {
    "hypervolume": _hypervolume,
    "top": _top,
    "importance": _importance,
    "prices": _prices,
}
