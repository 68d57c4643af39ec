"""What sessions differ by: that the prior of bounds is what was measured, and that its scale is found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.session_shifts import STEM, Group, apart, left_out, main, scale_of, scales_of
from edgenas.latency import QUANTILES
from edgenas.latency.fit import PRIORS, Prior
from edgenas.latency.fit.between import NOTHING
from edgenas.latency.table import session_of, with_session
from tests.latency.tables import toy_table

ROOT = Path(__file__).parents[2]


def groups_of(deviations: list[float], num: int = 4) -> list[Group]:
    """Groups whose shifts have these standard deviations."""
    drawn = np.random.default_rng(0).normal(size=num)
    unit = (drawn - drawn.mean()) / drawn.std(ddof=1)
    rests = np.linspace(-0.01, 0.01, 30)
    return [
        Group(str(number), {str(place): dict.fromkeys(QUANTILES, by * shift + rests) for place, shift in enumerate(unit)})
        for number, by in enumerate(deviations)
    ]


def test_the_prior_is_what_sessions_differed_by_where_that_was_measured() -> None:
    report = json.loads((ROOT / "docs" / "measurements" / f"{STEM}.json").read_text(encoding="utf-8"))
    groups = [Group.from_json(plain) for plain in report["groups"]]
    scales, num = scales_of(groups), sum(len(group.sessions) for group in groups)
    assert PRIORS["p50"].scale == round(scales["p50"], 3)
    assert {PRIORS[name].scale for name in ("p90", "p95", "p99")} == {round(scales["p95"], 2)}
    for prior in PRIORS.values():
        assert prior.source.startswith(f"{num} sessions of {len(groups)} tables ")
        assert (ROOT / prior.source.split(": ")[1]).is_file()


def test_groups_that_differ_alike_have_that_scale_and_others_one_between() -> None:
    assert scale_of(groups_of([0.1] * 5), "p50", 3) == pytest.approx(0.1, rel=0.1)
    assert 0.02 < scale_of(groups_of([0.02, 0.05, 0.2]), "p50", 3) < 0.2
    assert apart(groups_of([0.1])[0], "p95") == (pytest.approx(0.1), 3)


def test_sessions_left_out_keep_wide_bounds_and_break_narrow_ones() -> None:
    (group,) = groups_of([0.1])
    narrow, wide = (left_out(group, "p95", 2, prior) for prior in (NOTHING, Prior(0.3, 3)))
    assert wide["kept"] == wide["sessions_kept"] == 1.0
    assert narrow["factors"][0] < wide["factors"][0] < wide["factors"][2] < narrow["factors"][2]


def test_sessions_of_a_table_and_of_reports_on_it_are_one_group(tmp_path: Path) -> None:
    first, second = toy_table(1, bound=20), toy_table(2, bound=20)
    later = replace(second, measuring=replace(second.measuring, date="2027-01-02T10:00:00+00:00"))
    table = with_session(first, session_of(first, later))
    table.write(tmp_path / "table.json")
    nets = {"predicted_ms": [1.0, 2.0], "measured_ms": {"noon": [[1.1, 1.2, 1.3, 1.4], [2.2, 2.4, 2.6, 2.8]]}}
    report = {"nets": nets, "sessions": {"noon": {"began": "2027-01-03T12:00:00+00:00"}}}
    (tmp_path / "coverage.json").write_text(json.dumps(report), encoding="utf-8")
    main(["--table", str(tmp_path / "table.json"), "--coverage", str(tmp_path / "coverage.json"), "--output", str(tmp_path)])
    found = json.loads((tmp_path / f"{STEM}.json").read_text(encoding="utf-8"))
    (group,) = found["groups"]
    assert len(group["logs"]) == 3
    assert group["logs"]["2027-01-03T12:00:00+00:00"]["p99"] == pytest.approx(np.log([1.4, 1.4]), abs=1e-5)
    text = (tmp_path / f"{STEM}.md").read_text(encoding="utf-8")
    assert "| 2027-01-03 12:00 | 2 | 1.100 | 1.200 | 1.300 | 1.400 |" in text
    assert "| 2 sessions | present | p99 |" in text
