"""Timing nets: what is loaded how, sessions of interleaved visits, the pace and the machine they were made on."""

from edgenas.latency.timing.context import SCOPE, Context, context_of, graph_details
from edgenas.latency.timing.duty import Duty, Soaked, fps_of, soak
from edgenas.latency.timing.gpu import gpu_state
from edgenas.latency.timing.measure import FINALIST_TIMING, Measurement, Measurements, measure_nets
from edgenas.latency.timing.percentiles import calls_needed, upper_ms
from edgenas.latency.timing.samples import NetTiming, standard_error
from edgenas.latency.timing.sessions import Session, probe_visit, time_nets, timings_of
from edgenas.latency.timing.target import Target, TimingSettings
from edgenas.latency.timing.turns import BENCH_TIMING, Entrant, Turns, take_turns
from edgenas.portable.facts import cpu_model, usable_cores
from edgenas.portable.machine import Watch
from edgenas.portable.memory import Memory, PrefixedMemory
from edgenas.portable.quota import cpu_quota, usable_threads

__all__ = [
    "BENCH_TIMING",
    "FINALIST_TIMING",
    "SCOPE",
    "Context",
    "Duty",
    "Entrant",
    "Measurement",
    "Measurements",
    "Memory",
    "NetTiming",
    "PrefixedMemory",
    "Session",
    "Soaked",
    "Target",
    "TimingSettings",
    "Turns",
    "Watch",
    "calls_needed",
    "context_of",
    "cpu_model",
    "cpu_quota",
    "fps_of",
    "gpu_state",
    "graph_details",
    "measure_nets",
    "probe_visit",
    "soak",
    "standard_error",
    "take_turns",
    "time_nets",
    "timings_of",
    "upper_ms",
    "usable_cores",
    "usable_threads",
]
