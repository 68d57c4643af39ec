"""What runs in every process of a cluster that evaluates nets.

PyTorch is imported once it begins: a process that answers before is known to have started, however long the import takes there.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgenas.training.evaluation import SupernetEvaluator
    from edgenas.training.readable import ReadableImages


class Worker:
    """Makes a net and asks it; one that is started again makes its net again at its next prediction.

    What it needs is told with every question, as references: of arguments that make an actor Ray warns in the terminal.
    """

    def __init__(self) -> None:
        self._evaluate: SupernetEvaluator | None = None

    def process(self) -> int:
        """Its number, for whoever wants to know that it has started, to look at it or to end it."""
        return os.getpid()

    def begin(self, kept: Sequence[Any]) -> None:
        """Make the net, unless that is done."""
        if self._evaluate is None:
            self._evaluate = _evaluator(*importlib.import_module("ray").get(list(kept)))

    def predict(self, kept: Sequence[Any], row_G: NDArray[np.int16], image_indices: NDArray[np.int64]) -> NDArray[np.float16]:
        """Probabilities of one net, shape (images, classes)."""
        self.begin(kept)
        assert self._evaluate is not None
        probabilities_NC: NDArray[np.float16] = self._evaluate(row_G[None], image_indices.copy())[0]
        return probabilities_NC


def _evaluator(state: Mapping[str, NDArray[Any]], images_NCHW: ReadableImages, told: tuple[Any, ...]) -> SupernetEvaluator:
    """What predicts in a worker; arrays that Ray lends are not to be written to."""
    import torch

    from edgenas.supernets import build_supernet
    from edgenas.training.evaluation import SupernetEvaluator

    space, task, device, num_threads, training_NCHW = told
    torch.set_num_threads(num_threads)
    supernet = build_supernet(space, task)
    supernet.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})
    own = images_NCHW.copy() if isinstance(images_NCHW, np.ndarray) else images_NCHW
    return SupernetEvaluator(supernet, own, device=device, training_NCHW=training_NCHW)
