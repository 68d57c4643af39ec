"""Planning: numbers against every net of a space, times against what they are extrapolated from."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.costs import cost_models
from edgenas.errors import ConfigError, InfeasibleError
from edgenas.project.planning.plain_pace import PlainPace, proof_facts
from edgenas.project.run_tables import RunTable
from edgenas.project.searching.costing import Costing, DeviceTable
from edgenas.project.settings import SearchSettings
from edgenas.project.training_settings import TrainSettings
from edgenas.recipes.plan import plan_nets
from edgenas.records import Estimate
from edgenas.search import UpperLimit
from edgenas.spaces.pvt import PVT_NANO, BlockSpec, lower
from edgenas.training.pace import time_job
from tests.recipes.budgets import TASK, edgenas_in, make_project, scaled, toy_table

MODELS = cost_models(PVT_NANO, TASK)
EVERY_AG = PVT_NANO.enumerate()


def device(alias: str, factor: float, limit_ms: float | None) -> DeviceTable:
    table = scaled(toy_table(), factor)
    predicted, upper = table.to_cost_model(PVT_NANO, TASK), table.upper(PVT_NANO, TASK)
    return DeviceTable(alias, RunTable(Path(f"{alias or 'own'}.json"), table, predicted, upper, ()), limit_ms, None)


def costing_of(*devices: DeviceTable, **others: float) -> Costing:
    limits = [UpperLimit(d.name, d.limit_ms, d.limited) for d in devices if d.limit_ms is not None]
    limits += [UpperLimit(name, limit, MODELS[name]) for name, limit in others.items()]
    costs = replace(MODELS, latency_ms=devices[0].table.predicted) if devices else MODELS
    return Costing(PVT_NANO, devices, costs, tuple(limits))


@pytest.fixture(scope="module")
def costing() -> Costing:
    median = float(np.median(toy_table().to_cost_model(PVT_NANO, TASK)(EVERY_AG)))
    return costing_of(device("", 1.0, median), device("slow", 4.0, 3.6 * median), params=160_000.0)


@pytest.fixture(scope="module")
def truth(costing: Costing) -> dict[str, Any]:
    """By brute force, shapes read off the lowered nets, costs off the factors one by one."""
    latency_A = toy_table().to_cost_model(PVT_NANO, TASK)(EVERY_AG)
    params_A, macs_A = MODELS["params"](EVERY_AG), MODELS["macs"](EVERY_AG)
    first, second, _ = (limit.limit for limit in costing.limits)
    broken = np.array([latency_A > first, 4 * latency_A > second, params_A > 160_000])
    fits = ~broken.any(axis=0)
    depth_A, width_A = np.zeros(len(EVERY_AG)), np.zeros(len(EVERY_AG))
    for row in np.flatnonzero(fits)[::7]:
        blocks = [c for c in lower(PVT_NANO, EVERY_AG[row], TASK).components if isinstance(c, BlockSpec)]
        depth_A[row], width_A[row] = len(blocks), np.mean([block.qkv_dim + block.mlp_hidden for block in blocks])
    return {"broken": broken, "fits": fits, "latency": latency_A, "params": params_A, "macs": macs_A, "some": (depth_A, width_A)}


def test_the_plan_is_what_enumeration_gives(costing: Costing, truth: dict[str, Any]) -> None:
    facts = plan_nets(costing, TASK, np.random.default_rng(0)).fitting.as_json()
    fits: NDArray[np.bool_] = truth["fits"]
    assert facts["method"] == "enumeration"
    assert facts["space"]["feasible"] == {"value": fits.mean(), "low": fits.mean(), "high": fits.mean(), "n": 62_208}
    assert facts["space"]["num_feasible"]["value"] == fits.sum() > 1000
    assert list(facts["rejected"].values()) == truth["broken"].sum(axis=1).tolist()
    alone = [
        name
        for name, broken in zip(facts["rejected"], truth["broken"], strict=True)
        if (truth["broken"].sum(axis=0) == 1)[broken].any()
    ]
    assert facts["binding"] == alone == ["latency_ms[slow]", "params"]
    nets, macs_A = facts["nets"], np.where(fits, truth["macs"], 0)
    assert nets["largest_macs"]["macs"] == macs_A.max()
    assert nets["largest_params"]["params"] == np.where(fits, truth["params"], 0).max()
    assert nets["fastest"]["latency_ms_predicted"] == pytest.approx(truth["latency"][fits].min())
    depth_A, width_A = truth["some"]
    assert nets["deepest"]["depth"] == sum(nets["deepest"]["arch"]["depths"]) >= depth_A.max()
    assert nets["deepest"]["macs"] >= macs_A[depth_A == nets["deepest"]["depth"]].max(initial=0)
    assert nets["widest"]["mean_width"] >= width_A.max()
    for net in nets.values():
        row = PVT_NANO.from_json(net["arch"])
        index = int(np.flatnonzero((row == EVERY_AG).all(axis=1))[0])
        assert fits[index]
        assert net["used"]["latency_ms[slow]"] == pytest.approx(net["latencies"]["slow"]["predicted_ms"] / costing.limits[1].limit)
        assert all(share <= 1 for share in net["used"].values())


def test_a_band_of_latencies_is_what_enumeration_gives(truth: dict[str, Any]) -> None:
    median, low = float(np.median(truth["latency"])), float(np.quantile(truth["latency"], 0.45))
    own = replace(device("", 1.0, median), least_ms=low)
    assert [str(limit) for limit in own.limits] == [f"latency_ms <= {median:.12g}", f"latency_ms >= {low:.12g}"]
    costing = Costing(PVT_NANO, (own,), replace(MODELS, latency_ms=own.table.predicted), tuple(own.limits))
    facts = plan_nets(costing, TASK, np.random.default_rng(0)).fitting
    fits = (truth["latency"] <= median) & (truth["latency"] >= low)
    assert facts.space.num_feasible is not None
    assert facts.space.num_feasible.value == fits.sum() > 1000
    assert dict(facts.rejected) == {"latency_ms": (truth["latency"] > median).sum(), "latency_ms>=": (truth["latency"] < low).sum()}
    assert facts.nets["fastest"].costs.latency_ms_predicted == pytest.approx(truth["latency"][fits].min())
    assert facts.nets["largest_macs"].costs.macs == truth["macs"][fits].max()


def test_a_sample_gives_an_interval_and_evolution_the_same_nets(costing: Costing, truth: dict[str, Any]) -> None:
    exact = plan_nets(costing, TASK, np.random.default_rng(0)).fitting.as_json()
    facts = plan_nets(costing, TASK, np.random.default_rng(1), max_rows=3000).fitting.as_json()
    share = facts["space"]["feasible"]
    assert facts["method"] == "evolution"
    assert share["n"] == 3000
    assert share["low"] < truth["fits"].mean() < share["high"] < share["low"] + 0.05
    counts = facts["space"]["num_feasible"]
    assert counts["low"] < truth["fits"].sum() < counts["high"]
    costs = {name: {n: net[n] for n in ("macs", "params", "depth", "mean_width")} for name, net in exact["nets"].items()}
    assert {name: {n: net[n] for n in costs[name]} for name, net in facts["nets"].items()} == costs


def test_what_does_not_fit_says_how_near_one_can_get() -> None:
    smallest = float(toy_table().to_cost_model(PVT_NANO, TASK)(EVERY_AG).min())
    with pytest.raises(InfeasibleError, match="no architecture of pvt-nano meets latency_ms <= ") as raised:
        plan_nets(costing_of(device("", 1.0, 0.5 * smallest)), TASK, np.random.default_rng(0))
    nearest = raised.value.result["closest"]["latency_ms"]
    assert nearest["achievable"] == pytest.approx(smallest)
    assert raised.value.exit_code == 3
    with pytest.raises(ConfigError, match="no limit is set"):
        plan_nets(costing_of(device("", 1.0, None)), TASK, np.random.default_rng(0))


def test_without_a_table_the_smallest_net_takes_the_fastest_ones_place() -> None:
    nets = plan_nets(costing_of(macs=1.2e6), TASK, np.random.default_rng(0)).fitting.nets
    assert nets["smallest"].costs.macs == MODELS["macs"](EVERY_AG).min()
    assert nets["smallest"].costs.latency_ms_predicted is None
    assert "fastest" not in nets


def test_estimates_are_parts_times_their_number() -> None:
    found = Estimate.of([1.0, 2.0, 3.0], 10, plus=5.0)
    assert (found.value, found.n) == (25.0, 3)
    assert found.low == pytest.approx(17.0)
    assert found.high == pytest.approx(33.0)
    skewed = Estimate.of([1.0] * 19 + [100.0], 1)
    assert skewed.low <= skewed.value <= skewed.high


def test_the_command_needs_no_training_and_times_real_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgenas.project.planning.plain_pace.SECONDS", 0.0)
    monkeypatch.setattr("edgenas.project.planning.pace.time_job", partial(time_job, seconds=0.0))
    monkeypatch.setattr("edgenas.recipes.plan.NUM_TIMED", 1)
    folder = make_project(tmp_path)
    run = folder / "edgenas-run"
    (run / "supernet" / "weights.safetensors").unlink()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    sets = ("train.epochs=3", "teacher.probe_steps=13", 'teacher.candidates=["cnn"]')
    flags = [part for setting in sets for part in ("--set", setting)]
    code, value, err = edgenas_in(folder, "plan", "--latency-ms", "1000", "--max-params", "150k", *flags, decided=())
    assert code == 0, value["error"]
    result = value["result"]
    assert result["limits"] == {"latency_ms": 1000.0, "params": 150_000}
    assert result["binding"] == ["params"]
    training = result["training"]
    assert {name: part["is_done"] for name, part in training.items()} == {"teacher": False, "supernet": False}
    supernet = training["supernet"]
    assert supernet["steps"] == 3 * 13  # of 64 of the 808 training images
    assert supernet["seconds"]["n"] >= 5
    expected = supernet["steps"] * supernet["step_ms"]["value"] / 1e3 + 3 * supernet["evaluation_s"]
    assert supernet["seconds"]["value"] == pytest.approx(expected)
    assert result["search"]["nets"] == 12
    assert result["search"]["seconds"]["value"] > 0
    assert "timing the supernet" in err
    assert "timing steps of " in err
    assert "the trying" not in err
    assert result["probes"]["teaching"]["nets"] == 5  # four lessons, one of them mirrored
    assert (result["probes"]["teacher"]["nets"], result["probes"]["teacher"]["steps"]) == (1, 13)
    assert result["probes"]["teaching"]["steps"] == 5 * 13
    assert result["proof"] is None
    alone, baseline = result["retrain"]["alone"], result["retrain"]["baseline"]
    fresh = 15 + 3  # as long as inherited weights learn here and in the supernet
    assert (alone["ways"], alone["epochs"]) == (2, 15 + fresh)
    assert (baseline["ways"], baseline["hand_designed"]) == (4, 5)
    race = 5 * (fresh // 4)
    assert baseline["epochs"] == (1 + 2) * 2 * (15 + fresh) + race + 2 * fresh  # the winner, two nets to the end, and a plain CNN
    assert baseline["seconds"]["value"] > alone["seconds"]["value"] > 0
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    code, value, _ = edgenas_in(folder, "plan", "--max-params", "1k")
    assert (code, value["status"]) == (3, "infeasible")
    assert value["result"]["closest"]["params"]["achievable"] == 82_074
    code, value, _ = edgenas_in(folder, "plan")
    assert (code, value["error"]["hint"]) == (1, "give --latency-ms, --max-params, --max-macs, --max-memory-mb or --limit")


@pytest.mark.parametrize(
    ("epochs", "nets", "found"),
    [(18, (1000, 9), (16, 6, 5, 18)), (18, (2, 0), (2, 18, 0, 18)), (1, (1000, 9), (16, 1, 0, 1)), (3, (3, 1), (4, 1, 3, 3))],
)
def test_the_proof_is_planned_in_its_rungs(epochs: int, nets: tuple[int, int], found: tuple[int, int, int, int]) -> None:
    settings = SimpleNamespace(search=SearchSettings(proof_epochs=epochs, proof_hand=4), train=TrainSettings(kd_weight=0.0))
    job = SimpleNamespace(batches=SimpleNamespace(num_batches=10))
    pace = PlainPace({"labels": [SimpleNamespace(laps=[0.1, 0.1], evaluation_s=0.5, job=job)]})  # type: ignore[list-item]
    project: Any = SimpleNamespace(settings=settings, run=SimpleNamespace(teacher=Path("nowhere")))
    facts = proof_facts(project, pace, num_searched=nets[0], num_hand=nets[1])
    assert facts is not None
    assert (facts.nets, facts.first_epochs, facts.last_nets, facts.last_epochs) == found
    trainings, total = found[0] + found[2], found[0] * found[1] + found[2] * found[3]
    assert facts.epochs == total
    assert facts.seconds.value == pytest.approx(total * 10 * 0.1 + 2 * trainings * 0.5)


def test_without_a_limit_no_image_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert edgenas_in(tmp_path, "init", "--data", "digits")[0] == 0

    def opened(*_: object) -> None:
        raise AssertionError("the images were opened")

    monkeypatch.setattr("edgenas.recipes.plan.open_images", opened)
    code, value, _ = edgenas_in(tmp_path, "plan")
    assert (code, value["error"]["type"], value["error"]["message"]) == (1, "ConfigError", "no limit is set")
    code, value, _ = edgenas_in(tmp_path, "plan", "--limit", "sensitivity[8]>=0.9")
    assert (code, value["error"]["message"]) == (
        1,
        "a sensitivity to 8 is a limit that only trained nets can be held against; no limit on a cost is set",
    )
    code, value, _ = edgenas_in(tmp_path, "plan", "--max-params", "1M")
    assert "the images were opened" in value["error"]["message"]
