"""Measuring a device that has no PyTorch: what is packed for it, the script that runs there, and what comes back.

The modules called ``script_*`` and those of `edgenas.portable` are joined into the kit's ``measure.py``. They need Python 3.8 and
its library alone, and import ONNX Runtime and NumPy where they use them; nothing of edgenas but each other.
"""

from edgenas.latency.kit.bench import BENCH_RUNTIMES, BenchKit, TurnFile, TurnsThere, bench_kit, read_turns
from edgenas.latency.kit.pack import RUNTIMES, KitPlan, Request, is_kit, kit_plan, write_kit
from edgenas.latency.kit.results import read_results, table_of

__all__ = [
    "BENCH_RUNTIMES",
    "RUNTIMES",
    "BenchKit",
    "KitPlan",
    "Request",
    "TurnFile",
    "TurnsThere",
    "bench_kit",
    "is_kit",
    "kit_plan",
    "read_results",
    "read_turns",
    "table_of",
    "write_kit",
]
