"""The study of bounds for nets that searches chose: on a device that costs what a formula says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import chosen_coverage
from edgenas.latency.measuring import Workshop
from tests.latency.tables import nano, toy_table
from tests.latency.toy import ToyRuntime, build


def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: ToyRuntime, *arguments: str) -> dict[str, Any]:
    """The report of a session on the toy."""
    monkeypatch.setattr(chosen_coverage, "runtime_of", lambda table: runtime)
    monkeypatch.setattr(Workshop, "build", lambda self, chain: build(chain))
    monkeypatch.setattr(Workshop, "target", lambda self, threads, fps=None: runtime.target(threads=threads, fps=fps))
    table = tmp_path / "table.json"
    if not table.exists():
        toy_table(bound=20).write(table)
    own = ("--table", str(table), "--num", "10", "--run", str(tmp_path / "run"), "--output", str(tmp_path / "out"))
    chosen_coverage.main([*own, *arguments])
    (path,) = (tmp_path / "out").glob("*.json")
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


@pytest.mark.slow  # the work of a study, not of a command
def test_chosen_nets_are_near_their_limits_and_unknown_to_the_table() -> None:
    table, space = toy_table(bound=20), nano()
    asked = chosen_coverage.Study(table, space, 12, 20.0, "first", 0)
    rows_AG, origins = chosen_coverage.choose(asked, log=lambda text: None)
    again_AG, _ = chosen_coverage.choose(asked, log=lambda text: None)
    assert (rows_AG == again_AG).all()
    predicted = table.to_cost_model(space, table.task)(rows_AG)
    limits = np.array([origin["limit_ms"] for origin in origins])
    assert (predicted <= limits).all()
    assert np.median(predicted / limits) > 0.9
    measured = (table.bound_nets, table.checks, table.measuring.calibration_rows or ())
    known = [net.arch for nets in measured for net in nets]
    drawn_AG = chosen_coverage.draw(asked)
    assert len({tuple(row) for row in (*rows_AG.tolist(), *drawn_AG.tolist())}) >= 23
    assert all(space.to_json(genes_G) not in known for genes_G in (*rows_AG, *drawn_AG))


def test_sessions_are_kept_told_apart_and_pooled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = ToyRuntime(noise=0.02)
    first = study(tmp_path, monkeypatch, runtime)
    assert [(row["session"], row["group"], row["num_nets"]) for row in first["rows"]] == [
        ("first", "chosen", 10),
        ("first", "random", 10),
    ]
    for row in first["rows"]:
        assert row["quantiles"]["p50"]["coverage"]["value"] >= 0.7
        assert row["quantiles"]["p95"]["slack"]["value"] < 0.1
    loads = len(runtime.loads)
    assert study(tmp_path, monkeypatch, runtime)["rows"] == first["rows"]
    assert len(runtime.loads) == loads  # nothing is timed twice
    slow = study(tmp_path, monkeypatch, ToyRuntime(noise=0.02, slow=lambda now: True), "--session", "busy")
    assert slow["sessions"]["busy"]["speed"] == pytest.approx(1.5, abs=0.03)
    held = {
        (row["session"], row["group"]): row["quantiles"]["p50"]["coverage"]["value"] for row in (*slow["rows"], *slow["pooled"])
    }
    assert held[("busy", "chosen")] == held[("busy", "random")] == 0.0
    assert held[("all", "random")] == held[("first", "random")] / 2
    (text,) = (path.read_text(encoding="utf-8") for path in (tmp_path / "out").glob("*.md"))
    assert "| busy | 10 chosen | p50 | 0.0% (0.0% to 27.8%)" in text


@pytest.mark.slow
def test_minutes_mean_fewer_nets_of_both_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = study(tmp_path, monkeypatch, ToyRuntime(noise=0.02), "--minutes", "0.005")
    counts = {row["group"]: row["num_nets"] for row in report["rows"]}
    assert counts["chosen"] == counts["random"] < 10
    assert report["sessions"]["first"]["calls"] == toy_table(bound=20).bound_nets[0].n
