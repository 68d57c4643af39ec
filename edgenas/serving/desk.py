"""Where requests wait for the one session: threads decode, one thread asks the model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import EdgeNASError
from edgenas.predicting.predictor import Predictor
from edgenas.records import Prediction
from edgenas.runs.place import threads_here
from edgenas.serving.metrics import ServingMetrics
from edgenas.serving.uploads import Limits, RefusedError, Upload, decoded

BUSY = "too many requests are waiting; try again in a second"
STOPPING = "the server is being stopped"


@dataclass(frozen=True, slots=True)
class Answer:
    """A row for each file of a request, and the worst status among them."""

    rows: list[Prediction]
    status: int
    message: str


class Desk:
    """Takes so many requests at a time and no more; its numbers are touched by the event loop alone.

    Attributes:
        is_open: whether requests are taken; False while the server is being stopped, or before the model has answered once.
    """

    def __init__(self, predictor: Predictor, metrics: ServingMetrics, limits: Limits) -> None:
        self.predictor, self.metrics, self.limits = predictor, metrics, limits
        self.is_open = False
        self._inside = 0
        self._model = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._decoders = ThreadPoolExecutor(min(4, threads_here()), thread_name_prefix="decoding")

    def warm_up(self) -> None:
        """Ask the model once, in its thread; from then on requests are taken.

        Raises:
            ArtefactError: if it does not run.
        """
        _, *shape = self.predictor.manifest.input.shape
        image_NCHW = np.zeros((1, *(size or 1 for size in shape)), dtype=np.float32)
        self._model.submit(self.predictor.logits, image_NCHW).result()
        self.is_open = True

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """A place for a request, from before its body is read until its answer is known.

        Raises:
            RefusedError: 503 if there is none, or the server is being stopped.
        """
        if not self.is_open:
            raise RefusedError(503, STOPPING)
        if self._inside >= self.limits.most_waiting:
            raise RefusedError(503, BUSY)
        self._inside += 1
        self.metrics.waiting.inc()
        try:
            yield
        finally:
            self._inside -= 1
            self.metrics.waiting.dec()

    async def ask(self, uploads: Sequence[Upload]) -> Answer:
        """What the net says of the files of a request, in order; a file that is no image gets a row with the reason.

        Raises:
            RefusedError: 500 if the model does not run.
        """
        loop = asyncio.get_running_loop()
        prepared = await asyncio.gather(*(loop.run_in_executor(self._decoders, self._prepared, each) for each in uploads))
        names = [upload.name for upload in uploads]
        refused = [each for each in prepared if isinstance(each, RefusedError)]
        for each in refused:
            self.metrics.refused(each.status)
        images = [each.message if isinstance(each, RefusedError) else each for each in prepared]
        try:
            rows, seconds = await loop.run_in_executor(self._model, self._answers, names, images)
        except EdgeNASError as error:
            raise RefusedError(500, error.message) from error
        self.metrics.answered(rows, seconds)
        wrong = sum(row.error is not None for row in rows)
        status = max((each.status for each in refused), default=200 if not wrong else 500)
        one = refused[0].message if len(uploads) == 1 and refused else f"{wrong} of {len(rows)} images could not be judged"
        return Answer(rows, status, one if wrong else "")

    def _prepared(self, upload: Upload) -> NDArray[np.float32] | RefusedError:
        """In a thread that decodes."""
        try:
            image = decoded(upload, self.limits.max_pixels)
        except RefusedError as error:
            return error
        prepared = self.predictor.prepared(lambda: image)
        return RefusedError(422, prepared) if isinstance(prepared, str) else prepared

    def _answers(self, names: Sequence[str], images: Sequence[NDArray[np.float32] | str]) -> tuple[list[Prediction], float]:
        """In the model's thread."""
        began = time.perf_counter()
        return self.predictor.answers(names, images), time.perf_counter() - began

    def close(self) -> None:
        """End the threads, once what they do is done, and free the session."""
        self.is_open = False
        self._decoders.shutdown()
        self._model.shutdown()
        self.predictor.close()
