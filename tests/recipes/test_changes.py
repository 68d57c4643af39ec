"""Settings, teachers and supernets that change under what was made with them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recipes.killing import RUN, STAGES, Ended, Reference, Zygote, hashes


@pytest.fixture
def command(zygote_edgenas: Zygote, tmp_path: Path) -> Command:
    return Command(zygote_edgenas, tmp_path / "work")


class Command:
    """Commands in a copy of the reference project."""

    def __init__(self, zygote_edgenas: Zygote, work: Path) -> None:
        self.zygote = zygote_edgenas
        self.work = work
        self.run = work / RUN

    def begin(self, folder: Path) -> None:
        shutil.copytree(folder, self.work)

    def __call__(self, *arguments: str) -> Ended:
        return self.zygote(self.work, *arguments)

    def kill_when(self, path: Path, *arguments: str) -> None:
        """Kill a command as soon as it has written a file; where it was done before that was seen, once more."""
        before = Path(shutil.copytree(self.work, self.work.with_name("before")))
        for _ in range(20):
            self.zygote(self.work, *arguments, kill_when=path.exists)
            if path.exists():
                return
            shutil.rmtree(self.work)
            shutil.copytree(before, self.work)
        pytest.fail(f"{path} was never seen")


def test_an_unfinished_training_is_not_given_up_for_other_settings(command: Command, reference: Reference) -> None:
    command.begin(reference.before("train"))
    state = command.run / "teacher" / "state.safetensors"
    command.kill_when(state, "train")
    before = hashes(command.run)
    ended = command("train", "--set", "teacher.epochs=3", "--set", "teacher.batch_size=32")
    assert (ended.code, ended.value["error"]["type"]) == (1, "CheckpointError")
    assert ended.value["error"]["problems"] == ["epochs is 2 there, 3 here", "batch_size is 256 there, 32 here"]
    assert "set them back" in ended.value["error"]["hint"]
    assert hashes(command.run) == before
    assert command("train", "--only", "teacher", "--force", "--set", "teacher.epochs=1").code == 0


def test_settings_that_changed_after_the_training_are_named_in_a_warning(command: Command, reference: Reference) -> None:
    command.begin(reference.after("train"))
    before = hashes(command.run / "supernet", leave_out="result.json")
    ended = command("train", "--set", "train.epochs=9", "--set", "train.sampling=uniform")
    assert ended.code == 0
    (warning,) = [text for text in ended.value["warnings"] if text.startswith("supernet: is there")]
    assert warning.startswith("supernet: is there already, trained with other settings: ")
    assert "epochs is 2 there, 9 here" in warning
    assert "sampling is 'even' there, 'uniform' here" in warning
    assert hashes(command.run / "supernet", leave_out="result.json") == before


def test_a_supernet_of_another_teacher_is_named_in_a_warning(command: Command, reference: Reference) -> None:
    command.begin(reference.after("train"))
    assert command("train", "--only", "teacher", "--force", "--set", "teacher.epochs=1").code == 0
    ended = command("train", "--set", "teacher.epochs=1")
    assert any("teacher_sha256 is" in warning for warning in ended.value["warnings"])


def test_results_of_an_earlier_supernet_are_refused(command: Command, reference: Reference) -> None:
    command.begin(reference.after("retrain"))
    assert command("train", "--only", "supernet", "--force", "--set", "train.epochs=1").code == 0
    for arguments in (("retrain",), ("evaluate",), STAGES["export"]):
        ended = command(*arguments)
        assert ended.code == 1
        assert ended.value["error"]["message"].endswith("result.json was chosen with an earlier supernet")
        assert ended.value["error"]["hint"] == "run `edgenas search` again"
    assert command(*STAGES["search"], "--set", "search.proof_epochs=0").code == 0
    ended = command("evaluate")
    assert ended.code == 0
    assert any("earlier" in warning and "inherited weights" in warning for warning in ended.value["warnings"])
    ended = command("retrain", "--set", "train.epochs=1")
    assert "epoch 1/" in ended.err  # of a winner that was not trained before, or with another supernet
    assert command("evaluate").value["warnings"] == []


def test_an_interrupted_force_does_not_train_its_teacher_twice(command: Command, reference: Reference) -> None:
    command.begin(reference.after("train"))
    expected = hashes(command.run)
    command.kill_when(command.run / "supernet" / "state.safetensors", "train", "--force")
    ended = command("train", "--force")
    assert ended.code == 0
    assert "teacher: this --force has trained it already" in ended.err
    assert "supernet goes on after step" in ended.err
    assert not (command.run / "supernet" / "forced").exists()
    for name in ("teacher/weights.safetensors", "supernet/weights.safetensors"):
        assert hashes(command.run)[name] == expected[name]
    ended = command("train", "--force", "--only", "teacher")
    assert "has trained it already" not in ended.err  # a new --force trains it


def test_a_folder_in_the_place_of_retrained_weights_is_an_error(command: Command, reference: Reference) -> None:
    command.begin(reference.after("search"))
    (command.run / "retrain" / "weights.safetensors").mkdir(parents=True)
    ended = command("evaluate")
    assert (ended.code, ended.value["error"]["type"]) == (1, "CheckpointError")
    assert "is no file" in ended.value["error"]["message"]


def test_weights_say_how_they_were_trained(reference: Reference) -> None:
    for name, epochs in (("teacher", 2), ("supernet", 2), ("retrain", 1)):
        file = (reference.after("retrain") / RUN / name / "weights.safetensors").read_bytes()
        size = int.from_bytes(file[:8], "little")
        facts = json.loads(json.loads(file[8 : 8 + size])["__metadata__"]["edgenas"])["facts"]
        assert facts["settings"]["epochs"] == epochs


def test_a_search_that_finds_nothing_does_not_leave_an_earlier_winner(command: Command, reference: Reference) -> None:
    command.begin(reference.after("search"))
    ended = command("search", "--latency-ms", "50", "--min-sensitivity", "8=1.0", "--strict-sensitivity")
    assert ended.code == 3
    ended = command("retrain")
    assert (ended.code, ended.value["error"]["type"]) == (1, "MissingInputError")
    assert "names no winner" in ended.value["error"]["message"]


def test_info_says_what_is_outdated_and_unfinished(command: Command, reference: Reference) -> None:
    command.begin(reference.after("retrain"))
    assert command("train", "--only", "supernet", "--force", "--set", "train.epochs=1").code == 0
    command.kill_when(command.run / "teacher" / "state.safetensors", "train", "--force")
    ended = command("info")
    states = {stage["name"]: stage["state"] for stage in ended.value["result"]["stages"]}
    assert (states["search"], states["retrain"], states["supernet"]) == ("outdated", "outdated", "there")
    assert any(warning.startswith("teacher: a training is unfinished") for warning in ended.value["warnings"])


def test_info_says_when_the_last_retrain_cannot_be_read(command: Command, reference: Reference) -> None:
    command.begin(reference.after("retrain"))
    (command.run / "retrain" / "result.json").write_text('{"cut')
    ended = command("info")
    states = {stage["name"]: stage["state"] for stage in ended.value["result"]["stages"]}
    assert (ended.code, states["search"], states["retrain"]) == (0, "there", "outdated")
    assert any("result.json is not JSON" in warning for warning in ended.value["warnings"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_result_that_cannot_be_printed_is_one_line(command: Command, reference: Reference) -> None:
    command.begin(reference.after("train"))
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edgenas", "train", "--json"],
            cwd=command.work,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "edgenas: the result cannot be printed: No space left on device"
