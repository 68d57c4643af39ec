from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from edgenas.training.checkpoints import load_weights


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-m", "edgenas", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and stderr."""
    _, err = process.communicate(timeout=180)
    return process.returncode, err


def wait_for_epochs(path: Path, num: int, process: subprocess.Popen[str]) -> None:
    """Until so many epochs are in the log; fails when the process ends first."""
    while not path.exists() or len(path.read_text().splitlines()) < num:
        assert process.poll() is None, finish(process)
        time.sleep(0.05)


def test_an_interrupted_training_saves_its_state_and_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    train = ("train", "--only", "teacher", "--set", "teacher.epochs=4", "--teacher", "self")
    (tmp_path / "whole").mkdir()
    assert finish(start(tmp_path / "whole", "init", "--data", "digits"))[0] == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    assert finish(start(tmp_path / "whole", *train))[0] == 0

    folder = tmp_path / "cut" / "edgenas-run" / "teacher"
    for num, number in ((1, signal.SIGINT), (2, signal.SIGTERM)):
        process = start(tmp_path / "cut", *train)
        wait_for_epochs(folder / "log.part.jsonl", num, process)
        process.send_signal(number)
        code, err = finish(process)
        assert code == 130, err
        assert "interrupted, state saved" in err
        assert (folder / "state.safetensors").is_file()
        assert not (folder / "weights.safetensors").exists()
        assert not list(folder.parent.rglob("*.edgenas.tmp"))

    code, err = finish(start(tmp_path / "cut", *train))
    assert code == 0, err
    assert "teacher goes on after step" in err
    assert not (folder / "state.safetensors").exists()
    whole, _ = load_weights(tmp_path / "whole" / "edgenas-run" / "teacher" / "weights.safetensors")
    cut, _ = load_weights(folder / "weights.safetensors")
    assert all(bool((whole[name] == cut[name]).all()) for name in whole)
