"""What is loaded how, what it is fed, and at which pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import Precision, Runner, Runtime
from edgenas.fields import AmountOrZero, Count, require_allowed
from edgenas.portable.calls import RESIDENT_BYTES, CallTimer

if TYPE_CHECKING:
    from torch import nn

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class TimingSettings:
    """How often and how long.

    Attributes:
        visits: to every net, each in a round of its own random order.
        runs: timed at every visit, at least.
        visit_ms: more runs, up to 32 and the same number for all nets, where the reference leaves time for them.
        warmup_ms: of untimed runs at every visit, after two.
        reference_every: nets between two visits to the reference.
    """

    visits: Count = 6
    runs: Count = 3
    visit_ms: AmountOrZero = 4.0
    warmup_ms: AmountOrZero = 1.0
    reference_every: Count = 4

    def __post_init__(self) -> None:
        require_allowed(self)


@dataclass(frozen=True, slots=True)
class Target:
    """What is loaded how, and what it is fed.

    Attributes:
        runtime: loads the sources.
        images_NCHW: the input of every call, where ``images_of`` says no other.
        precision: as in `Runtime.load`.
        threads: as in `Runtime.load`; None is the runtime's default.
        spinning: as in `Runtime.load`.
        clock: nanoseconds.
        images_of: the input of a source, where nets read images of several sizes.
        bytes_of: of a file and the weights it reads; None for the file's own size.
        fps: calls a second, with idle time between them; None for call after call.
        sleep: waits for seconds.
    """

    runtime: Runtime
    images_NCHW: NDArray[np.float32]
    precision: Precision = "fp32"
    threads: int | None = None
    spinning: bool = True
    clock: Clock = time.perf_counter_ns
    images_of: Callable[[Path | nn.Module], NDArray[np.float32]] | None = None
    bytes_of: Callable[[Path], int] | None = None
    fps: float | None = None
    sleep: Callable[[float], None] = time.sleep

    @property
    def period_ns(self) -> int:
        """From the start of a call to the start of the next, at least; 0 for call after call."""
        return 0 if self.fps is None else round(1e9 / self.fps)

    @property
    def batch_size(self) -> int:
        """Images a call."""
        return len(self.images_NCHW)

    def feed(self, source: Path | nn.Module) -> NDArray[np.float32]:
        """What a source is called with."""
        return self.images_NCHW if self.images_of is None else self.images_of(source)

    def size(self, source: Path | nn.Module) -> int:
        """Bytes of what is loaded; of a module, too many to keep it."""
        if not isinstance(source, Path):
            return RESIDENT_BYTES
        return source.stat().st_size if self.bytes_of is None else self.bytes_of(source)

    def timer(self, settings: TimingSettings) -> CallTimer:
        """What times calls at this pace, by this clock."""
        return CallTimer(self.clock, self.sleep, self.period_ns, settings.runs, settings.visit_ms, settings.warmup_ms)

    def load(self, source: Path | nn.Module) -> Runner:
        """A live runner; the caller closes it."""
        return self.runtime.load(source, precision=self.precision, threads=self.threads, spinning=self.spinning)


def stays_loaded(target: Target, sources: Sequence[Path | nn.Module]) -> bool:
    """Whether runners may stay loaded beside each other: no thread of theirs spins, and they fit into memory."""
    if target.runtime.device_kind == "cuda":
        return True
    if target.threads != 1 and target.spinning:
        return False
    return sum(target.size(source) for source in set(sources)) <= RESIDENT_BYTES
