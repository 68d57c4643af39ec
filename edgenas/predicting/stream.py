"""Many images through one session: some are decoded ahead by threads, none is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from edgenas.predicting.paths import Item
from edgenas.predicting.predictor import Predictor, Prepared
from edgenas.records import Prediction
from edgenas.runs.place import threads_here

CHUNK = 16  # images that are asked about before anybody is told
AHEAD = 2  # chunks that are being decoded


def predictions(
    predictor: Predictor, items: Iterator[Item], *, workers: int | None = None, live: bool = False
) -> Iterator[list[Prediction]]:
    """Rows of images in order, some at a time.

    Args:
        predictor: that answers.
        items: are asked for as they are needed.
        workers: threads that decode; None takes one a core, at most 8.
        live: answer every image before the next is asked for, as those of a camera.

    Raises:
        ArtefactError: if the model does not run.
    """
    threads = min(8, threads_here()) if workers is None else workers
    size, ahead = (1, 0) if live else (max(CHUNK, predictor.batch_size), AHEAD)
    waiting: deque[list[tuple[str, Future[Prepared]]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="decoding") as pool:
        try:
            while chunk := list(islice(items, size)):
                waiting.append([(item.name, pool.submit(predictor.prepared, item.load)) for item in chunk])
                if len(waiting) > ahead:
                    yield _answered(predictor, waiting.popleft())
            while waiting:
                yield _answered(predictor, waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _answered(predictor: Predictor, chunk: Sequence[tuple[str, Future[Prepared]]]) -> list[Prediction]:
    return predictor.answers([name for name, _ in chunk], [future.result() for _, future in chunk])
