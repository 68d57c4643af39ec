"""What an architecture with a name is, and what its authors say of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edgenas.spaces.base import Choice, Option, SearchSpace


@dataclass(frozen=True, slots=True)
class Reported:
    """What a publication says of a net; None where it says nothing.

    Attributes:
        source: where it says so.
        dataset: that ``top1``, a fraction, is the accuracy on.
        note: what does not reproduce, and why.
    """

    source: str
    top1: float | None = None
    dataset: str | None = None
    params: int | None = None
    macs: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class NamedArch:
    """A readable architecture of the space called ``space``.

    Attributes:
        beyond: options that the publication takes although its space has none of them, by gene (the name before the brackets).
    """

    space: str
    arch: Mapping[str, Any]
    reported: Reported | None = None
    beyond: Mapping[str, tuple[Option, ...]] = field(default_factory=dict)


def host(space: SearchSpace, named: NamedArch) -> SearchSpace:
    """The space that holds a named architecture: ``space``, or the same with more options where the net lies outside of it.

    It serves to count and build that net; nothing is searched in it, and no supernet has weights for it.
    """
    if not named.beyond:
        return space

    def widen(choice: Choice) -> Choice:
        more = named.beyond.get(re.sub(r"\[\d+\]", "", choice.name), ())
        return replace(choice, options=tuple(sorted({*choice.options, *more}))) if more else choice

    return replace(space, choices=tuple(map(widen, space.choices)))
