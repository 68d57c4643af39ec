"""Answers of nets to the test split, kept by the reports that read it: nobody reads it again to draw a page.

Shapes: N images, K classes.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenas.data.images import Images
from edgenas.errors import RunFolderError
from edgenas.records import SplitAnswers
from edgenas.runs import RunFolder
from edgenas.stats import decide

REMAKE = "run `edgenas retrain` or `edgenas evaluate --split test` again"


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a net answered, as arrays.

    Attributes:
        facts: of which net and images it is.
        labels_N, argmax_N, decided_N: class indices.
        confidence_N: probability of the argmax.
        positive_N: p(positive); None without a positive class.
    """

    facts: SplitAnswers
    labels_N: NDArray[np.int64]
    argmax_N: NDArray[np.int64]
    decided_N: NDArray[np.int64]
    confidence_N: NDArray[np.float64]
    positive_N: NDArray[np.float64] | None


def answers_path(run: RunFolder, net: str) -> Path:
    """The file of a net's answers to test."""
    return run.answers / f"test-{net.replace('/', '-')}.json"


def keep_answers(
    run: RunFolder,
    images: Images,
    probabilities_NK: NDArray[np.floating],
    *,
    net: str,
    weights_sha256: str,
    threshold: float | None,
) -> Path:
    """Write what a net answered to the images of test.

    Args:
        run: whose folder it goes to.
        images: that were read.
        probabilities_NK: of test, in the split's order.
        net: its name.
        weights_sha256: of its checkpoint.
        threshold: of the positive class.

    Raises:
        RunFolderError: if the folder cannot be written.
    """
    argmax_N = probabilities_NK.argmax(axis=1)
    record = SplitAnswers(
        net=net,
        split="test",
        splits_sha256=images.splits.sha256,
        weights_sha256=weights_sha256,
        classes=images.class_names,
        positive=None if images.positive is None else images.class_names[images.positive],
        threshold=threshold,
        num_images=len(probabilities_NK),
        label_int32=_packed(images.labels("test"), "<i4"),
        argmax_int32=_packed(argmax_N, "<i4"),
        decided_int32=_packed(decide(probabilities_NK, images.positive, threshold), "<i4"),
        confidence_float32=_packed(np.take_along_axis(probabilities_NK, argmax_N[:, None], axis=1)[:, 0], "<f4"),
        positive_float32=None if images.positive is None else _packed(probabilities_NK[:, images.positive], "<f4"),
    )
    path = answers_path(run, net)
    record.write(path)
    return path


def read_answers(run: RunFolder, net: str) -> Answers | None:
    """What a net answered to test; None where no report has kept it.

    Raises:
        RunFolderError: if the file was edited or damaged.
    """
    path = answers_path(run, net)
    if not path.is_file():
        return None
    record = SplitAnswers.read(path, hint=REMAKE)
    try:
        indices = [_unpacked(text, "<i4", record) for text in (record.label_int32, record.argmax_int32, record.decided_int32)]
        if any(len(each) and not 0 <= each.min() <= each.max() < len(record.classes) for each in indices):
            raise ValueError("it names classes that there are not")
        labels_N, argmax_N, decided_N = (each.astype(np.int64) for each in indices)
        confidence_N = _probabilities(record.confidence_float32, record)
        positive_N = None if record.positive_float32 is None else _probabilities(record.positive_float32, record)
    except (ValueError, binascii.Error) as error:
        raise RunFolderError(f"{path} is damaged: {error}", hint=REMAKE) from error
    return Answers(record, labels_N, argmax_N, decided_N, confidence_N, positive_N)


def _packed(values_N: NDArray[np.generic], kind: str) -> str:
    return base64.b64encode(values_N.astype(kind).tobytes()).decode()


def _unpacked(text: str, kind: str, record: SplitAnswers) -> NDArray[np.generic]:
    values_N: NDArray[np.generic] = np.frombuffer(base64.b64decode(text, validate=True), dtype=kind)
    if len(values_N) != record.num_images:
        raise ValueError(f"{len(values_N)} answers of {record.num_images} images")
    return values_N


def _probabilities(text: str, record: SplitAnswers) -> NDArray[np.float64]:
    values_N = _unpacked(text, "<f4", record).astype(np.float64)
    if not ((values_N >= 0) & (values_N <= 1 + 1e-6)).all():  # NaN is neither
        raise ValueError("a probability is not between 0 and 1")
    return values_N
