"""Limits as they are written: ``params>=1M``, ``macs<=500M``, ``latency_ms[jetson]<=5``, ``sensitivity[covid-19]>=0.95``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from edgenas.registries import choices
from edgenas.search.quantities import QUANTITIES

Relation = Literal["<=", ">="]
LATENCY, SENSITIVITY = "latency_ms", "sensitivity"  # what a table predicts, and what predictions decide
THROUGHPUT = "throughput"  # images a second, in calls of the table's batch
OF_TABLES = (LATENCY, THROUGHPUT)
WITHOUT_UNIT = (LATENCY, SENSITIVITY, THROUGHPUT)
UNITS = {"k": 10**3, "m": 10**6, "g": 10**9}
EXAMPLE = "write e.g. 'params>=1M', 'macs<=500M' or 'latency_ms<=5'"

_LIMIT = re.compile(r"\s*(?P<kind>[\w.-]+?)\s*(\[(?P<subject>.+)\])?\s*(?P<relation>[<>=!≤≥]+)\s*(?P<number>.*?)\s*", re.DOTALL)
_NUMBER = re.compile(r"(?P<digits>[+-]?(\d[\d_]*(\.\d+)?([eE][+-]?\d+)?|inf|nan))(?P<unit>[kKmMgG]?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit as it was asked for.

    Attributes:
        kind: of quantity: ``params``, ``macs``, ``latency_ms``, ``sensitivity`` or another of `QUANTITIES`.
        subject: what stood in brackets: the name of a latency table, a class; empty without.
        relation: ``<=`` or ``>=``.
        value: in the quantity's unit.
    """

    kind: str
    subject: str
    relation: Relation
    value: float

    @property
    def is_upper(self) -> bool:
        """Whether the quantity may be at most ``value``."""
        return self.relation == "<="

    @property
    def quantity(self) -> str:
        """What is limited, e.g. ``latency_ms[jetson]``."""
        return f"{self.kind}[{self.subject}]" if self.subject else self.kind

    def __str__(self) -> str:
        return f"{self.quantity} {self.relation} {self.value:.12g}"


def parse_limits(texts: Iterable[str]) -> tuple[list[Limit], list[str]]:
    """The limits that can be read, and a line for each that cannot."""
    limits: list[Limit] = []
    problems: list[str] = []
    for text in texts:
        limit = _parsed(text)
        if isinstance(limit, Limit):
            limits.append(limit)
        else:
            problems.append(f"{text!r}: {limit}")
    return limits, problems


def conflicts(limits: Sequence[Limit]) -> list[str]:
    """In words: what is limited twice in one direction, and lower limits above upper ones of the same quantity."""
    same: dict[tuple[str, Relation], list[Limit]] = {}
    for limit in limits:
        same.setdefault((limit.quantity, limit.relation), []).append(limit)
    problems = [
        f"{quantity} {relation} is given {len(given)} times: {', '.join(f'{limit.value:.12g}' for limit in given)}; keep one"
        for (quantity, relation), given in same.items()
        if len(given) > 1
    ]
    upper = {limit.quantity: limit for limit in limits if limit.is_upper}
    for limit in limits:
        other = upper.get(limit.quantity)
        if not limit.is_upper and other is not None and limit.value > other.value:
            problems.append(f"{limit} and {other} exclude each other: nothing is both")
    return problems


def in_reach(value: float, *, is_lower: bool) -> str:
    """A value that a limit can be loosened to, in a few digits: rounded up for an upper limit, down for a lower one, if at all."""
    if value == round(value) or value == 0:
        return f"{value:.0f}"
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 3)
    return f"{(math.floor if is_lower else math.ceil)(value / step) * step:.4g}"


def wrong(limit: Limit) -> str | None:
    """What is wrong with a limit whose parts could be read; None if nothing is."""
    if limit.kind == SENSITIVITY:
        if not limit.subject or limit.is_upper:
            return "a sensitivity is of a class and at least a share: sensitivity[CLASS]>=0.95"
        return None if 0 < limit.value <= 1 else f"a share must be in (0, 1], not {limit.value:.12g}"
    if limit.kind not in OF_TABLES and limit.kind not in QUANTITIES:
        known = (LATENCY, SENSITIVITY, *QUANTITIES, THROUGHPUT)
        return f"{limit.kind!r} is nothing that can be limited; {choices(limit.kind, known)}"
    if limit.kind == THROUGHPUT and limit.is_upper:
        return "a throughput is at least so many images a second: throughput>=100"
    if limit.subject and limit.kind not in OF_TABLES:
        return f"{limit.kind} takes no name in brackets"
    return None if 0 < limit.value < math.inf else f"a limit must be positive, not {limit.value:.12g}"


def _parsed(text: str) -> Limit | str:
    """The limit, or what is wrong with the text."""
    parts = _LIMIT.fullmatch(text)
    if parts is None:
        return EXAMPLE
    kind, subject, relation, number = parts.group("kind", "subject", "relation", "number")
    if relation not in ("<=", ">="):
        return f"{relation} is no relation of a limit: <= is at most, >= is at least"
    value = _number(number, with_unit=kind not in WITHOUT_UNIT)
    if value is None:
        units = " with K, M or G" if kind not in WITHOUT_UNIT else ""
        return f"{number!r} is no number{units}"
    limit = Limit(kind, (subject or "").strip(), cast(Relation, relation), value)
    problem = wrong(limit)
    return limit if problem is None else problem


def _number(text: str, *, with_unit: bool) -> float | None:
    """A number such as ``5``, ``1.5M`` or ``500_000``, whole where it is; None if it is none."""
    parts = _NUMBER.fullmatch(text)
    digits, unit = ("", "") if parts is None else parts.group("digits", "unit")
    if parts is None or (unit and not with_unit):
        return None
    value = float(digits) * UNITS.get(unit.lower(), 1)
    return round(value) if with_unit and math.isfinite(value) and value == round(value) else value
