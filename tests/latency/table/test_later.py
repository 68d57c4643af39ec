"""Later sessions of a table: which nets they time, how they are kept, and what cannot be one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgenas.errors import LatencyTableError
from edgenas.latency import LatencyTable
from edgenas.latency.table import check_table, merge_tables, nets_again, session_of, session_remarks, with_session
from edgenas.records import UNSEEN, MachineFacts
from tests.latency.table.test_table_file import refused, sealed
from tests.latency.tables import nano, toy_table


@pytest.fixture(scope="module")
def first() -> LatencyTable:
    table = toy_table(1, bound=20)
    return replace(table, measuring=replace(table.measuring, date="2026-01-01T10:00:00+00:00"))


@pytest.fixture(scope="module")
def second() -> LatencyTable:
    """The same nets on another day."""
    table = toy_table(2, bound=20)
    return replace(table, measuring=replace(table.measuring, date="2026-01-02T10:00:00+00:00"))


def test_a_part_of_the_nets_is_spread_evenly_over_predicted_time(first: LatencyTable) -> None:
    nets, checks = nets_again(first, 14)
    assert (len(nets), len(checks)) == (10, 4)
    predicted = sorted(net.predicted_ms for net in first.bound_nets)
    assert [net.predicted_ms for net in nets] == [predicted[place] for place in (0, 2, 4, 6, 8, 11, 13, 15, 17, 19)]
    assert nets_again(first, 14) == (nets, checks)
    assert [len(again) for again in nets_again(first, 1)] == [8, 0]
    assert [len(again) for again in nets_again(first, 99)] == [20, 8]


def test_a_second_measurement_of_the_same_plan_is_a_session(first: LatencyTable, second: LatencyTable, tmp_path: Path) -> None:
    session = session_of(first, second)
    assert (len(session.nets), len(session.checks)) == (20, 8)
    mine = {json.dumps(net.arch): net.predicted_ms for net in first.bound_nets}
    assert all(net.predicted_ms == mine[json.dumps(net.arch)] for net in session.nets)
    assert {net.p95_ms for net in session.nets} == {net.p95_ms for net in second.bound_nets}
    longer = with_session(first, session)
    path = longer.save(tmp_path)
    read = LatencyTable.load(path)
    assert read.sha256 == longer.sha256 == json.loads(path.read_text(encoding="utf-8"))["sha256"] != first.sha256
    assert read.promise.bounds() == longer.promise.bounds()
    assert {check.verdict for check in check_table(read, nano())} == {"passed"}
    assert [bound.num_sessions for bound in read.promise.bounds()] == [2] * 4


def test_a_table_without_later_sessions_is_the_file_that_it_was(first: LatencyTable, tmp_path: Path) -> None:
    content = json.loads(first.save(tmp_path).read_text(encoding="utf-8"))
    assert "sessions" not in content
    assert {"num_sessions", "covers_days"}.isdisjoint(content["promise"]["bounds"][0])


def test_readers_that_do_not_know_sessions_find_a_table_of_the_first(first: LatencyTable, second: LatencyTable) -> None:
    """They read the keys that they know; these are unchanged."""
    mine, longer = first._content(), with_session(first, session_of(first, second))._content()
    del mine["promise"]["bounds"], longer["promise"]["bounds"], longer["sessions"]
    assert mine == longer


def test_what_is_no_session_of_a_table_is_refused(first: LatencyTable, second: LatencyTable) -> None:
    with pytest.raises(LatencyTableError, match="in the table already"):
        session_of(first, first)
    with pytest.raises(LatencyTableError, match="in the table already"):
        session_of(with_session(first, session_of(first, second)), second)
    with pytest.raises(LatencyTableError, match="another context") as raised:
        session_of(first, replace(second, context=replace(second.context, threads=7)))
    assert raised.value.problems == ("threads: 2 and 7",)
    others = toy_table(2, bound=20, draws=1)
    with pytest.raises(LatencyTableError, match=r"share [0-7] nets behind bounds"):
        session_of(first, replace(others, measuring=replace(others.measuring, date="2026-01-03T10:00:00+00:00")))


def test_sessions_near_each_other_are_called_so(first: LatencyTable, second: LatencyTable) -> None:
    session = session_of(first, second)
    quiet = replace(session, machine=UNSEEN)
    (speed,) = session_remarks(with_session(first, quiet))
    assert "times as long as when the table was measured" in speed
    near, _ = session_remarks(with_session(first, replace(quiet, date="2026-01-01T10:20:00+00:00")))
    assert near.startswith("a session was 20 min ago: sessions of one hour count as one")
    busy, _ = session_remarks(with_session(first, replace(quiet, machine=MachineFacts(num_cores=2, other_cores=1.9))))
    assert "other processes used 1.9 of 2 core(s) while nets were timed" in busy


NONSENSE: dict[str, tuple[Any, str]] = {
    "no nets": ({"nets": []}, "session 2 has no nets behind bounds"),
    "nets in words": ({"nets": "all"}, "session 2: nets are no list"),
    "no speed": ({"speed": 0.0}, "session 2: speed is 0.0"),
    "no date": ({"date": None}, "session 2: date is None"),
    "a machine in words": ({"machine": "quiet"}, "machine or details are no object"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_a_session_with_nonsense_is_refused(name: str, first: LatencyTable, second: LatencyTable, tmp_path: Path) -> None:
    change, words = NONSENSE[name]
    path, session = tmp_path / "t.json", session_of(first, second).as_json() | change
    plain = json.loads(first.save(tmp_path).read_text(encoding="utf-8")) | {"sessions": [session]}
    assert any(words in problem for problem in refused(sealed(path, plain)).problems)


def test_a_session_of_another_net_is_refused(first: LatencyTable, second: LatencyTable, tmp_path: Path) -> None:
    session = session_of(first, second).as_json()
    session["checks"][0]["arch"] = session["nets"][0]["arch"]
    plain = json.loads(first.save(tmp_path).read_text(encoding="utf-8")) | {"sessions": [session]}
    assert refused(sealed(tmp_path / "t.json", plain)).problems == ("session 2: checks 1 is no net of the table",)


def test_merging_leaves_sessions_out_and_says_so(first: LatencyTable, second: LatencyTable) -> None:
    longer = with_session(first, session_of(first, second))
    third = toy_table(3, bound=20)
    merged = merge_tables([longer, third], nano())
    assert merged.table.sessions == ()
    assert any("sessions that were added to a table" in warning for warning in merged.warnings)
    with pytest.raises(LatencyTableError, match="given twice"):
        merge_tables([first, longer], nano())
