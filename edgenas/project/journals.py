"""What long commands have found out so far, kept in the run folder, so that the same command goes on after any end."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import RunFolderError
from edgenas.records import PackedPredictions
from edgenas.runs import Journal
from edgenas.search import Evaluator
from edgenas.spaces import Genes

JOURNAL = "journal.jsonl"
EVALUATIONS = "evaluations.jsonl"
PROOFS = "proofs.jsonl"  # nets that were trained alone, whatever for


@contextmanager
def journal(path: Path, identity: Mapping[str, Any], *, keep: bool = False) -> Iterator[Journal]:
    """A journal that is removed when the block ends well, because the command's result then stands elsewhere.

    Args:
        path: of the journal.
        identity: everything that its results depend on.
        keep: do not remove it: its results are worth keeping for other calls.

    Raises:
        RunFolderError: if the journal is damaged or cannot be written.
    """
    opened = Journal(path, identity)
    try:
        yield opened
    except BaseException:
        opened.close()
        raise
    if keep:
        opened.close()
    else:
        opened.remove()


@dataclass(frozen=True, slots=True)
class JournaledEvaluator:
    """Wraps an `Evaluator`: what was predicted once is read from the journal.

    Attributes:
        evaluate: predicts what is not in the journal, one net at a time, so that a kill costs no more.
        journal: of predictions with these weights on these images.
        split: that the images are of.
    """

    evaluate: Evaluator
    journal: Journal
    split: str

    def __call__(self, genes_AG: Genes, image_indices: NDArray[np.int64], /) -> NDArray[np.float16]:
        """Class probabilities, shape (archs, images, classes), in the order given.

        Raises:
            RunFolderError: if an entry of the journal is no prediction of these images.
        """
        return np.stack([self._one(row_G, image_indices) for row_G in genes_AG])

    def _one(self, row_G: NDArray[np.int16], image_indices: NDArray[np.int64]) -> NDArray[np.float16]:
        key = f"{self.split} {' '.join(map(str, row_G.tolist()))}"
        kept = self.journal.recall(key)
        if kept is not None:
            return unpack(kept, len(image_indices), self.journal.path)
        probabilities_NC: NDArray[np.float16] = self.evaluate(row_G[None], image_indices)[0]
        self.journal.record(key, pack(probabilities_NC))
        return probabilities_NC


def pack(probabilities_NC: NDArray[np.floating]) -> PackedPredictions:
    """Probabilities, shape (images, classes), as an entry of a journal, in float16."""
    packed = base64.b64encode(np.ascontiguousarray(probabilities_NC, dtype="<f2").tobytes()).decode()
    return PackedPredictions(classes=probabilities_NC.shape[1], float16=packed)


def unpack(kept: Any, num_images: int, path: Path) -> NDArray[np.float16]:
    """What `pack` packed.

    Raises:
        RunFolderError: naming the journal, if the entry is none of so many images.
    """
    try:
        packed = PackedPredictions.from_json(kept)
        values = np.frombuffer(base64.b64decode(packed.float16, validate=True), dtype="<f2")
        result: NDArray[np.float16] = values.reshape(num_images, packed.classes).astype(np.float16)
    except (RunFolderError, ValueError, binascii.Error) as error:
        raise RunFolderError(f"{path} is damaged: {error}", hint="delete it to start again") from error
    return result
