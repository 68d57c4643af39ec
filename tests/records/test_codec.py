"""A record is a value of its own: neither what it was read from nor what it gave out changes it."""

from __future__ import annotations

from edgenas.records import BoundNet, MachineFacts

NET = {"predicted_ms": 1.0, "measured_ms": 1.0, "p50_ms": 1.0, "p90_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0, "n": 9}


def test_a_record_stays_when_what_it_was_read_from_changes() -> None:
    depths, unknown = [1, 2], {"of another version": 1}
    net = BoundNet.from_json({"arch": {"depths": depths}, **NET})
    machine = MachineFacts.from_json({"num_cores": 2, "later": unknown})

    depths.append(3)
    unknown["of another version"] = 2

    assert net.arch == {"depths": [1, 2]}
    assert machine.as_json() == {"num_cores": 2, "later": {"of another version": 1}}


def test_a_record_stays_when_the_json_that_it_gave_changes() -> None:
    machine = MachineFacts.from_json({"num_cores": 2, "later": {"of another version": [1]}})

    machine.as_json()["later"]["of another version"].append(2)

    assert machine.as_json() == {"num_cores": 2, "later": {"of another version": [1]}}
