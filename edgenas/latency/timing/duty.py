"""How a device is used while it is timed: call after call, at a camera's pace, cold or thermally settled.

A processor that idles between frames lowers its clock and loses its caches; one that has worked for minutes may be throttled by
heat. Both change latencies, so the duty is part of a table's scope: tables of different duties do not mix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.latency.timing.context import SCOPE
from edgenas.latency.timing.target import Pace, Target
from edgenas.runs import Progress

if TYPE_CHECKING:
    from torch import nn

SETTLED = 0.03  # relative change between the last two tenths of a soak below which it has settled
TENTHS = 10


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
    found = re.search(r"_([0-9.]+(?:e[+-]?[0-9]+)?)fps(_|$)", scope)
    return None if found is None else float(found.group(1))


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
        """From `as_json`."""
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
    runner, images_NCHW, pace = target.load(source), target.feed(source), Pace(target)
    start, shown = target.clock(), -1
    moments: list[float] = []
    samples: list[float] = []
    try:
        while len(samples) < TENTHS or (target.clock() - start) < seconds * 1e9:
            begin = pace.wait()
            runner(images_NCHW)
            samples.append((target.clock() - begin) / 1e6)
            moments.append((begin - start) / 1e9)
            if int(moments[-1]) > shown:
                shown = int(moments[-1])
                yield Progress("soaking", min(shown, round(seconds)), max(1, round(seconds)), unit="s")
    finally:
        runner.close()
    yield Progress("soaking", max(1, round(seconds)), max(1, round(seconds)), unit="s")
    yield Soaked((target.clock() - start) / 1e9, _tenths(np.array(moments), np.array(samples)))


def _tenths(moments_s: NDArray[np.float64], samples_ms: NDArray[np.float64]) -> tuple[float, ...]:
    """Median of every tenth of the time; one without calls repeats the one before."""
    place = np.minimum((moments_s / max(moments_s[-1], 1e-9) * TENTHS).astype(int), TENTHS - 1)
    medians: list[float] = []
    for tenth in range(TENTHS):
        inside = samples_ms[place == tenth]
        medians.append(float(np.median(inside)) if len(inside) else medians[-1])
    return tuple(medians)
