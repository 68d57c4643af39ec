"""What long commands have found out so far, kept in the run folder, so that the same command goes on after any end."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
    """Wraps an `Evaluator`: what was predicted once is read from the journal, image by image.

    A net may be asked about some images now and about others later; whoever asks in another order, or about all of them, gets what
    is known, and only the rest is predicted.

    Attributes:
        evaluate: predicts what is not in the journal.
        journal: of predictions with these weights on these images.
        split: that the images are of.
        num_images: of the split.
        at_once: nets that are predicted together; a kill costs no more than these.
    """

    evaluate: Evaluator
    journal: Journal
    split: str
    num_images: int
    at_once: int = 1

    def __call__(self, genes_AG: Genes, image_indices: NDArray[np.int64], /) -> NDArray[np.float16]:
        """Class probabilities, shape (archs, images, classes), in the order given.

        Raises:
            RunFolderError: if an entry of the journal is no prediction of these images.
        """
        known = [self._known(row_G) for row_G in genes_AG]
        for missing_M, mine in _by_missing(known, image_indices, self.num_images).items():
            for start in range(0, len(mine), self.at_once):
                some, images_M = mine[start : start + self.at_once], np.frombuffer(missing_M, dtype=np.int64).copy()
                for net, p_MC in zip(some, self.evaluate(genes_AG[some], images_M), strict=True):
                    self._record(genes_AG[net], known[net], images_M, p_MC)
        return np.stack([each.of(image_indices) for each in known])

    def _key(self, row_G: NDArray[np.int16]) -> str:
        return f"{self.split} {' '.join(map(str, row_G.tolist()))}"

    def _known(self, row_G: NDArray[np.int16]) -> _Known:
        """What the journal says of a net: one entry of all images, or one after the other of some."""
        key, known = self._key(row_G), _Known(self.num_images)
        kept = self.journal.recall(key)
        if kept is not None:
            known.add(*_read(kept, self.num_images, self.journal.path))
        while kept is None and (part := self.journal.recall(f"{key} +{known.num}")) is not None:
            known.add(*_read(part, self.num_images, self.journal.path))
        return known

    def _record(self, row_G: NDArray[np.int16], known: _Known, images_M: NDArray[np.int64], p_MC: NDArray[np.float16]) -> None:
        key, is_all = self._key(row_G), len(images_M) == self.num_images and bool((np.diff(images_M) > 0).all())
        entry = pack(p_MC)
        if not is_all:
            images = base64.b64encode(np.ascontiguousarray(images_M, dtype="<i4").tobytes()).decode()
            key, entry = f"{key} +{known.num}", replace(entry, images_int32=images)
        self.journal.record(key, entry)
        known.add(images_M, p_MC)


class _Known:
    """Predictions of one net, of as many images as are known; they grow."""

    def __init__(self, num_images: int) -> None:
        self._is_known_N = np.zeros(num_images, dtype=np.bool_)
        self._p_NC: NDArray[np.float16] | None = None

    @property
    def num(self) -> int:
        """Images that are known."""
        return int(self._is_known_N.sum())

    def add(self, images_M: NDArray[np.int64], p_MC: NDArray[np.float16]) -> None:
        """Images that were not known."""
        if self._p_NC is None:
            self._p_NC = np.empty((len(self._is_known_N), p_MC.shape[1]), dtype=np.float16)
        self._p_NC[images_M] = p_MC
        self._is_known_N[images_M] = True

    def missing(self, images_M: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some images that are not known, each once."""
        left_M = images_M[~self._is_known_N[images_M]]
        return left_M[np.sort(np.unique(left_M, return_index=True)[1])]

    def of(self, images_M: NDArray[np.int64]) -> NDArray[np.float16]:
        """Predictions of some images, all of them known."""
        assert self._p_NC is not None
        return self._p_NC[images_M]


def _by_missing(known: Sequence[_Known], images_M: NDArray[np.int64], num_images: int) -> dict[bytes, list[int]]:
    """Nets by the images, as bytes, that are missing of them; none of those of which nothing is."""
    if not all(0 <= image < num_images for image in images_M):
        raise ValueError(f"images {images_M} are not all of {num_images}")
    groups: dict[bytes, list[int]] = {}
    for net, each in enumerate(known):
        missing_M = each.missing(images_M)
        if len(missing_M):
            groups.setdefault(missing_M.astype(np.int64).tobytes(), []).append(net)
    return groups


def _read(kept: Any, num_images: int, path: Path) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
    """Images and predictions of an entry.

    Raises:
        RunFolderError: naming the journal, if the entry is of no such images.
    """
    packed = kept.get("images_int32") if isinstance(kept, Mapping) else None
    if packed is None:
        return np.arange(num_images), unpack(kept, num_images, path)
    try:
        images_M = np.frombuffer(base64.b64decode(packed, validate=True), dtype="<i4").astype(np.int64)
        if not len(images_M) or images_M.min() < 0 or images_M.max() >= num_images:
            raise ValueError(f"an entry is of images that are not all among {num_images}")
    except (TypeError, ValueError, binascii.Error) as error:
        raise RunFolderError(f"{path} is damaged: {error}", hint="delete it to start again") from error
    return images_M, unpack(kept, len(images_M), path)


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
