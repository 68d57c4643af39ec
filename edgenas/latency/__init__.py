"""Latency tables: which nets to time, timing them with the runtime that will ship, fitting and validating."""

from edgenas.latency.compose import ChainTracer, ComponentGraphs, ComposedOnnx, stitch
from edgenas.latency.context import Context, context_of
from edgenas.latency.measure import Measurement, Measurements, measure_nets
from edgenas.latency.plan import Plan, ProfileSettings, make_plan
from edgenas.latency.profile import ProfileResult, SourceBuilder, profile
from edgenas.latency.promise import QUANTILES, Bound, Promise, Quantile, nets_needed
from edgenas.latency.store import find_tables, named_table, one_context, shipped_tables, tables_that_fit
from edgenas.latency.table import LatencyTable
from edgenas.latency.timing import Memory, Part, Target, TimingSettings

__all__ = [
    "QUANTILES",
    "Bound",
    "ChainTracer",
    "ComponentGraphs",
    "ComposedOnnx",
    "Context",
    "LatencyTable",
    "Measurement",
    "Measurements",
    "Memory",
    "Part",
    "Plan",
    "ProfileResult",
    "ProfileSettings",
    "Promise",
    "Quantile",
    "SourceBuilder",
    "Target",
    "TimingSettings",
    "context_of",
    "find_tables",
    "make_plan",
    "measure_nets",
    "named_table",
    "nets_needed",
    "one_context",
    "profile",
    "shipped_tables",
    "stitch",
    "tables_that_fit",
]
