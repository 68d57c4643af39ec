"""Whole nets, timed in turn and given at the speed that a table was measured at."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from edgenas.latency.fit import Quantile
from edgenas.latency.measuring.workshop import OtherNet, Workshop
from edgenas.latency.nets import components_of, reference_net
from edgenas.latency.table import SAME_SPEED, LatencyTable
from edgenas.latency.timing import (
    FINALIST_TIMING,
    Measurement,
    Measurements,
    Memory,
    PrefixedMemory,
    calls_needed,
    fps_of,
    measure_nets,
)
from edgenas.records import Percentile
from edgenas.runs import Note, Progress, sha256_json
from edgenas.spaces import Genes

if TYPE_CHECKING:
    from torch import nn

ATTEMPTS = 6


@dataclass(frozen=True, slots=True)
class Measured:
    """A whole net, timed on the device.

    Attributes:
        latency_ms: median of all calls; where the machine ran at another speed than when it was profiled, at the profiled speed.
        p90_ms, p95_ms, p99_ms: percentiles of the calls, at the same speed.
        speed: how many times slower calls were than at the profiled speed.
        calls: behind the percentiles; 0 where nobody says.
        p90_upper_ms, p95_upper_ms, p99_upper_ms: what they are at or below with 99 % confidence; None where the calls are too few.
    """

    latency_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    speed: float
    calls: int = 0
    p90_upper_ms: float | None = None
    p95_upper_ms: float | None = None
    p99_upper_ms: float | None = None

    @classmethod
    def of(cls, net: Measurement, level_ms: float) -> Measured:
        """From a measurement beside the table's reference net, which took ``level_ms`` when the device was profiled."""
        speed = net.latency_ms / (net.relative * level_ms)
        correction = 1.0 if abs(speed - 1) <= SAME_SPEED else speed
        p50, p90, p95, p99 = (ms / correction for ms in (net.latency_ms, net.p90_ms, net.p95_ms, net.p99_ms))
        uppers = (net.p90_upper_ms, net.p95_upper_ms, net.p99_upper_ms)
        return cls(p50, p90, p95, p99, speed, net.n, *(None if ms is None else ms / correction for ms in uppers))

    def quantile_ms(self, quantile: Quantile) -> float:
        """One of the percentiles; ``p50`` is the median."""
        return {"p50": self.latency_ms, "p90": self.p90_ms, "p95": self.p95_ms, "p99": self.p99_ms}[quantile]

    @property
    def percentiles(self) -> dict[str, Percentile] | None:
        """The percentiles with the calls behind them; None where nobody says how many."""
        uppers = {"p90": self.p90_upper_ms, "p95": self.p95_upper_ms, "p99": self.p99_upper_ms}
        return percentiles_of({"p90": self.p90_ms, "p95": self.p95_ms, "p99": self.p99_ms}, uppers, self.calls)


def percentiles_of(
    values_ms: Mapping[str, float], uppers_ms: Mapping[str, float | None], calls: int
) -> dict[str, Percentile] | None:
    """Percentiles of so many calls, by their names, with what they are at or below; None of no calls."""
    if calls == 0:
        return None
    return {
        name: Percentile(ms=ms, calls=calls, upper_ms=uppers_ms.get(name), calls_needed=calls_needed(int(name[1:]) / 100))
        for name, ms in values_ms.items()
    }


def measure(
    workshop: Workshop,
    genes_AG: Genes,
    table: LatencyTable,
    label: str,
    seed: int,
    memory: Memory | None = None,
    others: Mapping[str, nn.Module | OtherNet] = MappingProxyType({}),
    attempts: int | None = None,
) -> Generator[Progress | Note, None, list[Measured]]:
    """Time whole nets in turn, beside the table's reference net; ``others`` by name are of no space and come last.

    Virtual and thermally limited machines jump between speeds; so the nets are measured again, a few times and a second apart,
    until the machine runs as it did when it was profiled. Where it never does, times are converted to that speed, with a warning
    unless there was just one of ``attempts``; None are `ATTEMPTS`.
    What ``memory`` holds of an interrupted measurement of the same nets is not measured again.

    Raises:
        MissingBackendError: if the runtime does not work here.
    """
    attempts = ATTEMPTS if attempts is None else attempts
    chains = [components_of(workshop.space, genes_G, workshop.task) for genes_G in genes_AG]
    reference = reference_net(workshop.space, workshop.task)
    yield from workshop.prepare_chains([reference, *chains])
    sources, beside = [workshop.build(chain) for chain in chains], workshop.build(reference)
    sources += [workshop.build_net(net, name) for name, net in others.items()]
    target, rng = workshop.target(table.context.threads, fps_of(table.context.scope)), np.random.default_rng(seed)
    best: list[Measured] = []
    named = sha256_json([table.sha256, genes_AG, *others])[:12]
    for attempt in range(attempts):
        part = None if memory is None else PrefixedMemory(memory, f"{label} {named} {attempt} ")
        for record in measure_nets(target, sources, rng=rng, settings=FINALIST_TIMING, reference=beside, label=label, memory=part):
            if isinstance(record, Measurements):
                nets = [Measured.of(net, table.level_ms) for net in record.nets]
                best = min(best or nets, nets, key=_strangeness)
            else:
                yield record
        if _strangeness(best) <= SAME_SPEED:
            return best
        time.sleep(1.0 if attempt < attempts - 1 else 0.0)
    if attempts == 1:
        return best
    speed = float(np.median([net.speed for net in best]))
    text = f"this machine now runs at {1 / speed:.2f} of the speed it was profiled at; latencies are given at the profiled speed"
    yield Note(text, is_warning=True)
    return best


def _strangeness(nets: Sequence[Measured]) -> float:
    return max(abs(net.speed - 1) for net in nets)
