"""What the source answered to the images that judged an export, kept in the artefact so that parity can be repeated elsewhere.

An artefact must not be compared with itself: a file whose classes were swapped agrees with itself. No image is kept, only the
SHA-256 of each as it is stored, the decided class, and the logits where they are not too many.

Shapes: N images, K classes.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import ArtefactError
from edgenas.records import AnswersFacts
from edgenas.runs.outside import OutsideError, read_regular

ANSWERS = "answers.npz"
MAX_LOGITS = 1 << 22  # numbers, 16 MB; of larger test splits decisions alone are kept
MAX_IMAGES = 10_000_000
MAX_BYTES = 1 << 30  # of the file
HEADERS_BYTES = 4096  # of the arrays, at most


@dataclass(frozen=True, slots=True, eq=False)
class RecordedAnswers:
    """Answers of the source to some images.

    Attributes:
        hashes_N: hex SHA-256 of every image as it is stored.
        decisions_N: class by the decision rule.
        logits_NK: None where they were too many.
    """

    hashes_N: Sequence[str]
    decisions_N: NDArray[np.int64]
    logits_NK: NDArray[np.float32] | None

    def write(self, folder: Path) -> AnswersFacts:
        """Write the file into an artefact folder."""
        hashes_N32 = np.array([list(bytes.fromhex(each)) for each in self.hashes_N], dtype=np.uint8).reshape(-1, 32)
        decisions_N = self.decisions_N.astype(np.int32)
        if self.logits_NK is None:
            np.savez_compressed(folder / ANSWERS, hashes=hashes_N32, decisions=decisions_N)
        else:
            logits_NK = self.logits_NK.astype(np.float32)
            np.savez_compressed(folder / ANSWERS, hashes=hashes_N32, decisions=decisions_N, logits=logits_NK)
        return AnswersFacts(path=ANSWERS, num_images=len(self.hashes_N), has_logits=self.logits_NK is not None)

    def of(self, hashes_M: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of some images are among these: their positions there, and the positions of their answers here."""
        places = {each: place for place, each in enumerate(self.hashes_N)}
        known = [position for position, each in enumerate(hashes_M) if each in places]
        return np.array(known, dtype=np.int64), np.array([places[hashes_M[i]] for i in known], dtype=np.int64)


def kept(hashes_N: Sequence[str], decisions_N: NDArray[np.int64], logits_NK: NDArray[np.float32]) -> RecordedAnswers:
    """What is kept of answers: logits only where they are not too many."""
    return RecordedAnswers(hashes_N, decisions_N, logits_NK if logits_NK.size <= MAX_LOGITS else None)


def read_answers(folder: Path, facts: AnswersFacts, num_classes: int) -> RecordedAnswers:
    """What `RecordedAnswers.write` wrote.

    Raises:
        ArtefactError: if the file is not what the manifest says.
    """
    path = folder / facts.path
    num = facts.num_images
    numbers = num * num_classes if facts.has_logits else 0
    if not 0 <= num <= MAX_IMAGES or numbers > MAX_LOGITS:
        raise ArtefactError(f"{path} holds {num} images of {num_classes} classes, allowed are {MAX_IMAGES}, logits {MAX_LOGITS}")
    try:
        packed = io.BytesIO(read_regular(path, MAX_BYTES))
        with zipfile.ZipFile(packed) as archive:
            size_bytes = sum(each.file_size for each in archive.infolist())
        if size_bytes > 36 * num + 4 * numbers + HEADERS_BYTES:
            raise ArtefactError(f"{path} would unpack to {size_bytes} bytes, more than {num} answers of {num_classes} classes take")
        packed.seek(0)
        with np.load(packed, allow_pickle=False) as arrays:
            hashes_N32, decisions_N = arrays["hashes"], arrays["decisions"]
            logits_NK = arrays["logits"] if facts.has_logits else None
    except (
        OSError,
        MemoryError,
        OutsideError,
        ValueError,
        KeyError,
        EOFError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ArtefactError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    fits = hashes_N32.shape == (num, 32) and hashes_N32.dtype == np.uint8 and decisions_N.shape == (num,)
    fits = fits and decisions_N.dtype == np.int32 and (logits_NK is None or logits_NK.shape == (num, num_classes))
    if not fits or (num and not 0 <= decisions_N.min() <= decisions_N.max() < num_classes):
        raise ArtefactError(f"{path} does not hold answers to {num} images of {num_classes} classes")
    return RecordedAnswers([bytes(row).hex() for row in hashes_N32], decisions_N.astype(np.int64), logits_NK)
