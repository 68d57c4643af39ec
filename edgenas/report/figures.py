"""Figures: how they begin, and how they are written; names in them are never taken for formulas."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgenas.escaping import terminal
from edgenas.runs import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, which no window shows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, paths: Sequence[Path]) -> None:
    """Write a figure into files whose suffixes choose the format; a ``$`` in a title, label or legend is a dollar."""
    _take_literally(figure)
    for path in paths:
        with atomic_path(path) as temporary, without_glyph_warnings():
            figure.savefig(temporary, format=path.suffix.lstrip("."))


def lay_out(figure: Figure) -> None:
    """Find the places of all that is in a figure, as `save` will; then they can be asked for."""
    _take_literally(figure)
    with without_glyph_warnings():
        figure.draw_without_rendering()


@contextmanager
def without_glyph_warnings() -> Iterator[None]:
    """Names in scripts that the font has not are no fault."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _take_literally(figure: Figure) -> None:
    """Every text but the numbers at ticks, which are matplotlib's own formulas."""
    from matplotlib.axis import Tick
    from matplotlib.text import Text

    numbers = {text for axes in figure.axes for tick in axes.findobj(Tick) for text in tick.findobj(Text)}
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text not in numbers:
            text.set_parse_math(False)
            text.set_text(terminal(text.get_text()))
