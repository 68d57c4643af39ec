"""Predicted against measured latency, one panel a way of predicting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgenas.percents import percent
from edgenas.report.figures import new_figure, save

COLUMNS = 3


def scatter_plot(
    measured_ms: Sequence[float], predicted_ms: Mapping[str, Sequence[float]], *, title: str, paths: Sequence[Path]
) -> None:
    """Draw a panel for every way, with the lines of ±10 %.

    Args:
        measured_ms: of the nets.
        predicted_ms: of the same nets, by way.
        title: above the panels.
        paths: files to write; the suffix chooses the format.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator

    def plain(value: float, _: int) -> str:
        return f"{value:g}"

    rows = -(-len(predicted_ms) // COLUMNS)
    columns = min(COLUMNS, len(predicted_ms))
    figure = new_figure(3.4 * columns, 3.3 * rows + 0.4)
    figure.suptitle(title, fontsize=10)
    truth_A = np.array(measured_ms, dtype=float)
    low, high = 0.9 * float(truth_A.min()), 1.1 * float(truth_A.max())
    for position, (name, values) in enumerate(predicted_ms.items()):
        axes = figure.add_subplot(rows, columns, position + 1)
        predicted_A = np.array(values, dtype=float)
        error = float(np.abs(predicted_A / truth_A - 1).mean())
        axes.scatter(truth_A, predicted_A, s=9, alpha=0.6, linewidths=0)
        axes.plot([low, high], [low, high], color="black", linewidth=0.8)
        for factor in (0.9, 1.1):
            axes.plot([low, high], [factor * low, factor * high], color="black", linewidth=0.6, linestyle=":")
        axes.set(xlim=(low, high), ylim=(low, high), xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(plain))
            axis.set_minor_formatter(FuncFormatter(plain))
            axis.set_minor_locator(LogLocator(subs=(2.0, 3.0, 5.0)))
        axes.set_title(f"{name}: MAPE {percent(error)}", fontsize=8)
        axes.set_xlabel("measured (ms)", fontsize=7)
        axes.set_ylabel("predicted (ms)", fontsize=7)
        axes.tick_params(labelsize=6, which="both")
        axes.grid(alpha=0.25, which="both")
    save(figure, paths)
