"""Starting commands, killing them at chosen moments, and comparing what is left."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPACE = "pvt-nano[depths[2]=1,depths[3]=1,mlp_ratios[3]=2,pool_size=2]"  # fewer components are traced
SMALL = (
    f'space.name="{SPACE}"',
    "teacher.epochs=2",
    "teacher.batch_size=256",
    "train.batch_size=256",
    "teacher.name=self",
    "train.kd_weight=0.9",
    "train.flip=false",
    "train.epochs=2",
    "train.checkpoint_every=0.1",
    "train.threads=1",
    "retrain.epochs=1",
    "retrain.start=inherited",
    "retrain.teaching=labels",
    "retrain.race_epochs=1",
    "search.max_params=130000",  # few hand-made nets meet it
    "profile.visits=2",
    "profile.calibration_nets=6",
    "profile.bound_nets=2",
    "profile.validation_nets=4",
    "search.num_generations=2",
    "search.population=8",
    "search.num_mutations=4",
    "search.num_crossovers=4",
    "search.num_finalists=2",
    "search.proof_epochs=2",
    "search.proof_nets=2",
    "search.proof_hand=1",
)
SELDOM = ("--set", "train.checkpoint_every=2")  # writing a state after every step takes as long as the step
STAGES: dict[str, tuple[str, ...]] = {
    "train": ("train",),
    "profile": ("profile", "--device", "cpu"),
    "search": ("search", "--latency-ms", "5", *SELDOM),
    "retrain": ("retrain", "--baseline", *SELDOM),
    "export": ("export", "--format", "onnx"),
}


RUN = "edgenas-run"
OWN = {
    "train": ("teacher", "supernet"),
    "profile": ("latency",),
    "search": ("search", "report"),
    "retrain": ("retrain", "answers", "report"),
    "export": ("export", "answers", "report"),
}


@dataclass(frozen=True)
class Reference:
    """A project that nobody interrupted: the folder as it was before and after every stage, and how long it took."""

    folder: Path
    seconds: dict[str, float]

    def before(self, stage: str) -> Path:
        """A folder with the run folder as it was."""
        return self.folder / f"before-{stage}"

    def after(self, stage: str) -> Path:
        """A folder with the run folder as the stage left it."""
        return self.folder / f"after-{stage}"


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus the signal that killed it."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def value(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.out)
        return result


class Zygote:
    """Commands in forked processes; see `zygote.py`."""

    def __init__(self, folder: Path) -> None:
        self.out, self.err = folder / "stdout", folder / "stderr"
        self.server = subprocess.Popen(
            [sys.executable, "-m", "tests.recipes.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        if self._answer() != "ready":
            self.close()
            raise RuntimeError("the server of commands did not start")

    def _answer(self) -> str:
        assert self.server.stdout is not None
        return self.server.stdout.readline().strip()

    def __call__(
        self,
        cwd: Path,
        *arguments: str,
        kill_after_s: float | None = None,
        kill_when: Callable[[], bool] | None = None,
        number: signal.Signals = signal.SIGKILL,
    ) -> Ended:
        """Run a command to its end, or send it a signal if it still runs after some seconds, or when something is so."""
        order = {"cwd": str(cwd), "arguments": list(arguments), "out": str(self.out), "err": str(self.err)}
        assert self.server.stdin is not None
        began = time.monotonic()
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        pid = int(self._answer())
        kills_at = None if kill_after_s is None else time.monotonic() + kill_after_s
        while kills_at is not None and time.monotonic() < kills_at and Path(f"/proc/{pid}").exists():
            time.sleep(min(0.02, max(0.0, kills_at - time.monotonic())))
        while kill_when is not None and not kill_when() and Path(f"/proc/{pid}").exists():
            time.sleep(0.02)
        if kill_after_s is not None or kill_when is not None:
            try:
                os.killpg(pid, number)
            except ProcessLookupError:
                assert not Path(f"/proc/{pid}").exists(), "the signal is lost: the command runs and leads no group"
        status = int(self._answer())
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        return Ended(code, self.out.read_text(), self.err.read_text(), time.monotonic() - began)

    def close(self) -> None:
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait(timeout=120)
        assert self.server.stdout is not None
        self.server.stdout.close()


def hashes(folder: Path, *, leave_out: str = "") -> dict[str, str]:
    """SHA-256 of every file below a folder that is no lock, temporary file or journal."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and not (leave_out and path.is_relative_to(folder / leave_out))
    }


def untimed_log(path: Path) -> list[dict[str, Any]]:
    """A training log without what a clock says."""
    clock = ("seconds", "images_per_second", "elapsed_s", "waiting_s", "evaluation_s")
    return [{k: v for k, v in json.loads(line).items() if k not in clock} for line in path.read_text().splitlines()]


def assert_equal(stage: str, found: Path, expected: Path) -> None:
    """What a stage wrote is what it writes when it is not interrupted, but for what a clock says."""
    if stage == "train":
        for net in ("teacher", "supernet"):
            assert (found / net / "weights.safetensors").read_bytes() == (expected / net / "weights.safetensors").read_bytes()
            assert untimed_log(found / net / "log.jsonl") == untimed_log(expected / net / "log.jsonl")
    elif stage == "profile":
        (table,), (other,) = ([json.loads(p.read_text()) for p in (f / "latency").glob("*.json")] for f in (found, expected))
        assert [row["arch"] for row in table["validation"]["rows"]] == [row["arch"] for row in other["validation"]["rows"]]
        assert len(table["entries"]) == len(other["entries"])
        assert not (found / "latency" / "journal.jsonl").exists()
    elif stage == "search":
        assert (found / "search" / "search.jsonl").read_bytes() == (expected / "search" / "search.jsonl").read_bytes()
        assert not (found / "search" / "journal.jsonl").exists()
    elif stage == "retrain":
        for net in ("retrain", "retrain/baseline"):
            assert (found / net / "weights.safetensors").read_bytes() == (expected / net / "weights.safetensors").read_bytes()
            assert untimed_log(found / net / "log.jsonl") == untimed_log(expected / net / "log.jsonl")
    else:
        new, old = hashes(found / "export"), hashes(expected / "export")
        assert new.keys() == old.keys()
        assert {name: new[name] for name in new if name.endswith(".onnx")} == {
            name: old[name] for name in old if name.endswith(".onnx")
        }
    left = [path.relative_to(found) for path in found.rglob(".*") if path.name != ".lock"]
    assert not left, f"temporary files stay behind: {left}"


@contextlib.contextmanager
def zygote(folder: Path) -> Iterator[Zygote]:
    """A `Zygote` for a block."""
    server = Zygote(folder)
    try:
        yield server
    finally:
        server.close()
