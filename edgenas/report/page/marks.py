"""What is drawn in a plot: points that say what they are, lines, steps, error bars, names that do not cover each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgenas.report.page.axes import LEFT, RIGHT, TOP, Plot
from edgenas.report.page.markup import Html, join, tag

CHAR_PX, LINE_PX = 6.4, 13.0  # of names in a picture
APART_PX = 6  # that stay free between names of one line
DASH_PX = 14  # of a line that has one place
PLACES = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1))  # beside a point, the first that is free


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


def points(plot: Plot, these: Sequence[Point]) -> Html:
    """Error bars, then points, then names where there is room."""
    bars = [bar for each in these for bar in _bars(plot, each)]
    marks = [_mark(plot, each) for each in these]
    return join([*bars, *marks, *_names(plot, [each for each in these if each.name])])


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


def _names(plot: Plot, these: Sequence[Point]) -> Iterable[Html]:
    """Each name at the first place beside its point where it covers no other name or named point."""
    taken = [(plot.x_px(each.x) - 6, plot.y_px(each.y) - 6, 12.0, 12.0) for each in these]
    for each in these:
        x, y, width = plot.x_px(each.x), plot.y_px(each.y), CHAR_PX * len(each.name)
        for right, down in PLACES:
            left = x + 9 if right > 0 else (x - 9 - width if right < 0 else x - width / 2)
            top = y - LINE_PX / 2 + down * 14
            box = (left, top, width, LINE_PX)
            is_inside = left >= LEFT and left + width <= plot.width - RIGHT + 8
            is_inside = is_inside and top >= TOP - 8 and top + LINE_PX <= plot.height - 40
            if is_inside and not any(_overlap(box, other) for other in taken):
                taken.append((left - APART_PX, top, width + 2 * APART_PX, LINE_PX))
                at, anchor = {1: (x + 9, "start"), -1: (x - 9, "end"), 0: (x, "middle")}[right]
                yield tag("text", each.name, x=round(at, 1), y=round(top + 10, 1), text_anchor=anchor, class_="name")
                break


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    is_beside = one[0] + one[2] <= other[0] or other[0] + other[2] <= one[0]
    is_above = one[1] + one[3] <= other[1] or other[1] + other[3] <= one[1]
    return not (is_beside or is_above)


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
    if not plot.x.low <= value <= plot.x.high:
        return Html("")
    x = plot.x_px(value)
    at_left = x > plot.width * 0.6
    upright = tag("line", x1=x, x2=x, y1=TOP, y2=plot.y_px(plot.y.low), class_="limit")
    anchor = "end" if at_left else "start"
    return join([upright, tag("text", words, x=x - 5 if at_left else x + 5, y=TOP + 9, text_anchor=anchor, class_="name")])


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
