"""How a device is used while it is timed: call after call, at a camera's pace, cold or thermally settled.

A processor that idles between frames lowers its clock and loses its caches; one that has worked for minutes may be throttled by
heat. Both change latencies, so the duty is part of a table's scope: tables of different duties do not mix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgenas.latency.timing.context import SCOPE
from edgenas.latency.timing.target import Target, TimingSettings
from edgenas.portable.calls import tenths_ms
from edgenas.runs import Progress

if TYPE_CHECKING:
    from torch import nn

SETTLED = 0.03  # relative change between the last two tenths of a soak below which it has settled


@dataclass(frozen=True, slots=True)
class Duty:
    """What a table's scope says of it.

    Attributes:
        fps: calls a second with idle time between them; None for call after call.
        soak_seconds: of work before anything is timed; 0 for none.
    """

    fps: float | None = None
    soak_seconds: float = 0.0

    def scope(self, base: str = SCOPE) -> str:
        """``end_to_end``, ``end_to_end_30fps``, ``end_to_end_settled`` or ``end_to_end_30fps_settled``."""
        paced = "" if self.fps is None else f"_{self.fps:g}fps"
        return f"{base}{paced}{'_settled' if self.soak_seconds > 0 else ''}"


def fps_of(scope: str) -> float | None:
    """The frames a second that a scope names, None where it names none."""
    match = re.search(r"_([0-9.]+(?:e[+-]?[0-9]+)?)fps(_|$)", scope)
    return None if match is None else float(match.group(1))


@dataclass(frozen=True, slots=True)
class Soaked:
    """How the speed changed under load.

    Attributes:
        seconds: of load.
        tenths_ms: median of the calls of each tenth of that time.
    """

    seconds: float
    tenths_ms: tuple[float, ...]

    @property
    def slowdown(self) -> float:
        """How many times longer calls took in the end than in the beginning."""
        return self.tenths_ms[-1] / self.tenths_ms[0]

    @property
    def settled(self) -> bool:
        """Whether the speed no longer changed in the end."""
        return abs(self.tenths_ms[-1] / self.tenths_ms[-2] - 1) <= SETTLED

    def as_json(self) -> dict[str, Any]:
        """Plain values, read back by ``Soaked.from_json``."""
        return asdict(self) | {"slowdown": self.slowdown, "settled": self.settled}

    @classmethod
    def from_json(cls, value: Any) -> Soaked:
        """Read what `as_json` gave."""
        return cls(float(value["seconds"]), tuple(float(ms) for ms in value["tenths_ms"]))

    def __str__(self) -> str:
        first, last = self.tenths_ms[0], self.tenths_ms[-1]
        change = "as fast as before" if abs(self.slowdown - 1) <= SETTLED else f"{self.slowdown:.2f} times the time"
        text = f"after {self.seconds / 60:.3g} min of load a call takes {last:.3g} ms, {first:.3g} ms at first: {change}"
        return text if self.settled else f"{text}; the speed has not settled yet"


def soak(target: Target, source: Path | nn.Module, seconds: float) -> Iterator[Progress | Soaked]:
    """Keep the device busy with one net, at the target's pace; the last record is the `Soaked`.

    Raises:
        MissingBackendError, ArtefactError: as `Runtime.load`.
    """
    runner, start, total = target.load(source), target.clock(), max(1, round(seconds))
    calls: list[tuple[float, float]] = []
    shown = -1
    try:
        for moment_s, ms in target.timer(TimingSettings()).work(partial(runner, target.feed(source)), seconds):
            calls.append((moment_s, ms))
            if int(moment_s) > shown:
                shown = int(moment_s)
                yield Progress("soaking", min(shown, round(seconds)), total, unit="s")
    finally:
        runner.close()
    yield Progress("soaking", total, total, unit="s")
    yield Soaked((target.clock() - start) / 1e9, tuple(tenths_ms(calls)))
