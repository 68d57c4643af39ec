"""Which subnets learn: what the settings, a table and an earlier training decide."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.costs import cost_models
from edgenas.errors import CheckpointError, ConfigError, InfeasibleError, MissingInputError
from edgenas.project.net_facts import facts_of
from edgenas.project.nets import load_supernet
from edgenas.project.opening import Project, open_images, open_project
from edgenas.project.run_tables import run_table
from edgenas.project.trainings.sampling import sampling_of
from edgenas.spaces import Genes
from edgenas.spaces.even import NEAR
from edgenas.supernets import build_supernet
from edgenas.supernets.bilateral import BilateralSupernet
from edgenas.training.checkpoints import save_weights
from edgenas.training.evaluation import subnet_accuracies
from edgenas.training.folder import WEIGHTS
from edgenas.training.sampling import shown_subnets
from tests.recipes.budgets import edgenas_in, make_project


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a table of this machine."""
    return make_project(tmp_path_factory.mktemp("sampled"))


def opened(folder: Path, **train: Any) -> Project:
    return open_project(folder / "edgenas-run", {"train": train}, ())


def drawn(project: Project, num: int = 300, *, anew: bool = True) -> tuple[Genes, dict[str, Any]]:
    """Nets of many steps, and what a checkpoint would say of the rule."""
    found = sampling_of(project, open_images(project).task, anew=anew)
    rows = [genes for seed in range(num) for genes in found.draw(np.random.default_rng(seed), seed)]
    return np.array(rows, dtype=np.int16), found.facts.as_json()


def test_nets_are_spread_over_the_latency_that_the_table_predicts(folder: Path) -> None:
    project = opened(folder)
    table = run_table(project, open_images(project).task)
    assert table is not None
    genes_AG, facts = drawn(project)
    assert facts == {"sampling": "even", "even_over": {"cost": table.table.sha256}, "num_random": 2}
    assert 2.2 < len(genes_AG) / 300 < 2.5  # two, and in some steps the largest or the smallest
    largest = (genes_AG == project.space.extreme(largest=True)).all(axis=1).mean()
    smallest = (genes_AG == project.space.extreme(largest=False)).all(axis=1).mean()
    assert 0.02 < smallest < 0.07 < largest < 0.15


def test_most_nets_are_near_the_limit_that_is_asked_for(folder: Path) -> None:
    project = opened(folder)
    table = run_table(project, open_images(project).task)
    assert table is not None
    limit_ms = float(np.median(table.predicted(project.space.enumerate())))
    genes_AG, facts = drawn(opened(folder, latency_ms=limit_ms, near_share=0.8))
    assert facts["even_over"] == {"cost": table.table.sha256, "latency_ms": limit_ms, "near_share": 0.8}
    latency_A = table.predicted(genes_AG)
    assert ((latency_A <= limit_ms) & (latency_A >= NEAR * limit_ms)).mean() > 0.6


def test_a_limit_that_no_net_meets_is_refused_before_anything_is_trained(folder: Path) -> None:
    code, value, _ = edgenas_in(folder, "train", "--only", "supernet", "--force", "--latency-ms", "0.00001")
    assert code == 3
    assert value["error"]["message"].startswith("train.latency_ms is 1e-05, but no net of pvt-nano is known to take less than ")


def test_without_a_table_macs_are_spread_over_and_a_limit_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "bare", ignore=shutil.ignore_patterns("latency"))
    project = opened(tmp_path / "bare")
    genes_AG, facts = drawn(project)
    assert facts["even_over"] == {"cost": "macs"}
    macs_A = cost_models(project.space, open_images(project).task)["macs"](genes_AG)
    assert macs_A.max() / macs_A.min() > 1.5
    with pytest.raises(MissingInputError, match=r"train\.latency_ms is 1, but .* holds no latency table"):
        drawn(opened(tmp_path / "bare", latency_ms=1.0))


def test_a_training_goes_on_with_the_costs_it_began_with(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "begun")
    project = opened(tmp_path / "begun")
    images = open_images(project)
    facts = facts_of(project.space, images, "supernet", even_over={"cost": "macs"})
    save_weights(project.run.supernet / WEIGHTS, build_supernet(project.space, images.task), facts)
    assert drawn(project, 1, anew=False)[1]["even_over"] == {"cost": "macs"}
    assert drawn(project, 1, anew=True)[1]["even_over"] != {"cost": "macs"}


@pytest.mark.parametrize(("sampling", "num"), [("sandwich", 4), ("uniform", 1), ("uniform-genes", 1), ("identities", 1)])
def test_the_ancestors_rules_stay_by_name(folder: Path, sampling: str, num: int) -> None:
    genes_AG, facts = drawn(opened(folder, sampling=sampling, num_random=2), 1)
    assert len(genes_AG) == num
    assert "even_over" not in facts


def test_a_limit_after_a_training_without_one_takes_the_table(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    project = opened(tmp_path, latency_ms=1.0)
    images = open_images(project)
    facts = facts_of(project.space, images, "supernet", even_over={"cost": "macs"})
    save_weights(project.run.supernet / WEIGHTS, build_supernet(project.space, images.task), facts)
    table = run_table(project, images.task)
    assert table is not None
    over = sampling_of(project, images.task, anew=False).facts.even_over
    assert over is not None
    assert over.cost == table.table.sha256


@pytest.fixture(scope="module")
def vitas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose space has identities and two sides."""
    folder = tmp_path_factory.mktemp("vitas")
    code, value, _ = edgenas_in(folder, "init", "--data", "digits", "--space", "vitas-nano", "--set", "data.image_px=16")
    assert code == 0, value["error"]
    return folder


def test_the_share_of_identities_is_fitted_to_what_nets_are_to_cost(vitas: Path) -> None:
    half = opened(vitas, sampling="left-only")
    genes_AG, facts = drawn(half)
    assert facts == {"sampling": "left-only", "identities": 0.5, "num_random": 1}
    macs = cost_models(half.space, open_images(half).task)["macs"]
    low, high = (int(factor * macs(genes_AG).mean()) for factor in (1.15, 1.2))
    genes_AG, facts = drawn(opened(vitas, sampling="left-only", min_macs=low, max_macs=high), 1000)
    assert low * 0.97 < macs(genes_AG).mean() < high * 1.03
    assert facts["identities"] < 0.5
    with pytest.raises(InfeasibleError, match="no share of identities makes nets of vitas-nano cost 1 to 2 on average"):
        drawn(opened(vitas, sampling="left-only", min_macs=1, max_macs=2))
    with pytest.raises(ConfigError, match="min_macs and max_macs go together"):
        opened(vitas, sampling="left-only", min_macs=10)


def test_a_bilateral_supernet_is_trained_and_loaded_as_one(vitas: Path) -> None:
    train = ("train", "--only", "supernet", "--set", "train.kd_weight=0", "--set", "train.epochs=1", "--set", "train.flip=false")
    code, value, _ = edgenas_in(vitas, *train, "--set", "train.sampling=bilateral")
    assert code == 0, value["error"]
    project = opened(vitas, sampling="bilateral")
    images = open_images(project)
    supernet = load_supernet(project, images)
    assert isinstance(supernet, BilateralSupernet)
    judge = subnet_accuracies(*images.arrays("select"), shown_subnets(project.space, project.settings.train.seed))
    told = {name: share["value"] for name, share in value["result"]["supernet"]["select_top1"].items()}
    assert dict(judge(supernet)) == pytest.approx(told, abs=0.02)  # that is of float16
    with pytest.raises(CheckpointError, match="sharing is 'bilateral' there, 'entangled' here"):
        load_supernet(opened(vitas, sampling="left-only"), images)


def test_families_of_one_side_are_told_so(folder: Path) -> None:
    code, value, _ = edgenas_in(folder, "train", "--only", "supernet", "--force", "--set", "train.sampling=bilateral")
    assert code == 2, value["error"]
    assert value["error"]["message"] == "subnets of pvt-nano have one side only"
