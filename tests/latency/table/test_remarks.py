from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgenas.graphs.rewriting import default_rewrites
from edgenas.latency import LatencyTable
from edgenas.latency.table.remarks import remarks
from edgenas.records import MachineFacts
from tests.latency.tables import toy_table

QUIET: dict[str, Any] = {
    "num_cores": 4,
    "other_cores": 0.05,
    "steal_share": 0.001,
    "throttle_events": 0,
    "governors": ["performance"],
}


def table(seen: dict[str, Any] | None = None, **changes: Any) -> LatencyTable:
    made = toy_table()
    sessions = tuple(map(MachineFacts.from_json, (QUIET, QUIET | (seen or {}))))
    return replace(made, measuring=replace(made.measuring, machine=sessions), **changes)


def test_a_quiet_machine_needs_no_words() -> None:
    assert remarks(table()) == ()


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"other_cores": 1.2}, "other processes used 1.2 of 4 core(s) while nets were timed; close them"),
        ({"other_cores": 2.6}, "used 2.6 of 4 core(s) while nets were timed: they held a core that the nets needed"),
        ({"steal_share": 0.07}, "the hypervisor gave 7.0 % of these cores' time to other machines"),
        ({"throttle_events": 12}, "throttled by heat 12 time(s)"),
        (
            {"cpu_quota": 1.5, "quota_events": 40},
            "a quota of 1.5 cores held this process back 40 time(s) while nets were timed: slow",
        ),
        ({"governors": ["performance", "powersave"]}, "the frequency governor was powersave"),
        (
            {"gpu": {"throttle_reasons": ["power limit", "temperature"]}},
            "clocks were held back while nets were timed: power limit, temp",
        ),
    ],
)
def test_what_disturbed_the_measurement_is_said(seen: dict[str, Any], words: str) -> None:
    (text,) = remarks(table(seen))
    assert words in text


def test_unknown_is_no_reproach() -> None:
    unknown = dict.fromkeys(QUIET, None) | {"num_cores": 1, "gpu": {"unknown": "there is no NVML"}}
    assert remarks(table(unknown)) == ()
    made = toy_table()
    assert remarks(replace(made, measuring=replace(made.measuring, machine=None))) == ()


def test_noise_and_unsteady_calls_are_said() -> None:
    made = toy_table()
    (text,) = remarks(table(validation=replace(made.validation, noise_floor_mape=0.07)))
    assert "two measurements of the same nets differ by 7.0 %" in text
    (text,) = remarks(table(reference=replace(made.reference, p95_ms=3 * made.reference.p50_ms)))
    assert "the slowest 5 % take 3.0 times the median" in text


def test_calls_that_mostly_launch_and_copy_are_called_launch_bound() -> None:
    made = toy_table()
    on_gpu = replace(made.context, device_kind="cuda", threads=None)
    reference = replace(made.reference, p50_ms=1.0, p95_ms=1.1)
    (text,) = remarks(table(context=on_gpu, reference=replace(reference, compute_ms=0.2)))
    assert "launch-bound: of 1 ms only 0.2 ms are computation" in text
    assert remarks(table(context=on_gpu, reference=replace(reference, compute_ms=0.9))) == ()
    assert remarks(table(context=on_gpu, reference=replace(reference, compute_ms=None))) == ()


def test_a_table_of_other_graphs_than_ship_names_what_it_lacks() -> None:
    made = toy_table()
    names = default_rewrites("onnxruntime-cpu")

    def of(rewrites: tuple[str, ...]) -> LatencyTable:
        details = {**made.context.details, "rewrites": list(rewrites)}
        return table(context=replace(made.context, runtime="onnxruntime-cpu", details=details))

    (text,) = remarks(of(()))
    assert "as they are traced" in text
    assert f"({', '.join(names)})" in text
    (text,) = remarks(of(names[:-1]))
    assert "of earlier rewrites" in text
    assert f"({names[-1]})" in text
    assert remarks(of(names)) == ()
