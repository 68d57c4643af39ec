"""Recipes by name: what the built optimiser, schedule, batches and objective are, against the published numbers."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shutil
import tomllib
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch

from edgenas.cli import main
from edgenas.costs import cost_models
from edgenas.errors import InfeasibleError, MissingBackendError, UsageError
from edgenas.project.named_recipes import ORDER, RECIPES, beneath, words_on
from edgenas.project.opening import Project, images_of, load_settings, open_project
from edgenas.project.setting_help import meaning, tables
from edgenas.project.settings import ProjectSettings
from edgenas.project.training_settings import TrainSettings
from edgenas.project.trainings.plain_nets import PlainNet, plain_job
from edgenas.project.trainings.supernet import supernet_job
from edgenas.project.trainings.teacher import TeacherNet, teacher_job
from edgenas.runs import Note, RunFolder
from edgenas.spaces import get_space
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.training.checkpoints import differences
from edgenas.training.fitting import TrainingJob, fit
from edgenas.training.loop import LoopSettings, start
from edgenas.training.sampling import share_of_identities
from edgenas.training.teacher import build_teacher
from tests.settings_file import add_settings

SPACES = {"covitpp": "pvt-nano", "covit-teacher": "pvt-nano", "autoformer": "autoformer-nano", "tftas-retrain": "autoformer-nano"}
COMMON = {"betas": (0.9, 0.999), "eps": 1e-8}


def command(*arguments: str) -> tuple[int, dict[str, Any]]:
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()), pytest.raises(SystemExit) as ended:
        main([*arguments, "--json"])
    return int(ended.value.code or 0), json.loads(out.getvalue())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A divided project whose file says nothing of training."""
    path = tmp_path_factory.mktemp("named") / "run"
    code, value = command("init", "--data", "digits", "--run", str(path), "--max-per-class", "8")
    assert code == 0, value["error"]
    return path


def opened(folder: Path, name: str) -> Project:
    space = SPACES.get(name, "vitas-nano" if name.startswith("vitas") else "pvt-nano")
    return open_project(folder, {"train": {"recipe": name}, "space": {"name": space}}, ())


def job_of(folder: Path, name: str) -> TrainingJob:
    """The training that a recipe is about, as the commands would run it."""
    project = opened(folder, name)
    images = images_of(project)
    if name == "covit-teacher":
        net = TeacherNet(project.settings.teacher.name)
        return teacher_job(project, images, "cpu", net, anew=True)
    if name.endswith("retrain"):
        arch = project.space.to_json(project.space.extreme(largest=True)[0])
        epochs = project.settings.retrain.scratch_epochs
        assert epochs is not None
        rate = project.settings.train.learning_rate
        return plain_job(
            project,
            images,
            PlainNet(arch),
            label="net",
            folder=folder / "x",
            epochs=epochs,
            learning_rate=rate,
            teacher=None,
            device="cpu",
            split=None,
        )
    images.arrays("select")
    return supernet_job(project, images, None, "cpu", anew=True)


def rates(job: TrainingJob, steps_per_epoch: int = 10, history: tuple[float, ...] = ()) -> list[float]:
    """Learning rate at the first step of every epoch and at the last step."""
    plan, epochs = job.loop.plan, job.loop.epochs
    steps = [epoch * steps_per_epoch for epoch in range(epochs)] + [epochs * steps_per_epoch - 1]
    return [plan(step, epochs=epochs, steps_per_epoch=steps_per_epoch, history=history) for step in steps]


@pytest.mark.parametrize(
    ("name", "published"),
    [
        # epochs, batch, learning rate, weight decay, smoothing, share of distillation and its loss, balance
        ("covit-teacher", (24, 12, 3e-4, 0.05, 0.0, 0.0, "soft", "downsample")),
        ("covitpp", (30, 16, 3e-4, 1e-6, 0.05, 0.5, "hard-smoothed", "downsample")),
        ("autoformer", (500, 1024, 5e-4 * 1024 / 512, 0.05, 0.1, 0.0, "soft", "none")),
        ("tftas-retrain", (300, 2048, 5e-4 * 2048 / 512, 0.05, 0.1, 0.0, "soft", "none")),
        ("vitas-bcnet", (300, 1024, 1e-3, 0.05, 0.1, 0.0, "soft", "none")),
        ("vitas-autoslim", (300, 1024, 1e-3, 0.05, 0.1, 0.0, "soft", "none")),
        ("vitas-retrain", (300, 1024, 1e-3, 0.05, 0.1, 0.0, "soft", "none")),
    ],
)
def test_optimiser_and_objective_are_the_published_ones(folder: Path, name: str, published: tuple[Any, ...]) -> None:
    job = job_of(folder, name)
    epochs, batch, rate, decay, smoothing, kd_weight, kd, balance = published
    state = start(job.build(), job.loop, torch.device("cpu"))
    assert type(state.optimizer) is torch.optim.AdamW
    for group in state.optimizer.param_groups:
        assert {key: group[key] for key in COMMON} == COMMON
        assert group["lr_scale"] == 1.0
    assert (job.loop.epochs, job.batches.batch_size, job.loop.learning_rate) == (epochs, batch, pytest.approx(rate))
    assert {group["weight_decay"] for group in state.optimizer.param_groups if group["params"]} - {0.0} == {decay}
    assert (job.objective.smoothing, job.objective.kd_weight, job.objective.kd) == (smoothing, kd_weight, kd)
    assert job.objective.class_weights_C is None
    assert job.batches.balance == balance
    assert state.average is None
    assert job.loop.clip_norm is None


@pytest.mark.parametrize("name", ["autoformer", "tftas-retrain", "vitas-bcnet", "vitas-autoslim", "vitas-retrain", "covitpp"])
def test_what_decays_is_what_the_source_lets_decay(folder: Path, name: str) -> None:
    job = job_of(folder, name)
    model = job.build()
    state = start(model, job.loop, torch.device("cpu"))
    free = {id(each) for group in state.optimizer.param_groups if group["weight_decay"] == 0 for each in group["params"]}
    for parameter, value in model.named_parameters():
        is_table = any(part in parameter for part in ("pos_embed", "cls_token", "rel_pos"))
        expected = {
            "autoformer": value.ndim < 2 or is_table,
            "tftas-retrain": value.ndim < 2 or is_table,
            "covitpp": False,  # one group of all parameters
        }.get(name, value.ndim < 2)  # of ViTAS: class token and positions do decay
        assert (id(value) in free) == expected, parameter


def test_cosines_warm_up_and_end_as_published(folder: Path) -> None:
    ends = {"autoformer": (20, 1e-5), "tftas-retrain": (5, 1e-5), "vitas-bcnet": (5, 0.0), "vitas-retrain": (5, 0.0)}
    for name, (warmup, last) in ends.items():
        job = job_of(folder, name)
        found = rates(job)
        assert max(found) == pytest.approx(job.loop.learning_rate)
        assert found.index(max(found)) == warmup
        assert found[-1] == pytest.approx(last, abs=1e-12)
        assert found[warmup:] == sorted(found[warmup:], reverse=True)


def test_plateaus_are_those_of_the_publications(folder: Path) -> None:
    covitpp, teacher = job_of(folder, "covitpp"), job_of(folder, "covit-teacher")
    flat = (0.5,) * 4  # the first is the best, three more are above a patience of 2
    assert (rates(covitpp)[0], rates(covitpp, history=flat)[-1]) == (3e-4, 1.5e-4)
    assert rates(covitpp, history=(0.5,) * 40)[-1] == 5e-6
    assert rates(teacher, history=(0.5, 0.5))[-1] == pytest.approx(1.8e-4)
    assert (covitpp.loop.stop_patience, teacher.loop.stop_patience) == (None, 5)


def test_augmentation_and_sampling_are_the_published_ones(folder: Path) -> None:
    found = {name: job_of(folder, name) for name in ORDER if name not in ("default", "quick", "covit-teacher")}
    deit = {"mixup": 0.8, "cutmix": 1.0, "switch_prob": 0.5, "erasing": 0.25}
    assert {name: dataclasses.asdict(job.mixing) for name, job in found.items()} == {
        "covitpp": {"mixup": 0.0, "cutmix": 0.0, "switch_prob": 0.5, "erasing": 0.0},
        "autoformer": deit,
        "tftas-retrain": deit,
        "vitas-bcnet": {**deit, "mixup": 0.0},
        "vitas-autoslim": {**deit, "mixup": 0.0},
        "vitas-retrain": {**deit, "mixup": 0.0, "cutmix": 0.0},
    }
    assert {name: job.batches.augmentation for name, job in found.items()} == {
        "covitpp": "base",
        "autoformer": "deit",
        "tftas-retrain": "deit",
        "vitas-bcnet": "crop",
        "vitas-autoslim": "crop",
        "vitas-retrain": "deit",
    }
    repeats = {name: job.batches.repeats for name, job in found.items()}
    assert repeats == {name: 3 if name in ("autoformer", "tftas-retrain") else 1 for name in found}
    rules = {name: job.facts.get("sampling") for name, job in found.items() if not name.endswith("retrain")}
    assert rules == {
        "covitpp": "uniform",
        "autoformer": "uniform-genes",
        "vitas-bcnet": "bilateral",
        "vitas-autoslim": "left-only",
    }
    assert all(job.facts["num_random"] == 1 for name, job in found.items() if name in rules)


def test_drop_path_is_linear_over_the_deepest_supernet(folder: Path) -> None:
    supernet = job_of(folder, "autoformer").build()
    assert isinstance(supernet, SlicedSupernet)
    assert list(supernet._drops()) == pytest.approx([0.0, 0.05, 0.1])
    assert job_of(folder, "autoformer").facts["drop_path_rate"] == 0.1
    assert job_of(folder, "vitas-retrain").facts["drop_path_rate"] == 0.1
    plain = job_of(folder, "vitas-bcnet").build()
    assert isinstance(plain, SlicedSupernet)
    assert plain.drop_path_rate == 0.0


def test_the_teacher_of_covit_has_its_size_and_frozen_stages(folder: Path) -> None:
    from edgenas.project.trainings.teacher import teacher_net
    from edgenas.spaces import Task
    from edgenas.spaces.pvt import PVT_NANO

    net = teacher_net(PVT_NANO, Task(3, 3, 256), str(RECIPES["covit-teacher"].settings["teacher"]["name"]))
    assert sum(each.numel() for each in net.parameters()) == 22_074_595
    built = job_of(folder, "covit-teacher").build()
    frozen = {name.split(".blocks")[0] for name, each in built.named_parameters() if not each.requires_grad}
    assert frozen == {"stages.0", "stages.1", "stages.2"}


def test_a_recipe_stands_beneath_the_file_and_the_file_beneath_flags(folder: Path, tmp_path: Path) -> None:
    file = {"data": {"source": "digits"}, "train": {"recipe": "covitpp", "epochs": 7}}
    assert beneath(file)["train"] == {**RECIPES["covitpp"].settings["train"], "recipe": "covitpp", "epochs": 7}
    assert beneath(file, {"train": {"recipe": "autoformer"}})["train"]["epochs"] == 7
    assert beneath(file, {"train": {"recipe": "autoformer"}})["train"]["batch_size"] == 1024
    assert beneath({"data": {}, "train": "odd"})["train"] == "odd"  # refused where settings are read
    run = RunFolder(tmp_path)
    shutil.copy(folder / "edgenas.toml", tmp_path)
    add_settings(tmp_path / "edgenas.toml", {"train.recipe": "covitpp", "train.learning_rate": 0.5})
    settings = load_settings(run, {"train": {"epochs": 3}}, ("train.batch_size=9",)).train
    assert (settings.learning_rate, settings.epochs, settings.batch_size, settings.kd) == (0.5, 3, 9, "hard-smoothed")


def settings_of(name: str) -> Mapping[str, Mapping[str, Any]]:
    return RECIPES[name].settings


@pytest.mark.parametrize("name", ORDER)
def test_every_recipe_can_be_read_and_every_word_is_about_a_key_of_it(name: str) -> None:
    from edgenas.config import build

    settings = settings_of(name)
    build(ProjectSettings, {"data": {"source": "digits"}, **settings}, source=name)
    assert {(table, key) for table, words in RECIPES[name].why.items() for key in words} <= {
        (table, key) for table, values in settings.items() for key in values
    }
    assert all(sentence[0].islower() and not sentence.endswith(".") for sentence in RECIPES[name].departures)


def test_every_setting_of_training_has_a_meaning() -> None:
    for table in ("teacher", "train", "retrain", "search", "profile"):
        keys = [each.name for each in dataclasses.fields(tables()[table])]
        without = [key for key in keys if not meaning(table, key) and table in ("teacher", "train", "retrain")]
        assert without == []
    assert meaning("train", "clip_norm") == "largest norm of the gradient; 0 does not clip."
    assert meaning("search", "no_such") == ""


def test_the_command_lists_and_explains() -> None:
    code, value = command("recipes")
    assert code == 0
    assert [row["name"] for row in value["result"]["rows"]] == list(ORDER)
    assert all({"name", "source", "settings"} <= set(row) for row in value["result"]["rows"])
    code, value = command("recipes", "covitpp")
    (row,) = value["result"]["rows"]
    assert {each["key"]: each["value"] for each in row["explained"]} == {
        f"{table}.{key}": setting for table, values in row["settings"].items() for key, setting in values.items()
    }
    assert all(each["why"] or each["meaning"] for each in row["explained"])
    code, value = command("recipes", "covitp")
    assert (code, value["status"]) == (2, "usage")
    assert "did you mean 'covitpp'" in value["error"]["hint"]


def test_an_unknown_recipe_is_refused_before_anything_is_read(folder: Path) -> None:
    for name in ("train", "retrain"):
        code, value = command(name, "--run", str(folder), "--recipe", "autoforme")
        assert code == 2
        assert "did you mean 'autoformer'?" in value["error"]["hint"]
    code, value = command("init", "--data", "digits", "--run", str(folder / "other"), "--recipe", "autoforme")
    assert (code, (folder / "other").exists()) == (2, False)
    code, value = command("train", "--run", str(folder), "--set", "train.recipe=autoforme")
    assert code == 1
    assert "did you mean 'autoformer'?" in " ".join(value["error"]["problems"])


def test_what_a_recipe_was_not_made_for_is_said() -> None:
    words = list(words_on(RECIPES["autoformer"], "pvt-nano", by_flag=True))
    assert words[0] == "the recipe autoformer was made for the spaces autoformer-*, not for pvt-nano"
    assert "edgenas.toml" in words[1]
    assert not list(words_on(RECIPES["autoformer"], "autoformer-tiny", by_flag=False))
    assert not list(words_on(RECIPES["quick"], "pvt-nano", by_flag=False))


def test_the_template_of_a_project_with_a_recipe_can_be_uncommented(tmp_path: Path) -> None:
    code, value = command("init", "--data", "digits", "--run", str(tmp_path / "run"), "--recipe", "covitpp", "--max-per-class", "8")
    assert code == 0, value["error"]
    text = (tmp_path / "run" / "edgenas.toml").read_text()
    lines = [line.removeprefix("# ") if re.match(r"# \w+ = \S", line) else line for line in text.splitlines()]
    taken = tomllib.loads("\n".join(lines))
    assert (taken["train"]["recipe"], taken["train"]["epochs"], taken["data"]["max_per_class"]) == ("covitpp", 40, 8)


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"min_macs": 5, "max_macs": 6}, "min_macs and max_macs go with sampling left-only or bilateral, not with even"),
        ({"in_place": True, "sampling": "uniform"}, "in_place and project need several subnets a step"),
        ({"project": True, "sampling": "bilateral"}, "in_place and project need several subnets a step"),
        ({"sampling": "adjacent", "num_random": 0}, "num_random is at least 1 with sampling adjacent"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(train: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TrainSettings(**train)


def test_what_an_older_checkpoint_leaves_out_is_no_difference() -> None:
    older = LoopSettings(epochs=3, learning_rate=1e-3)
    kept = {"net": "supernet", "settings": older.identity}
    wanted = {"net": "supernet", "settings": dataclasses.replace(older, undecayed="none", plateau_patience=0).identity}
    found = differences(LoopSettings.completed(kept), LoopSettings.completed(wanted))
    assert found == ["undecayed is 'vectors' there, 'none' here", "plateau_patience is 2 there, 0 here"]
    assert differences(LoopSettings.completed({"net": "x"}), LoopSettings.completed({"net": "x"})) == []


def test_a_teacher_that_images_are_too_small_for_is_one_line() -> None:
    with pytest.raises(UsageError, match="pvt_v2_b0 cannot be built for 16 px") as caught:
        build_teacher("timm:pvt_v2_b0", num_classes=3, image_px=16)
    assert "teacher.image_px" in caught.value.hint


def test_half_precision_of_sixteen_bits_needs_a_gpu() -> None:
    with pytest.raises(MissingBackendError, match="fp16 needs a GPU"):
        start(torch.nn.Linear(2, 2), LoopSettings(epochs=1, learning_rate=1e-3, amp_dtype="fp16"), torch.device("cpu"))


def test_a_space_without_identities_has_no_share_of_them() -> None:
    space = get_space("pvt-nano")
    macs = cost_models(space, space.default_task)["macs"]
    with pytest.raises(InfeasibleError, match="no block of pvt-nano can be left out"):
        share_of_identities(space, macs, 1, 2, seed=0)


def test_early_stopping_says_so(folder: Path, tmp_path: Path) -> None:
    project = opened(folder, "default")
    images = images_of(project)
    arch = project.space.to_json(project.space.extreme(largest=False)[0])
    job = plain_job(
        project, images, PlainNet(arch), label="net", folder=tmp_path, epochs=6, learning_rate=1e-8, teacher=None, device="cpu"
    )
    job = dataclasses.replace(job, loop=dataclasses.replace(job.loop, stop_patience=1))
    notes = [record.text for record in fit(job) if isinstance(record, Note)]
    assert notes == ["net: ended after epoch 2 of 6: 1 evaluations on select brought nothing better (stop_patience)"]
