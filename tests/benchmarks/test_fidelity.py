"""The study of fidelity: which images judge, which nets are trained."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fidelity import Bench, judges_compared, left_out, main, nets_of
from edgenas.costs import cost_models
from edgenas.data.images import Images
from edgenas.project.opening import Project, open_images, open_project
from edgenas.search.ranking import BAND
from edgenas.spaces.designed import hand_designed
from tests.recipes.test_end_to_end import edgenas_in

SPLITS = ("train", "select", "confirm", "calibrate", "test")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Images]:
    folder = tmp_path_factory.mktemp("fidelity")
    code, value, err = edgenas_in(folder, "init", "--data", "digits", "--max-per-class", "60", "--space", "pvt-elastic-nano")
    assert code == 0, (value["error"], err)
    project = open_project(folder / "edgenas-run", {}, ())
    return project, open_images(project)


def test_images_that_judge_are_in_no_split_and_of_every_class_alike(opened: tuple[Project, Images]) -> None:
    source, found_N = left_out(*opened, 500)
    images = opened[1]
    used = {images.source.ids[position] for name in SPLITS for position in images.splits[name]}
    assert not used & {source.ids[position] for position in found_N}
    assert set(np.bincount(source.labels_N[found_N])) == {50}


def test_half_of_the_nets_are_near_the_limit_and_the_winner_comes_first(opened: tuple[Project, Images], tmp_path: Path) -> None:
    project, images = opened
    cost = cost_models(project.space, images.task)["macs"]
    limit = float(np.quantile(cost(project.space.sample(2000, np.random.default_rng(0))), 0.05))
    bench = Bench(project, images, *left_out(project, images, 10), cost, 1, tmp_path)
    winner = project.space.to_json(project.space.extreme(largest=False)[0])
    genes_AG = nets_of(bench, limit, winner, 20, seed=1)
    cost_A = cost(genes_AG)
    assert len(np.unique(genes_AG, axis=0)) == len(genes_AG) == 20
    assert project.space.to_json(genes_AG[0]) == winner
    assert ((cost_A <= limit) & (cost_A >= (1 - BAND) * limit)).sum() == 10
    assert any(project.space.to_json(row) in hand_designed(project.space) for row in genes_AG[1:3])
    assert np.array_equal(genes_AG, nets_of(bench, limit, winner, 20, seed=1))


def test_likelihood_tells_nets_apart_that_right_answers_do_not() -> None:
    rng = np.random.default_rng(0)
    worth_A, num = np.linspace(0.0, 0.3, 8), 4000
    margins_AN = worth_A[:, None] + rng.normal(1.0, 1.0, num) + 0.3 * rng.standard_normal((8, num))
    found = judges_compared(-np.logaddexp(0, -margins_AN), margins_AN > 0, 500)
    assert found["log-likelihood"]["tau"] > found["right answers"]["tau"] > 0
    assert found["log-likelihood"]["regret"] < found["right answers"]["regret"] < 0.1


@pytest.mark.slow
def test_nets_are_trained_once_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ("teacher.name=cnn", "teacher.epochs=1", "train.epochs=1", "train.kd_weight=0.5", "train.flip=false")
    quick += ("search.num_generations=0", "search.population=4", "search.proof_epochs=0", "search.num_finalists=1")
    quick += ("profile.visits=1", "profile.runs_per_visit=1", "profile.calibration_nets=4", "profile.validation_nets=2")
    sets = [part for setting in (*quick, "profile.bound_nets=0") for part in ("--set", setting)]
    asked = ("--data", "digits", "--max-per-class", "60", "--space", "pvt-nano")
    for command in (("init", *asked), ("train",), ("profile",), ("search", "--latency-ms", "100")):
        code, value, err = edgenas_in(tmp_path, *command, *sets)
        assert code == 0, (command, value["error"], err)
    run = tmp_path / "edgenas-run"
    arguments = ["--run", str(run), "--search", str(run / "search" / "result.json"), "--num", "6", "--epochs", "1"]
    arguments += ["--images", "200", "--folder", str(tmp_path / "out"), *sets]
    assert main(arguments) == 0
    first = (tmp_path / "out" / "fidelity.json").read_text()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "alone").iterdir()}
    assert len(kept) == 6
    assert "regret of the winner" in capsys.readouterr().out
    page = (tmp_path / "out" / "fidelity.md").read_text()
    assert "6 nets, each trained alone for 1 epochs" in page
    assert len(re.findall(r"^\| [\d.]+ \| [\d,]+ \| [\d,]+ \| [\d.]+ \| [\d.]+ \| -[\d.]+ \|$", page, re.MULTILINE)) == 6
    assert main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "alone").iterdir()} == kept
    assert (tmp_path / "out" / "fidelity.json").read_text() == first
