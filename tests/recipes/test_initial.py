"""`edgenas train --init`: the supernet starts from existing weights, and two starts are never mixed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from edgenas.errors import CheckpointError
from edgenas.recipes.train import TrainConfig, run
from edgenas.runs import Note, Outcome, Progress
from edgenas.spaces import Task, get_space
from edgenas.testing.supernets import awakened_supernet
from edgenas.training.checkpoints import load_weights
from tests.recipes.test_end_to_end import edgenas_in

SETTINGS = (
    "teacher.name=self",
    "train.kd_weight=0.5",
    "train.flip=false",
    "teacher.epochs=1",
    "train.epochs=1",
    "train.ema_decay=0",
    "train.threads=1",
    "data.max_per_class=80",
)
PVT = get_space("pvt-nano")


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a teacher and two files of weights for its supernet."""
    folder = tmp_path_factory.mktemp("taught")
    sets = [part for setting in SETTINGS for part in ("--set", setting)]
    for command in (("init", "--data", "digits", "--image-px", "16"), ("train", "--only", "teacher")):
        code, value, _ = edgenas_in(folder, *command, *sets)
        assert code == 0, value
    for number, classes in ((1, 10), (2, 1000)):
        state = {name: value * number for name, value in awakened_supernet(PVT, Task(classes)).state_dict().items()}
        save_file(state, folder / f"w{number}.safetensors")
    return folder


@pytest.fixture
def project(taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(taught, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def steps_of(project: Path, source: str | None, *, stop_after: int | None = None, **more: Any) -> list[Any]:
    """The records of training the supernet, to the end or interrupted after so many steps."""
    flags = {"train": {} if source is None else {"init": source}}
    records = run(TrainConfig(project / "edgenas-run", flags, SETTINGS, only="supernet", **more))
    seen = []
    for record in records:
        seen.append(record)
        if isinstance(record, Progress) and record.label == "supernet" and record.done == stop_after:
            records.close()  # type: ignore[attr-defined]  # a generator
            break
    return seen


def notes_of(records: list[Any]) -> list[str]:
    return [record.text for record in records if isinstance(record, Note)]


def weights(project: Path) -> dict[str, Tensor]:
    return load_weights(project / "edgenas-run" / "supernet" / "weights.safetensors")[0]


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_it_starts_there_and_says_what_was_adapted(project: Path) -> None:
    code, value, _ = edgenas_in(
        project,
        "train",
        "--only",
        "supernet",
        "--init",
        "w2.safetensors",
        *(part for setting in SETTINGS for part in ("--set", setting)),
    )
    assert code == 0, value
    note = "the head starts fresh: it had 1000 classes, 10 are wanted"
    assert f"supernet: {note}" in value["warnings"]
    init = value["result"]["supernet"]["init"]
    assert init["source"] == "w2.safetensors"
    assert init["notes"] == [note]
    assert len(init["sha256"]) == 64
    _, facts = load_weights(project / "edgenas-run" / "supernet" / "weights.safetensors")
    assert facts["init"] == init


def test_the_first_step_is_one_from_these_weights(project: Path) -> None:
    steps_of(project, "w1.safetensors", stop_after=1)
    with safe_open(project / "edgenas-run" / "supernet" / "state.safetensors", framework="pt") as file:
        moved = file.get_tensor("model.net.stages.2.blocks.0.mlp.fc1.weight")
    source = awakened_supernet(PVT, Task(10)).state_dict()["net.stages.2.blocks.0.mlp.fc1.weight"]
    assert 0 < float((moved - source).abs().max()) < 0.01


def test_an_interrupted_training_goes_on_without_the_file(project: Path) -> None:
    steps_of(project, "w1.safetensors")
    whole = weights(project)
    shutil.rmtree(project / "edgenas-run" / "supernet")
    steps_of(project, "w1.safetensors", stop_after=4)
    (project / "w1.safetensors").rename(project / "gone")
    records = steps_of(project, "w1.safetensors")
    assert any("is not read again" in note for note in notes_of(records))
    assert any("goes on after step 4" in note for note in notes_of(records))
    assert isinstance(records[-1], Outcome)
    assert same(weights(project), whole)
    assert records[-1].result.supernet.init.source == "w1.safetensors"


def test_a_training_begun_with_one_start_is_not_continued_with_another(project: Path) -> None:
    steps_of(project, "w2.safetensors")
    whole = weights(project)
    shutil.rmtree(project / "edgenas-run" / "supernet")
    (project / "w.safetensors").write_bytes((project / "w1.safetensors").read_bytes())
    for other in ("w1.safetensors", None, "w.safetensors"):  # another name, none, and the same name with other weights
        steps_of(project, other, stop_after=2, force=True)
    (project / "w.safetensors").write_bytes((project / "w2.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"is of a training with other settings.*init\.sha256 is"):
        steps_of(project, "w.safetensors")
    records = steps_of(project, "w.safetensors", force=True)
    assert any("supernet starts again" in note for note in notes_of(records))
    assert same(weights(project), whole)


def test_weights_that_are_needed_after_all_must_be_there(project: Path) -> None:
    """Other settings make the saved state useless, and then the file is read, or asked for."""
    steps_of(project, "w1.safetensors", stop_after=2)
    (project / "w1.safetensors").rename(project / "gone")
    changed = ("train", "--only", "supernet", "--init", "w1.safetensors", "--set", "train.learning_rate=1e-4", "--force")
    code, value, _ = edgenas_in(project, *changed)
    assert (code, value["error"]["message"]) == (1, "w1.safetensors does not exist")
    (project / "w1.safetensors").write_bytes((project / "w2.safetensors").read_bytes())
    assert edgenas_in(project, *changed)[0] == 0


def test_a_trained_supernet_is_kept_unless_forced(project: Path) -> None:
    steps_of(project, None)
    drawn = weights(project)
    with pytest.raises(CheckpointError, match=r"started from drawn weights, not from w1\.safetensors"):
        steps_of(project, "w1.safetensors")
    steps_of(project, "w1.safetensors", force=True)
    begun = weights(project)
    assert not same(begun, drawn)
    assert any("is there already" in note for note in notes_of(steps_of(project, "w1.safetensors")))
    assert any("is there already" in note for note in notes_of(steps_of(project, None)))
    shutil.copyfile(project / "w2.safetensors", project / "w1.safetensors")
    with pytest.raises(CheckpointError, match=r"other weights than w1\.safetensors holds now"):
        steps_of(project, "w1.safetensors")
    assert same(weights(project), begun)


def test_weights_of_timm_are_fetched_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def create(name: str, **options: Any) -> nn.Module:
        fetched.append(name)
        return awakened_supernet(PVT, Task(10))

    monkeypatch.setattr(timm, "create_model", create)
    steps_of(project, "timm:resnet10t", stop_after=3)
    steps_of(project, "timm:resnet10t")
    assert fetched == ["resnet10t"]


def test_weights_of_another_space_are_one_error(project: Path) -> None:
    save_file(awakened_supernet(get_space("autoformer-nano"), Task(10)).state_dict(), project / "other.safetensors")
    code, value, err = edgenas_in(project, "train", "--only", "supernet", "--init", "other.safetensors")
    assert (code, value["error"]["type"]) == (1, "CheckpointError")
    assert value["error"]["message"] == "other.safetensors holds no weights that pvt-nano can start from"
    assert any(problem.endswith("more missing") for problem in value["error"]["problems"])
    assert "Traceback" not in err
    assert not (project / "edgenas-run" / "supernet" / "weights.safetensors").exists()


class TestLargerNets:
    """Weights of nets that are wider than the space's largest are selected, and what was taken is said."""

    @pytest.fixture
    def larger(self, project: Path) -> Path:
        torch.manual_seed(0)
        save_file(timm.create_model("pvt_v2_b0", pretrained=False).state_dict(), project / "b0.safetensors")
        return project

    def test_the_selection_of_the_lowest_loss_on_select_is_taken_and_said(self, larger: Path) -> None:
        records = steps_of(larger, "b0.safetensors")
        selection = records[-1].result.supernet.init.selection
        losses = selection.select_loss
        assert (selection.asked, set(losses)) == ("auto", {"drawn", "leading", "even", "importance"})
        assert losses[selection.method] == min(losses[name] for name in ("leading", "even", "importance"))
        shown = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
        note = next(text for text in notes_of(records) if "are selected" in text)
        assert note.endswith(f"loss on select of the best linear head on the largest net: {shown}")
        assert any("heads were taken to be 1, 2, 5 and 8" in text for text in notes_of(records))
        _, facts = load_weights(larger / "edgenas-run" / "supernet" / "weights.safetensors")
        assert facts["init"]["selection"]["select_loss"] == losses

    @pytest.mark.slow
    def test_what_an_interrupted_training_chose_is_not_chosen_again(self, larger: Path) -> None:
        steps_of(larger, "b0.safetensors")
        whole, init = weights(larger), load_weights(larger / "edgenas-run" / "supernet" / "weights.safetensors")[1]["init"]
        shutil.rmtree(larger / "edgenas-run" / "supernet")
        steps_of(larger, "b0.safetensors", stop_after=2)
        assert isinstance(steps_of(larger, "b0.safetensors")[-1], Outcome)
        assert same(weights(larger), whole)
        assert load_weights(larger / "edgenas-run" / "supernet" / "weights.safetensors")[1]["init"] == init

    @pytest.mark.slow
    def test_another_run_lends_the_largest_net_of_its_supernet(self, project: Path) -> None:
        steps_of(project, "w1.safetensors")
        shutil.copytree(project / "edgenas-run", project / "other")
        shutil.rmtree(project / "edgenas-run" / "supernet")
        records = steps_of(project, "other")
        assert records[-1].result.supernet.init.source == "other"
        assert records[-1].result.supernet.init.selection is None
        config = project / "edgenas-run" / "edgenas.toml"
        config.write_text(config.read_text().replace('"pvt-nano"', '"pvt-elastic-nano"'))
        shutil.rmtree(project / "edgenas-run" / "supernet")
        shutil.rmtree(project / "edgenas-run" / "teacher")
        code, value, err = edgenas_in(
            project,
            "train",
            "--init",
            "other",
            "--set",
            "train.kd_weight=0",
            "--set",
            "train.epochs=1",
            "--set",
            "train.flip=false",
        )
        assert code == 0, err
        assert any("% of the net's weights come from the source" in text for text in value["warnings"])

    def test_a_run_without_weights_is_one_error(self, project: Path) -> None:
        shutil.copytree(project / "edgenas-run", project / "empty")
        code, value, err = edgenas_in(project, "train", "--only", "supernet", "--init", "empty")
        assert (code, value["error"]["message"]) == (1, "empty holds neither a supernet nor a retrained net")
        assert "Traceback" not in err
