"""What is odd about single images."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One odd thing of one image.

    Attributes:
        path: of the image, as its id.
        what: is odd.
        done: about it.
    """

    path: str
    what: str
    done: str
