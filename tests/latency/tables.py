"""Small tables of the toy runtime, made once."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from typing import Any, TypeVar

import numpy as np

from edgenas.latency import LatencyTable, MeasuringSettings, ProfileResult, TimingSettings, profile
from edgenas.records import BoundNet, CheckedNet, FittedNet, ReferenceNet
from edgenas.spaces import SearchSpace, get_space
from tests.latency.toy import ToyRuntime, build

TIMING = TimingSettings(visits=3)
Part = TypeVar("Part", BoundNet, CheckedNet, FittedNet, ReferenceNet)


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


def slower(part: Part, times: float) -> Part:
    """A net, or the reference, on a machine that was ``times`` slower."""
    own: dict[str, float | None] = {each.name: getattr(part, each.name) for each in fields(part) if each.name.endswith("_ms")}
    changes: dict[str, Any] = {name: ms * times for name, ms in own.items() if ms is not None}
    return replace(part, **changes)


def nano() -> SearchSpace:
    return get_space("pvt-nano")
