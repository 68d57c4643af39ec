"""`edgenas tables`: what it says and refuses."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.latency import LatencyTable
from edgenas.latency.table import store
from edgenas.spaces import get_space
from tests.cli.conftest import TOY, Run, as_object
from tests.latency.table.test_table_file import sealed
from tests.latency.tables import toy_table
from tests.latency.toy import ToyRuntime

NAME = "toy-3000-cpu_toy_fp32_b1_pvt-nano"


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    """Two tables in the working folder."""
    paths = tmp_path / "monday.json", tmp_path / "friday.json"
    for seed, path in enumerate(paths, 1):
        toy_table(seed).write(path)
    return paths


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the tables that come with edgenas."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr(store, "files", lambda package: folder)
    return folder


def test_the_commands_of_the_page_work(
    edgenas: Run, tables: tuple[Path, Path], toy: Callable[[ToyRuntime], None], tmp_path: Path
) -> None:
    toy(ToyRuntime(noise=0.02))
    space = get_space("pvt-nano")
    lines = [json.dumps(space.to_json(genes_G)) for genes_G in space.sample(3, np.random.default_rng(0))]
    (tmp_path / "nets.jsonl").write_text("\n".join(lines), encoding="utf-8")
    text = (Path(__file__).parents[2] / "docs" / "latency-tables.md").read_text(encoding="utf-8")
    section = text.split("executed by tests/cli/test_tables.py -->\n```bash\n")[1]
    commands = [shlex.split(line, comments=True) for line in section.split("```")[0].splitlines()]
    assert {arguments[2] for arguments in commands} == {"list", "show", "validate", "diff", "merge"}
    for program, *arguments in commands:
        assert program == "edgenas"
        code, _, err = edgenas(*arguments)
        assert code == 0, err
    assert LatencyTable.load(tmp_path / "week.json").measuring.merged_from


def test_list_shows_the_runs_and_those_that_come_with_edgenas(edgenas: Run, shipped: Path, tmp_path: Path) -> None:
    assert edgenas("tables", "list")[0] == 0
    toy_table().save(tmp_path / "edgenas-run" / "latency")
    toy_table(1).write(shipped / "a-board.json")
    code, out, _ = edgenas("tables", "list", "--json")
    rows = as_object(out)["result"]["tables"]
    assert code == 0
    assert [(row["name"], row["source"]) for row in rows] == [(NAME, "run"), ("a-board", "edgenas")]
    assert {"device", "runtime", "precision", "batch_size", "threads", "space", "age_days", "date"} <= rows[0].keys()
    assert rows[0]["validation"]["mape"] < 0.05
    assert 0 <= rows[0]["age_days"] < 1
    shown = edgenas("tables", "list")[1]
    assert all(word in shown for word in (NAME, "a-board", TOY, "toy 1.2.3, 2 threads", "fp32", "batch 1", "noise floor", "0 h"))


def test_a_damaged_table_is_a_warning_among_the_others(edgenas: Run, shipped: Path) -> None:
    toy_table().write(shipped / "good.json")
    (shipped / "bad.json").write_text("{", encoding="utf-8")
    code, out, _ = edgenas("tables", "list", "--json")
    value = as_object(out)
    assert code == 0
    assert [row["name"] for row in value["result"]["tables"]] == ["good"]
    assert "bad.json is not JSON" in value["warnings"][0]


def test_tables_go_by_name_of_the_run_or_of_edgenas(edgenas: Run, shipped: Path, tmp_path: Path) -> None:
    toy_table().write(shipped / "a-board.json")
    assert edgenas("tables", "show", "a-board")[0] == 0
    toy_table().save(tmp_path / "edgenas-run" / "latency")
    assert edgenas("tables", "validate", NAME)[0] == 0
    code, _, err = edgenas("tables", "show", "a-bord")
    assert code == 1
    assert "there is no latency table 'a-bord'; did you mean 'a-board'? give a file, or one that comes with edgenas: " in err
    assert "edgenas: a-board; or one of the run: " in err


def test_show_says_where_the_time_goes(edgenas: Run, tables: tuple[Path, Path]) -> None:
    code, out, _ = edgenas("tables", "show", "monday.json", "--json")
    result = as_object(out)["result"]
    assert code == 0
    assert [net["name"] for net in result["nets"]] == ["smallest", "median", "largest"]
    assert result["entries"] == {"measured": 45, "interpolated": 0, "missing": 0}
    for net in result["nets"]:
        assert sum(part["ms"] for part in net["parts"]) == pytest.approx(net["predicted_ms"])
        assert {part["stage"] for part in net["parts"] if part["kind"] == "block"} == {1, 2, 3, 4}
    code, out, _ = edgenas("tables", "show", "monday.json", "--arch", "largest", "--json")
    (net,) = as_object(out)["result"]["nets"]
    assert (net["name"], net["predicted_ms"]) == ("largest", pytest.approx(result["nets"][2]["predicted_ms"], rel=0.1))
    shown = edgenas("tables", "show", "monday.json")[1]
    assert re.search(r"block +\d +[\d.]+ +[\d.]+ % +█", shown)
    assert edgenas("tables", "show", "monday.json", "--arch", "none")[0] == 1


def test_what_a_table_is_not_whole_in_exits_1(edgenas: Run, tables: tuple[Path, Path], tmp_path: Path) -> None:
    content = json.loads(tables[0].read_text(encoding="utf-8"))
    tables[1].write_text(tables[0].read_text(encoding="utf-8").replace('"n": 9', '"n": 8', 1), encoding="utf-8")
    code, out, _ = edgenas("tables", "validate", "friday.json", "--json")
    assert (code, as_object(out)["error"]["type"]) == (1, "LatencyTableError")
    for path, words in (
        (sealed(tmp_path / "a.json", content | {"entries": content["entries"][:-1]}), "entries: {"),
        (
            sealed(tmp_path / "b.json", content | {"space": {"name": "pvt-nano", "sha256": "0"}}),
            "space: the choices of pvt-nano have",
        ),
        (sealed(tmp_path / "c.json", content | {"space": {"name": "vit", "sha256": "0"}}), "the space 'vit', which this edgenas"),
    ):
        code, _, err = edgenas("tables", "validate", str(path))
        assert code == 1
        assert words in err
        assert "a bug" not in err


def test_validate_measures_and_says_whether_the_table_holds(
    edgenas: Run, tables: tuple[Path, Path], toy: Callable[[ToyRuntime], None], tmp_path: Path
) -> None:
    command = ("tables", "validate", "monday.json", "--measure", "6")
    toy(ToyRuntime(noise=0.02))
    code, out, _ = edgenas(*command, "--json")
    value = as_object(out)
    assert (code, value["result"]["drift"]["verdict"], len(value["result"]["drift"]["rows"])) == (0, "passed", 6)
    assert "still holds" in edgenas(*command)[1]
    toy(ToyRuntime(noise=0.02, slow=lambda now: True))
    code, out, _ = edgenas(*command, "--json")
    value = as_object(out)
    assert (code, value["status"], value["error"]["type"]) == (4, "gate_failed", "GateError")
    assert value["result"]["drift"]["gates"][0]["verdict"] == "failed"
    assert any("no longer holds" in warning for warning in value["warnings"])
    assert re.search(r"no longer holds: the machine now takes 1\.(49|50|51)", edgenas(*command)[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["friday.json", "monday.json"]


def test_measuring_needs_the_tables_device_and_runtime(edgenas: Run, tables: tuple[Path, Path], toy: Callable[..., None]) -> None:
    code, _, err = edgenas("tables", "validate", "monday.json", "--measure", "4")
    assert code == 5
    assert "there is no runtime 'toy'" in err
    toy(ToyRuntime(), "Another CPU")
    code, _, err = edgenas("tables", "validate", "monday.json", "--measure", "4")
    assert code == 1
    assert f"the table is of {TOY}, this device is Another CPU" in err
    assert edgenas("tables", "validate", "monday.json", "--measure", "1")[0] == 2


def test_diff_names_what_differs_and_how_costs_relate(edgenas: Run, tables: tuple[Path, Path]) -> None:
    code, out, _ = edgenas("tables", "diff", "monday.json", "friday.json", "--json")
    result = as_object(out)["result"]
    assert (code, result["can_be_merged"]) == (0, True)
    assert result["entries"]["ratios"]["median"] == pytest.approx(1.0, abs=0.05)
    assert result["nets"]["kendall_tau"] > 0.9
    other = toy_table(2)
    replace(other, context=replace(other.context, device="Other", runtime_version="1.2.9")).write(tables[1])
    code, out, _ = edgenas("tables", "diff", "monday.json", "friday.json")
    assert code == 0
    assert "Other" in out
    assert "their numbers are not mixed" in out
    assert "costs may have changed" in out
    toy_table(space="autoformer-nano").write(tables[1])
    code, _, err = edgenas("tables", "diff", "monday.json", "friday.json")
    assert code == 1
    assert "space: pvt-nano and autoformer-nano" in err


def test_merge_writes_a_table_that_validates(edgenas: Run, tables: tuple[Path, Path], tmp_path: Path) -> None:
    command = ("tables", "merge", "monday.json", "friday.json", "-o", "week.json")
    code, out, _ = edgenas(*command)
    assert (code, out.splitlines()[-1]) == (0, "week.json")
    assert edgenas("tables", "validate", "week.json")[0] == 0
    code, _, err = edgenas(*command)
    assert code == 1
    assert "week.json exists already; take another name, or --force" in err
    assert edgenas(*command, "--force")[0] == 0
    other = toy_table(2)
    replace(other, context=replace(other.context, threads=8)).write(tables[1])
    code, out, _ = edgenas(*command, "--force", "--json")
    error = as_object(out)["error"]
    assert (code, error["problems"]) == (1, ["threads: 2 and 8"])
    assert edgenas("tables", "merge", "monday.json", "-o", "x.json")[0] == 2


def test_usage_errors_are_one_object(edgenas: Run) -> None:
    for arguments in (("tables", "show"), ("tables", "nothing"), ("tables", "diff", "a.json")):
        code, out, _ = edgenas(*arguments, "--json")
        value: dict[str, Any] = as_object(out)
        assert (code, value["status"], value["command"]) == (2, "usage", "tables")
