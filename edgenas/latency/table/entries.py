"""Entries of a latency table: components, readable, with what they cost together."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import asdict, dataclass, is_dataclass
from typing import Literal

from edgenas.records import Component
from edgenas.runs import dump_json, jsonable


@dataclass(frozen=True, slots=True)
class Entry:
    """Cost of one component, or of several that always come together (the frame).

    Attributes:
        components: readable, in order.
        ms: milliseconds, smoothed; together, not each.
        mad_ms: median absolute deviation of what it was computed from.
        n: timed runs behind it.
        origin: whether it was timed itself.
        raw_ms: before smoothing, None where interpolated.
    """

    components: tuple[Component, ...]
    ms: float
    mad_ms: float
    n: int
    origin: Literal["measured", "interpolated"]
    raw_ms: float | None = None


def component_json(component: Hashable) -> Component:
    """A component as readable JSON: its kind and its fields."""
    if not is_dataclass(component) or isinstance(component, type):
        raise TypeError(f"{component!r} is no component")
    plain: Component = jsonable({"kind": type(component).__name__.removesuffix("Spec")} | asdict(component))
    return plain


def component_key(component: Hashable) -> str:
    """What entries are found by."""
    return dump_json(component_json(component), indent=None)


def entry_keys(entry: Entry) -> tuple[str, ...]:
    """The keys of an entry's components, in order."""
    return tuple(dump_json(component, indent=None) for component in entry.components)
