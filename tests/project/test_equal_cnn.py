"""Which width of the plain CNN is compared: the widest within the limit, found by few measurements."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgenas.project.retraining import equal_cnn
from edgenas.project.retraining.baselines import BaselineLimits
from edgenas.project.retraining.equal_cnn import WIDTHS, find_cnn
from edgenas.project.retraining.ways import Bench, Net
from edgenas.runs import Note
from tests.project.test_verdict import NETS, drain, opened
from tests.recipes.budgets import make_project


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    project, images = opened(make_project(tmp_path_factory.mktemp("cnn")))
    return Bench(project, images, "cpu", None, ("labels",), False)


@pytest.mark.parametrize("num_within", range(len(WIDTHS) + 1))
def test_the_widest_cnn_within_the_limit_is_found_by_at_most_four_measurements(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, num_within: int
) -> None:
    asked: list[int] = []

    def beside(
        _bench: object, _limits: object, _arch: object, width: int, *_: object
    ) -> Generator[Note, None, tuple[float, float]]:
        asked.append(width)
        yield Note("measured")
        return 0.5 + num_within, 1.0 + WIDTHS.index(width)

    monkeypatch.setattr(equal_cnn, "_beside", beside)
    monkeypatch.setattr(equal_cnn, "is_here", lambda _: True)
    monkeypatch.setattr(equal_cnn, "table_of", lambda *_: SimpleNamespace(table=None))
    winner = Net("winner", tmp_path, NETS[0], bench.images)
    found = drain(find_cnn(bench, BaselineLimits(()), winner, memory={}))  # type: ignore[arg-type]
    assert len(asked) == len(set(asked)) <= 4
    if num_within == 0:
        assert found is None
        return
    net, width = found
    assert width == WIDTHS[num_within - 1]
    assert net.facts == {"width": width}
