"""What else a machine did while something was timed on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from edgenas.records.codec import AS_READ, OMITTED, AsRead, JsonRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanFacts(JsonRecord):
    """Least and most of what was seen."""

    min: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFacts(JsonRecord):
    """A GPU beside a session; None where it did not tell.

    Attributes:
        unknown: why nothing is known at all.
        throttle_reasons: empty where it was not throttled.
    """

    unknown: str | None = None
    name: str | None = None
    driver: str | None = None
    sm_clock_mhz: SpanFacts | None = None
    memory_clock_mhz: SpanFacts | None = None
    max_sm_clock_mhz: float | None = None
    power_w: SpanFacts | None = None
    power_limit_w: float | None = None
    temperature_c: SpanFacts | None = None
    throttle_reasons: tuple[str, ...] | None = None
    as_read: Annotated[AsRead | None, AS_READ] = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts(JsonRecord):
    """What went on beside a session; None where the system did not tell.

    Attributes:
        seconds: that it was looked at.
        num_cores: that could be used.
        own_cores: how many of them the session kept busy.
        other_cores: how many other processes did; ``other_cores_max`` at the worst moment.
        steal_share: of their time that a hypervisor took.
        throttle_events: how often heat slowed them down.
        cpu_quota: cores' worth of time that the process might use; None without a quota.
        quota_events: how often that held it back.
    """

    seconds: float | None = None
    num_cores: int | None = None
    own_cores: float | None = None
    other_cores: float | None = None
    other_cores_max: float | None = None
    steal_share: float | None = None
    load_average_before: float | None = None
    load_average_after: float | None = None
    governors: tuple[str, ...] | None = None
    frequency_min_mhz: float | None = None
    frequency_max_mhz: float | None = None
    temperature_before_c: float | None = None
    temperature_after_c: float | None = None
    throttle_events: float | None = None
    cpu_quota: Annotated[float | None, OMITTED] = None
    quota_events: Annotated[float | None, OMITTED] = None
    gpu: Annotated[GpuFacts | None, OMITTED] = None
    as_read: Annotated[AsRead | None, AS_READ] = field(default=None, compare=False, repr=False)


UNSEEN = MachineFacts.from_json({})  # of a series beside which nobody looked
