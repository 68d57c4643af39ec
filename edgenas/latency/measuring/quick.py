"""One whole net, timed within a second or so: enough to see whether it is far from a limit or near."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from edgenas.latency.timing import Measurements, Target, TimingSettings, measure_nets

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

ATTEMPTS = 3
QUICK_TIMING = TimingSettings(visits=3, runs=5, visit_ms=20.0)


def time_quickly(target: Target, source: Path | nn.Module, enough_ms: float) -> float:
    """Milliseconds of a call: the median of a few visits, or the second call where it is above ``enough_ms`` already.

    Visits that other programs disturb are made again, and the quietest count.

    Raises:
        MissingBackendError, ArtefactError: as `Runtime.load`.
    """
    runner = target.load(source)
    try:
        call = partial(runner, target.feed(source))
        call()
        begin_ns = target.clock()
        call()
        once_ms = (target.clock() - begin_ns) / 1e6
    finally:
        runner.close()
    if once_ms > enough_ms:
        return once_ms
    medians_ms: list[float] = []
    for _ in range(ATTEMPTS):
        *_, last = measure_nets(target, [source], rng=np.random.default_rng(0), settings=QUICK_TIMING)
        assert isinstance(last, Measurements)
        medians_ms.append(last.nets[0].latency_ms)
        if not last.nets[0].unstable:
            break
    return min(medians_ms)
