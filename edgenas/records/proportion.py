"""Shares with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Proportion:
    """A share, or a difference of shares, of ``n`` trials with its interval [``low``, ``high``]. NaN where n is 0."""

    value: float
    low: float
    high: float
    n: int

    def as_json(self) -> dict[str, float | int | None]:
        """The contract's interval; NaN becomes null."""

        def number(x: float) -> float | None:
            return None if math.isnan(x) else float(x)

        return {"value": number(self.value), "low": number(self.low), "high": number(self.high), "n": self.n}
