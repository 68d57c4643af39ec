"""Limits of a project: one table, however and wherever they are written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.config import build
from edgenas.costs import cost_models
from edgenas.errors import ConfigError, UsageError
from edgenas.project.opening import open_images, open_project
from edgenas.project.searching import elsewhere
from edgenas.project.searching.costing import open_costing
from edgenas.project.setting_limits import layered, require_flags
from edgenas.project.settings import ProjectSettings, SearchSettings
from edgenas.search import LowerLimit, UpperLimit, total_violation
from edgenas.spaces.pvt import PVT_NANO
from tests.recipes.budgets import SMALL, TASK, edgenas_in, make_project

pytestmark = pytest.mark.usefixtures("short_pace")


def search_of(file: dict[str, Any], overrides: dict[str, Any] | None = None, flags: dict[str, Any] | None = None) -> SearchSettings:
    layers = [{"search": layer or {}} for layer in (file, overrides, flags)]
    tables = {"data": {"source": "digits"}, **layered(layers[0], layers[1], layers[2])}
    return build(ProjectSettings, tables, source="edgenas.toml").search


def texts(search: SearchSettings) -> list[str]:
    return [str(limit) for limit in search.all_limits]


def test_short_forms_and_limits_are_one_table() -> None:
    short = {"latency_ms": {"a": 5, "b": 7.5}, "max_params": 3_000_000, "max_macs": 5 * 10**8, "min_sensitivity": {"8": 0.9}}
    long = ["latency_ms[a]<=5", "latency_ms[b]<=7.5", "params<=3M", "macs<=500M", "sensitivity[8]>=0.9"]
    one, other = search_of(short), search_of({"limits": long})
    assert one.all_limits == other.all_limits
    assert one.latency_limits == other.latency_limits == {"a": 5.0, "b": 7.5}
    assert one.floors == other.floors == {"8": 0.9}
    assert one.has_cost_limit
    assert other.has_cost_limit
    lower = search_of({"limits": ["latency_ms>=2", "latency_ms[a]<=5"]})
    assert (lower.latency_limits, lower.least_latencies) == ({"a": 5.0}, {"": 2.0})
    assert not search_of({"min_sensitivity": {"8": 0.9}}).has_cost_limit


def test_lower_ends_memory_and_throughput_have_short_forms() -> None:
    short = search_of({"min_params": 10**6, "min_macs": 10**8, "max_memory_mb": 12.5, "min_throughput": 60})
    long = search_of({"limits": ["params>=1M", "macs>=100M", "memory_mb<=12.5", "throughput>=60"]})
    assert short.all_limits == long.all_limits
    assert short.least_throughputs == long.least_throughputs == {"": 60.0}
    assert short.has_cost_limit
    assert texts(search_of({"max_memory_mb": 5}, None, {"limits": ("memory_mb<=7",)})) == ["memory_mb <= 7"]


def test_a_later_layer_replaces_the_same_limit_however_it_is_written() -> None:
    file = {"max_params": 10**6, "limits": ["macs<=500M", "params>=100k"]}
    assert texts(search_of(file, None, {"limits": ("params<=2M",)})) == [
        "macs <= 500000000",
        "params >= 100000",
        "params <= 2000000",
    ]
    assert texts(search_of(file, {"max_macs": 10**6})) == ["params <= 1000000", "macs <= 1000000", "params >= 100000"]
    assert texts(search_of(file, {"limits": ["depth>=4"]})) == ["params <= 1000000", "depth >= 4"]
    assert texts(search_of(file, None, {"limits": ("params>=200k",)})) == [
        "params <= 1000000",
        "macs <= 500000000",
        "params >= 200000",
    ]
    by_name = {"latency_ms": {"a": 1.0, "b": 2.0}, "limits": ["latency_ms[c]<=3"]}
    assert texts(search_of(by_name, None, {"latency_ms": 4.0})) == ["latency_ms <= 4"]
    assert texts(search_of(by_name, None, {"limits": ("latency_ms[d]<=4",)})) == ["latency_ms[d] <= 4"]


def test_everything_that_is_wrong_with_limits_is_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        search_of({"max_params": 10**6, "min_sensitivity": {"8": 1.5}, "limits": ["parms<=1", "params>=2M", "macs<=5", "macs<=6"]})
    assert caught.value.problems == (
        "[search] min_sensitivity is 1.5 for 8: a share must be in (0, 1], not 1.5",
        "[search] limit 'parms<=1': 'parms' is nothing that can be limited; did you mean 'params'? known are: "
        "latency_ms, sensitivity, params, macs, reference_macs, depth, memory_mb, throughput",
        "[search] macs <= is given 2 times: 5, 6; keep one",
        "[search] params >= 2000000 and params <= 1000000 exclude each other: nothing is both",
    )
    for wrong in ("params>=1M", [5], {"a": 1}):
        with pytest.raises(ConfigError, match="allowed: a list of a string"):
            search_of({"limits": wrong}, {"max_params": 5}) if wrong != [5] else search_of({"limits": [[5]]})


def test_flags_that_cannot_be_are_told_before_anything_is_read() -> None:
    with pytest.raises(UsageError) as caught:
        require_flags({"search": {"limits": ("parms<=1", "params>=2M"), "max_params": 10**6}})
    assert len(caught.value.problems) == 2
    with pytest.raises(UsageError, match="params <= is given 2 times"):
        require_flags({"search": {"limits": ("params<=1M",), "max_params": 10**6}})
    require_flags({"search": {"limits": ("params<=1M", "params>=1k")}})
    require_flags({})


def test_what_is_not_asked_for_leaves_the_identity_of_a_search_as_it_is() -> None:
    assert not {"limits", "algorithm", "proxy", "min_params", "max_memory_mb", "min_throughput"} & set(SearchSettings().identity)
    assert SearchSettings(limits=("params>=1M",), algorithm="random").identity["limits"] == ("params>=1M",)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project without a latency table, so that nothing is measured."""
    folder = make_project(tmp_path_factory.mktemp("limits"))
    shutil.rmtree(folder / "edgenas-run" / "latency")
    return folder


def test_a_search_in_a_band_finds_nets_in_it_alone(folder: Path) -> None:
    flags = ("--limit", "params>=150k", "--max-params", "170k", "--limit", "depth>=6")
    code, value, err = edgenas_in(folder, "search", *flags, "--set", "search.algorithm=random")
    assert code == 0, value["error"]
    result = value["result"]
    assert result["limits"] == {"params": 170_000, "params>=": 150_000, "depth>=": 6}
    assert "params >= 150000" in " ".join(err.split())
    every_AG = PVT_NANO.enumerate()
    params_A = cost_models(PVT_NANO, TASK)["params"](every_AG)
    assert result["evaluations"]["rejected"]["params>="] == (params_A < 150_000).sum()
    rows = [*result["finalists"], result["winner"]]
    assert all(150_000 <= row["params"] <= 170_000 and sum(row["arch"]["depths"]) >= 6 for row in rows)
    assert result["evaluations"]["evaluated"] == 12


def test_a_plan_knows_what_lower_limits_leave(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgenas.project.planning.plain_pace.SECONDS", 0.0)
    flags = ("--limit", "params>=150k", "--limit", "macs<=1.5M", "--set", "search.proxy=dss", "--set", "train.kd_weight=0")
    code, value, _ = edgenas_in(folder, "plan", *flags, "--set", "train.flip=false")
    assert code == 0, value["error"]
    result, models, every_AG = value["result"], cost_models(PVT_NANO, TASK), PVT_NANO.enumerate()
    limits = [LowerLimit("params", 150_000, models["params"]), UpperLimit("macs", 1_500_000, models["macs"])]
    feasible_AG = every_AG[total_violation(limits, every_AG) == 0]
    assert result["space"]["num_feasible"]["value"] == len(feasible_AG) > 100
    assert set(result["binding"]) == {"params>=", "macs"}
    assert result["nets"]["largest_macs"]["macs"] == models["macs"](feasible_AG).max()
    for net in result["nets"].values():
        assert net["used"]["params>="] == pytest.approx(150_000 / net["params"])
        assert all(share <= 1 for share in net["used"].values())
        assert np.isfinite(net["proxies"]["dss"])


def test_a_lower_limit_that_nothing_reaches_names_the_largest_net(folder: Path) -> None:
    code, value, _ = edgenas_in(folder, "plan", "--limit", "params>=1M")
    assert (code, value["status"]) == (3, "infeasible")
    assert value["error"]["message"] == "no architecture of pvt-nano meets params >= 1000000"
    assert value["error"]["problems"] == ["params>=: asked 1000000, achievable 242258"]
    others = {other["space"]: other for other in value["result"]["other_spaces"]}
    assert {"pvt-elastic", "pvt-covidx", "autoformer-tiny", "pit-ti"} <= set(others)
    assert not {"pvt-nano", "autoformer-nano", "vitas-nano"} & set(others)
    assert others["pit-ti"] == {"space": "pit-ti", "looked_at": ["params>="], "not_looked_at": []}
    assert "or take another space: " in value["error"]["hint"]
    assert "pit-ti" in value["error"]["hint"]


def test_other_spaces_are_looked_at_without_latency_where_they_have_no_table(tmp_path: Path) -> None:
    folder = make_project(tmp_path)
    code, value, err = edgenas_in(folder, "plan", "--min-throughput", "1e6", "--max-memory-mb", "0.6")
    assert (code, value["status"]) == (3, "infeasible")
    assert "in batches of 1 is latency_ms <= 0.001" in " ".join(err.split())
    assert value["result"]["limits"] == {"latency_ms": 0.001, "memory_mb": 0.6}
    assert value["result"]["binding"] == ["latency_ms"]
    assert value["result"]["closest"]["latency_ms"]["achievable"] > 0.001
    hint = value["error"]["hint"]
    assert hint.startswith(
        "no net of pvt-nano meets latency_ms, whatever the other limits: loosen the limit, or take another space: "
    )
    assert hint.endswith("latency_ms apart, for which there is no table of theirs")
    assert {"space": "autoformer-nano", "looked_at": ["memory_mb"], "not_looked_at": ["latency_ms"]} in value["result"][
        "other_spaces"
    ]
    assert all(other["not_looked_at"] == ["latency_ms"] for other in value["result"]["other_spaces"])
    code, value, _ = edgenas_in(folder, "plan", "--latency-ms", "1e-6")
    assert (code, value["result"]["other_spaces"]) == (3, [])
    assert value["error"]["hint"].endswith(
        "; no other shipped space is known to meet these limits either, but latency is known of those with a table alone: "
        "`edgenas plan --spaces` tries all of them on this device"
    )
    code, value, _ = edgenas_in(folder, "plan", "--max-memory-mb", "1e-6")
    assert value["error"]["hint"].endswith("; no other shipped space is known to meet these limits either")


def test_a_throughput_is_a_limit_on_the_latency_of_a_call(tmp_path: Path) -> None:
    folder = make_project(tmp_path)
    results = []
    for flags in (("--min-throughput", "400"), ("--latency-ms", "2.5"), ("--min-throughput", "300", "--latency-ms", "2.5")):
        project = open_project(folder / "edgenas-run", {}, (*SMALL, *(_setting(flags))))
        costing = open_costing(project, open_images(project).task, {})
        results.append({limit.name: limit.limit for limit in costing.limits})
    assert results == [{"latency_ms": 2.5}] * 3


def _setting(flags: tuple[str, ...]) -> list[str]:
    names = {"--min-throughput": "search.min_throughput", "--latency-ms": "search.latency_ms"}
    return [f"{names[flag]}={value}" for flag, value in zip(flags[::2], flags[1::2], strict=True)]


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (("search", "--limit", "parms<=1M"), "'parms' is nothing that can be limited; did you mean 'params'?"),
        (("plan", "--limit", "params>=2M", "--limit", "params<=1M"), "exclude each other"),
        (("search", "--max-params", "1M", "--limit", "params<=2M"), "given 2 times"),
    ],
)
def test_limits_that_cannot_be_are_usage_errors_without_a_project(tmp_path: Path, command: tuple[str, ...], problem: str) -> None:
    code, value, _ = edgenas_in(tmp_path, *command)
    assert (code, value["status"]) == (2, "usage")
    assert problem in value["error"]["message"]


def test_names_that_settings_do_not_know_list_the_choices(folder: Path) -> None:
    code, value, _ = edgenas_in(folder, "search", "--set", "search.algorithm=evolutoin", "--set", "train.sampling=sandwhich")
    assert (code, value["error"]["type"]) == (1, "ConfigError")
    assert value["error"]["problems"] == [
        "--set train.sampling: train.sampling is 'sandwhich'; allowed: 'even', 'sandwich', 'uniform', 'uniform-genes', 'adjacent', "
        "'identities', 'left-only', 'bilateral'; did you mean 'sandwich'?",
        "--set search.algorithm: search.algorithm is 'evolutoin'; allowed: 'evolution', 'random', 'exhaustive', 'nsga2', "
        "'training-free', 'surrogate'; did you mean 'evolution'?",
    ]


def test_a_net_between_the_ends_of_another_space_is_found_whether_or_not_limits_can_be_counted() -> None:
    params = cost_models(PVT_NANO, PVT_NANO.default_task)["params"]
    middle = float(np.median(params(PVT_NANO.enumerate())))
    for cost in (params, lambda genes_AG: params(genes_AG)):  # the second has no factors to count by
        near = LowerLimit("params", middle, cost), UpperLimit("params", 1.01 * middle, cost)
        assert elsewhere._has_net(PVT_NANO, near)
        assert not elsewhere._has_net(PVT_NANO, (LowerLimit("params", 1e6, cost),))
