"""The scripts that measure latency tables, and the other ways that stand beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.latency_report import scores
from benchmarks.predictors import affine, gradient_boosting, hat_features, hat_mlp, isolated_sum, macs_regression
from edgenas.costs import cost_models
from edgenas.latency import LatencyTable
from edgenas.latency.nets.plan import components_of
from edgenas.spaces.pvt import PVT_NANO
from tests.latency.toy import true_ms

ROOT = Path(__file__).parents[2]
TASK = PVT_NANO.default_task


@pytest.fixture(scope="module")
def dry_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu")
    arguments = ["--dry-run", "--space", "pvt-nano", "--run", "run", "--output", "out", "--tables", "tables"]
    command = [sys.executable, "-m", "benchmarks.gpu_latency", *arguments]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=300, env={"PYTHONPATH": str(ROOT), "PATH": ""}
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.timeout(360)
def test_a_dry_run_of_the_gpu_script_writes_tables_and_reports(dry_run: Path) -> None:
    tables = sorted((dry_run / "tables").glob("*.json"))
    assert [LatencyTable.load(path).context.runtime for path in tables] == ["onnxruntime-cpu", "torch-cpu"]
    for path in sorted((dry_run / "out").glob("*.json")):
        report = json.loads(path.read_text())
        assert report["num_held_out"] == 8
        assert len(report["methods"]) == 6
        assert all(0 < found["mape"] < 2 for found in report["methods"].values())
        assert path.with_suffix(".png").stat().st_size > 10_000
        text = path.with_suffix(".md").read_text()
        assert "8 random nets that fitted nothing" in text
        assert "| edgenas table |" in text


def test_scores_say_what_errors_are() -> None:
    measured = np.linspace(1, 3, 100)
    found = scores(measured * np.where(np.arange(100) < 50, 1.04, 0.93), measured)
    assert found["mape"] == pytest.approx(0.055)
    assert (found["within_5"]["value"], found["within_10"]["value"]) == (0.5, 1.0)
    assert found["bias"] == pytest.approx(-0.015)
    assert found["num_near_budget"] == 40


@pytest.mark.slow  # the work of a study, not of a command
def test_other_ways_learn_from_whole_nets() -> None:
    genes_AG = PVT_NANO.sample(160, np.random.default_rng(0))
    chains = [components_of(PVT_NANO, genes_G, TASK) for genes_G in genes_AG]
    truth = np.array([sum(map(true_ms, chain)) for chain in chains])
    train, held = slice(0, 120), slice(120, 160)
    macs = cost_models(PVT_NANO, TASK)["macs"]
    alone = {component: 1.2 * true_ms(component) + 0.01 for chain in chains for component in chain}
    ways = {
        "macs": macs_regression(macs, genes_AG[train], truth[train]),
        "plain": isolated_sum(alone),
        "affine": isolated_sum(alone, chains[train], truth[train]),
        "hat": hat_mlp(chains[train], truth[train]),
        "trees": gradient_boosting(PVT_NANO, genes_AG[train], truth[train]),
    }
    error = {name: np.abs(way(genes_AG[held], chains[held]) / truth[held] - 1).mean() for name, way in ways.items()}
    assert error["affine"] < 0.02 < error["plain"]
    spread = np.abs(truth[held] / truth[train].mean() - 1).mean()
    assert all(error[name] < 0.7 * spread for name in ("macs", "hat", "trees")), error
    assert len(hat_features(chains[0])) == 10


def test_a_line_is_found_exactly() -> None:
    raw = np.linspace(1, 5, 20)
    assert affine(raw, 2 * raw + 0.5)(np.array([10.0])) == pytest.approx([20.5])
