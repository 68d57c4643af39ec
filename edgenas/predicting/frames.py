"""Frames of videos and cameras; needs OpenCV, the extra ``video``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from edgenas.data.files import why_no_file
from edgenas.errors import DataError, MissingBackendError


def import_cv2() -> Any:
    """The package, made silent.

    Raises:
        MissingBackendError: if it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingBackendError(
            "videos and cameras need the package opencv-python-headless, which is not installed",
            hint="pip install 'edgenas[video]'",
        ) from error
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


def frames_of(source: str | int, *, every: int = 1, most: int | None = None) -> Iterator[tuple[str, Callable[[], Image.Image]]]:
    """Names and decoders of the frames of a video file, or of a camera by its number, as they come; the first is number 0.

    Args:
        source: path, or number.
        every: so manieth frame.
        most: frames; None takes all, of a camera until the caller stops.

    Raises:
        MissingBackendError: without OpenCV, or if there is no such camera.
    """
    cv2 = import_cv2()
    if isinstance(source, str) and (why := why_no_file(Path(source))):
        yield source, partial(_fail, f"{source} {why}")
        return
    capture = cv2.VideoCapture(source)
    try:
        if not capture.isOpened():
            if isinstance(source, int):
                raise MissingBackendError(f"camera {source} cannot be opened")
            yield source, partial(_fail, f"{source} is no video that can be read")
            return
        number = given = 0
        while (most is None or given < most) and capture.grab():
            if number % every == 0:
                is_read, frame_HWC = capture.retrieve()
                if not is_read:
                    break
                yield f"{source}#{number}", partial(Image.fromarray, cv2.cvtColor(frame_HWC, cv2.COLOR_BGR2RGB))
                given += 1
            number += 1
        if number == 0:
            yield str(source), partial(_fail, f"{source} holds no frame that can be read")
    finally:
        capture.release()


def _fail(words: str) -> Image.Image:
    raise DataError(words)
