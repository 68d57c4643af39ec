"""The limits of ``[search]``: one table, whether they are written as ``limits``, as its short forms, in the file or as flags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edgenas.config import Flags, merge
from edgenas.errors import UsageError
from edgenas.search.limits import LATENCY, SENSITIVITY, THROUGHPUT, Limit, Relation, conflicts, parse_limits, wrong
from edgenas.search.objectives import parse_goals

Slot = tuple[str, Relation]  # what a later layer of settings replaces: latencies and sensitivities as a whole
SHORT: Final[dict[str, Slot]] = {
    "latency_ms": (LATENCY, "<="),
    "max_params": ("params", "<="),
    "max_macs": ("macs", "<="),
    "min_sensitivity": (SENSITIVITY, ">="),
    "min_params": ("params", ">="),
    "min_macs": ("macs", ">="),
    "max_memory_mb": ("memory_mb", "<="),
    "min_throughput": (THROUGHPUT, ">="),
}
LIMITS = "limits"


def given_limits(search: Mapping[str, Any]) -> tuple[list[Limit], list[str]]:
    """The limits of a ``[search]`` table, short forms first, and what is wrong with others; values of a wrong type are left out."""
    limits: list[Limit] = []
    problems: list[str] = []
    for key, (kind, relation) in SHORT.items():
        values = search.get(key)
        for subject, value in values.items() if isinstance(values, Mapping) else [("", values)]:
            if isinstance(value, (int, float)):
                limit = Limit(kind, subject, relation, value)
                problem = wrong(limit)
                problems += [f"{key} is {value:g}{f' for {subject}' if subject else ''}: {problem}"] if problem is not None else []
                limits += [limit] if problem is None else []
    texts = search.get(LIMITS, ())
    more, unread = parse_limits(text for text in texts if isinstance(text, str)) if isinstance(texts, (list, tuple)) else ([], [])
    return limits + more, problems + [f"limit {problem}" for problem in unread]


def require_flags(flags: Flags) -> None:
    """Check what ``--limit`` and its short forms, ``--maximize`` and ``--minimize`` say.

    Raises:
        UsageError: listing everything that is wrong.
    """
    limits, problems = given_limits(flags.get("search", {}))
    problems += conflicts(limits)
    wanted = {key: flags.get("search", {}).get(key, ()) for key in ("maximize", "minimize")}
    problems += [f"objective {problem}" for problem in parse_goals(**wanted)[1]]
    if problems:
        raise UsageError(
            "limits cannot be what was asked for" if len(problems) > 1 else problems[0], problems=problems[1:] and problems
        )


def layered(file: Mapping[str, Any], overrides: Mapping[str, Any], flags: Flags) -> dict[str, Any]:
    """The tables of the file with overrides and then flags applied.

    A limit replaces those of earlier layers on the same quantity in the same direction, however either is written. ``limits`` of a
    flag are added to the others, those of an override stand in their place.
    """
    tables = merge(_without(file, overrides), overrides)
    kept = _without(tables, flags)
    added = merge(kept, flags)
    if LIMITS in flags.get("search", {}):
        before = kept.get("search", {}).get(LIMITS, ())
        added["search"][LIMITS] = [*(before if isinstance(before, (list, tuple)) else ()), *flags["search"][LIMITS]]
    return added


def _without(tables: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """The tables without limits that a later layer sets."""
    search, over = tables.get("search"), later.get("search")
    if not isinstance(search, Mapping) or not isinstance(over, Mapping):
        return dict(tables)
    taken = {(limit.kind, limit.relation) for limit in given_limits(over)[0]}
    left = {key: value for key, value in search.items() if SHORT.get(key) not in taken}
    if isinstance(left.get(LIMITS), (list, tuple)):
        left[LIMITS] = [text for text in left[LIMITS] if not taken & {(limit.kind, limit.relation) for limit in _read(text)}]
    return {**tables, "search": left}


def _read(text: Any) -> list[Limit]:
    return parse_limits([text])[0] if isinstance(text, str) else []
