"""Teachers and lessons that a short probe chooses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.project.opening import open_images, open_project
from edgenas.project.retraining.verdict import costs
from edgenas.project.retraining.ways import Bench, Net, Try
from edgenas.stats import wilson
from edgenas.training import probing
from edgenas.training.checkpoints import load_weights
from edgenas.training.lessons import Arm, Lesson, at_the_ceiling, choose, guesses_no_better, largest_behind
from edgenas.training.ways import Way
from tests.recipes.killing import zygote
from tests.recipes.test_end_to_end import edgenas_in

LABELS, TAUGHT = Lesson(0.0, 2.0), Lesson(0.9, 2.0)
QUICK = (
    "data.max_per_class=80",
    *("teacher.epochs=4", "teacher.probe_steps=6", "train.epochs=1", "train.threads=1"),
    'teacher.candidates=["cnn", "timm:test_resnet"]',
)
SETS = [part for setting in QUICK for part in ("--set", setting)]


def right(share: float, num: int = 1000) -> NDArray[np.bool_]:
    return np.arange(num) < round(share * num)


@pytest.mark.parametrize(
    ("taught", "labels", "teacher", "weight"),
    [
        (0.80, 0.78, 0.90, 0.9),  # better
        (0.78, 0.785, 0.90, 0.9),  # a good teacher is trusted where little is to be told
        (0.70, 0.80, 0.90, 0.0),  # labels win clearly
        (0.79, 0.785, 0.75, 0.0),  # a poor teacher has to win clearly
        (0.85, 0.78, 0.75, 0.9),
    ],
)
def test_labels_and_teacher_are_weighed(taught: float, labels: float, teacher: float, weight: float) -> None:
    rng = np.random.default_rng(0)
    arms = [Arm(LABELS, rng.permutation(right(labels))), Arm(TAUGHT, rng.permutation(right(taught)))]
    lesson, words = choose(arms, right(teacher))
    assert lesson.kd_weight == weight
    assert ("labels alone beat the teacher" in words) == (weight == 0)


def test_a_teacher_that_only_guesses_is_told_from_one_that_is_poor() -> None:
    labels_N = np.array([0] * 60 + [1] * 40)
    words = guesses_no_better(wilson(62, 100), labels_N, ("healthy", "ill"))
    assert words == "the teacher is right on 62.0 % of select; always saying healthy is right on 60.0 %"
    assert guesses_no_better(wilson(80, 100), labels_N, ("healthy", "ill")) is None


def test_a_student_that_is_as_good_as_its_teacher_is_told() -> None:
    assert at_the_ceiling(wilson(80, 100), wilson(79, 100)) is None
    words = at_the_ceiling(wilson(80, 100), wilson(80, 100))
    assert words is not None
    assert words.startswith("the largest subnet (80.0 % of select) has reached its teacher (80.0 %)")


def test_a_largest_subnet_that_is_behind_a_smaller_one_is_told_where_it_is_not_by_chance() -> None:
    def right(num: int) -> NDArray[np.bool_]:
        return np.arange(100) < num

    assert largest_behind({"smallest": right(80), "random": right(85), "largest": right(90)}) is None
    assert largest_behind({"smallest": right(80), "random": right(84), "largest": right(80)}) is None  # 4 images of 100
    words = largest_behind({"smallest": right(70), "random": right(90), "largest": right(80)})
    assert words is not None
    assert words.startswith("the largest subnet (80.0 % of select) is behind the random one (90.0 %)")


@pytest.fixture(scope="module", autouse=True)
def few_timed_steps() -> Iterator[None]:
    """What trials will take is told by one step of each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probing, "TIMED", 1)
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose teacher, lesson and mirroring were chosen by probes."""
    folder = tmp_path_factory.mktemp("taught")
    for command in (("init", "--data", "digits", "--image-px", "16"), ("train",)):
        code, value, err = edgenas_in(folder, *command, *SETS)
        assert code == 0, (value["error"], err)
        (folder / f"{command[0]}.txt").write_text(err)
    return folder


def test_the_best_candidate_on_select_becomes_the_teacher(project: Path) -> None:
    found = json.loads((project / "edgenas-run" / "teacher" / "probe.json").read_text())
    assert [row["name"] for row in found["rows"]] == ["cnn", "timm:test_resnet"]
    best = max(found["rows"], key=lambda row: row["select_top1"]["value"])
    _, facts = load_weights(project / "edgenas-run" / "teacher" / "weights.safetensors")
    assert facts["teacher"] == best["name"] == found["chosen"]["name"]
    assert not (project / "edgenas-run" / "teacher" / "probe").exists()
    said = " ".join((project / "train.txt").read_text().split())
    assert "trying 2 teachers, 1 epoch each, about" in said
    assert f"teacher: {best['name']} is the best on select" in said


def test_the_lesson_that_was_found_is_the_supernets(project: Path) -> None:
    found = json.loads((project / "edgenas-run" / "teacher" / "teaching.json").read_text())
    assert [row["kd_weight"] for row in found["rows"]] == [0.0, 0.5, 0.9, 0.9, found["kd_weight"]]
    assert [row["flip"] for row in found["rows"]] == [False] * 4 + [True]
    _, facts = load_weights(project / "edgenas-run" / "supernet" / "weights.safetensors")
    assert facts["settings"]["kd_weight"] == found["kd_weight"]
    assert facts["settings"]["flip"] == found["flip"]
    assert facts["settings"]["taught"] == (found["kd_weight"] > 0)
    assert facts["sampling"] == "even"
    assert facts["even_over"] == {"cost": "macs"}


def test_training_again_probes_nothing(project: Path) -> None:
    code, value, err = edgenas_in(project, "train", *SETS)
    assert code == 0, value["error"]
    assert "trying" not in err
    assert value["warnings"] == [text for text in value["warnings"] if "trained with other settings" not in text]


def test_a_weight_that_was_set_is_no_answer_of_a_probe(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    (tmp_path / "edgenas-run" / "teacher" / "teaching.json").unlink()
    code, value, err = edgenas_in(tmp_path, "train", *SETS, "--set", "train.kd_weight=0.3")
    assert code == 0, value["error"]
    assert "teaching: weight 0.3 as asked" in err
    code, value, err = edgenas_in(tmp_path, "train", *SETS)
    assert code == 0, value["error"]
    assert "trying labels alone" in err
    code, value, err = edgenas_in(tmp_path, "train", *SETS, "--set", "train.kd_weight=0.3")
    assert "teaching: weight 0.3 as asked; flip" in err
    assert "trying" not in err


def test_a_probe_of_other_settings_is_made_again_unless_its_supernet_stays(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "edgenas-run" / "teacher" / "teaching.json"
    before = path.read_bytes()
    other = (*SETS, "--set", "train.batch_size=128", "--set", "teacher.probe_steps=3")
    code, value, err = edgenas_in(tmp_path, "train", *other)
    assert code == 0, value["error"]
    (warning,) = [text for text in value["warnings"] if text.startswith("teaching: ")]
    assert "found with other settings: batch_size is 64 there, 128 here; probe_steps is 6 there, 3 here" in warning
    assert "trying" not in err
    assert path.read_bytes() == before

    shutil.rmtree(tmp_path / "edgenas-run" / "supernet")
    code, value, err = edgenas_in(tmp_path, "train", *SETS)
    assert code == 0, value["error"]
    assert "trying" not in err  # the same settings
    code, value, err = edgenas_in(tmp_path, "train", "--only", "supernet", "--force", *other)
    assert code == 0, value["error"]
    said = " ".join(err.split())
    assert "it was found with other settings, and is looked for again: batch_size is 64 there, 128 here" in said
    assert "trying labels alone" in said
    assert json.loads(path.read_text())["identity"]["probe_steps"] == 3


@pytest.mark.slow
def test_a_training_killed_in_its_probes_ends_as_one_that_was_not(project: Path, tmp_path: Path) -> None:
    code, value, _ = edgenas_in(tmp_path, "init", "--data", "digits", "--image-px", "16", *SETS)
    assert code == 0, value["error"]
    teacher = tmp_path / "edgenas-run" / "teacher"
    with zygote(tmp_path) as run:
        for mark in ("probe", "probe.json", "teaching", "teaching.json"):  # each is there for a moment or more
            run(tmp_path, "train", *SETS, kill_when=(teacher / mark).exists)
    code, value, err = edgenas_in(tmp_path, "train", *SETS)
    assert code == 0, (value["error"], err)
    for name in ("teacher/weights.safetensors", "supernet/weights.safetensors"):
        assert (tmp_path / "edgenas-run" / name).read_bytes() == (project / "edgenas-run" / name).read_bytes()
    for name in ("probe.json", "teaching.json"):
        assert untimed(teacher / name) == untimed(project / "edgenas-run" / "teacher" / name)


def untimed(path: Path) -> dict[str, Any]:
    """A probe's answer without what a clock says."""
    found: dict[str, Any] = json.loads(path.read_text())
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in found["rows"]]
    return {name: value for name, value in found.items() if name != "sha256"} | {"rows": rows}


def test_the_probes_are_counted_among_what_a_net_has_cost(project: Path) -> None:
    opened = open_project(project / "edgenas-run", {}, QUICK)
    bench = Bench(opened, open_images(opened), "cpu", None, ("labels",), False)
    net = Net("hand-designed", opened.run.retrain, {}, bench.images)
    hand = Try(net, Way("scratch", "labels", 3, 1e-3), opened.run.retrain, 1.0, wilson(1, 2), -0.7)
    found = costs(bench, [], [], [hand], hand, from_search=True)
    files = [json.loads((opened.run.teacher / name).read_text())["rows"] for name in ("probe.json", "teaching.json")]
    teacher_s, teaching_s = (sum(row["seconds"] for row in rows) for rows in files)
    assert min(teacher_s, teaching_s) > 0
    assert found["searched"]["probes_s"] == pytest.approx(teacher_s + teaching_s)
    assert found["searched"]["probes_epochs"] == 2 + 5
    assert found["searched"]["total_s"] >= found["searched"]["probes_s"] + found["searched"]["teacher_s"]
    assert found["baseline"]["probes_s"] == pytest.approx(teaching_s)  # it has no teacher; mirroring was found for it, too
    asked = replace(bench, project=open_project(project / "edgenas-run", {"train": {"kd_weight": 0.0, "flip": False}}, QUICK))
    assert costs(asked, [], [], [hand], hand, from_search=True)["baseline"]["probes_s"] == 0


def test_a_checkpoint_takes_part_in_the_choice(project: Path, tmp_path: Path) -> None:
    weights = project / "edgenas-run" / "teacher" / "weights.safetensors"
    name = json.loads((project / "edgenas-run" / "teacher" / "probe.json").read_text())["chosen"]["name"]
    code, value, err = edgenas_in(tmp_path, "init", "--data", "digits", "--image-px", "16", *SETS)
    assert code == 0, value["error"]
    asked = ("train", "--only", "teacher", *SETS, "--set", 'teacher.candidates=["self"]')
    for _ in ("takes part", "took part"):
        code, value, err = edgenas_in(tmp_path, *asked, "--teacher-checkpoint", f"{name}={weights}")
        assert code == 0, (value["error"], err)
        assert value["warnings"] == []
    rows = json.loads((tmp_path / "edgenas-run" / "teacher" / "probe.json").read_text())["rows"]
    assert [(row["name"], row["epochs"]) for row in rows] == [("self", 1), (name, 0)]
    code, value, _ = edgenas_in(tmp_path, *asked, "--force", "--teacher-checkpoint", str(weights))
    assert code == 1
    assert "does not say whose weights it holds" in value["error"]["message"]
    assert "NAME=FILE" in value["error"]["hint"]


def test_a_checkpoint_that_comes_after_the_choice_is_not_ignored_silently(project: Path) -> None:
    teacher = project / "edgenas-run" / "teacher"
    before = (teacher / "weights.safetensors").read_bytes()
    given = f"cnn={teacher / 'weights.safetensors'}"
    code, value, _ = edgenas_in(project, "train", "--only", "teacher", *SETS, "--teacher-checkpoint", given)
    assert code == 0, value["error"]
    (warning,) = value["warnings"]
    assert warning.startswith("teacher: is there already, trained with other settings: ")
    assert warning.endswith(f"checkpoint {given} took no part in its choice (--force trains it again)")
    assert (teacher / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--teacher-checkpoint", "cnn=nowhere.pth"), "nowhere.pth does not exist"),
        (("--latency-ms", "5"), "holds no latency table"),
    ],
)
def test_what_is_missing_is_told_before_anything_is_tried(tmp_path: Path, flags: tuple[str, str], words: str) -> None:
    code, value, err = edgenas_in(tmp_path, "init", "--data", "digits", "--image-px", "16", *SETS)
    assert code == 0, value["error"]
    code, value, err = edgenas_in(tmp_path, "train", *SETS, *flags)
    assert code == 1
    assert words in value["error"]["message"]
    assert "trying" not in err


@pytest.mark.usefixtures("short_pace")
def test_where_labels_alone_teach_there_is_no_teacher(tmp_path: Path) -> None:
    labels = (
        "data.max_per_class=80",
        "train.kd_weight=0",
        "train.epochs=1",
        "train.threads=1",
        "teacher.probe_steps=2",
        "retrain.epochs=1",
        "retrain.start=inherited",
        "train.batch_size=256",
    )
    short = ("retrain.scratch_epochs=1", "search.num_generations=0", "search.population=4", "search.proof_epochs=1")
    few = ("search.proof_nets=1", "search.proof_hand=1", "search.max_params=130000", "teacher.epochs=1", "teacher.name=cnn")
    sets = [part for setting in (*labels, *short, *few) for part in ("--set", setting)]
    teacher = tmp_path / "edgenas-run" / "teacher"
    assert edgenas_in(tmp_path, "init", "--data", "digits", "--image-px", "16", *sets)[0] == 0
    for command, *flags in (("train",), ("plan",), ("search",), ("retrain",), ("evaluate",), ("info", "--no-loader")):
        code, value, err = edgenas_in(tmp_path, command, *flags, *sets)
        assert code == 0, (command, value["error"], err)
        if command == "train":
            assert "no teacher is trained: labels alone teach" in err
            assert "trying labels alone, mirrored" in err  # that needs no teacher
            assert value["result"]["teacher"] is None
            assert "teacher" not in value["outputs"]
        elif command == "plan":
            assert list(value["result"]["training"]) == ["supernet"]
        elif command == "retrain":
            assert (value["result"]["teaching"], value["result"]["cost"]["searched"]["teacher_s"]) == ("labels", 0.0)
        elif command == "info":
            assert {stage["name"]: stage["state"] for stage in value["result"]["stages"]}["teacher"] == "not needed"
        assert not (teacher / "weights.safetensors").exists(), command
    code, value, err = edgenas_in(tmp_path, "train", *sets, "--only", "teacher")
    assert (code, value["result"]["teacher"]["name"]) == (0, "cnn")
    code, value, err = edgenas_in(tmp_path, "train", *sets, "--teacher", "cnn")
    told = [warning for warning in value["warnings"] if not warning.startswith("the largest subnet")]
    assert (code, len(told)) == (0, 1)  # the teacher that is not used, not the supernet
    assert told[0].startswith("no teacher is trained")
    assert "trying" not in err


def test_training_near_a_limit_needs_a_table(project: Path) -> None:
    code, value, _ = edgenas_in(project, "train", "--force", "--only", "supernet", *SETS, "--latency-ms", "5")
    assert code == 1
    assert "holds no latency table" in value["error"]["message"]
    assert value["error"]["hint"] == "run `edgenas profile` first"
