"""Which parts must stay in a higher precision, found by asking a judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenas.deploy.repairing import RepairOutcome, repair
from edgenas.graphs.blocks import GraphPart
from edgenas.records import RepairTrial


def blocks(num: int, operators: int = 4, costs: Sequence[int] | None = None) -> list[GraphPart]:
    made = []
    for block in range(num):
        cost = costs[block] if costs is not None else block + 1
        parts = tuple(GraphPart(f"{block}/{i}", (f"{block}/{i}",), cost) for i in range(operators))
        made.append(GraphPart(str(block), (str(block),), cost * operators, parts))
    return made


def judge_of(needed: set[str]) -> Callable[[tuple[str, ...]], str]:
    """Passes where every needed operator is kept, alone or with its block."""

    def judge(kept: tuple[str, ...]) -> str:
        missing = [name for name in needed if name not in kept and name.partition("/")[0] not in kept]
        return f"{len(missing)} overflow" if missing else ""

    return judge


def run(
    judge: Callable[[tuple[str, ...]], str], parts: Sequence[GraphPart], **options: object
) -> tuple[list[RepairTrial], RepairOutcome]:
    trials = []
    work = repair(judge, parts, **options)  # type: ignore[arg-type]
    while True:
        try:
            trials.append(next(work))
        except StopIteration as end:
            return trials, end.value


def test_nothing_is_kept_where_the_plain_conversion_passes() -> None:
    trials, found = run(judge_of(set()), blocks(4))
    assert (found.kept, found.blocks, len(trials)) == ((), (), 1)


def test_the_one_guilty_operator_is_found_in_few_attempts() -> None:
    trials, found = run(judge_of({"11/2"}), blocks(16))
    assert (found.kept, found.blocks) == (("11/2",), ("11",))
    assert list(found.trials) == trials
    assert len(trials) <= 12  # 2, log2(16) + 1, log2(4) + 1, and the answer itself


def test_a_block_whose_every_operator_is_needed_is_kept_by_its_name() -> None:
    _, found = run(judge_of({f"2/{i}" for i in range(4)}), blocks(5))
    assert found.kept == ("2",)


def test_of_two_ways_the_cheaper_is_taken() -> None:
    def judge(kept: tuple[str, ...]) -> str:
        return "" if {"0", "0/0", "3", "3/0"} & set(kept) else "overflow"

    _, found = run(judge, blocks(4, costs=[9, 1, 1, 2]))
    assert found.kept == ("3/0",)


def test_what_nothing_repairs_is_said_after_two_attempts() -> None:
    trials, found = run(lambda _: "the source itself fails", blocks(8))
    assert found.kept is None
    assert len(trials) == 2


def test_what_is_needed_anyway_is_kept_in_every_attempt() -> None:
    trials, found = run(judge_of({"1/1"}), blocks(4), needed=("3/0",))
    assert found.kept == ("3/0", "1/1")
    assert found.blocks == ("1", "3")
    assert all("3/0" in trial.kept for trial in trials)


def test_a_budget_ends_with_a_set_that_passes() -> None:
    trials, found = run(judge_of({"11/2", "3/1", "5/0"}), blocks(16), max_trials=6)
    assert len(trials) == 6
    assert found.kept is not None
    assert judge_of({"11/2", "3/1", "5/0"})(found.kept) == ""


def test_a_set_that_only_looks_minimal_is_not_returned() -> None:
    """Where keeping more breaks a gate, halves mislead; the answer has passed itself."""

    def judge(kept: tuple[str, ...]) -> str:
        return "" if len(kept) in (3, 6) else "overflow"

    _, found = run(judge, blocks(6, operators=1))
    assert found.kept is not None
    assert judge(found.kept) == ""


@given(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=5))
def test_exactly_the_guilty_are_found(guilty: set[tuple[int, int]]) -> None:
    needed = {f"{block}/{i}" for block, i in guilty}
    _, found = run(judge_of(needed), blocks(10))
    assert found.kept is not None
    whole = {name for name in found.kept if "/" not in name}
    expanded = {f"{name}/{i}" for name in whole for i in range(4)} | {name for name in found.kept if "/" in name}
    assert expanded == needed
    assert set(found.blocks) == {str(block) for block, _ in guilty}


@pytest.mark.parametrize("num", [0, 1])
def test_no_block_or_one_is_enough_to_say_so(num: int) -> None:
    _, found = run(judge_of({"0/3"}), blocks(num))
    assert found.kept == (("0/3",) if num else None)
