"""Objectives of a search as pictures call them."""

from __future__ import annotations

from collections.abc import Sequence

from edgenas.records import CandidateRow, FrontAxis

_LABELS = {
    "macs": "multiply-accumulates",
    "reference_macs": "multiply-accumulates as the literature counts",
    "params": "parameters",
    "memory_mb": "memory",
    "depth": "blocks",
}
MILLION = 1e-6


def is_share(name: str) -> bool:
    """Whether the objective is a fraction, which is shown in per cent."""
    return name == "accuracy" or name.startswith("sensitivity[")


def drawn_label(name: str, *, is_bound: bool = False) -> str:
    """What stands at the axis of an objective, with its unit.

    Args:
        name: of the objective, e.g. ``latency_ms[jetson]``.
        is_bound: whether its values are upper bounds on a latency.
    """
    if is_share(name):
        return f"{_what(name)} on select (%)"
    return f"{_what(name, is_bound=is_bound)}{_unit(name)}"


def short_label(name: str, length: int, *, is_bound: bool = False, scale: float = 1.0) -> str:
    """The same in at most so many characters: the name of a class or a device that is too long for it is left out.

    Args:
        name, is_bound: as in `drawn_label`.
        length: in characters.
        scale: that values are shown in: 1e-6 for millions.
    """
    unit = " (%)" if is_share(name) else (" (M)" if scale == MILLION else _unit(name))
    label = _what(name, is_bound=is_bound) + unit
    return label if len(label) <= length else _what(name.partition("[")[0], is_bound=is_bound) + unit


def scale_of(name: str) -> float:
    """What large counts are shown in."""
    return MILLION if name in ("macs", "reference_macs", "params") else 1.0


def off_front(axes: Sequence[FrontAxis], rows: Sequence[CandidateRow], front: Sequence[int], winner: CandidateRow | None) -> str:
    """Why the winner is no net of the front on select, in words; empty where it is one.

    Args:
        axes: that decide what is on the front.
        rows: all nets.
        front: places of those that no other beats.
        winner: one of them, as a finalist; None without one.
    """
    places = [place for place, row in enumerate(rows) if winner is not None and row.arch == winner.arch]
    values = {tuple(axis.values[place] for axis in axes) for place in front}
    if winner is None or not places or tuple(axis.values[places[0]] for axis in axes) in values:
        return ""
    where = "confirm" if winner.proof is None else "select and confirm, as trained alone"
    return f"the winner is the best of the finalists on {where}; on select other nets beat it"


def _what(name: str, *, is_bound: bool = False) -> str:
    """The quantity without its unit."""
    kind, _, subject = name.removesuffix("]").partition("[")
    if kind == "accuracy":
        return "top-1"
    if kind == "sensitivity":
        return f"sensitivity of {subject}" if subject else kind
    if kind == "latency_ms":
        return f"{'upper bound on the latency' if is_bound else 'predicted latency'}{f' on {subject}' if subject else ''}"
    return _LABELS.get(kind, name)


def _unit(name: str) -> str:
    return " (ms)" if name.startswith("latency_ms") else (" (MB)" if name == "memory_mb" else "")
