"""Some images of every class, as their files show them above what nets read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgenas.records import SamplePair, SamplePicture
from edgenas.runs import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL_IN = 1.35  # side of an image, inches
_LONGEST = 26  # characters of a name over an image


def samples_plot(shown: SamplePicture, paths: Sequence[Path]) -> None:
    """Draw a row a class: every image as its file shows it, and below it as nets read it.

    Args:
        shown: images before and after preprocessing.
        paths: files to write; the suffix chooses the format.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    classes: dict[str, list[SamplePair]] = {}
    for pair in shown.pairs:
        classes.setdefault(pair.class_name, []).append(pair)
    columns = max(len(pairs) for pairs in classes.values())
    figure = Figure(figsize=(_CELL_IN * columns + 1.4, 2 * (_CELL_IN + 0.3) * len(classes) + 0.7), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    more = f" ({shown.num_more} more classes are not shown)" if shown.num_more else ""
    figure.suptitle(f"{plain(shown.title, 90)}{more}\nabove: the file, below: what a net reads ({shown.how})", fontsize=8)
    for row, (name, pairs) in enumerate(classes.items()):
        _draw_class(figure, (2 * len(classes), columns), row, name, pairs)
    for path in paths:
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=path.suffix.lstrip("."))


def _draw_class(figure: Figure, grid: tuple[int, int], row: int, name: str, pairs: Sequence[SamplePair]) -> None:
    for column, pair in enumerate(pairs):
        for line, (pixels_HW3, over) in enumerate(((pair.before_HW3, pair.words), (pair.after_HW3, ""))):
            axes: Any = figure.add_subplot(*grid, (2 * row + line) * grid[1] + column + 1)
            axes.imshow(pixels_HW3, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_title(over, fontsize=5, pad=2)
            if line:
                axes.set_xlabel(plain(pair.image, _LONGEST, from_end=True), fontsize=5, labelpad=2)
            if not column:
                axes.set_ylabel(plain(name, _LONGEST) if not line else "net", fontsize=7)


def plain(text: str, longest: int, *, from_end: bool = False) -> str:
    """Text as it is: dollars begin no formula, what cannot be printed is shown by its code, and long texts are cut."""
    readable = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    if len(readable) > longest:
        readable = f"…{readable[-longest:]}" if from_end else f"{readable[:longest]}…"
    return readable.replace("$", r"\$")
