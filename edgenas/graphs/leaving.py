"""Which layers stay out of int8: those whose rounding changes decisions, found by quantising each group alone, or all others.

A layer is judged by what it does to decisions, first to the class that must not be missed, not by how far numbers move. Groups are
left out worst first, as few as make what is left hold what was asked for; then each that is not needed for that returns, and last
single layers of those that are. What a group does alone tells little of what it does among others, and where everything is lost
no group makes a difference: both orders are tried, and the plan that quantises more is taken.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

MAX_GROUPS = 24  # that are tried alone, each costs a pass over the images
_MEMBER = re.compile(r"^members\.\d+\.")  # of a net of several that answer together


@dataclass(frozen=True, slots=True, order=True)
class Effect:
    """What a reduced precision does to decisions on some images; the smaller the better, in this order.

    Attributes:
        new_misses: images of the class that must not be missed (without one: of any) that only float32 decides rightly.
        changed: images that are decided otherwise.
        error: mean absolute difference of the deciding probability; infinite where an answer is not finite.
        num: images.
    """

    new_misses: int
    changed: int
    error: float
    num: int

    def __str__(self) -> str:
        return (
            f"{self.new_misses} new misses, {self.changed} of {self.num} decisions changed, probability moved by {self.error:.2g}"
        )


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """Layers that are quantised together or not at all: a part of the net, and its nodes."""

    name: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QuantisationPlan:
    """What is quantised.

    Attributes:
        nodes: that are quantised.
        left_out: groups that are not, worst first, with their effect alone.
        all_quantised: effect of quantising everything.
        effect: of quantising ``nodes``.
        holds: whether that is what was asked for.
        by_rest: whether the effects of ``left_out`` are those of quantising everything but each of them, below zero.
    """

    nodes: tuple[str, ...]
    left_out: tuple[tuple[LayerGroup, Effect], ...]
    all_quantised: Effect
    effect: Effect
    holds: bool
    by_rest: bool = False


def groups_of(names: Sequence[str], limit: int = MAX_GROUPS) -> tuple[LayerGroup, ...]:
    """Parts of a net as fine as ``limit`` groups allow: by the path of a node's name, by neighbours where names have none.

    Of nets that answer together the same part of each is one group, so that groups are as fine as those of one net.

    Args:
        names: of nodes, ``stages.0.blocks.1.mlp.fc1/MatMul`` where the path is known.
        limit: largest number of groups.
    """
    if len(names) <= limit:
        return tuple(LayerGroup(name, (name,)) for name in names)
    paths = [tuple(_MEMBER.sub("", name.rpartition("/")[0]).split(".")) for name in names]
    for depth in range(max(len(path) for path in paths), 0, -1):
        keys = [".".join(path[:depth]) for path in paths]
        if 1 < len(set(keys)) <= limit:
            return tuple(LayerGroup(key, _of(key, keys, names)) for key in dict.fromkeys(keys))
    size = -(-len(names) // limit)
    chunks = [tuple(names[start : start + size]) for start in range(0, len(names), size)]
    return tuple(LayerGroup(chunk[0] if len(chunk) == 1 else f"{chunk[0]} to {chunk[-1]}", chunk) for chunk in chunks)


def _of(key: str, keys: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for each, name in zip(keys, names, strict=True) if each == key)


def plan(
    groups: Sequence[LayerGroup],
    measure: Callable[[Sequence[str]], Effect],
    holds: Callable[[Effect], bool],
    *,
    budget_s: float,
    rank: Callable[[Sequence[str]], Effect] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> QuantisationPlan:
    """Quantise as many groups as ``holds`` allows, taking for granted that leaving out one group more does no harm.

    Args:
        groups: one or more.
        measure: effect of quantising some nodes, one or more.
        holds: whether an effect is small enough.
        budget_s: seconds after which no more groups are tried alone: what was not tried is not left out. After twice as many the
            search ends with what it has, which holds not, though some nodes are still quantised.
        rank: the same as ``measure`` of fewer images, by which groups are put in order; None takes ``measure``.
        clock: in seconds.
    """
    start = clock()
    everything = tuple(node for group in groups for node in group.nodes)
    first = measure(everything)
    if holds(first):
        return QuantisationPlan(everything, (), first, first, holds=True)

    def is_over(share: float) -> bool:
        return clock() - start > share * budget_s

    def alone(nodes: Sequence[str]) -> Effect:
        return (rank or measure)(nodes)

    def rest(nodes: Sequence[str]) -> Effect:
        left = (rank or measure)(tuple(node for node in everything if node not in nodes))
        return Effect(-left.new_misses, -left.changed, -left.error, left.num)  # the less is left, the worse they are

    search = _Search(tuple(groups), measure, holds, first, is_over)
    found = search.ordered(alone)
    if len(groups) == 1 or sum(len(group.nodes) for group, _ in found.left_out) <= 1 or is_over(1):
        return found
    other = search.ordered(rest)
    return max(found, replace(other, by_rest=True), key=lambda each: (each.holds, len(each.nodes)))


@dataclass(frozen=True, slots=True)
class _Search:
    """A search of groups that stay out, whatever puts them in order.

    Attributes:
        groups: all of them.
        measure: effect of quantising some nodes.
        holds: whether an effect is small enough.
        first: effect of quantising everything.
        is_over: whether so many times the time for trying groups is.
    """

    groups: tuple[LayerGroup, ...]
    measure: Callable[[Sequence[str]], Effect]
    holds: Callable[[Effect], bool]
    first: Effect
    is_over: Callable[[float], bool]

    def ordered(self, harm: Callable[[Sequence[str]], Effect]) -> QuantisationPlan:
        """The plan that leaves out groups by their harm, the largest first."""
        groups, measure, holds, first = self.groups, self.measure, self.holds, self.first
        ranked: list[tuple[LayerGroup, Effect]] = []
        for group in groups:
            if self.is_over(1):
                break
            ranked.append((group, harm(group.nodes)))
        ranked.sort(key=lambda each: each[1], reverse=True)
        most = min(len(ranked), len(groups) - 1)

        def without(num: int) -> tuple[str, ...]:
            return _without(groups, [group for group, _ in ranked[:num]])

        def is_over() -> bool:
            return self.is_over(2)

        found = _fewest(most, lambda num: measure(without(num)), holds, is_over)
        num, effect = found if found is not None else (0, first)
        if not holds(effect):
            num = len(ranked) if num == most < len(ranked) else num  # what is left does not hold either
            return QuantisationPlan(without(num), tuple(ranked[:num]), first, effect, holds=False)
        holding = QuantisationPlan(without(num), tuple(ranked[:num]), first, effect, holds=True)
        last = holding.left_out[-1][0]  # which was needed
        returned = _returned(groups, holding, measure, holds, is_over, kept=last)
        parts, single = _split(groups, returned, harm, is_over)
        return _returned(parts, single, measure, holds, is_over) if parts != groups else returned


def _returned(
    groups: Sequence[LayerGroup],
    found: QuantisationPlan,
    measure: Callable[[Sequence[str]], Effect],
    holds: Callable[[Effect], bool],
    is_over: Callable[[], bool],
    kept: LayerGroup | None = None,
) -> QuantisationPlan:
    """A plan that holds, with groups quantised again that it can do with, the least harmful first: order alone leaves out some.

    Args:
        groups: all of them.
        found: which are left out.
        measure: effect of quantising some nodes.
        holds: whether an effect is small enough.
        is_over: whether time is.
        kept: is not tried.
    """
    left_out, effect = list(found.left_out), found.effect
    for each in reversed(found.left_out):
        if is_over():
            break
        if each[0] is kept:
            continue
        fewer = [other for other in left_out if other is not each]
        tried = measure(_without(groups, [group for group, _ in fewer]))
        if holds(tried):
            left_out, effect = fewer, tried
    nodes = _without(groups, [group for group, _ in left_out])
    return replace(found, nodes=nodes, left_out=tuple(left_out), effect=effect)


def _split(
    groups: Sequence[LayerGroup],
    found: QuantisationPlan,
    rank: Callable[[Sequence[str]], Effect],
    is_over: Callable[[], bool],
) -> tuple[tuple[LayerGroup, ...], QuantisationPlan]:
    """The same plan with every group of several layers that is left out as so many groups of one, worst first.

    What time does not suffice to try alone is taken to be as harmful as its group.
    """
    split: dict[LayerGroup, list[LayerGroup]] = {}
    left_out: list[tuple[LayerGroup, Effect]] = []
    for group, effect in found.left_out:
        if len(group.nodes) == 1:
            left_out.append((group, effect))
            continue
        split[group] = [LayerGroup(node, (node,)) for node in group.nodes]
        left_out += [(each, effect if is_over() else rank(each.nodes)) for each in split[group]]
    left_out.sort(key=lambda each: each[1], reverse=True)
    parts = tuple(part for group in groups for part in split.get(group, [group]))
    return parts, replace(found, left_out=tuple(left_out))


def _fewest(
    most: int, trial: Callable[[int], Effect], holds: Callable[[Effect], bool], is_over: Callable[[], bool]
) -> tuple[int, Effect] | None:
    """The least number up to ``most`` whose effect holds, with that effect: doubled until one does, then halved.

    Where none holds it is ``most``, or the last before time was over; None if there is none to try.
    """
    failed, num = 0, min(1, most)
    effect = None
    while num > failed:
        effect = trial(num)
        if holds(effect):
            break
        failed, num = num, num if is_over() else min(2 * num, most)
    while effect is not None and holds(effect) and num - failed > 1 and not is_over():
        middle = (failed + num) // 2
        tried = trial(middle)
        if holds(tried):
            num, effect = middle, tried
        else:
            failed = middle
    return None if effect is None else (num, effect)


def _without(groups: Sequence[LayerGroup], left_out: Sequence[LayerGroup]) -> tuple[str, ...]:
    return tuple(node for group in groups if group not in left_out for node in group.nodes)
