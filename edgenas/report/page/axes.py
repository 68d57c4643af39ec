"""Axes of plots in SVG: ticks at round numbers, a grid, labels that stay readable on a phone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgenas.report.page.markup import Html, join, tag

WIDTH, HEIGHT = 420, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 14, 46


def plain(value: float) -> str:
    """A number at a tick."""
    return f"{value:.6g}"


def per_cent(value: float) -> str:
    """A share at a tick."""
    return f"{100 * value:.4g}"


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a plot.

    Attributes:
        label: with its unit.
        low, high: ends.
        ticks: between them.
        shown: how a tick is written.
    """

    label: str
    low: float
    high: float
    ticks: tuple[float, ...]
    shown: Callable[[float], str] = plain

    @classmethod
    def over(
        cls,
        label: str,
        values: Sequence[float],
        *,
        shown: Callable[[float], str] = plain,
        room: float = 0.06,
        least: float | None = None,
        most: float | None = None,
    ) -> Axis:
        """An axis with room around some values, never beyond ``least`` and ``most``."""
        finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        span = high - low or abs(high) * 0.1 or 1.0
        low, high = low - room * span, high + room * span
        low = low if least is None else max(low, least)
        high = high if most is None else min(high, most)
        if high <= low:
            low, high = low - span / 2, high + span / 2
        return cls(label, low, high, round_ticks(low, high), shown)

    def at(self, value: float) -> float:
        """Where a value is, 0 to 1; what lies beyond is at the end."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def round_ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    """Multiples of 1, 2 or 5 times a power of ten within the ends, at most so many."""
    span = high - low
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10, 20) if span / (factor * power) <= most)
    first = math.ceil(low / step - 1e-9)
    return tuple(round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1))


@dataclass(frozen=True, slots=True)
class Plot:
    """The room that marks are drawn in: pixels of the picture, which is scaled to its place."""

    x: Axis
    y: Axis
    width: int = WIDTH
    height: int = HEIGHT

    def x_px(self, value: float) -> float:
        """Column of a value."""
        return round(LEFT + self.x.at(value) * (self.width - LEFT - RIGHT), 1)

    def y_px(self, value: float) -> float:
        """Row of a value."""
        return round(self.height - BOTTOM - self.y.at(value) * (self.height - TOP - BOTTOM), 1)

    def frame(self) -> Html:
        """Grid, ticks and labels."""
        right, bottom = self.width - RIGHT, self.height - BOTTOM
        parts: list[Html] = []
        for value in self.x.ticks:
            at = self.x_px(value)
            parts.append(tag("line", x1=at, x2=at, y1=TOP, y2=bottom, class_="grid"))
            parts.append(tag("text", self.x.shown(value), x=at, y=bottom + 16, text_anchor="middle"))
        for value in self.y.ticks:
            at = self.y_px(value)
            parts.append(tag("line", x1=LEFT, x2=right, y1=at, y2=at, class_="grid"))
            parts.append(tag("text", self.y.shown(value), x=LEFT - 7, y=at + 4, text_anchor="end"))
        parts.append(tag("line", x1=LEFT, x2=right, y1=bottom, y2=bottom, class_="axis"))
        middle = (TOP + bottom) / 2
        parts.append(tag("text", self.x.label, x=(LEFT + right) / 2, y=self.height - 8, text_anchor="middle", class_="label"))
        turned = f"translate(11 {middle:.1f}) rotate(-90)"
        parts.append(tag("text", self.y.label, transform=turned, text_anchor="middle", class_="label"))
        return join(parts)

    def svg(self, title: str, *marks: str) -> Html:
        """The whole picture."""
        box = f"0 0 {self.width} {self.height}"
        return tag("svg", tag("title", title), self.frame(), *marks, viewBox=box, role="img", aria_label=title, class_="plot")
