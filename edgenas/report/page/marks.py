"""What is drawn in a plot: points that say what they are, lines, steps, error bars, names that do not cover each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgenas.report.page.axes import LEFT, RIGHT, TOP, Plot
from edgenas.report.page.markup import Html, join, tag
from edgenas.report.page.places import Scene, find_places

CHAR_PX, LINE_PX = 7.2, 14.0  # of names in a picture, on a phone too
DASH_PX = 14  # of a line that has one place
MARK_PX, CAP_PX = 6.0, 4.0  # half the width of a mark, and of an error bar
Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True, slots=True)
class Point:
    """A mark.

    Attributes:
        x, y: values.
        kind: its colour and shape, a class of the style.
        words: that are shown while it is pointed at.
        name: beside it; empty for none.
        x_ends, y_ends: of its error bars; None without one.
    """

    x: float
    y: float
    kind: str
    words: str
    name: str = ""
    x_ends: tuple[float, float] | None = None
    y_ends: tuple[float, float] | None = None


def points(plot: Plot, these: Sequence[Point], *, limits: Sequence[tuple[float, str]] = ()) -> Html:
    """Error bars, then points, then names where there is room; with the upright limits, drawn elsewhere, that names leave free."""
    bars = [bar for each in these for bar in _bars(plot, each)]
    marks = [_mark(plot, each) for each in these]
    return join([*bars, *marks, *_names(plot, [each for each in these if each.name], limits)])


def _bars(plot: Plot, point: Point) -> Iterable[Html]:
    x, y = plot.x_px(point.x), plot.y_px(point.y)
    if point.y_ends is not None:
        low, high = (plot.y_px(end) for end in point.y_ends)
        yield tag("path", d=f"M{x} {low}V{high}M{x - 4} {low}h8M{x - 4} {high}h8", class_=f"bar {point.kind}")
    if point.x_ends is not None:
        low, high = (plot.x_px(end) for end in point.x_ends)
        yield tag("path", d=f"M{low} {y}H{high}M{low} {y - 4}v8M{high} {y - 4}v8", class_=f"bar {point.kind}")


def _mark(plot: Plot, point: Point) -> Html:
    """The shape, with a wider one that cannot be seen, for fingers."""
    x, y = plot.x_px(point.x), plot.y_px(point.y)
    shape = shape_of(point.kind, x, y)
    reach = tag("circle", cx=x, cy=y, r=10, class_="reach") if point.name else Html("")
    focus = "0" if point.name else None
    return tag("g", tag("title", point.words), reach, shape, class_="pt", data_tip=point.words, tabindex=focus)


def shape_of(kind: str, x: float, y: float) -> Html:
    """The shape of a kind: colours alone would tell them apart to most, not to all."""
    match kind:
        case "k-winner":
            spikes = "0,-8 2,-2.5 7.6,-2.5 3.2,1 4.7,6.5 0,3.2 -4.7,6.5 -3.2,1 -7.6,-2.5 -2,-2.5"
            return tag("polygon", points=spikes, transform=f"translate({x} {y})", class_=kind)
        case "k-hand":
            return tag("rect", x=round(x - 4.5, 1), y=round(y - 4.5, 1), width=9, height=9, class_=kind)
        case "k-timm":
            return tag("path", d=f"M{x} {y - 5.5}l5.5 9.5h-11z", class_=kind)
        case "k-cnn":
            return tag("path", d=f"M{x} {y - 6}l6 6l-6 6l-6 -6z", class_=kind)
        case "k-other":
            return tag("path", d=f"M{x - 5} {y - 5}l10 10M{x + 5} {y - 5}l-10 10", class_=f"cross {kind}")
        case "k-final" | "k-point":
            return tag("circle", cx=x, cy=y, r=5, class_=kind)
        case _:
            return tag("circle", cx=x, cy=y, r=3, class_=kind)


def _names(plot: Plot, these: Sequence[Point], limits: Sequence[tuple[float, str]]) -> Iterable[Html]:
    """Names where they cover nothing, with lines to those that stand away; one that would cover another is left out."""
    kept: list[Box] = []
    places = find_places(_scene(plot, these, limits))
    for each, box_4, is_linked in zip(these, places.boxes_N4, places.is_linked_N, strict=True):
        left, top, right, bottom = (round(float(end), 1) for end in box_4)
        if any(left < other[2] and other[0] < right and top < other[3] and other[1] < bottom for other in kept):
            continue
        kept.append((left, top, right, bottom))
        x, y = plot.x_px(each.x), plot.y_px(each.y)
        if is_linked:
            end_x, end_y = min(max(x, left), right), min(max(y, top), bottom)
            yield tag("path", d=f"M{x} {y}L{end_x} {end_y}", class_=f"bar link {each.kind}")
        at, anchor = (left, "start") if left >= x else ((right, "end") if right <= x else (round((left + right) / 2, 1), "middle"))
        yield tag("text", each.name, x=at, y=round(top + 10, 1), text_anchor=anchor, class_="name")


def _scene(plot: Plot, these: Sequence[Point], limits: Sequence[tuple[float, str]]) -> Scene:
    """The picture as names see it, in pixels."""
    marks = [(plot.x_px(each.x), plot.y_px(each.y)) for each in these]
    upright = [[plot.y_px(end) for end in each.y_ends or (each.y, each.y)] for each in these]
    bars = [(x - CAP_PX, high, x + CAP_PX, low) for (x, _), (low, high) in zip(marks, upright, strict=True)]
    level = [
        (plot.x_px(each.x_ends[0]), y - CAP_PX, plot.x_px(each.x_ends[1]), y + CAP_PX)
        for each, (_, y) in zip(these, marks, strict=True)
        if each.x_ends is not None
    ]
    uprights = [_limit_boxes(plot, *each) for each in limits if _is_inside(plot, each[0])]
    return Scene(
        room_4=np.array([LEFT, TOP - 8, plot.width - RIGHT + 8, plot.y_px(plot.y.low)], dtype=np.float64),
        sizes_N2=np.array([(CHAR_PX * len(each.name), LINE_PX) for each in these]).reshape(-1, 2),
        marks_N4=np.array([(x - MARK_PX, y - MARK_PX, x + MARK_PX, y + MARK_PX) for x, y in marks]).reshape(-1, 4),
        bars_N4=np.array(bars).reshape(-1, 4),
        lines_B4=np.array([*level, *(line for line, _ in uprights)]).reshape(-1, 4),
        words_B4=np.array([words for _, words in uprights]).reshape(-1, 4),
    )


def line(plot: Plot, places: Sequence[tuple[float, float]], kind: str, *, is_step: bool = False) -> Html:
    """A line through places; as steps it keeps its height to the next one. Of one place it is a dash there."""
    if not places:
        return Html("")
    if len(places) == 1:
        x, y = plot.x_px(places[0][0]), plot.y_px(places[0][1])
        return tag("path", d=f"M{x - DASH_PX / 2} {y}h{DASH_PX}", class_=f"line {kind}")
    parts = [f"M{plot.x_px(places[0][0])} {plot.y_px(places[0][1])}"]
    for x, y in places[1:]:
        parts.append(f"H{plot.x_px(x)}V{plot.y_px(y)}" if is_step else f"L{plot.x_px(x)} {plot.y_px(y)}")
    return tag("path", d="".join(parts), class_=f"line {kind}")


def limit(plot: Plot, value: float, words: str) -> Html:
    """A line upright at a limit, with its name; nothing where it lies beyond the axis."""
    if not _is_inside(plot, value):
        return Html("")
    (x, top, _, bottom), (left, _, right, _) = _limit_boxes(plot, value, words)
    upright = tag("line", x1=x, x2=x, y1=top, y2=bottom, class_="limit")
    at, anchor = (right, "end") if right < x else (left, "start")
    return join([upright, tag("text", words, x=at, y=TOP + 9, text_anchor=anchor, class_="name")])


def _is_inside(plot: Plot, value: float) -> bool:
    return plot.x.low <= value <= plot.x.high


def _limit_boxes(plot: Plot, value: float, words: str) -> tuple[Box, Box]:
    """Boxes of the line at a limit and of its name, which stands where there is more room."""
    x, width = plot.x_px(value), CHAR_PX * len(words)
    left = x - 5 - width if x > plot.width * 0.6 else x + 5
    return (x, TOP, x, plot.y_px(plot.y.low)), (left, TOP - 1, left + width, TOP + LINE_PX - 1)


def level(plot: Plot, value: float, words: str) -> Html:
    """A level line at a limit of the vertical axis, with its name; nothing where it lies beyond the axis."""
    if not plot.y.low <= value <= plot.y.high:
        return Html("")
    y = plot.y_px(value)
    down = 13 if y < TOP + 2 * LINE_PX else -4
    drawn = tag("line", x1=LEFT, x2=plot.width - RIGHT, y1=y, y2=y, class_="limit")
    return join([drawn, tag("text", words, x=LEFT + 5, y=y + down, text_anchor="start", class_="name")])


def legend(kinds: Sequence[tuple[str, str]]) -> Html:
    """What the shapes mean: class of the style, words."""
    items = []
    for kind, words in kinds:
        is_line = kind.startswith("l-")
        mark = tag("path", d="M1 7H17", class_=f"line {kind}") if is_line else shape_of(kind, 9, 7)
        items.append(tag("li", tag("svg", mark, viewBox="0 0 18 14", class_="key", aria_hidden="true"), words))
    return tag("ul", *items, class_="legend")


def figure(title: str, picture: Html, *below: str) -> Html:
    """A picture with its title and what stands below it."""
    return tag("figure", tag("figcaption", title), picture, *below)
