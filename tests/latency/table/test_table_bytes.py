"""A table that is read is written as it was, byte for byte, whatever its version left out or added."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgenas.latency import LatencyTable, named_table, shipped_tables
from edgenas.latency.table import merge_tables, session_of, with_session
from tests.latency.table.test_table_file import sealed
from tests.latency.tables import nano, toy_table

SHIPPED = sorted(shipped_tables())
Edit = Callable[[dict[str, Any]], object]


def rewritten(path: Path) -> bytes:
    """The bytes of a table that was read and taken for changed, so that nothing of its file is kept as it is."""
    again = path.with_name("again.json")
    replace(LatencyTable.load(path)).write(again)
    return again.read_bytes()


def with_two_sessions(path: Path) -> None:
    """A table with a later session, of another day, in a file."""
    first, second = toy_table(1, bound=20), toy_table(2, bound=20)
    later = replace(second, measuring=replace(second.measuring, date="2027-01-02T10:00:00+00:00"))
    with_session(first, session_of(first, later)).write(path)


@pytest.mark.parametrize("name", SHIPPED)
def test_tables_that_come_with_edgenas_are_written_as_they_are(name: str, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(named_table(name).read_bytes())
    assert rewritten(path) == path.read_bytes()


def test_tables_with_promises_sessions_and_sources_are_written_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    with_two_sessions(path)
    assert rewritten(path) == path.read_bytes()
    merge_tables([toy_table(1, bound=20), toy_table(2, bound=20, draws=1)], nano()).table.write(path)
    assert rewritten(path) == path.read_bytes()


EARLIER_AND_LATER: dict[str, Edit] = {
    "no percentiles of the reference": lambda table: [table["reference"].pop(f"p{share}_upper_ms") for share in (90, 95, 99)],
    "no components of the reference": lambda table: table["reference"].pop("components"),
    "nothing of the machine": lambda table: table["measuring"].pop("machine"),
    "a machine of which nothing was seen": lambda table: table["measuring"].update(machine=[{}, {}]),
    "a machine with less and more": lambda table: table["measuring"]["machine"].append({"colour": "grey", "num_cores": 2}),
    "a GPU": lambda table: table["measuring"]["machine"][0].update(
        gpu={"driver": "5", "power_w": {"min": 8.5, "max": 9}, "fans": 2}
    ),
    "no nets of the calibration": lambda table: [table["measuring"].pop(f"calibration_{name}") for name in ("rows", "archs")],
    "no intervals": lambda table: table["validation"].pop("intervals"),
    "no bias, and another order": lambda table: table["validation"].update(mape=table["validation"].pop("mape"), bias=None),
    "validation nets that say less": lambda table: [row.pop("median_ms") for row in table["validation"]["rows"]],
    "more in every part": lambda table: [
        part.update(colour={"of": ["grey"]})
        for part in (
            *(table["validation"], table["reference"], table["measuring"]),
            *(*table["promise"]["nets"], *table["validation"]["rows"], *table["measuring"]["calibration_rows"]),
            *(*table["sessions"], *table["sessions"][0]["nets"], *table["sessions"][0]["checks"]),
        )
    ],
    "a session that does not say how the reference did": lambda table: table["sessions"][0].pop("reference"),
    "times that are whole": lambda table: table["reference"].update(mad_ms=0, compute_ms=1),
}


@pytest.mark.parametrize("kind", EARLIER_AND_LATER)
def test_tables_of_other_versions_are_written_as_they_are(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    with_two_sessions(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    EARLIER_AND_LATER[kind](content)
    sealed(path, content)
    assert rewritten(path) == path.read_bytes()
    assert LatencyTable.load(path).sha256 == json.loads(path.read_text(encoding="utf-8"))["sha256"]


def test_what_changes_is_written_at_its_place_and_what_is_new_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    with_two_sessions(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["reference"] = {"colour": "grey", **{name: value for name, value in content["reference"].items() if name != "n"}}
    table = LatencyTable.load(sealed(path, content))
    replace(table, reference=replace(table.reference, mad_ms=0.5, n=7)).write(path)
    written = json.loads(path.read_text(encoding="utf-8"))["reference"]
    assert written == content["reference"] | {"mad_ms": 0.5, "n": 7}
    assert list(written) == [*content["reference"], "n"]
