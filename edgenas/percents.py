"""Shares as everybody reads them: percent with one decimal, everywhere alike."""

from __future__ import annotations

from typing import Protocol


class Interval(Protocol):
    """A share with its interval, fractions in [0, 1]."""

    @property
    def value(self) -> float:
        """As it was found."""
        ...

    @property
    def low(self) -> float:
        """Lower end."""
        ...

    @property
    def high(self) -> float:
        """Upper end."""
        ...


def percent(share: float) -> str:
    """A share in percent, e.g. ``97.0 %``."""
    return f"{numeral(share)} %"


def numeral(share: float) -> str:
    """A share in percent without the sign, for a column that has it in its head.

    One decimal; where that would say none or all of what is neither, as many digits as tell it apart, two at least.
    """
    percents = 100 * share
    text = f"{percents:.1f}"
    if text in ("0.0", "-0.0") and percents != 0:
        return f"{percents:.2g}".replace("e-0", "e-")
    if text == "100.0" and percents < 100:
        return f"{percents:.{3 - _exponent(100 - percents)}g}"
    return text


def with_interval(share: Interval) -> str:
    """A share in percent with its interval, e.g. ``97.0 % [95.2, 98.2]``."""
    return f"{percent(share.value)} [{numeral(share.low)}, {numeral(share.high)}]"


def _exponent(rest: float) -> int:
    return int(f"{rest:.1e}".partition("e")[2])
