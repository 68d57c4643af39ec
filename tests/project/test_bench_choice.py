"""Which of the files that were timed in turn is recommended."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
import pytest

from edgenas.project.exporting.choosing import Chosen, TimedEntry, choose, time_ratio
from edgenas.records import BenchedRow, Precision, Verdict
from edgenas.runs import Record

VISITS = 21


def contender(path: str, ratio: float, *, precision: Precision = "fp32", spread: float = 0.01, **changes: Any) -> TimedEntry:
    """A file whose visits scatter evenly around a ratio, the same way at every file."""
    ratios_V = ratio * (1 + spread * np.linspace(-1, 1, VISITS))
    facts = {"artifact": "export/onnx", "path": path, "runtime": "onnxruntime-cpu", "precision": precision}
    facts |= {"runtime_version": "1", "device": "a CPU", "latency_ms": ratio, "mad_ms": 0.0, "calls": 9, "percentiles": {}}
    return TimedEntry(BenchedRow(**(facts | {"ratio": time_ratio(ratios_V)} | changes)), ratios_V)


BASELINE = contender("fp32.onnx", 1.0)


def chosen(others: list[TimedEntry], verdicts: Mapping[str, Verdict] | None = None) -> tuple[Chosen, list[str]]:
    """What is chosen, and what was judged for it; gates pass unless ``verdicts`` says otherwise."""
    asked: list[str] = []
    contenders = [BASELINE, *others]

    def verdict_of(position: int) -> Generator[Record, None, Verdict]:
        asked.append(contenders[position].row.path)
        return (verdicts or {}).get(contenders[position].row.path, "passed")
        yield

    steps = choose(contenders, verdict_of)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, asked


def path_of(found: Chosen) -> str | None:
    return None if found.choice is None else found.choice.path


def test_float32_in_onnx_runtime_is_a_valid_answer() -> None:
    found, asked = chosen([contender("other.onnx", 1.3), contender("int8.onnx", 1.1, precision="int8")])
    assert path_of(found) == "fp32.onnx"
    assert found.choice is not None
    assert found.choice.words == "fp32 in onnxruntime-cpu is fastest here: export/onnx/fp32.onnx"
    assert asked == ["fp32.onnx"]
    assert found.why == ()  # the table says that it is slower


def test_the_fastest_whose_gates_pass_is_taken_and_the_faster_one_that_fails_is_named() -> None:
    others = [contender("slow.onnx", 0.8), contender("fast.onnx", 0.6), contender("int8.onnx", 0.3, precision="int8")]
    found, _ = chosen(others, {"int8.onnx": "failed"})
    assert path_of(found) == "fast.onnx"
    (why,) = found.why
    assert why.endswith("int8.onnx in onnxruntime-cpu, int8, takes 0.30 [0.30, 0.30] of the baseline's time, but its gates failed")
    found, asked = chosen(others)
    assert path_of(found) == "int8.onnx"
    assert asked == ["fp32.onnx", "fast.onnx", "int8.onnx"]


@pytest.mark.parametrize("verdict", ["failed", "undecided", "not_run"])
def test_a_file_whose_gates_did_not_pass_is_never_recommended(verdict: Verdict) -> None:
    found, _ = chosen([contender("bf16.xml", 0.4, precision="bf16")], {"bf16.xml": verdict})
    assert path_of(found) == "fp32.onnx"


def test_an_interval_that_reaches_one_shows_nothing() -> None:
    found, _ = chosen([contender("fast.onnx", 0.97, spread=0.2)])
    assert path_of(found) == "fp32.onnx"


def test_fewer_visits_than_say_something_recommend_nothing_new() -> None:
    few = contender("fast.onnx", 0.5)
    few = TimedEntry(BenchedRow(**{**_fields(few), "ratio": time_ratio(few.ratios_V[:5])}), few.ratios_V[:5])
    assert few.row.ratio.high is None
    assert path_of(chosen([few])[0]) == "fp32.onnx"


def test_a_reduced_precision_must_be_faster_than_the_best_float32_visit_by_visit() -> None:
    fast = contender("fast.onnx", 0.60)
    alike = contender("int8.onnx", 0.601, precision="int8")
    found, _ = chosen([fast, alike])
    assert path_of(found) == "fast.onnx"
    assert "int8, is not shown to be faster than export/onnx/fast.onnx in onnxruntime-cpu: 1.00" in found.why[0]
    barely = contender("int8.onnx", 0.59, precision="int8")  # their intervals overlap, but each visit is faster
    assert path_of(chosen([fast, barely])[0]) == "int8.onnx"


def test_nets_of_others_and_the_net_itself_are_timed_but_not_recommended() -> None:
    rival, itself = contender("rival.onnx", 0.1, is_own=False), contender("", 0.2, artifact="")
    found, asked = chosen([rival, itself])
    assert path_of(found) == "fp32.onnx"
    assert asked == ["fp32.onnx"]


def test_without_any_passed_gate_nothing_is_recommended() -> None:
    verdicts: dict[str, Verdict] = {"fp32.onnx": "failed", "other.onnx": "undecided"}
    found, _ = chosen([contender("other.onnx", 0.9)], verdicts)
    assert found.choice is None
    assert found.why[0] == "export/onnx/fp32.onnx in onnxruntime-cpu: its gates failed"


def test_where_the_baseline_fails_a_slower_file_that_passes_is_taken() -> None:
    found, _ = chosen([contender("other.onnx", 1.2)], {"fp32.onnx": "failed"})
    assert path_of(found) == "other.onnx"


def _fields(made: TimedEntry) -> dict[str, Any]:
    return {name: getattr(made.row, name) for name in BenchedRow.__dataclass_fields__}
