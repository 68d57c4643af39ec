"""What a search keeps of training-free scores, and what it reports of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.costs import cost_models
from edgenas.project.journals import journal
from edgenas.project.searching.scoring import KnownScore, report_line, report_of
from edgenas.search import Judge
from edgenas.spaces import Genes
from edgenas.spaces.pvt import PVT_NANO
from edgenas.testing.search import LABELS, ToyEvaluator

COSTS = cost_models(PVT_NANO, PVT_NANO.default_task)


def test_a_net_is_scored_once_and_known_to_later_calls(tmp_path: Path) -> None:
    asked: list[Genes] = []

    def compute(genes_AG: Genes) -> NDArray[np.float64]:
        asked.append(genes_AG)
        return genes_AG.sum(axis=1) / 3

    rows_AG = PVT_NANO.sample(6, np.random.default_rng(0))
    for _ in range(2):
        with journal(tmp_path / "scores.jsonl", {"proxy": "toy"}, keep=True) as memory:
            score = KnownScore("toy", compute, memory)
            assert score(rows_AG[:4]).tolist() == (rows_AG[:4].sum(axis=1) / 3).tolist()
            assert score(rows_AG[2:]).tolist() == (rows_AG[2:].sum(axis=1) / 3).tolist()
            assert list(score.known) == [tuple(row) for row in rows_AG.tolist()]
    assert np.array_equal(np.concatenate(asked), rows_AG)


def test_the_report_compares_with_sizes_over_all_and_with_accuracy_over_what_was_evaluated(tmp_path: Path) -> None:
    rows_AG = PVT_NANO.sample(60, np.random.default_rng(1))
    candidates = Judge(ToyEvaluator(PVT_NANO), LABELS, ())(rows_AG[:30], 0, "x")
    with journal(tmp_path / "scores.jsonl", {"proxy": "toy"}) as memory:
        score = KnownScore("toy", lambda genes_AG: COSTS["params"](genes_AG) * 2.0, memory)
        assert report_of(score, candidates, COSTS) is None
        score(rows_AG[10:])
        report = report_of(score, candidates, COSTS)
    assert report is not None
    assert (report.num_scored, report.num_evaluated) == (50, 20)
    assert report.with_size["params"].value == pytest.approx(1.0)
    assert 0 < report.with_size["macs"].value < 1
    assert list(report.with_accuracy) == ["toy", "params", "macs"]
    assert report.with_accuracy["toy"] == report.with_accuracy["params"]
    line = report_line(report)
    assert line.startswith("Kendall's tau of toy over 50 nets with params 1.00 [")
    assert "of the 20 of them that were evaluated: toy " in line
