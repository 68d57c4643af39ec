"""The demo: what it is about, what it shows of the search, which pictures it leaves, how it ends."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from edgenas.data.images import decode
from edgenas.errors import RunFolderError
from edgenas.project import demo_task
from edgenas.project.demo_task import TASKS, find_task, missed, steep_limit
from edgenas.project.deployed import final_images
from edgenas.project.opening import open_images, open_project
from edgenas.project.run_tables import run_table
from edgenas.recipes import demo, search
from edgenas.runs import Front, Outcome
from edgenas.spaces.designed import hand_designed_rows
from tests.recipes.killing import RUN, Reference


def test_the_demo_takes_fashion_mnist_where_it_is_and_hard_digits_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_task, "DEBIAN_FOLDER", tmp_path)
    assert find_task() == "fashion-mnist"
    monkeypatch.setattr(demo_task, "DEBIAN_FOLDER", tmp_path / "absent")
    assert find_task() == "dim-digits"
    assert "no camera took them" in TASKS["dim-digits"].words


def test_a_folder_that_is_no_demo_is_left_alone(reference: Reference) -> None:
    run = reference.before("train") / RUN
    with pytest.raises(RunFolderError, match="is a project on digits, not a demo"):
        next(iter(demo.run(demo.DemoConfig(run, {}, ()))))


def test_the_limit_follows_the_quickest_hand_made_net(reference: Reference) -> None:
    project = open_project(reference.after("profile") / RUN, {}, ())
    task = open_images(project).task
    limit = steep_limit(project, task)
    table = run_table(project, task)
    assert table is not None
    assert limit == pytest.approx(1.6 * table.predicted(hand_designed_rows(project.space)).min(), rel=0.01)


def test_missed_images_are_pictures_that_say_what_they_were_taken_for(reference: Reference, tmp_path: Path) -> None:
    project = open_project(reference.after("retrain") / RUN, {}, ())
    images = final_images(project, open_images(project))
    for _ in decode(images, "calibrate", "test"):
        pass
    # hardly trained nets find the positives that the threshold asks for; under the argmax they miss most of them
    paths = list(missed(project, images, tmp_path / "missed"))
    assert len(paths) <= 3
    for path in paths:
        assert "-taken-for-" in path.name
        assert not path.name.endswith("-taken-for-8.png")
        with Image.open(path) as picture:
            assert min(picture.size) >= 224


def test_a_search_tells_of_every_net_that_it_evaluates(reference: Reference, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(reference.before("search") / RUN, run)
    settings = ("search.proof_epochs=0", "search.num_generations=1", "search.num_finalists=1")
    *records, last = search.run(search.SearchConfig(run, {"search": {"latency_ms": 5.0}}, settings))
    assert isinstance(last, Outcome)
    fronts = [record for record in records if isinstance(record, Front)]
    nets = [net for record in fronts for net in record.nets]
    assert {(record.label, record.cost_name, record.limit) for record in fronts} == {("searching", "latency_ms", 5.0)}
    assert len(nets) == last.result.evaluations.evaluated
    assert any(net.is_hand_designed for net in nets)
    assert all(0 < net.cost <= 5.0 for net in nets)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("data", ["dim-digits"])
def test_the_quick_demo_ends_with_a_verdict(tmp_path: Path, data: str) -> None:
    command = [sys.executable, "-m", "edgenas", "demo", "--quick", "--data", data, "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 4), done.stderr  # of so few steps a gate may be undecided
    result = json.loads(done.stdout)["result"]
    assert [net["kind"] for net in result["comparison"]["nets"]] == ["searched", "hand", "timm", "timm"]
    assert len(result["words"]) == 3 + (not result["is_ahead"])
    ours, hand = result["comparison"]["nets"][:2]
    assert result["is_ahead"] == (ours["fits"] and hand["better"] == "searched")
    assert all(Path(tmp_path, path).is_file() for path in result["missed"])


def test_every_artefact_of_the_demo_is_verified(reference: Reference) -> None:
    run = reference.after("export") / RUN
    (folder,) = (path.parent for path in (run / "export").glob("*/manifest.json"))
    verifying = demo._verify_all(run, [folder])
    while True:
        try:
            next(verifying)
        except StopIteration as end:
            found = end.value
            break
    assert found.failures == ()
    assert [row.verdict for row in found.verdicts] == ["passed"]
