"""Which subnets learn: what the settings, a table and an earlier training decide."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.costs import cost_models
from edgenas.errors import MissingInputError
from edgenas.project.nets import facts_of
from edgenas.project.opening import Project, open_images, open_project
from edgenas.project.run_tables import run_table
from edgenas.project.trainings.sampling import sampling_of
from edgenas.spaces import Genes
from edgenas.spaces.even import NEAR
from edgenas.supernets import build_supernet
from edgenas.training.checkpoints import save_weights
from edgenas.training.folder import WEIGHTS
from tests.recipes.budgets import make_project


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a table of this machine."""
    return make_project(tmp_path_factory.mktemp("sampled"))


def opened(folder: Path, **train: Any) -> Project:
    return open_project(folder / "edgenas-run", {"train": train}, ())


def drawn(project: Project, num: int = 300, *, anew: bool = True) -> tuple[Genes, dict[str, Any]]:
    """Nets of many steps, and what a checkpoint would say of the rule."""
    found = sampling_of(project, open_images(project).task, anew=anew)
    rows = [genes for seed in range(num) for genes in found.draw(np.random.default_rng(seed))]
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
