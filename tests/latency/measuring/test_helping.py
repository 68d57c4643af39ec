"""Portions that other processes trace: what is kept is what one process would have kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgenas.latency import ComponentGraphs
from edgenas.latency.measuring.helping import Traced, traced_by
from edgenas.latency.nets import Portion, compose

PORTIONS = [("stem", "a", "head"), ("stem", "b", "head"), ("stem", "c", "head")]


def never(components: Sequence[Any]) -> Any:
    raise AssertionError(f"{components} are traced in this process")


class Answering:
    """Gives portions in some order, as text that tells which portion it is of, and perhaps ends before the last."""

    num = 2

    def __init__(self, order: Sequence[int], error: Exception | None = None) -> None:
        self.order, self.error = order, error

    def files(self, graphs: ComponentGraphs, portions: Sequence[Portion]) -> Iterator[Traced | None]:
        for number in self.order:
            yield None
            yield number, {graphs.file_name(each): f"{each} of {number}".encode() for each in portions[number]}
        if self.error is not None:
            raise self.error


def kept(graphs: ComponentGraphs) -> dict[str, str]:
    paths = {name: graphs.folder / graphs.file_name(name) for name in ("stem", "a", "b", "c", "head")}
    return {name: path.read_text() for name, path in paths.items() if path.exists()}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_last_portion_stays_in_whatever_order_they_come(order: tuple[int, ...], tmp_path: Path) -> None:
    graphs = ComponentGraphs(never, tmp_path)
    said = list(traced_by(Answering(order), graphs, PORTIONS, "tracing"))
    assert kept(graphs) == {"stem": "stem of 2", "a": "a of 0", "b": "b of 1", "c": "c of 2", "head": "head of 2"}
    assert [said[0].done, *dict.fromkeys(progress.done for progress in said[1:])] == [0, 0, 3, 4, 5]
    assert {progress.total for progress in said} == {5}


def test_what_came_before_a_fault_is_kept(tmp_path: Path) -> None:
    graphs = ComponentGraphs(never, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        list(traced_by(Answering([1], KeyboardInterrupt()), graphs, PORTIONS, "tracing"))  # type: ignore[arg-type]
    assert kept(graphs) == {"stem": "stem of 1", "b": "b of 1", "head": "head of 1"}


def test_portions_of_several_chains_bring_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "PORTION", 2)
    graphs = ComponentGraphs(never, tmp_path)
    first = ("stem", "a", "b", "c", "head")
    second = ("stem", "b", "d", "other")
    frames = {"first": ("stem", "head"), "second": ("stem", "other")}
    portions = graphs.portions_of([(first, frames["first"]), (second, frames["second"]), (first, frames["first"])])
    assert portions == [("stem", "a", "head"), ("stem", "b", "c", "head"), ("stem", "d", "other")]
