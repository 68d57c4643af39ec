"""Whole nets that several tables measured, averaged at a common level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from edgenas.latency.table.table import LatencyTable
from edgenas.records import Arch
from edgenas.runs import dump_json


class MeasuredRow(Protocol):
    """A whole net as a table measured it."""

    @property
    def arch(self) -> Arch:
        """What it is."""
        ...

    @property
    def measured_ms(self) -> float:
        """At the table's level."""
        ...

    @property
    def n(self) -> int | None:
        """Calls."""
        ...


R = TypeVar("R", bound=MeasuredRow)


@dataclass(frozen=True, slots=True)
class WholeNet(Generic[R]):
    """A whole net as several tables measured it, with their levels."""

    rows: tuple[R, ...]
    visits: tuple[float, ...]
    levels_ms: tuple[float, ...]

    @property
    def costs(self) -> tuple[float, ...]:
        """References of each time."""
        return tuple(row.measured_ms / level_ms for row, level_ms in zip(self.rows, self.levels_ms, strict=True))

    @property
    def n(self) -> int:
        """Calls of all times."""
        return sum(row.n or 0 for row in self.rows)

    def at(self, level_ms: float, ms_of: Callable[[R], float]) -> float:
        """Average of some milliseconds of the rows, at a common level."""
        values = [ms_of(row) * level_ms / own_ms for row, own_ms in zip(self.rows, self.levels_ms, strict=True)]
        return float(np.average(values, weights=self.visits))

    def at_if_known(self, level_ms: float, ms_of: Callable[[R], float | None]) -> float | None:
        """The same of milliseconds that not every table says; what the first says where one does not."""
        if any(ms_of(row) is None for row in self.rows):
            return ms_of(self.rows[0])
        return self.at(level_ms, lambda row: ms_of(row) or 0.0)


def whole_nets(sources: Sequence[tuple[LatencyTable, Sequence[R]]]) -> dict[str, WholeNet[R]]:
    """Whole nets by their architecture, each with what every table says of it."""
    rows_of: dict[str, list[tuple[R, float, float]]] = {}
    for table, rows in sources:
        for row in rows:
            visits = (row.n or 0) / table.measuring.runs_per_visit
            rows_of.setdefault(dump_json(row.arch, indent=None), []).append((row, visits, table.level_ms))
    return {
        key: WholeNet(
            tuple(row for row, _, _ in each), tuple(visits for _, visits, _ in each), tuple(level for _, _, level in each)
        )
        for key, each in rows_of.items()
    }
