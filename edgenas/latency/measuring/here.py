"""Whether a latency table is of this machine, used as usual, and what has changed here since it was measured."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from edgenas.deploy.plugins import get_runtime
from edgenas.errors import UsageError
from edgenas.latency.measuring.runtimes import CPU_RUNTIME, device_name
from edgenas.latency.table import LatencyTable
from edgenas.latency.timing import SCOPE, gpu_state, usable_threads
from edgenas.spaces import SearchSpace


def version_changes(path: Path, table: LatencyTable, space: SearchSpace, *, allow_foreign: bool = False) -> tuple[str, ...]:
    """Versions of runtime and driver that are not what they were; a runtime that does not work here has none.

    What is here says nothing about a device that a kit was brought to.

    Raises:
        LatencyTableError: for another major or minor version of the runtime.
    """
    if is_elsewhere(table):
        return ()
    here = _version_here(table.context.runtime)
    warnings = table.require_matches(
        space=space, task=table.task, runtime_version=here, allow_foreign=allow_foreign, name=str(path)
    )
    was = (table.context.details.get("gpu") or {}).get("driver")
    now = gpu_state().get("driver") if was is not None else None
    if now is not None and now != was:
        warnings += (f"{path} was measured with driver {was}, here is {now}",)
    return warnings


@cache
def _version_here(name: str) -> str | None:
    try:
        probe = get_runtime(name).probe()
    except UsageError:
        return None
    return probe.version if probe.works else None


def is_here(table: LatencyTable) -> bool:
    """Whether a table is of this machine's device."""
    return table.context.device == device_name(table.context.device_kind)


def is_elsewhere(table: LatencyTable) -> bool:
    """Whether a table is of a device that a kit was brought to, and not of this one."""
    return "kit" in table.context.details and not is_here(table)


def device_of(table: LatencyTable) -> str:
    """The device that a table would have to be of: the one here, or the one that a kit was brought to."""
    if "kit" in table.context.details:
        return table.context.device
    return device_name(table.context.device_kind)


def usual(table: LatencyTable) -> dict[str, str | int | None]:
    """What a table is of unless somebody asks otherwise; a kit is brought to a device because its ways are other ones."""
    if "kit" in table.context.details:
        return {}
    runtime = CPU_RUNTIME if table.context.device_kind == "cpu" else None
    return {"runtime": runtime, "precision": "fp32", "batch_size": 1, "scope": SCOPE}


def is_usual(table: LatencyTable) -> bool:
    """Whether a table is of this device, used as usual."""
    expected = usual(table)
    return bool(expected) and all(value is None or getattr(table.context, key) == value for key, value in expected.items())


def uses_all_cores(table: LatencyTable) -> bool:
    """Whether it was measured with as many threads as this process may use cores."""
    return table.context.threads in (None, usable_threads())
