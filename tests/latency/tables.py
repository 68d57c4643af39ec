"""Small tables of the toy runtime, made once."""

from __future__ import annotations

from functools import cache

import numpy as np

from edgenas.latency import LatencyTable, MeasuringSettings, ProfileResult, TimingSettings, profile
from edgenas.spaces import SearchSpace, get_space
from tests.latency.toy import ToyRuntime, build

TIMING = TimingSettings(visits=3)


def measured(runtime: ToyRuntime, *, space: str = "pvt-nano", seed: int = 0, num: int = 8, bound: int = 0) -> LatencyTable:
    """What a profile of this runtime finds out."""
    of = get_space(space)
    settings = MeasuringSettings(timing=TIMING, calibration_nets=num, validation_nets=num, bound_nets=bound)
    rng = np.random.default_rng(seed)
    *_, last = profile(of, of.default_task, runtime.target(), build, settings=settings, rng=rng)
    assert isinstance(last, ProfileResult)
    return last.table


@cache
def toy_table(seed: int = 0, *, noise: float = 0.02, space: str = "pvt-nano", draws: int = 0, bound: int = 0) -> LatencyTable:
    """``seed`` is of the noise, ``draws`` of the nets; ``bound`` of them are behind promises."""
    return measured(ToyRuntime(noise=noise, rng=np.random.default_rng(seed)), space=space, seed=draws, bound=bound)


def nano() -> SearchSpace:
    return get_space("pvt-nano")
