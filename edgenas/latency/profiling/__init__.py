"""Profiling: plan, time, fit, validate, and put it into a table."""

from edgenas.latency.profiling.again import AGAIN_SECONDS, measure_again
from edgenas.latency.profiling.profile import ProfileResult, profile
from edgenas.latency.profiling.visits import SourceBuilder

__all__ = [
    "AGAIN_SECONDS",
    "ProfileResult",
    "SourceBuilder",
    "measure_again",
    "profile",
]
