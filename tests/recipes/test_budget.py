"""Searching under limits of several latency tables and under promises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.cli.options import parse_latency, parse_tables
from edgenas.latency.measuring import Measured
from edgenas.latency.nets.plan import components_of
from edgenas.project.searching import finalists
from edgenas.runs import Note
from edgenas.spaces import Genes
from edgenas.spaces.pvt import PVT_NANO
from tests.latency.toy import true_ms
from tests.recipes.budgets import TASK, edgenas_in, make_project, scaled, toy_table

pytestmark = pytest.mark.usefixtures("short_pace")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one table of its own and two of other devices beside it."""
    folder = make_project(tmp_path_factory.mktemp("budget"))
    for name, factor in (("jetson", 10.0), ("camera", 3.0)):
        scaled(toy_table(), factor).save(folder).rename(folder / f"{name}.json")
    return folder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Stands in for the device: nets cost what the formula says times a factor per quantile."""
    factors = {"p50": 1.0, "p90": 1.1, "p95": 1.2, "p99": 1.5}

    def measure(project: Any, task: Any, genes_AG: Genes, **rest: Any) -> Iterator[Note]:
        truth = [sum(map(true_ms, components_of(PVT_NANO, genes_G, TASK))) for genes_G in genes_AG]
        yield Note("measured")
        return [Measured(*(ms * factor for factor in factors.values()), 1.0) for ms in truth]

    monkeypatch.setattr(finalists, "measure_archs", measure)
    return factors


def spans() -> tuple[float, float, float]:
    """Fastest, median and slowest net of this machine's table."""
    values_A = toy_table().to_cost_model(PVT_NANO, TASK)(PVT_NANO.enumerate())
    return float(values_A.min()), float(np.median(values_A)), float(values_A.max())


def candidates(project: Path) -> list[dict[str, Any]]:
    """What the last search evaluated."""
    lines = (project / "edgenas-run" / "search" / "search.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_of_two_tables_the_second_binds(project: Path, calls: dict[str, float]) -> None:
    _, median, slowest = spans()
    limit = 10 * median  # on a device that is ten times slower
    arguments = ("--latency-ms", f"{2 * slowest}", "--latency-ms", f"jetson={limit}", "--table", "jetson=jetson.json")
    code, value, err = edgenas_in(project, "search", *arguments)
    assert code == 0, value["error"]
    result = value["result"]
    assert result["limits"] == {"latency_ms": 2 * slowest, "latency_ms[jetson]": limit}
    assert result["binding"] == ["latency_ms[jetson]"]
    assert result["evaluations"]["rejected"]["latency_ms"] == 0
    jetson_A = 10 * toy_table().to_cost_model(PVT_NANO, TASK)(PVT_NANO.enumerate())
    assert result["evaluations"]["rejected"]["latency_ms[jetson]"] == pytest.approx((jetson_A > limit).sum(), abs=2)
    assert result["space"]["feasible_share"] == pytest.approx(0.5, abs=0.01)
    assert set(result["tables"]) == {"jetson", Path(result["table"]["path"]).stem}
    for row in candidates(project):
        own, jetson = row["latencies"].values()
        assert row["latency_ms_predicted"] == own["predicted_ms"] == pytest.approx(jetson["predicted_ms"] / 10)
        assert jetson["predicted_ms"] <= limit
    winner = result["winner"]
    assert winner["latencies"]["jetson"]["measured_ms"] is None
    assert winner["latency_ms_measured"] > 0
    where = "jetson: Toy 3000 (R) CPU, toy fp32, batch 1, 2 threads, another device: nets are not measured there"
    assert where in " ".join(err.split())


def test_limits_with_names_can_stand_in_the_settings(project: Path) -> None:
    _, median, _ = spans()
    for name in ("jetson", "camera"):
        (project / "edgenas-run" / "latency" / f"{name}.json").write_bytes((project / f"{name}.json").read_bytes())
    limits = f"{{ jetson = {12 * median}, camera = {2.5 * median} }}"
    code, value, _ = edgenas_in(project, "search", "--set", f"search.latency_ms={limits}")
    assert code == 0, value["error"]
    result = value["result"]
    assert result["limits"] == {"latency_ms[jetson]": 12 * median, "latency_ms[camera]": 2.5 * median}
    assert result["binding"] == ["latency_ms[camera]"]
    for row in candidates(project):
        assert list(row["latencies"]) == ["jetson", "camera"]
        assert row["latency_ms_predicted"] == row["latencies"]["jetson"]["predicted_ms"]
        assert row["latencies"]["camera"]["predicted_ms"] <= 2.5 * median
    assert result["winner"]["latency_ms_measured"] is None


def test_what_no_device_can_do_is_named_by_device(project: Path) -> None:
    fastest, _, slowest = spans()
    asked = ("--latency-ms", f"{2 * slowest}", "--latency-ms", f"jetson={fastest}", "--table", "jetson=jetson.json")
    code, value, _ = edgenas_in(project, "search", *asked)
    assert (code, value["status"]) == (3, "infeasible")
    assert value["result"]["closest"]["latency_ms[jetson]"]["asked"] == fastest
    assert value["result"]["closest"]["latency_ms[jetson]"]["achievable"] == pytest.approx(10 * fastest)


def test_a_promise_limits_the_bound_and_judges_the_quantile(project: Path, calls: dict[str, float]) -> None:
    _, median, _ = spans()
    code, value, err = edgenas_in(
        project, "search", "--latency-ms", f"{median}", "--latency-quantile", "p95", "--confidence", "0.9"
    )
    assert code == 0, value["error"]
    bound = value["result"]["promises"]["latency_ms"]
    assert bound == {**toy_table().promise.bound("p95", 0.9).as_json(), "num_sessions": 1, "covers_days": False}
    not_covered = "other hours and days, which differed by 13.0 % elsewhere, are not covered (`edgenas profile --again` adds one)"
    assert f"in 1 session: {not_covered}" in " ".join(err.split())
    assert 1.1 < bound["factor"] < 1.3  # calls cost 1 + 0.05 exp(1) times their net: 1.15 at p95
    assert (
        f"p95 of calls at confidence 0.9: {bound['factor']:.3g} x predicted, from 40 nets that fitted nothing; it held for"
        in " ".join(err.split())
    )
    for row in candidates(project):
        assert row["latency_ms_upper"] == pytest.approx(bound["factor"] * row["latency_ms_predicted"])
        assert row["latency_ms_upper"] <= median
    for row in value["result"]["finalists"]:
        assert row["latency_ms_quantile"] == {"quantile": "p95", "ms": pytest.approx(1.2 * row["latency_ms_measured"])}
        assert ("latency_ms" in row["rejected_by"]) == (row["latency_ms_quantile"]["ms"] > median)


def test_a_net_whose_quantile_measures_too_slow_cannot_win(project: Path, calls: dict[str, float]) -> None:
    _, median, _ = spans()
    calls["p99"] = 50.0  # medians are as predicted
    code, value, err = edgenas_in(project, "search", "--latency-ms", f"{median}", "--latency-quantile", "p99")
    assert (code, value["status"]) == (3, "infeasible")
    assert value["result"]["closest"]["latency_ms"]["achievable"] > median
    assert "every finalist measured slower than the limit" in err
    assert all(row["latency_ms_measured"] <= median for row in value["result"]["finalists"])


def test_finalists_that_measure_too_slow_are_replaced(project: Path, calls: dict[str, float]) -> None:
    _, median, _ = spans()
    asked = ("search", "--latency-ms", f"{median}")
    usual = edgenas_in(project, *asked)[1]["result"]["finalists"]
    assert [row["rejected_by"] for row in usual] == [[]] * 3
    middle_ms = sorted(row["latency_ms_measured"] for row in usual)[1]
    calls["p50"] = 1.001 * median / middle_ms
    code, value, err = edgenas_in(project, *asked)
    assert code == 0, value["error"]
    rows = value["result"]["finalists"]
    assert sum(bool(row["rejected_by"]) for row in rows[:3]) == 2
    assert "2 of 3 finalists measured slower than the limit; trying nets that are predicted faster" in " ".join(err.split())
    assert len(rows) > 3
    assert max(row["latency_ms_predicted"] for row in rows[3:]) < max(row["latency_ms_predicted"] for row in rows[:3])
    assert any(row["latency_ms_measured"] <= median for row in rows[3:])
    assert value["result"]["winner"]["latency_ms_measured"] <= median


def test_without_a_promise_rows_are_as_ever(project: Path, calls: dict[str, float]) -> None:
    _, median, _ = spans()
    code, value, _ = edgenas_in(project, "search", "--latency-ms", f"{median}")
    assert code == 0, value["error"]
    assert value["result"]["promises"] == {}
    calibration = toy_table().calibration
    for row in candidates(project):
        assert "latencies" not in row
        assert row["latency_ms_predicted"] <= median
        assert row["latency_ms_upper"] == pytest.approx(calibration.upper_factor * row["latency_ms_predicted"])
    assert "latency_ms_quantile" not in value["result"]["winner"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--latency-ms", "1", "--confidence", "0.99"), 1, "a confidence of 0.99 needs 99 nets that fitted nothing"),
        (("--latency-ms", "jetson=1"), 1, "the limit on jetson: there is no latency table 'jetson'"),
        (("--latency-ms", "1", "--table", "cpu=jetson.json"), 2, "no latency limit goes with the table cpu"),
        (("--latency-ms", "a=1", "--table", "a=jetson.json", "--table", "camera.json"), 2, "goes with the table camera.json"),
        (("--latency-ms", "1", "--latency-ms", "2"), 2, "--latency-ms is given twice without a name"),
        (("--latency-ms", "a=1", "--latency-ms", "a=2"), 2, "--latency-ms is given twice for a"),
        (("--latency-ms", "a=b"), 2, "write a positive number such as 5, or NAME=5"),
        (("--latency-ms", "1", "--confidence", "1"), 2, "confidence"),
        (("--set", "search.latency_ms={ a = 0 }"), 1, "must be positive"),
        (("--set", "search.latency_ms=fast"), 1, "allowed: a number or a table whose values are a number"),
    ],
)
def test_limits_that_cannot_be_meant_are_refused(project: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    for name in ("jetson", "camera"):
        (project / "edgenas-run" / "latency" / f"{name}.json").unlink(missing_ok=True)
    for command in ("search", "plan"):
        found, value, _ = edgenas_in(project, command, *arguments)
        error = value["error"]
        assert found == code, error
        assert words in " ".join([error["message"], *error["problems"]]), error


def test_flags_are_read_as_written(tmp_path: Path) -> None:
    assert parse_latency(()) is None
    assert parse_latency(("5",)) == 5.0
    assert parse_latency(("jetson=5", "cpu=3e1")) == {"jetson": 5.0, "cpu": 30.0}
    assert parse_latency(("7", "cpu=30")) == {"": 7.0, "cpu": 30.0}
    odd = tmp_path / "a=b.json"
    odd.touch()
    assert parse_tables((str(odd), "cpu=x.json")) == {"": str(odd), "cpu": "x.json"}
