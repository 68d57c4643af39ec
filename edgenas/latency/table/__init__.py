"""Latency tables: their file, where they are found, what they say of a net, and how they compare, merge and age."""

from edgenas.latency.table.breakdown import break_down, typical_nets
from edgenas.latency.table.check import check_table, origins, require_sound
from edgenas.latency.table.compare import compare_entries, compare_nets, differences
from edgenas.latency.table.content import machine_problems
from edgenas.latency.table.drift import SAME_SPEED, Drift, drift_of, nets_to_time, same_timing
from edgenas.latency.table.entries import Entry, component_json
from edgenas.latency.table.kinds import slug
from edgenas.latency.table.later import nets_again, session_of, session_remarks, with_session
from edgenas.latency.table.merge import merge_tables
from edgenas.latency.table.remarks import machine_remarks, remarks
from edgenas.latency.table.store import Fitting, find_tables, load_table, named_table, one_context, shipped_tables, tables_that_fit
from edgenas.latency.table.table import LatencyTable, space_hash

__all__ = [
    "SAME_SPEED",
    "Drift",
    "Entry",
    "Fitting",
    "LatencyTable",
    "break_down",
    "check_table",
    "compare_entries",
    "compare_nets",
    "component_json",
    "differences",
    "drift_of",
    "find_tables",
    "load_table",
    "machine_problems",
    "machine_remarks",
    "merge_tables",
    "named_table",
    "nets_again",
    "nets_to_time",
    "one_context",
    "origins",
    "remarks",
    "require_sound",
    "same_timing",
    "session_of",
    "session_remarks",
    "shipped_tables",
    "slug",
    "space_hash",
    "tables_that_fit",
    "typical_nets",
    "with_session",
]
