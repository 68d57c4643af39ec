"""`edgenas profile --again`: what it adds to a table, says and refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgenas.latency import LatencyTable
from edgenas.latency.table import store
from tests.cli.conftest import TOY, Run, as_object
from tests.latency.tables import toy_table
from tests.latency.toy import ToyRuntime

AGAIN = ("profile", "--again", "--table")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table with 20 nets behind its bound, in the working folder."""
    path = tmp_path / "monday.json"
    toy_table(1, bound=20).write(path)
    return path


def test_a_session_is_added_and_bounds_know_of_it(edgenas: Run, table: Path, toy: Callable[[ToyRuntime], None]) -> None:
    before = LatencyTable.load(table)
    toy(ToyRuntime(noise=0.02, slow=lambda now: True, times=1.08))
    code, out, _ = edgenas(*AGAIN, "monday.json", "--json")
    answer = as_object(out)
    after, result = LatencyTable.load(table), answer["result"]
    assert code == 0
    assert (answer["outputs"], result["table_sha256"]) == ({"table": table.name}, after.sha256)
    assert replace(after, sessions=()) == before
    (session,) = after.sessions
    assert (len(session.nets), len(session.checks), session.nets[0].n) == (20, 8, before.bound_nets[0].n)
    assert session.speed == pytest.approx(1.08, abs=0.02)
    assert {"date", "runtime_version", "machine", "details", "reference"} <= session.as_json().keys()
    assert [net.predicted_ms for net in session.nets] == sorted(net.predicted_ms for net in before.bound_nets)
    assert [(each["num_nets"], each["num_checks"]) for each in result["sessions"]] == [(20, 8), (20, 8)]
    for bound, was in zip(result["promises"], before.promise.bounds(), strict=True):
        assert (bound["num_sessions"], bound["covers_days"]) == (2, False)  # of one hour
        assert (bound["num_hours"], "between" in bound) == (1, False)  # which says nothing of other hours
        assert bound["factor"] == pytest.approx(1.08 * was.factor, rel=0.03)
    code, shown, err = edgenas(*AGAIN, "monday.json")
    assert code == 0
    assert "Upper bounds, of 3 sessions" in shown
    assert re.search(r"the machine took 1\.0[789]\d? times as long", err)
    assert "min ago: sessions of one hour count as one, as slow as the slowest of them" in err
    assert len(LatencyTable.load(table).sessions) == 2
    assert edgenas("tables", "validate", "monday.json")[0] == 0
    shown = edgenas("tables", "show", "monday.json")[1]
    assert "Upper bounds, of 3 sessions" in shown
    assert "Sessions" in shown


def test_a_machine_at_another_speed_is_no_other_day(edgenas: Run, table: Path, toy: Callable[[ToyRuntime], None]) -> None:
    before = table.read_bytes()
    toy(ToyRuntime(noise=0.02, slow=lambda now: True))  # half as long again
    code, out, _ = edgenas(*AGAIN, "monday.json", "--json")
    error = as_object(out)["error"]
    assert (code, error["type"]) == (4, "GateError")
    assert re.search(r"took 1\.(49|50|51) times as long .*, too far for a session of it", error["message"])
    assert table.read_bytes() == before


def test_a_budget_means_fewer_nets_and_as_many_calls(edgenas: Run, table: Path, toy: Callable[[ToyRuntime], None]) -> None:
    toy(ToyRuntime(noise=0.02))
    code, out, err = edgenas(*AGAIN, "monday.json", "--budget", "0.001", "--json")
    assert (code, as_object(out)["result"]["num_nets_timed"]) == (0, 12)
    assert "timing 12 of 28 nets again, 6 visits each" in err
    (session,) = LatencyTable.load(table).sessions
    assert [net.n for net in session.nets] == [toy_table(1, bound=20).bound_nets[0].n] * len(session.nets)


def test_tables_of_one_session_say_that_days_are_not_covered(edgenas: Run, table: Path) -> None:
    shown = edgenas("tables", "show", "monday.json")[1]
    assert "bounds of 1 session: other hours and days are not covered; edgenas profile --again adds one" in shown
    result = as_object(edgenas("tables", "show", "monday.json", "--json")[1])["result"]
    assert {(bound["num_sessions"], bound["covers_days"]) for bound in result["promises"]} == {(1, False)}


def test_a_table_that_comes_with_edgenas_is_copied_into_the_run(
    edgenas: Run, toy: Callable[[ToyRuntime], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr(store, "files", lambda package: folder)
    toy_table(1, bound=20).write(folder / "a-board.json")
    before = (folder / "a-board.json").read_bytes()
    toy(ToyRuntime(noise=0.02))
    assert edgenas(*AGAIN, "a-board")[0] == 0
    assert (folder / "a-board.json").read_bytes() == before
    assert len(LatencyTable.load(tmp_path / "edgenas-run" / "latency" / "a-board.json").sessions) == 1


def test_what_gets_no_session_says_why(edgenas: Run, table: Path, toy: Callable[..., None], tmp_path: Path) -> None:
    toy(ToyRuntime(), "Another CPU")
    code, _, err = edgenas(*AGAIN, "monday.json")
    assert code == 1
    assert f"the table is of {TOY}, this device is Another CPU" in err
    toy(ToyRuntime())
    toy_table(1).write(tmp_path / "bare.json")
    code, _, err = edgenas(*AGAIN, "bare.json")
    assert code == 1
    assert "the table has no nets behind bounds; measure it anew with profile.bound_nets=40" in err
    kit = toy_table(1, bound=20)
    context = replace(kit.context, device="A board", details={**kit.context.details, "kit": {}})
    replace(kit, context=context).write(tmp_path / "kit.json")
    code, _, err = edgenas(*AGAIN, "kit.json")
    assert code == 1
    assert "measured by a kit; measure there once more" in err
    assert edgenas("profile", "--again")[0] == 1  # no project, no table
    assert edgenas("profile", "--table", "monday.json")[0] == 2
    assert edgenas("profile", "--again", "--pack", "kit.zip")[0] == 2
    assert json.loads(table.read_text(encoding="utf-8")).get("sessions") is None
