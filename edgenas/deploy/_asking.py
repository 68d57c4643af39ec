"""Asks a stranger's model about images in a process of its own, under the limits of `edgenas.deploy._apart`.

The process reads an object of JSON and the numbers of a batch on its standard input, and writes an object and, where the model
answered, its numbers. Both objects are one line. Every batch has its own time, for images may be many.

Shapes: N images, C channels, H and W rows and columns.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy._apart import CPU_S, GPU_S, MAX_BYTES, START_S, died_of, end_group, over_memory, start_child
from edgenas.deploy._verify import run_in_batches
from edgenas.deploy.contracts import ImageRows, Precision, RunnerInfo
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import ArtefactError, MissingBackendError, RunFolderError, StoppedError
from edgenas.records import ModelAnswer, ModelQuestion
from edgenas.runs.outside import parse_json

NO_ANSWER = "the model does not run: its process gave no answer"
MAX_LINE = 4096
MAX_SIDES = 8  # of an array
MAX_NUMBERS = 1 << 26  # of an answer, 256 MB
_TICK_S = 0.05
_PART = 1 << 16


def answers_apart(
    path: Path, runtime: str, precision: Precision, batch_size: int | None, images_NCHW: ImageRows
) -> NDArray[np.float32]:
    """Logits (N, classes) of a file on a runtime, computed by another process.

    Raises:
        MissingBackendError: if the runtime or its device is missing here.
        ArtefactError: if the file cannot be loaded or run, does not answer a batch in time, or takes too much memory.
    """
    on_gpu = get_runtime(runtime).device_kind == "cuda"
    asked = _Asked([str(path.resolve()), runtime, precision], on_gpu=on_gpu)
    try:
        return run_in_batches(asked.logits, images_NCHW, batch_size)
    finally:
        asked.close()


def first_not_finite_apart(path: Path, images_NCHW: NDArray[np.float32]) -> str | None:
    """As `edgenas.deploy.layers.first_not_finite`, found by another process; None where that one is stopped, too."""
    asked = _Asked([str(path.resolve()), "layers", "fp32"], on_gpu=False)
    try:
        return asked.ask(images_NCHW)[0].layer
    except ArtefactError:
        return None
    finally:
        asked.close()


class ApartRunner:
    """A runner whose file runs in a process of its own, for runtimes that a damaged file ends with their process.

    Raises:
        MissingBackendError, ArtefactError: as the runtime's ``load``, and if the process ended.
    """

    def __init__(self, path: Path, runtime: str, precision: Precision) -> None:
        on_gpu = get_runtime(runtime).device_kind == "cuda"
        self._asked: _Asked | None = _Asked([str(path.resolve()), runtime, precision], on_gpu=on_gpu)
        try:
            self._info = self._asked.info()
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> RunnerInfo:
        """What the session in the other process said of itself."""
        return self._info

    def __call__(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of a batch."""
        assert self._asked is not None, "the runner is closed"
        return self._asked.logits(images_NCHW)

    def compute_ms(self, images_NCHW: NDArray[np.float32]) -> float | None:
        """Not known: the other process is not asked."""
        return None

    def close(self) -> None:
        """End the process."""
        if self._asked is not None:
            self._asked.close()
            self._asked = None


class _Asked:
    """A process that answers batches; it has ended once `close` returns."""

    def __init__(self, arguments: list[str], *, on_gpu: bool) -> None:
        self.limit_s = GPU_S if on_gpu else CPU_S
        self.max_bytes = None if on_gpu else MAX_BYTES
        self.process, self.reading = start_child("answers", [*arguments, "gpu" if on_gpu else "cpu"], stdin=subprocess.PIPE)
        self.said = b""
        self.is_ready = False
        self.num_classes: int | None = None
        self.ends = 0.0
        assert self.process.stdin is not None
        os.set_blocking(self.process.stdin.fileno(), False)

    def logits(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the model answers to a batch.

        Raises:
            MissingBackendError, ArtefactError: as `answers_apart`.
        """
        answer, values = self.ask(images_NCHW)
        _require_answer(answer)
        if values.ndim != 2 or len(values) != len(images_NCHW) or self.num_classes not in (None, values.shape[1]):
            raise ArtefactError(f"the model does not run: it gives an array of shape {values.shape} for {len(images_NCHW)} images")
        self.num_classes = values.shape[1]
        return values

    def info(self) -> RunnerInfo:
        """What the session says of itself, once the file is loaded.

        Raises:
            MissingBackendError, ArtefactError: as `answers_apart`.
        """
        self._send(_line(ModelQuestion(info=True)))
        answer = self._answer()
        _require_answer(answer)
        if answer.info is None:
            raise ArtefactError(NO_ANSWER)
        return answer.info

    def ask(self, images_NCHW: NDArray[np.float32]) -> tuple[ModelAnswer, NDArray[np.float32]]:
        """What the process answers, and its numbers.

        Raises:
            ArtefactError: if it does not.
        """
        images_NCHW = np.ascontiguousarray(images_NCHW, dtype="<f4")
        self._send(_line(ModelQuestion(shape=images_NCHW.shape)) + images_NCHW.tobytes())
        answer = self._answer()
        shape = (0,) if answer.shape is None else answer.shape
        if len(shape) > MAX_SIDES or min(shape, default=0) < 0:
            raise ArtefactError("the model does not run: its process gave no shape")
        num = 1
        for size in shape:
            num *= size
            if num > MAX_NUMBERS:
                raise ArtefactError(
                    f"the model does not run: it gives more than {MAX_NUMBERS:,} numbers for {len(images_NCHW)} images"
                )
        while len(self.said) < 4 * num:
            self._more()
        values = np.frombuffer(self.said[: 4 * num], dtype="<f4").reshape(shape).astype(np.float32)
        self.said = self.said[4 * num :]
        return answer, values

    def close(self) -> None:
        """Stop the process, whatever it does."""
        assert self.process.stdin is not None
        end_group(self.process)
        with suppress(OSError):
            self.process.stdin.close()
        os.close(self.reading)

    def _send(self, whole: bytes) -> None:
        """Hand over a batch; the clock of a batch starts once the process has taken the first of it."""
        assert self.process.stdin is not None
        data, writing = memoryview(whole), self.process.stdin.fileno()
        if not self.is_ready:
            self.ends = time.monotonic() + START_S
            while b"\n" not in self.said:
                self._more()
            self.said = self.said.partition(b"\n")[2]
            self.is_ready = True
        self.ends = time.monotonic() + self.limit_s
        while data:
            self._require_alive()
            if select.select([], [writing], [], _TICK_S)[1]:
                try:
                    data = data[os.write(writing, data[:_PART]) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    return  # what it said, or how it ended, tells why

    def _answer(self) -> ModelAnswer:
        """The next line that the process says."""
        while b"\n" not in self.said:
            if len(self.said) > MAX_LINE:
                raise ArtefactError("the model does not run: its process said too much")
            self._more()
        line, _, self.said = self.said.partition(b"\n")
        try:
            return ModelAnswer.from_json(parse_json(line))
        except (ValueError, RunFolderError) as error:
            raise ArtefactError(NO_ANSWER) from error

    def _more(self) -> None:
        """Wait for more of what the process says."""
        while True:
            self._require_alive()
            if not select.select([self.reading], [], [], _TICK_S)[0]:
                continue
            part = os.read(self.reading, 1 << 20)
            if not part:
                raise ArtefactError(f"the model does not run: {died_of(self.process)}")
            self.said += part
            return

    def _require_alive(self) -> None:
        if over_memory(self.process.pid, self.max_bytes):
            raise StoppedError(f"the model was stopped: it took more than {(self.max_bytes or 0) >> 20} MB of memory")
        if time.monotonic() > self.ends:
            raise StoppedError(f"the model was stopped: it did not answer a batch within {self.limit_s:g} s")


def _line(question: ModelQuestion) -> bytes:
    return json.dumps(question.as_json()).encode() + b"\n"


def _require_answer(answer: ModelAnswer) -> None:
    """Raise what the process could not do."""
    if answer.missing is not None:
        raise MissingBackendError(answer.missing)
    if answer.error is not None:
        raise ArtefactError(answer.error)
