"""What all decoding of files keeps to: no warnings of decoders, and no image that would fill the memory."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

MAX_PIXELS = 89_478_485  # of one image; Pillow's own threshold for what may be a decompression bomb
_OPENING = threading.Lock()  # filters of warnings belong to the whole process
os.register_at_fork(before=_OPENING.acquire, after_in_parent=_OPENING.release, after_in_child=_OPENING.release)


@contextmanager
def quietly() -> Iterator[None]:
    """No warnings, of odd tags and the like, and no other thread in here; never nested."""
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
