"""What a device over the network must have, and how files are timed on it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import RunnerInfo
from edgenas.errors import LatencyTableError, MissingBackendError
from edgenas.latency.kit import TurnFile, bench_kit, read_turns
from edgenas.latency.timing import TimingSettings, Turns
from edgenas.remote import PYTHON, Address, Device, DeviceFacts, Job, clear, run_job
from edgenas.runs import Note, Record

MODULES = ("numpy", "onnxruntime")
RESULTS, PROGRESS = "results.json", "results.progress.jsonl"
EVERY_S = "5"  # between lines of progress there


@dataclass(frozen=True, slots=True)
class There:
    """A device over the network that is to be measured.

    Attributes:
        address: where it is.
        keep: leave its folder there, with engines that took long to build.
    """

    address: Address
    keep: bool = False

    @property
    def name(self) -> str:
        """Its host's name, as a part of a file's name."""
        return re.sub(r"[^A-Za-z0-9._-]", "-", self.address.host)


@dataclass(frozen=True, slots=True)
class FilesThere:
    """Files that a device has timed.

    Attributes:
        infos: of the reference and every file, in order; the reason for one that does not work there.
        answers: of each, logits of its golden images (N, K); None of one without any, or that does not work there.
        turns: of those that work, in order.
    """

    infos: tuple[RunnerInfo | str, ...]
    answers: tuple[NDArray[np.float32] | None, ...]
    turns: Turns


def require_onnxruntime(address: Address, facts: DeviceFacts) -> None:
    """Refuse a device that cannot run ONNX files.

    Raises:
        MissingBackendError: with the line that brings what it lacks.
    """
    missing = [name for name in MODULES if facts.modules[name] is None]
    if missing:
        hint = f"there: {facts.executable} -m pip install {' '.join(missing)}; or name a Python that has them: ?python=PATH"
        raise MissingBackendError(f"{address} has no {' and no '.join(missing)} for Python {facts.python}", hint=hint)


def time_files_there(
    there: There, reference: TurnFile, others: Sequence[TurnFile], settings: TimingSettings, *, seed: int
) -> Generator[Record, None, FilesThere]:
    """Send files to a device, time them there in turn, and bring the times back.

    Args:
        there: which device.
        reference: what the others are compared with, in ONNX Runtime.
        others: in any order.
        settings: visits and runs.
        seed: draws the order of every round.

    Raises:
        UnreachableError: if the device cannot be reached.
        MissingBackendError: if it has no ONNX Runtime.
        RemoteError: if it cannot do the work.
        LatencyTableError: if its results cannot be used; the next call measures anew.
    """
    address = there.address
    with Device(address) as device, tempfile.TemporaryDirectory(prefix="edgenas-") as name:
        scratch = Path(name)
        facts = yield from device.facts(MODULES, {})
        require_onnxruntime(address, facts)
        yield Note(f"{address}: {facts.system} on {facts.machine}, Python {facts.python}")
        kit = bench_kit(scratch, reference, others, settings, seed=seed)
        job = Job(kit.files, (PYTHON, "bench.py", "--output", RESULTS, "--every", EVERY_S), (RESULTS,), (PROGRESS,))
        answer = yield from run_job(device, job, scratch)
        try:
            timed = read_turns(answer[RESULTS], kit)
        except LatencyTableError as error:
            yield from clear(device, job, keep=True)
            raise unusable(address, answer[RESULTS], error) from error
        yield from clear(device, job, keep=there.keep)
    return FilesThere(timed.infos, timed.answers, timed.turns)


def unusable(address: Address, path: Path, error: LatencyTableError) -> LatencyTableError:
    """What a device brought back, as an error that names the device instead of a file that is gone."""
    message = f"what {address} brought back cannot be used: {error.message.replace(str(path), path.name)}"
    return LatencyTableError(message, problems=error.problems, hint="the same command measures anew")
