"""Names beside the points of a picture, which cover nothing where there is room; thin lines lead to those that stand away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgenas.escaping import terminal
from edgenas.report.figures import lay_out, without_glyph_warnings
from edgenas.report.page.places import Floats, Places, Scene, find_places

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONT_SIZE = 6.5
ROOMS = (0.05, 0.15, 0.3)  # shares of the height above and below all points; the first in which the names cover nothing
INCH = 72.0  # points


@dataclass(frozen=True, slots=True)
class Named:
    """A point that gets a name.

    Attributes:
        name: of any characters.
        x, y: where it is, in the units of the axes.
        low, high: ends of the bar through it, on the vertical axis.
        radius: of its mark, in points of typography.
        colour: of the line that leads to its name.
    """

    name: str
    x: float
    y: float
    low: float
    high: float
    radius: float
    colour: str


@dataclass(frozen=True, slots=True)
class Panel:
    """Axes on which everything but the names is drawn.

    Attributes:
        axes: where.
        points: that get names.
        cap: half the width of their bars, in points of typography.
        uprights: places on the horizontal axis where a line stands.
    """

    axes: Axes
    points: Sequence[Named]
    cap: float
    uprights: Sequence[float] = ()


def write_names(figure: Figure, panels: Sequence[Panel]) -> None:
    """Write the names of the points of every panel, and give a panel more height where they would cover something."""
    sizes = [_sizes(figure, panel.points) for panel in panels]
    places: dict[int, Places] = {}
    waiting = [number for number, panel in enumerate(panels) if panel.points]
    for room in ROOMS:
        for number in waiting:
            panels[number].axes.margins(y=room)
        lay_out(figure)
        places |= {number: find_places(_scene(figure, panels[number], sizes[number])) for number in waiting}
        waiting = [number for number in waiting if places[number].num_covering]
        if not waiting:
            break
    for number, found in places.items():
        _write(figure, panels[number], found)


def _sizes(figure: Figure, points: Sequence[Named]) -> Floats:
    """Width and height of every name, shape (names, 2)."""
    from matplotlib.text import Text

    sizes = []
    for point in points:
        text = Text(text=terminal(point.name), fontsize=FONT_SIZE, parse_math=False)
        text.set_figure(figure)
        with without_glyph_warnings():
            sizes.append(text.get_window_extent().size)
    return np.array(sizes).reshape(-1, 2) * INCH / figure.dpi


def _scene(figure: Figure, panel: Panel, sizes_N2: Floats) -> Scene:
    """The panel as it is laid out now."""
    scale = INCH / figure.dpi
    room_4 = np.array(panel.axes.get_window_extent().extents) * scale
    ends = {end: [(point.x, getattr(point, end)) for point in panel.points] for end in ("low", "y", "high")}
    low_N2, anchors_N2, high_N2 = (panel.axes.transData.transform(ends[end]) * scale for end in ("low", "y", "high"))
    radii_N1 = np.array([[point.radius] for point in panel.points])
    cap_2 = np.array([panel.cap, 0.0])
    lines = [panel.axes.transData.transform((x, panel.points[0].y))[0] * scale for x in panel.uprights]
    return Scene(
        room_4=room_4,
        sizes_N2=sizes_N2,
        marks_N4=np.concatenate([anchors_N2 - radii_N1, anchors_N2 + radii_N1], axis=1),
        bars_N4=np.concatenate([low_N2 - cap_2, high_N2 + cap_2], axis=1),
        lines_B4=np.array([(x, room_4[1], x, room_4[3]) for x in lines]).reshape(-1, 4),
        words_B4=np.zeros((0, 4)),
    )


def _write(figure: Figure, panel: Panel, places: Places) -> None:
    """The names at their places."""
    anchors_N2 = panel.axes.transData.transform([(point.x, point.y) for point in panel.points]) * INCH / figure.dpi
    for point, anchor_2, box_4, is_linked in zip(panel.points, anchors_N2, places.boxes_N4, places.is_linked_N, strict=True):
        nearest_2 = (np.clip(anchor_2, box_4[:2], box_4[2:]) - box_4[:2]) / (box_4[2:] - box_4[:2])
        link = {"arrowstyle": "-", "relpos": tuple(nearest_2), "shrinkA": 0, "shrinkB": point.radius, "patchA": None}
        text = panel.axes.annotate(
            terminal(point.name),
            (point.x, point.y),
            xytext=tuple((box_4[:2] + box_4[2:]) / 2 - anchor_2),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=FONT_SIZE,
            parse_math=False,
            arrowprops=link | {"color": point.colour, "linewidth": 0.6} if is_linked else None,
        )
        text.set_in_layout(False)
