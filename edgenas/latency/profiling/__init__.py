"""Profiling: plan, time, fit, validate, and put it into a table."""

from edgenas.latency.profiling.profile import ProfileResult, SourceBuilder, profile

__all__ = [
    "ProfileResult",
    "SourceBuilder",
    "profile",
]
