"""Portions of components traced by other processes, and kept as this one would have kept them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Protocol

from edgenas.latency.nets import ComponentGraphs, Portion
from edgenas.runs import Progress

Traced = tuple[int, Mapping[str, bytes]]
"""The number of a portion, and what `ComponentGraphs.files` made of it."""


class Helpers(Protocol):
    """Processes that trace, for as long as they are asked to: none of them may be at work once the last answer was taken."""

    @property
    def num(self) -> int:
        """How many there are."""
        ...

    def files(self, graphs: ComponentGraphs, portions: Sequence[Portion]) -> Iterator[Traced | None]:
        """What becomes of every portion, in the order in which they are done; now and then None, while none is."""
        ...


def traced_by(helpers: Helpers, graphs: ComponentGraphs, portions: Sequence[Portion], label: str) -> Iterator[Progress]:
    """Trace portions, and keep each as soon as it is done.

    Components that hold portions together are in many of them, and their graphs are named after their place in a chain: as in one
    process, the last portion's are what stays, whatever the order in which they end.
    """
    missing = set(graphs.missing(component for portion in portions for component in portion))
    total = len(missing)
    kept_from: dict[Hashable, int] = {}
    yield Progress(label, 0, total)
    for traced in helpers.files(graphs, portions):
        if traced is not None:
            number, files = traced
            for component in portions[number]:
                if kept_from.get(component, -1) < number:
                    graphs.keep(component, files[graphs.file_name(component)])
                    kept_from[component] = number
            missing.difference_update(portions[number])
        yield Progress(label, total - len(missing), total)
