"""An exported net that answers about images: decoded, prepared and decided exactly as its export was judged.

Shapes: N images, C channels, H and W rows and columns, K classes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgenas.data.files import decode_file
from edgenas.data.preprocess import Preprocess, Unforeseen
from edgenas.deploy.artefact import run_in_batches
from edgenas.deploy.decisions import probabilities
from edgenas.errors import ArtefactError, DataError
from edgenas.predicting.artefacts import FoundArtefact, find_artefact, load_model
from edgenas.records import Deployed, Manifest, Prediction
from edgenas.stats import decide, refers

OneImage = Path | str | Image.Image | NDArray[Any]
Prepared = NDArray[np.float32] | str  # an image as the net reads it, or why it cannot be read
NO_NUMBER = "the net's answer is no finite number"
NAMELESS = "an image"


class Predictor:
    """A session of an artefact's model; it is not shared by threads, and `close` frees it.

    Attributes:
        manifest: of the artefact.
        deployed: what answers, and how.
        warnings: what is to be said of the artefact.
        batch_size: most images of a call.
        unforeseen: how many images so far held what the net's preprocessing was not decided for, by what it was.
    """

    def __init__(self, found: FoundArtefact, *, batch_size: int = 1, spinning: bool = False) -> None:
        loaded = load_model(found, batch_size=batch_size, spinning=spinning)
        manifest = found.manifest
        self.manifest: Manifest = manifest
        self.warnings = (*found.warnings, *loaded.warnings)
        self.batch_size = batch_size if loaded.batch_size is None else loaded.batch_size
        self.preprocess = Preprocess.from_json(manifest.preprocessing)
        self.unforeseen: Counter[Unforeseen] = Counter()
        self._counting = threading.Lock()
        self._runner = loaded.runner
        self._is_fixed = loaded.batch_size is not None
        self._positive = None if manifest.positive is None else manifest.classes.index(manifest.positive)
        info = loaded.runner.info
        self.deployed = Deployed(
            artifact=str(found.folder),
            file=loaded.path,
            runtime=f"{info.runtime} {info.runtime_version}",
            device=info.device,
            positive=manifest.positive,
            threshold=manifest.threshold,
            refer=manifest.refer,
        )

    @classmethod
    def open(cls, folder: Path | str, *, net: str | None = None, batch_size: int = 1, spinning: bool = False) -> Predictor:
        """The artefact of a folder in its own runtime.

        Args:
            folder: of an artefact, or of a run: then its newest one.
            net: of a run, as `edgenas export` was asked for it; None takes one of its own.
            batch_size: images a call, where the artefact has a file for any number.
            spinning: whether idle threads of a CPU wait busily.

        Raises:
            MissingInputError, ArtefactError, MissingBackendError: as `find_artefact` and `load_model`.
        """
        return cls(find_artefact(Path(folder), net), batch_size=batch_size, spinning=spinning)

    @overload
    def predict(self, images: list[OneImage] | tuple[OneImage, ...]) -> list[Prediction]: ...

    @overload
    def predict(self, images: OneImage) -> Prediction: ...

    def predict(self, images: OneImage | list[OneImage] | tuple[OneImage, ...]) -> Prediction | list[Prediction]:
        """What the net says of an image, or of several: a list for a list.

        Args:
            images: paths, PIL images, or arrays of uint8 (or uint16 grey values), shape (H, W) or (H, W, 3) in RGB.

        Raises:
            DataError: if one cannot be read, naming it.
            ValueError: for what is no image and no list of them.
        """
        if isinstance(images, str | Path | Image.Image | np.ndarray):
            return self.predict([images])[0]
        if not isinstance(images, list | tuple):
            raise ValueError(f"an image is a path, a PIL image or an array, not {type(images).__name__}")
        found = []
        for each in images:  # one after the other: decoded images may be large
            (row,) = self.answers([_name(each)], [self._prepared(_decoded(each))])
            if row.error is not None:
                raise DataError(f"{row.path}: {row.error}")
            found.append(row)
        return found

    def prepared(self, load: Callable[[], Image.Image]) -> Prepared:
        """An image as the net reads it, shape (C, H, W), or why it cannot be read; safe in any thread."""
        try:
            return self._prepared(load())
        except DataError as error:
            return str(error)
        except (OSError, ValueError, MemoryError) as error:  # of what Pillow makes of odd pixels
            return " ".join(str(error).split()) or type(error).__name__

    def _prepared(self, image: Image.Image) -> NDArray[np.float32]:
        if (what := self.preprocess.unforeseen(image)) is not None:
            with self._counting:
                self.unforeseen[what] += 1
        return self.preprocess(image)

    def answers(self, names: Sequence[str], prepared: Sequence[Prepared]) -> list[Prediction]:
        """One row an image, in order; those that could not be read say why.

        Raises:
            ArtefactError: if the model does not run, or gives something else than a number a class.
        """
        readable = [each for each in prepared if not isinstance(each, str)]
        rows = iter(self._decided(self.logits(np.stack(readable))) if readable else ())
        return [
            Prediction(path=name, error=each) if isinstance(each, str) else _named(name, next(rows))
            for name, each in zip(names, prepared, strict=True)
        ]

    def logits(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """The model's answer, shape (N, K).

        Raises:
            ArtefactError: as `answers`.
        """
        size = self.batch_size if self._is_fixed else min(self.batch_size, len(images_NCHW))
        found = run_in_batches(self._runner, images_NCHW, size)
        if found.shape != (len(images_NCHW), len(self.manifest.classes)):
            raise ArtefactError(
                f"the model gives {found.shape} for {len(images_NCHW)} images of {len(self.manifest.classes)} classes"
            )
        return found

    def _decided(self, logits_NK: NDArray[np.float32]) -> Iterator[Prediction]:
        """Rows without names, by the rule that the export's gates judged."""
        p_NK, classes = probabilities(logits_NK), self.manifest.classes
        decided_N = decide(p_NK, self._positive, self.manifest.threshold)
        referred_N = np.zeros(len(p_NK), dtype=np.bool_)
        if self.manifest.refer is not None and self._positive is not None:
            referred_N = refers(p_NK[:, self._positive], *self.manifest.refer)
        for p_K, decided, is_referred in zip(p_NK, decided_N, referred_N, strict=True):
            if not np.isfinite(p_K).all():
                yield Prediction(path="", error=NO_NUMBER)
                continue
            likeliest = int(p_K.argmax())
            yield Prediction(
                path="",
                class_name=classes[likeliest],
                probability=float(p_K[likeliest]),
                decision=classes[int(decided)],
                referred=bool(is_referred),
                probabilities=dict(zip(classes, map(float, p_K), strict=True)),
            )

    def close(self) -> None:
        """Free the session's threads and memory."""
        self._runner.close()

    @contextmanager
    def closing(self) -> Iterator[Predictor]:
        """Free the session at the end of the block."""
        try:
            yield self
        finally:
            self.close()


def _named(name: str, row: Prediction) -> Prediction:
    return Prediction(
        path=name,
        class_name=row.class_name,
        probability=row.probability,
        decision=row.decision,
        referred=row.referred,
        probabilities=row.probabilities,
        error=row.error,
    )


def _name(image: OneImage) -> str:
    if isinstance(image, str | Path):
        return str(image)
    return str(getattr(image, "filename", "") or NAMELESS)


def _decoded(image: OneImage) -> Image.Image:
    """An image of what a program has.

    Raises:
        DataError: if it cannot be read.
    """
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, str | Path):
        return decode_file(Path(image))
    is_colour = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] in (3, 4)
    if not image.size or not (is_colour or (image.ndim == 2 and image.dtype in (np.uint8, np.uint16))):
        allowed = "uint8 of shape (H, W) or (H, W, 3), or uint16 of shape (H, W), is needed"
        raise DataError(f"an array of {image.dtype} and shape {image.shape} is no image; {allowed}")
    return Image.fromarray(np.ascontiguousarray(image))
