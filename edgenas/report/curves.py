"""How a training went: loss, learning rate and accuracy over its epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgenas.records import TrainingPicture
from edgenas.report.figures import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RANDOM_SET = "random set"  # whose spread is shown
COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown")


def training_plot(shown: TrainingPicture, paths: Sequence[Path]) -> None:
    """Draw the loss with the learning rate and, where anything was judged, accuracies on select, one panel each.

    Args:
        shown: epochs, losses and accuracies.
        paths: files to write; the suffix chooses the format.
    """
    epochs, select = shown.epochs, shown.select
    panels = 2 if select else 1
    figure = new_figure(4.6 * panels, 3.6)
    figure.suptitle(shown.title, fontsize=10)
    axes = figure.add_subplot(1, panels, 1)
    _curve(axes, epochs, shown.loss, "dimgray", "training loss")
    _dress(axes, epochs, "mean training loss")
    if shown.learning_rate:
        _rate(axes.twinx(), epochs, shown.learning_rate)
    if select:
        axes = figure.add_subplot(1, panels, 2)
        for position, (name, by_epoch) in enumerate(select.items()):
            values = [100 * value for value in by_epoch.values()]
            label = f"{name}: {values[-1]:.1f} % last, {max(values):.1f} % best"
            colour = COLOURS[position % len(COLOURS)]
            _curve(axes, list(by_epoch), values, colour, label)
            if name == RANDOM_SET:
                _band(axes, by_epoch, shown.spread, colour)
        _dress(axes, epochs, "top-1 on the select split (%)")
        axes.legend(loc="lower right", fontsize=8)
    save(figure, paths)


def _rate(axes: Axes, epochs: Sequence[int], rates: Sequence[float]) -> None:
    axes.plot(epochs, rates, color="tab:olive", linewidth=1.0, linestyle="--")
    axes.set_ylabel("learning rate (dashed)")
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))


def _band(axes: Axes, by_epoch: Mapping[int, float], spread: Mapping[int, float], colour: str) -> None:
    """One standard deviation on either side of a mean."""
    low = [100 * (mean - spread.get(epoch, 0.0)) for epoch, mean in by_epoch.items()]
    high = [100 * (mean + spread.get(epoch, 0.0)) for epoch, mean in by_epoch.items()]
    axes.fill_between(list(by_epoch), low, high, color=colour, alpha=0.15, linewidth=0)


def _curve(axes: Axes, epochs: Sequence[int], values: Sequence[float], colour: str, label: str) -> None:
    """One line; few epochs get dots, one of them alone would not be seen otherwise."""
    axes.plot(epochs, values, color=colour, linewidth=1.4, marker="o" if len(epochs) <= 30 else None, markersize=3, label=label)


def _dress(axes: Axes, epochs: Sequence[int], name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.set_ylabel(name)
    axes.set_xlim(0.5, max(epochs) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.25)
