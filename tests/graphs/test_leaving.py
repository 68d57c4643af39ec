"""Which layers stay out of int8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import pytest

from edgenas.graphs.leaving import MAX_GROUPS, Effect, LayerGroup, groups_of, plan

HARM = {"a": (0, 0, 0.01), "b": (3, 5, 0.2), "c": (0, 2, 0.1), "d": (0, 0, 0.02)}
GROUPS = tuple(LayerGroup(name, (f"{name}/MatMul",)) for name in HARM)


def measure(nodes: Sequence[str]) -> Effect:
    """Harm that adds up."""
    harms = [HARM[node.partition("/")[0]] for node in nodes]
    return Effect(sum(h[0] for h in harms), sum(h[1] for h in harms), sum(h[2] for h in harms), 100)


def names_of(found: Sequence[tuple[LayerGroup, Effect]]) -> list[str]:
    """Of groups that were left out."""
    return [group.name for group, _ in found]


def test_nothing_is_left_out_where_everything_holds() -> None:
    found = plan(GROUPS, measure, lambda effect: effect.changed <= 10, budget_s=60)
    assert found.holds
    assert found.left_out == ()
    assert len(found.nodes) == 4


def test_the_layer_that_causes_misses_goes_first_and_no_more_than_needed() -> None:
    found = plan(GROUPS, measure, lambda effect: effect.new_misses == 0, budget_s=60)
    assert names_of(found.left_out) == ["b"]
    assert found.left_out[0][1] == Effect(3, 5, 0.2, 100)
    assert found.nodes == ("a/MatMul", "c/MatMul", "d/MatMul")
    assert (found.all_quantised.changed, found.effect.changed) == (7, 2)
    strict = plan(GROUPS, measure, lambda effect: effect.changed == 0, budget_s=60)
    assert names_of(strict.left_out) == ["b", "c"]


def test_what_nothing_helps_is_said() -> None:
    found = plan(GROUPS, measure, lambda effect: False, budget_s=60)
    assert not found.holds
    assert found.nodes == ()


@pytest.mark.parametrize("needed", range(1, 21))
def test_the_fewest_groups_are_left_out_in_few_trials(needed: int) -> None:
    groups = [LayerGroup(f"g{each}", (f"g{each}/MatMul",)) for each in range(24)]
    trials: list[int] = []

    def first_are_harmful(nodes: Sequence[str]) -> Effect:
        if len(nodes) > 1:
            trials.append(len(nodes))
        return Effect(0, sum(int(node[1:].partition("/")[0]) < needed for node in nodes), 0.0, 100)

    found = plan(groups, first_are_harmful, lambda effect: effect.changed == 0, budget_s=60)
    assert len(found.left_out) == needed
    assert {group.name for group, _ in found.left_out} == {f"g{each}" for each in range(needed)}
    assert len(found.nodes) == 24 - needed
    assert found.holds
    assert found.effect.changed == 0
    bound = min(needed + 1, 10) + needed - 1  # each but the last is tried again
    orders = 1 if needed == 1 else 2  # the second order tries all but each group, and then as the first does
    assert len(trials) - 1 <= orders * bound + (orders - 1) * 24


def test_groups_that_a_wrong_order_left_out_in_vain_return() -> None:
    ranked: list[tuple[str, ...]] = []

    def rank(nodes: Sequence[str]) -> Effect:
        ranked.append(tuple(nodes))
        return Effect(0, len(nodes[0]) + ord(nodes[0][0]), 0.0, 24)  # d before c before b

    found = plan(GROUPS, measure, lambda effect: effect.new_misses == 0, budget_s=60, rank=rank)
    assert ranked == [group.nodes for group in GROUPS]
    assert names_of(found.left_out) == ["b"]
    assert found.nodes == ("a/MatMul", "c/MatMul", "d/MatMul")
    assert found.effect == measure(found.nodes)
    assert found.holds


def harm_of_one(harmful: str) -> Callable[[Sequence[str]], Effect]:
    """An effect that one layer has."""
    return lambda nodes: Effect(0, int(harmful in nodes), 0.0, 100)


def test_a_layer_that_is_harmful_among_others_alone_goes_first_where_that_leaves_more() -> None:
    groups = [LayerGroup(f"g{each}", (f"g{each}/Conv",)) for each in range(8)]
    harmful = "g5/Conv"  # alone it moves less than any other, beside three others it loses decisions

    def effect(nodes: Sequence[str]) -> Effect:
        changed = 3 if harmful in nodes and len(nodes) > 3 else 0
        return Effect(0, changed, 0.1 * sum(node != harmful for node in nodes), 100)

    found = plan(groups, effect, lambda effect: effect.changed == 0, budget_s=60)
    assert found.holds
    assert found.by_rest
    assert names_of(found.left_out) == ["g5"]
    assert found.left_out[0][1] == Effect(0, 0, pytest.approx(-0.7), 100)  # of all the others, below zero
    assert len(found.nodes) == 7


def test_single_layers_of_a_group_that_is_left_out_return() -> None:
    groups = [LayerGroup(block, tuple(f"{block}.{layer}/Conv" for layer in "pqr")) for block in "abc"]
    found = plan(groups, harm_of_one("b.q/Conv"), lambda effect: effect.changed == 0, budget_s=60)
    assert found.holds
    assert names_of(found.left_out) == ["b.q/Conv"]
    assert found.nodes == tuple(node for group in groups for node in group.nodes if node != "b.q/Conv")


def test_layers_that_time_does_not_suffice_to_try_stay_out() -> None:
    groups = [LayerGroup(block, tuple(f"{block}.{layer}/Conv" for layer in "pqr")) for block in "abc"]
    harmful, asked = harm_of_one("b.q/Conv"), []

    def counted(nodes: Sequence[str]) -> Effect:
        asked.append(nodes)
        return harmful(nodes)

    def seconds() -> float:
        return 100.0 if len(asked) > 5 else 0.0  # all, every group, all but the worst

    found = plan(groups, counted, lambda effect: effect.changed == 0, budget_s=10, clock=seconds)
    assert found.holds
    assert sorted(names_of(found.left_out)) == ["b.p/Conv", "b.q/Conv", "b.r/Conv"]
    assert len(asked) == 6


def test_one_group_that_does_not_hold_is_all_that_was_left_out() -> None:
    found = plan(GROUPS[1:2], measure, lambda effect: False, budget_s=60)
    assert (found.holds, found.nodes, names_of(found.left_out)) == (False, (), ["b"])


def test_time_is_bounded() -> None:
    clock = (10.0 * each for each in count())
    asked: list[tuple[str, ...]] = []

    def counted(nodes: Sequence[str]) -> Effect:
        asked.append(tuple(nodes))
        return measure(nodes)

    found = plan(GROUPS, counted, lambda effect: effect.changed == 0, budget_s=15, clock=lambda: next(clock))
    assert not found.holds
    assert len(asked) < 1 + len(GROUPS) + len(GROUPS)


def test_groups_are_blocks_of_the_net_as_fine_as_the_limit_allows() -> None:
    names = [f"stages.{s}.blocks.{b}.{part}/MatMul" for s in range(4) for b in range(2) for part in ("q", "kv", "fc1", "fc2")]
    groups = groups_of(names)
    assert len(groups) == 8
    assert groups[0] == LayerGroup("stages.0.blocks.0", tuple(names[:4]))
    assert groups_of(names[:8]) == tuple(LayerGroup(name, (name,)) for name in names[:8])


@pytest.mark.parametrize("num", [25, 100, 1000])
def test_nameless_nodes_are_grouped_by_neighbours(num: int) -> None:
    names = [f"node_{position}" for position in range(num)]
    groups = groups_of(names)
    assert 1 < len(groups) <= MAX_GROUPS
    assert [node for group in groups for node in group.nodes] == names


def test_nets_that_answer_together_fall_into_the_groups_of_one() -> None:
    own = [f"stages.{stage}.blocks.0.{layer}/Conv" for stage in range(4) for layer in ("attn", "fc1", "fc2", "proj")]
    groups = groups_of([f"members.{member}.{name}" for member in range(3) for name in own])
    assert [group.name for group in groups] == [name.removesuffix("/Conv") for name in own]
    assert groups[1].nodes == tuple(f"members.{member}.{own[1]}" for member in range(3))
