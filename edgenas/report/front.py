"""The front of a search while it grows: accuracy on select over cost, drawn with characters.

Every character of the picture holds two by four dots (braille), a dot a net; nets that no other beats and hand-designed ones are
signs of their own. Where the terminal's encoding has no such characters, plain ones are taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from edgenas.runs import Front

ROWS = 11  # of the picture, its axis left out
NARROW, WIDE = 24, 72  # columns of the picture
SHOWN = 0.1  # share of the nets, the least accurate, that may lie on the lower edge
MARGIN = 9  # columns left of the picture
ENDS = 5  # nets of a front that a plain line names
FRONT, HAND, LIMIT = "●", "◆", "┊"
PLAIN = {FRONT: "o", HAND: "x", LIMIT: ":", "┤": "|", "│": "|", "└": "+", "─": "-", "·": "."}
STYLES = {FRONT: "bold green", HAND: "yellow", LIMIT: "red"}
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a braille character, by row and column
_UNITS = {"latency_ms": "ms", "memory_mb": "MB"}


class FrontPicture:
    """What a search has evaluated so far; grows with every record."""

    def __init__(self, first: Front) -> None:
        self.label = first.label
        self.cost_name = first.cost_name
        self.limit = first.limit
        self._costs: list[float] = []
        self._top1: list[float] = []
        self._hand: list[bool] = []

    def add(self, record: Front) -> None:
        """Take in what was evaluated since."""
        for net in record.nets:
            self._costs.append(net.cost)
            self._top1.append(net.top1)
            self._hand.append(net.is_hand_designed)

    @property
    def line(self) -> str:
        """The front in a line of text, from the cheapest net to the dearest; at most `ENDS` of its nets."""
        places = self._front()
        if len(places) > ENDS:
            places = places[np.linspace(0, len(places) - 1, ENDS).round().astype(int)]
        nets = ", ".join(f"{self._cost(self._costs[i])} {100 * self._top1[i]:.1f} %" for i in places)
        return f"front of {len(self._costs):,} nets: {nets}"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The picture, as wide as there is room."""
        width = min(WIDE, options.max_width - MARGIN - 1)
        if len(self._costs) < 2 or width < NARROW:
            return
        plain = not _is_drawable(console.encoding)
        yield from self._lines(width, plain=plain)

    def _front(self) -> NDArray[np.int64]:
        """Places of the nets that no other beats in both, by growing cost."""
        order_A = np.lexsort((-np.array(self._top1), np.array(self._costs)))
        top1_A = np.array(self._top1)[order_A]
        best_A = np.maximum.accumulate(np.concatenate([[-np.inf], top1_A[:-1]]))
        return np.asarray(order_A[top1_A > best_A], dtype=np.int64)

    def _cost(self, value: float) -> str:
        unit = _UNITS.get(self.cost_name.partition("[")[0])
        return f"{value:.3g} {unit}" if unit is not None else f"{value / 1e6:.3g} M"

    def _lines(self, width: int, *, plain: bool) -> Iterator[Text]:
        """Heading, rows, axis and legend."""
        costs_A, top1_A = np.array(self._costs), np.array(self._top1)
        front = self._front()
        low, high = _range(min(float(np.quantile(top1_A, SHOWN)), float(top1_A[front].min())), float(top1_A.max()))
        left, right = _range(float(costs_A.min()), float(max(costs_A.max(), self.limit or 0.0)))
        left = max(left, 0.0)  # nothing costs less
        x_A = np.clip((costs_A - left) / (right - left), 0, 1)
        y_A = np.clip((top1_A - low) / (high - low), 0, 1)
        signs = _dots(x_A, y_A, width, plain=plain)
        if self.limit is not None:
            column = round((self.limit - left) / (right - left) * (width - 1))
            signs |= {(row, column): LIMIT for row in range(ROWS) if (row, column) not in signs}
        hand = [i for i, is_hand in enumerate(self._hand) if is_hand]
        for sign, places in ((HAND, hand), (FRONT, front)):
            signs |= {(round((1 - y_A[i]) * (ROWS - 1)), round(x_A[i] * (width - 1))): sign for i in places}
        yield Text(f"{'':{MARGIN}}top-1 on select, with shared weights", style="dim")
        ticks = {0: high, ROWS // 2: (low + high) / 2, ROWS - 1: low}
        for row in range(ROWS):
            tick = f"{100 * ticks[row]:6.1f} %┤" if row in ticks else f"{'':{MARGIN - 1}}│"
            yield _drawn([tick, *(signs.get((row, column), " ") for column in range(width))], plain=plain)
        yield _drawn([f"{'':{MARGIN - 1}}└", "─" * width], plain=plain)
        ends = (self._cost(left), self._cost(right))
        name = "predicted" if self.cost_name.startswith("latency_ms") else self.cost_name
        middle = f"{name:^{max(0, width - len(ends[0]) - len(ends[1]))}}"
        yield Text(f"{'':{MARGIN}}{ends[0]}{middle}{ends[1]}", style="dim")
        yield self._legend(len(front), plain=plain)

    def _legend(self, num_front: int, *, plain: bool) -> Text:
        """What the signs are, those that are there."""
        parts: list[str] = [f"{'':{MARGIN}}", FRONT, f" {num_front} on the front"]
        if any(self._hand):
            parts += ["  ", HAND, " hand-made"]
        parts += [f"  · {len(self._costs):,} nets"]
        if self.limit is not None:
            parts += ["  ", LIMIT, " limit"]
        return _drawn(parts, plain=plain)


def _is_drawable(encoding: str) -> bool:
    try:
        "⣿●◆┊".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _range(low: float, high: float) -> tuple[float, float]:
    """Both ends, apart from each other."""
    room = (high - low) * 0.02 or abs(high) * 0.05 or 1.0
    return low - room, high + room


def _dots(x_A: NDArray[np.float64], y_A: NDArray[np.float64], width: int, *, plain: bool) -> dict[tuple[int, int], str]:
    """Characters by row and column that hold a dot for every net."""
    if plain:
        rows_A, columns_A = ((1 - y_A) * (ROWS - 1)).round().astype(int), (x_A * (width - 1)).round().astype(int)
        return {(int(row), int(column)): "." for row, column in zip(rows_A, columns_A, strict=True)}
    bits: dict[tuple[int, int], int] = {}
    for x, y in zip((x_A * (2 * width - 1)).round().astype(int), ((1 - y_A) * (4 * ROWS - 1)).round().astype(int), strict=True):
        place = (int(y) // 4, int(x) // 2)
        bits[place] = bits.get(place, 0) | _BITS[int(y) % 4][int(x) % 2]
    return {place: chr(0x2800 + value) for place, value in bits.items()}


def _drawn(parts: Sequence[str], *, plain: bool) -> Text:
    """Parts in a line, signs in their colours, everything else dim."""
    line = Text(no_wrap=True, overflow="crop")
    for part in parts:
        shown = "".join(PLAIN.get(character, character) for character in part) if plain else part
        style = STYLES.get(part, "cyan" if "⠀" <= part[0] <= "⣿" else "dim")
        line.append(shown, style=None if part.isspace() else style)
    line.rstrip()
    return line
