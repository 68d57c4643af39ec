from __future__ import annotations

import shutil
import signal
from pathlib import Path

from edgenas.training.checkpoints import load_weights
from tests.recipes.killing import Zygote


def has_epochs(path: Path, num: int) -> bool:
    """Whether so many epochs are in a log."""
    return path.exists() and len(path.read_text().splitlines()) >= num


def test_a_signal_that_is_sent_at_once_is_not_lost(tmp_path: Path, zygote_edgenas: Zygote) -> None:
    codes = {zygote_edgenas(tmp_path, "info", kill_when=lambda: True).code for _ in range(10)}
    assert codes <= {-signal.SIGKILL, 1}  # it may end by itself before this process has its turn


def test_an_interrupted_training_saves_its_state_and_goes_on_to_the_same_weights(tmp_path: Path, zygote_edgenas: Zygote) -> None:
    train = ("train", "--only", "teacher", "--set", "teacher.epochs=4", "--set", "train.threads=1", "--teacher", "self")
    (tmp_path / "whole").mkdir()
    assert (
        zygote_edgenas(tmp_path / "whole", "init", "--data", "digits", "--image-px", "16", "--set", "data.max_per_class=80").code
        == 0
    )
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    assert zygote_edgenas(tmp_path / "whole", *train).code == 0

    folder = tmp_path / "cut" / "edgenas-run" / "teacher"
    for num, number in ((1, signal.SIGINT), (2, signal.SIGTERM)):
        ended = zygote_edgenas(
            tmp_path / "cut", *train, kill_when=lambda num=num: has_epochs(folder / "log.part.jsonl", num), number=number
        )
        assert ended.code == 130, ended.err
        assert (ended.value["status"], ended.value["error"]["message"][:24]) == ("interrupted", "interrupted, state saved")
        assert (folder / "state.safetensors").is_file()
        assert not (folder / "weights.safetensors").exists()
        assert not list(folder.parent.rglob("*.edgenas.tmp"))

    ended = zygote_edgenas(tmp_path / "cut", *train)
    assert ended.code == 0, ended.err
    assert "teacher goes on after step" in ended.err
    assert not (folder / "state.safetensors").exists()
    whole, _ = load_weights(tmp_path / "whole" / "edgenas-run" / "teacher" / "weights.safetensors")
    cut, _ = load_weights(folder / "weights.safetensors")
    assert all(bool((whole[name] == cut[name]).all()) for name in whole)
