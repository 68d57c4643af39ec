"""`edgenas search` for other things than accuracy, and with every algorithm."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.costs import cost_models
from edgenas.recipes import search
from edgenas.spaces.pvt import PVT_NANO
from tests.recipes.budgets import SMALL, TASK, edgenas_in, make_project


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project without a latency table, so that nothing is measured."""
    folder = make_project(tmp_path_factory.mktemp("objectives"))
    shutil.rmtree(folder / "edgenas-run" / "latency")
    return folder


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "edgenas-run" / "search" / "search.jsonl").read_text().splitlines()]


def test_two_objectives_give_the_nets_that_no_other_beats(folder: Path) -> None:
    wanted = ("--maximize", "accuracy", "--minimize", "params", "--set", "search.algorithm=nsga2")
    code, value, err = edgenas_in(folder, "search", *wanted)
    assert code == 0, value["error"]
    told = f"12 nets of a budget of 12 were evaluated: there may be better ones; {len(value['result']['front'])} beaten by"
    assert f"{told} no other in all of max accuracy, min params" in " ".join(err.split())
    result = value["result"]
    assert result["objectives"] == ["max accuracy", "min params"]
    points = np.array([(-row["top1"], row["params"]) for row in rows_of(folder)])
    front = np.array([(-row["top1"], row["params"]) for row in result["front"]])
    assert len(points) == 12
    no_worse = (points[:, None] <= front[None]).all(axis=2)
    assert not (no_worse & (points[:, None] < front[None]).any(axis=2)).any()
    assert front[:, 0].tolist() == sorted(front[:, 0])
    assert len(front) > 1
    assert result["winner"] in result["finalists"]
    drawn, rows = result["analysis"]["front"], rows_of(folder)
    assert [(axis["name"], axis["maximize"]) for axis in drawn["axes"]] == [("params", False), ("accuracy", True)]
    assert drawn["axes"][0]["values"] == [row["params"] for row in rows]
    assert drawn["axes"][1]["values"] == [row["top1"] for row in rows]
    assert {(rows[place]["params"], rows[place]["top1"]) for place in drawn["drawn"]} == {
        (row["params"], row["top1"]) for row in result["front"]
    }
    assert set(result["analysis"]["hypervolume"]["reference"]) == {"params", "accuracy"}


def test_one_other_objective_decides_alone(folder: Path) -> None:
    code, value, _ = edgenas_in(folder, "search", "--maximize", "sensitivity:8")
    assert code == 0, value["error"]
    assert value["result"]["objectives"] == ["max sensitivity[8]"]
    code, value, _ = edgenas_in(folder, "search", "--minimize", "params")
    assert code == 0, value["error"]
    assert value["result"]["objectives"] == ["min params"]
    assert "front" not in value["result"]
    assert value["result"]["winner"]["params"] == min(row["params"] for row in rows_of(folder))


@pytest.mark.parametrize("setting", ["algorithm=training-free", "prefilter=dss-released"])
def test_a_training_free_indicator_is_reported_beside_sizes(folder: Path, setting: str) -> None:
    sizes = ("--set", "search.num_samples=20", "--set", "search.proxy_seeds=2")
    code, value, err = edgenas_in(folder, "search", "--max-params", "120k", "--set", f"search.{setting}", *sizes)
    assert code == 0, value["error"]
    proxy = value["result"]["proxy"]
    assert proxy["num_scored"] >= 20
    assert 0 < proxy["num_evaluated"] <= proxy["num_scored"]
    assert set(proxy["with_size"]) == {"params", "macs"}
    assert set(proxy["with_accuracy"]) == {"params", "macs", proxy["name"]}
    assert f"Kendall's tau of {proxy['name']} over" in " ".join(err.split())
    origin = "training-free" if setting.startswith("algorithm") else "dss-released"
    assert [row["origin"] for row in rows_of(folder)].count(origin) == proxy["num_evaluated"]
    assert all(row["params"] <= 120_000 for row in rows_of(folder))


def test_where_few_nets_meet_the_limits_all_of_them_are_evaluated(folder: Path) -> None:
    most = int(np.sort(cost_models(PVT_NANO, TASK)["params"](PVT_NANO.enumerate()))[7])
    code, value, err = edgenas_in(folder, "search", "--max-params", str(most), "--set", "search.algorithm=exhaustive")
    assert code == 0, value["error"]
    num = value["result"]["evaluations"]["evaluated"]
    assert 1 < num <= 12
    assert f"all {num} nets that meet the limits were evaluated" in " ".join(err.split())


def test_surrogate_and_exhaustive_search_are_chosen_by_name(folder: Path) -> None:
    code, value, _ = edgenas_in(folder, "search", "--set", "search.algorithm=surrogate")
    assert code == 0, value["error"]
    assert {"surrogate", "random"} & {row["origin"] for row in rows_of(folder)}
    code, value, _ = edgenas_in(folder, "search", "--set", "search.algorithm=exhaustive")
    assert (code, value["status"]) == (2, "usage")
    assert "62,208 nets of pvt-nano meet the limits, the budget of this search is 12 evaluations" in value["error"]["message"]


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--maximize", "sensitivity:9x"), 1, "a sensitivity is asked for of no class of the data: 9x"),
        (("--min-sensitivity", "9x=0.5"), 1, "a sensitivity is asked for of no class of the data: 9x"),
        (("--maximize", "acuracy"), 2, "did you mean 'accuracy'?"),
        (("--minimize", "accuracy"), 2, "accuracy is to be large"),
        (("--set", 'search.minimize=["acuracy"]'), 1, "did you mean 'accuracy'?"),
    ],
)
def test_what_cannot_be_searched_for_is_refused_before_an_image_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], code: int, words: str
) -> None:
    monkeypatch.setattr(search, "open_images", lambda project: pytest.fail("images were opened"))
    found, value, _ = edgenas_in(folder, "search", *flags)
    assert found == code
    assert words in " ".join([value["error"]["message"], *value["error"]["problems"], value["error"]["hint"] or ""])


def test_a_latency_to_be_small_needs_a_table(folder: Path) -> None:
    code, value, _ = edgenas_in(folder, "search", "--minimize", "latency_ms")
    assert (code, value["error"]["type"]) == (1, "MissingInputError")


def test_a_latency_on_a_device_without_a_table_is_told_as_the_objective_that_it_is(folder: Path) -> None:
    code, value, _ = edgenas_in(folder, "search", "--minimize", "latency_ms:foo")
    assert (code, value["error"]["type"]) == (1, "LatencyTableError")
    assert value["error"]["message"] == "the objective latency_ms[foo]: there is no latency table 'foo'"
    code, value, _ = edgenas_in(folder, "search", "--minimize", "latency_ms:foo", "--latency-ms", "foo=3")
    assert value["error"]["message"] == "the limit on foo: there is no latency table 'foo'"


def test_a_proof_by_a_teacher_that_was_never_trained_is_refused_before_a_net_is_evaluated(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.recipes.budgets.SMALL", tuple(each for each in SMALL if "proof_epochs" not in each))
    shutil.copytree(folder, tmp_path / "untaught")
    shutil.rmtree(tmp_path / "untaught" / "edgenas-run" / "search", ignore_errors=True)  # of the tests before
    asked = ("--set", "train.kd_weight=0.5", "--max-macs", "1G")
    code, value, _ = edgenas_in(tmp_path / "untaught", "search", *asked, "--set", "search.proof_epochs=1")
    assert (code, value["error"]["type"]) == (1, "MissingInputError")
    assert "there is no teacher yet" in value["error"]["message"]
    assert not (tmp_path / "untaught" / "edgenas-run" / "search" / "evaluations.jsonl").exists()


def test_nsga2_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pymoo", "pymoo.algorithms", "pymoo.algorithms.moo", "pymoo.algorithms.moo.nsga2"):
        monkeypatch.setitem(sys.modules, name, None)
    code, value, _ = edgenas_in(folder, "search", "--set", "search.algorithm=nsga2")
    assert (code, value["status"]) == (5, "missing_backend")
    assert value["error"]["hint"] == "pip install 'edgenas[nsga]'"
