"""Work that tests of something else do not pay for again: comparing the same images, and drawing pictures that nobody opens."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

PIXEL = base64.b64decode(  # a PNG
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
DRAWING = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>\n'


@contextmanager
def blank_pictures() -> Iterator[None]:
    """Figures are made, but what is written of them is a blank."""
    from matplotlib.figure import Figure

    from edgenas.report import figures

    def write(self: Figure, path: Any, *, format: str) -> None:
        path.write_bytes(DRAWING if format == "svg" else PIXEL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", write)
        patch.setattr(figures, "_take_literally", lambda figure: None)  # looks at every tick
        patch.setattr(Figure, "draw_without_rendering", lambda figure: None)
        yield


def compare_images_once() -> None:
    """Keep which images of a set are nearly the same: the digits are divided dozens of times."""
    from edgenas.data import divide
    from edgenas.recipes import init

    for module in (divide, init):
        if not hasattr(module.find_near, "__wrapped__"):
            module.find_near = _remembered(module.find_near)


def _remembered(find: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    known: dict[str, list[Any]] = {}

    @functools.wraps(find)
    def remembered(sketches_ND: Any, labels_N: Any, shown: Sequence[str]) -> Iterator[Any]:
        parts = (np.ascontiguousarray(sketches_ND).tobytes(), np.ascontiguousarray(labels_N).tobytes(), repr(list(shown)).encode())
        name = hashlib.sha256(b"\0".join(parts)).hexdigest()
        if name not in known:
            known[name] = list(find(sketches_ND, labels_N, shown))
        yield from known[name]

    return remembered
