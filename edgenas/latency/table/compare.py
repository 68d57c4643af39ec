"""Two latency tables side by side: what differs in their contexts, and how their costs relate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgenas.latency.fit import kendall_tau
from edgenas.latency.table.entries import Entry, entry_keys
from edgenas.latency.table.table import LatencyTable, minor_version
from edgenas.latency.timing import Context
from edgenas.records import ContextDifference, Details, EntryComparison, EntryRatio, NetComparison, RatioFacts
from edgenas.spaces import SearchSpace, unique_rows

KEYS = tuple(field.name for field in fields(Context) if field.name not in ("runtime_version", "details"))
MAX_LARGEST = 8  # entries listed one by one
NUM_NETS = 2000
# details that always differ, or are looked into
UNCOMPARED = ("affinity", "command", "load_average", "temperature_c", "frequency_mhz", "versions", "gpu")


def differences(first: LatencyTable, second: LatencyTable) -> tuple[ContextDifference, ...]:
    """Everything in which space, task and context of two tables differ, the weighty first.

    A runtime of another major or minor version counts as another runtime; its patch version and the driver only warn.
    """
    unequal = [*_of_space(first, second), *_of_context(first, second), *_of_details(first, second)]
    order = ("refused", "warns", "noted")
    return tuple(sorted(unequal, key=lambda difference: order.index(difference.weight)))


def _difference(key: str, first: Any, second: Any, weight: Literal["refused", "warns", "noted"]) -> ContextDifference:
    return ContextDifference(key=key, first=first, second=second, weight=weight)


def _of_space(first: LatencyTable, second: LatencyTable) -> Iterator[ContextDifference]:
    if first.space != second.space:
        yield _difference("space", first.space, second.space, "refused")
    elif first.space_sha256 != second.space_sha256:
        yield _difference("choices of the space", first.space_sha256[:12], second.space_sha256[:12], "refused")
    for key, value in asdict(first.task).items():
        if value != getattr(second.task, key):
            yield _difference(key, value, getattr(second.task, key), "refused")


def _of_context(first: LatencyTable, second: LatencyTable) -> Iterator[ContextDifference]:
    for key in KEYS:
        one, other = getattr(first.context, key), getattr(second.context, key)
        if one != other:
            yield _difference(key, one, other, "refused")
    one, other = first.context.runtime_version, second.context.runtime_version
    if one != other:
        yield _difference("runtime_version", one, other, "warns" if minor_version(one) == minor_version(other) else "refused")


def _of_details(first: LatencyTable, second: LatencyTable) -> Iterator[ContextDifference]:
    one, other = _flat(first.context.details), _flat(second.context.details)
    for key in dict.fromkeys([*one, *other]):
        if one.get(key) != other.get(key):
            yield _difference(key, one.get(key), other.get(key), "warns" if key == "driver" else "noted")


def _flat(details: Details) -> Details:
    """What of the details is worth comparing; versions by their package, the driver by its name."""
    flat = {key: value for key, value in details.items() if key not in UNCOMPARED}
    versions, gpu = details.get("versions"), details.get("gpu")
    if isinstance(versions, Mapping):
        flat |= {f"version of {package}": version for package, version in versions.items()}
    if isinstance(gpu, Mapping) and gpu.get("driver") is not None:
        flat["driver"] = gpu["driver"]
    return flat


def _ratios(ratios: NDArray[np.float64]) -> RatioFacts:
    """The distribution of at least one ratio, second to first."""
    median, (p5, p95) = float(np.median(ratios)), np.quantile(ratios, [0.05, 0.95])
    mad = float(np.median(np.abs(ratios - median)))
    least, most = float(ratios.min()), float(ratios.max())
    return RatioFacts(n=len(ratios), median=median, mad=mad, p5=float(p5), p95=float(p95), min=least, max=most)


def compare_entries(first: LatencyTable, second: LatencyTable) -> EntryComparison:
    """How the entries that both have relate: ratios over all of them, and those whose ratio is farthest from the median."""
    one, other = _by_components(first), _by_components(second)
    both = [key for key in one if key in other and one[key].ms > 0 and other[key].ms > 0]
    ratios = np.array([other[key].ms / one[key].ms for key in both])
    away = np.abs(np.log(ratios / np.median(ratios))) if both else ratios
    largest = tuple(
        EntryRatio(
            components=one[both[at]].components,
            first_ms=one[both[at]].ms,
            second_ms=other[both[at]].ms,
            ratio=float(ratios[at]),
        )
        for at in np.argsort(-away, kind="stable")[:MAX_LARGEST]
    )
    return EntryComparison(
        ratios=_ratios(ratios) if both else None,
        only_first=len(one.keys() - other.keys()),
        only_second=len(other.keys() - one.keys()),
        largest=largest,
    )


def _by_components(table: LatencyTable) -> dict[tuple[str, ...], Entry]:
    return {entry_keys(entry): entry for entry in table.entries}


def compare_nets(first: LatencyTable, second: LatencyTable, space: SearchSpace, rng: np.random.Generator) -> NetComparison:
    """How the predictions of the same nets relate, up to 2000 of the space, and whether both tables rank them alike.

    Raises:
        LatencyTableError: if one of them lacks entries.
    """
    rows_AG = space.enumerate() if space.cardinality <= NUM_NETS else unique_rows(space.sample(NUM_NETS, rng))
    one = first.to_cost_model(space, first.task)(rows_AG)
    other = second.to_cost_model(space, second.task)(rows_AG)
    tau = kendall_tau(one, other)
    return NetComparison(ratios=_ratios(other / one), kendall_tau=None if math.isnan(tau) else tau)
