"""`edgenas train` and `edgenas retrain` in several processes, as `torchrun` starts them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgenas.training.checkpoints import load_weights
from tests.recipes.killing import Reference
from tests.recipes.test_end_to_end import edgenas_in

pytestmark = pytest.mark.timeout(3600)
LIMIT_S = 1500  # for processes that start, train and end on a machine that is busy; a rank waits half an hour for another
ROOT = Path(__file__).parents[2]
RESULT = "edgenas-run/retrain/result.json"
SETS = (
    *("teacher.epochs=2", "teacher.probe_steps=4", "teacher.name=self", "train.epochs=4", "train.threads=1"),
    *("train.kd_weight=0.9", "train.flip=false", "train.checkpoint_every=0.01"),
)


def launched(
    folder: Path, size: int, *more: str, command: Sequence[str] = ("train",), sets: Sequence[str] = SETS
) -> subprocess.Popen[str]:
    """`torchrun` with a free port."""
    arguments = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(size), "--rdzv-backend", "c10d"]
    arguments += ["--rdzv-endpoint", "localhost:0", "-m", "--", "edgenas", *command, "--json", "--device", "cpu"]
    arguments += [part for each in (*sets, *more) for part in ("--set", each)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        arguments, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    _launched.append(process)
    return process


_launched: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """`torchrun` is ended after a test that failed, and ends what it started."""
    yield
    while _launched:
        process = _launched.pop()
        if process.poll() is None:
            process.terminate()
            process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=LIMIT_S)
    return process.returncode, out, err


def weights(folder: Path, net: str) -> dict[str, Any]:
    return load_weights(folder / "edgenas-run" / net / "weights.safetensors")[0]


def apart(first: dict[str, Any], second: dict[str, Any]) -> float:
    return max((value - second[name]).abs().max().item() for name, value in first.items())


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that one process trained, and the same before it was trained."""
    folder = tmp_path_factory.mktemp("together")
    assert edgenas_in(folder, "init", "--data", "digits", "--max-per-class", "40", "--image-px", "16")[0] == 0
    shutil.copytree(folder / "edgenas-run", folder / "before")
    code, value, err = edgenas_in(folder, "train", *(part for each in SETS for part in ("--set", each)))
    assert code == 0, (value["error"], err)
    return folder


def copied(alone: Path, folder: Path) -> Path:
    shutil.copytree(alone / "before", folder / "edgenas-run")
    return folder


@pytest.mark.slow
def test_two_processes_train_what_one_does_and_leave_nothing_else(alone: Path, tmp_path: Path) -> None:
    folder = copied(alone, tmp_path)
    code, out, err = ended(launched(folder, 2))
    assert code == 0, err
    result = json.loads(out)  # one object: the others are silent
    assert result["exit_code"] == 0
    for net in ("teacher", "supernet"):
        assert apart(weights(folder, net), weights(alone, net)) < 1e-3
    names = sorted(path.name for path in (folder / "edgenas-run" / "supernet").iterdir())
    assert names == sorted(path.name for path in (alone / "edgenas-run" / "supernet").iterdir())
    assert len((folder / "edgenas-run" / "supernet" / "log.jsonl").read_text().splitlines()) == 4
    assert not list(Path(tempfile.gettempdir()).glob("edgenas-rank-*"))


@pytest.mark.slow
def test_a_killed_rank_ends_all_with_one_line_and_the_same_command_goes_on(alone: Path, tmp_path: Path) -> None:
    folder = copied(alone, tmp_path)
    process = started(folder, 2)
    victim = rank_of(process, 1)
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    code, out, _ = ended(process)
    assert code != 0
    assert time.monotonic() - began < LIMIT_S
    require_gone(json.loads(out)["error"])
    goes_on(folder, 3)


@pytest.mark.slow
def test_what_cannot_be_is_one_line(alone: Path, tmp_path: Path) -> None:
    folder = copied(alone, tmp_path)
    code, out, _ = ended(launched(folder, 2, "teacher.batch_size=2", "train.batch_size=3"))
    assert code != 0
    error = json.loads(out)["error"]
    assert error["message"].startswith("these batches cannot be divided among 2 processes")
    assert error["problems"] == [
        f"{name} has fewer than two images for each" for name in ("teacher.batch_size = 2", "train.batch_size = 3")
    ]
    assert not (folder / "edgenas-run" / "teacher").exists()  # nothing was trained before
    code, value, _ = _with_environment(folder, {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"})
    assert code == 2
    assert "MASTER_ADDR is not set" in value["error"]["problems"]


def _with_environment(folder: Path, environment: dict[str, str]) -> tuple[int, dict[str, Any], str]:
    code, out, err = _plain(folder, environment, "train")
    return code, json.loads(out), err


def _plain(folder: Path, environment: dict[str, str], *command: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "edgenas", *command, "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    return done.returncode, done.stdout, done.stderr


def started(folder: Path, size: int) -> subprocess.Popen[str]:
    """A training that has saved a state."""
    process = launched(folder, size, "train.epochs=40")
    require_state(process, folder, "supernet/state.safetensors")
    return process


def require_state(process: subprocess.Popen[str], folder: Path, pattern: str) -> None:
    """Wait until a training has saved a state."""
    until = time.monotonic() + LIMIT_S
    while not list((folder / "edgenas-run").glob(pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


def goes_on(folder: Path, size: int) -> None:
    """The same command with so many processes."""
    code, out, err = ended(launched(folder, size, "train.epochs=40"))
    assert code == 0, err
    assert "goes on after step" in err
    assert json.loads(out)["exit_code"] == 0
    assert not list(Path(tempfile.gettempdir()).glob("edgenas-rank-*"))


def require_gone(error: dict[str, Any]) -> None:
    """One line says that another process is gone, or that `torchrun`, which saw it first, has stopped this one."""
    assert "another process of this training is gone" in error["message"] or error["message"] == "interrupted, state saved"
    assert "goes on" in error["hint"]


def rank_of(process: subprocess.Popen[str], rank: int) -> int:
    """The process of a rank."""
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout.split()
    return next(int(pid) for pid in children if f"RANK={rank}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_all_are_asked_to_stop_and_the_state_is_saved(alone: Path, tmp_path: Path, number: signal.Signals) -> None:
    folder = copied(alone, tmp_path)
    process = started(folder, 2)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        os.kill(process.pid, number)  # to torchrun, which tells its processes
    _, out, _ = ended(process)
    answer = json.loads(out)
    assert (answer["exit_code"], answer["status"]) == (130, "interrupted")
    assert not list(Path(tempfile.gettempdir()).glob("edgenas-rank-*"))
    goes_on(folder, 2)


@pytest.mark.slow
def test_where_the_first_rank_is_killed_another_says_so(alone: Path, tmp_path: Path) -> None:
    folder = copied(alone, tmp_path)
    process = started(folder, 2)
    os.kill(rank_of(process, 0), signal.SIGKILL)
    code, _, err = ended(process)
    assert code != 0
    assert err.count("edgenas: rank 1: another process of this training is gone") == 1
    assert not list(Path(tempfile.gettempdir()).glob("edgenas-rank-*"))
    goes_on(folder, 1)


FIRST = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


@pytest.mark.parametrize("command", ["run", "demo"])
def test_what_begins_with_a_training_is_refused_in_several_processes(command: str, tmp_path: Path) -> None:
    code, out, _ = _plain(tmp_path, FIRST, command)
    assert (code, json.loads(out)["error"]["message"]) == (2, f"`edgenas {command}` is for one process")
    assert not list(tmp_path.iterdir())


def test_other_commands_are_of_the_first_process_alone(tmp_path: Path) -> None:
    code, out, err = _plain(tmp_path, FIRST, "recipes", "quick")
    assert (code, json.loads(out)["exit_code"]) == (0, 0)
    assert err == "edgenas recipes does its work in one process: the first one goes on, the others have ended\n"
    assert _plain(tmp_path, {**FIRST, "RANK": "1", "LOCAL_RANK": "1"}, "recipes", "quick") == (0, "", "")


@pytest.mark.slow
def test_two_processes_retrain_what_one_does(reference: Reference, tmp_path: Path) -> None:
    """The nets that are deployed, and a report by the first process alone."""
    shutil.copytree(reference.before("retrain"), tmp_path, dirs_exist_ok=True)
    code, out, err = ended(launched(tmp_path, 2, command=("retrain", "--baseline"), sets=("train.threads=1",)))
    assert code == 0, err
    result, wanted = json.loads(out)["result"], json.loads((reference.after("retrain") / RESULT).read_text())
    assert result["arch"] == wanted["arch"]
    assert result["baseline"]["arch"] == wanted["baseline"]["arch"]
    for net in ("retrain", "retrain/baseline"):
        assert apart(weights(tmp_path, net), weights(reference.after("retrain"), net)) < 1e-3
    assert not list(Path(tempfile.gettempdir()).glob("edgenas-rank-*"))


@pytest.mark.slow
def test_a_rank_killed_in_retrain_ends_all_with_one_line_and_the_same_command_goes_on(reference: Reference, tmp_path: Path) -> None:
    folder, sets, out = killed_in_retrain(reference, tmp_path)
    require_gone(json.loads(out)["error"])
    code, out, err = ended(launched(folder, 3, command=("retrain",), sets=sets))
    assert code == 0, err
    assert "goes on after step" in err


def killed_in_retrain(reference: Reference, folder: Path) -> tuple[Path, tuple[str, ...], str]:
    """A project whose second rank was killed after a state was saved, its settings, and what the first rank printed.

    Where the training had ended before (this process got no turn for so long), a longer one is begun.
    """
    for epochs in (40, 160, 640):
        project = Path(shutil.copytree(reference.before("retrain"), folder / str(epochs)))
        sets = (f"retrain.epochs={epochs}", "train.checkpoint_every=0.01")
        process = launched(project, 2, command=("retrain",), sets=sets)
        while process.poll() is None and not list(project.glob("edgenas-run/retrain/tries/*/*/state.safetensors")):
            time.sleep(0.05)
        with contextlib.suppress(subprocess.CalledProcessError, StopIteration, OSError):
            os.kill(rank_of(process, 1), signal.SIGKILL)
        code, out, _ = ended(process)
        if code != 0:
            return project, sets, out
    raise AssertionError("no training was long enough to be killed")


@pytest.mark.slow
def test_several_nets_that_two_processes_train_answer_together(reference: Reference, tmp_path: Path) -> None:
    """Every process puts them together from its own files."""
    folder = Path(shutil.copytree(reference.before("retrain"), tmp_path / "work"))
    arch = json.loads((folder / "edgenas-run/search/result.json").read_text())["winner"]["arch"]
    (folder / "arch.json").write_text(json.dumps(arch))  # without the limits of a search
    sets = ("train.threads=1", "retrain.ensemble=2", "retrain.epochs=1", "retrain.start=inherited")
    code, out, err = ended(launched(folder, 2, command=("retrain", "--arch", "arch.json"), sets=sets))
    assert code == 0, err
    assert any("the mean of 2 nets of this architecture" in text for text in json.loads(out)["result"]["remarks"])
    (path,) = folder.glob("edgenas-run/retrain/tries/*/*-ensemble-2/weights.safetensors")
    together = load_weights(path)[0]
    for number, pattern in enumerate(("*/finetuned-*", "*/member-2/finetuned-*")):
        (own,) = (
            each for each in folder.glob(f"edgenas-run/retrain/tries/{pattern}/weights.safetensors") if each.parent != path.parent
        )
        assert apart(load_weights(own)[0], {name: together[f"members.{number}.{name}"] for name in load_weights(own)[0]}) == 0
