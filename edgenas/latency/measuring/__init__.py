"""Measuring nets of a space with the runtime that will ship: whole nets, and tables of what their components cost."""

from edgenas.latency.measuring.helping import Helpers, Traced
from edgenas.latency.measuring.here import device_of, is_elsewhere, is_here, is_usual, uses_all_cores, usual, version_changes
from edgenas.latency.measuring.library import measure_table
from edgenas.latency.measuring.quick import time_quickly
from edgenas.latency.measuring.runtimes import CPU_RUNTIME, best_cuda_runtime, choose_runtime, device_name
from edgenas.latency.measuring.whole import ATTEMPTS, Measured, measure, percentiles_of
from edgenas.latency.measuring.workshop import OtherNet, Workshop

__all__ = [
    "ATTEMPTS",
    "CPU_RUNTIME",
    "Helpers",
    "Measured",
    "OtherNet",
    "Traced",
    "Workshop",
    "best_cuda_runtime",
    "choose_runtime",
    "device_name",
    "device_of",
    "is_elsewhere",
    "is_here",
    "is_usual",
    "measure",
    "measure_table",
    "percentiles_of",
    "time_quickly",
    "uses_all_cores",
    "usual",
    "version_changes",
]
