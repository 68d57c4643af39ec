"""Latency tables: which nets to time, timing them with the runtime that will ship, fitting and validating."""

from edgenas.latency.fit import QUANTILES, Bound, Promise, Quantile, nets_needed
from edgenas.latency.nets import ChainTracer, ComponentGraphs, ComposedOnnx, MeasuringSettings, TimingPlan, make_plan, stitch
from edgenas.latency.profiling import ProfileResult, SourceBuilder, profile
from edgenas.latency.table import LatencyTable, find_tables, named_table, one_context, shipped_tables, tables_that_fit
from edgenas.latency.timing import (
    Context,
    Measurement,
    Measurements,
    Memory,
    PrefixedMemory,
    Target,
    TimingSettings,
    context_of,
    measure_nets,
)
from edgenas.renamed import forward

__getattr__ = forward(__name__, {"ProfileSettings": "edgenas.latency:MeasuringSettings"})

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
    "MeasuringSettings",
    "Memory",
    "PrefixedMemory",
    "ProfileResult",
    "Promise",
    "Quantile",
    "SourceBuilder",
    "Target",
    "TimingPlan",
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
