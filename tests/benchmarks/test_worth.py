"""The study of worth: what is kept is not run again, and what the report makes of results."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.worth import ABLATIONS, Stopped, Study, collect, edgenas, run_seed, run_without
from benchmarks.worth_report import mean_interval, pooled_half, write

FACTS = {
    "command": "python -m benchmarks.worth --seeds 0 1",
    "per_class": 700,
    "ablations": ["all", "none"],
    "num_asked": 4,
    "device": "a CPU",
}


def interval(value: float, half: float = 0.005) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "n": 10_000}


def net(top1: float, latency_ms: float) -> dict[str, Any]:
    start = {"weights": "scratch", "teaching": "teacher", "epochs": 30, "seconds": 60.0, "select_top1": interval(top1)}
    kept = {"weights": "scratch", "teaching": "teacher", "epochs": 30, "starts": [start], "select_top1": interval(top1)}
    return {"arch": {}, "params": 1, "macs": 1, "top1": interval(top1), "latency_ms_measured": latency_ms, **kept}


def answers(folder: Path, seed: int, share: float, searched: float, hand: float, variant: str = "") -> None:
    """What the commands of one seed left."""
    kept = folder / f"seed-{seed}{variant}" / "worth"
    kept.mkdir(parents=True, exist_ok=True)
    tau = {"inherited": interval(0.4, 0.2)}
    fidelity = {"num_nets": 16, "epochs": 4, "num_band": 8, "tau": tau, "tau_band": {}, "rows": []}
    teacher = {"name": "cnn", "select_top1": interval(0.88)}
    found = {
        "train": {"teacher": teacher, "supernet": {"select_top1": {"smallest": interval(0.8)}}},
        f"search-{share:g}": {"limits": {"latency_ms": 0.25}, "winner": {"origin": "even"}, "fidelity": fidelity},
        f"retrain-{share:g}": {
            **net(searched, 0.24),
            "baseline": net(hand, 0.2),
            "cnn": net(0.9, 0.23) | {"comparison": {"difference": interval(searched - 0.9)}},
            "comparison": {"difference": interval(searched - hand), "words": ""},
            "chosen": "searched" if seed else "baseline",
        },
    }
    for name, result in found.items():
        (kept / f"{name}.json").write_text(json.dumps({"result": result, "seconds": 60.0}))


def test_seeds_are_averaged_with_their_interval(tmp_path: Path) -> None:
    answers(tmp_path, 0, 0.05, 0.87, 0.86)
    answers(tmp_path, 1, 0.05, 0.88, 0.86)
    text = {path.suffix: path for path in write(collect(tmp_path), FACTS, tmp_path)}
    report = text[".md"].read_text()
    assert "| 0.25 ms (5 %) | 0 | 87.0 (0.240) | 86.0 (0.200) | +1.0 [+0.5, +1.5] | 90.0 (0.230) | even | hand-made |" in report
    assert "| 0.25 ms | +1.50 [-4.85, +7.85] [+1.15, +1.85] (n = 2) | +1.00 (+0.0 to +2.0) | 0.96 (0.96 to 0.96) | – |" in report
    assert "| – | -2.5 (-3.0 to -2.0) |" in report
    assert "**2 of 4 searches are done**" in report
    assert "by the same recipe (tried with the teacher)" in report  # labels alone were not
    assert "all nets: inherited 0.40 [0.40, 0.40]" in report
    assert text[".png"].stat().st_size > 10_000


def test_one_seed_has_no_interval() -> None:
    assert mean_interval([1.0]) == (1.0, -math.inf, math.inf)


def test_what_is_kept_is_not_run_again_and_nothing_begins_after_the_hours(tmp_path: Path) -> None:
    answers(tmp_path, 0, 0.05, 0.87, 0.86)
    study = Study(tmp_path, 700, {0.05: 0.25}, (), time.monotonic() - 1)
    assert edgenas(study, tmp_path / "seed-0", "train", "no-such-command")["teacher"]["name"] == "cnn"
    with pytest.raises(Stopped):
        edgenas(study, tmp_path / "seed-0", "profile", "profile")
    assert run_seed(study, 0, tmp_path / "table.json", [0.05]) == f"stopped before {tmp_path / 'seed-0'}: init"


def test_a_command_that_fails_is_named(tmp_path: Path) -> None:
    study = Study(tmp_path, 700, {}, (), time.monotonic() + 60)
    with pytest.raises(RuntimeError, match="run `edgenas init --data SOURCE` first"):
        edgenas(study, tmp_path / "seed-0", "train", "train")


def test_an_ablation_keeps_what_does_not_depend_on_it(tmp_path: Path) -> None:
    study, whole = Study(tmp_path, 700, {0.05: 0.25}, (), time.monotonic() - 1), tmp_path / "seed-0"
    number = list(ABLATIONS).index("search: no proof")
    for name in ("data", "latency", "teacher", "supernet", "search", "retrain"):
        (whole / name).mkdir(parents=True)
        (whole / name / "file").write_text(name)
    (whole / "edgenas.toml").write_text("")
    run = tmp_path / f"seed-0-ablation-{number}"
    assert run_without(study, 0, 0.05, number) == f"{run}: the whole recipe comes first"
    answers(tmp_path, 0, 0.05, 0.87, 0.86)
    assert run_without(study, 0, 0.05, number) == f"stopped before {run}: train"
    assert sorted(path.name for path in run.iterdir()) == ["data", "edgenas.toml", "latency", "supernet", "teacher"]
    labels = list(ABLATIONS).index("teacher: none (labels)")
    run_without(study, 0, 0.05, labels)
    assert sorted(path.name for path in (tmp_path / f"seed-0-ablation-{labels}").iterdir()) == ["data", "edgenas.toml", "latency"]


def test_ablations_are_compared_with_the_whole_recipe_of_their_seed(tmp_path: Path) -> None:
    for seed, whole, less in ((0, 0.87, 0.86), (1, 0.88, 0.85)):
        answers(tmp_path, seed, 0.05, whole, 0.86)
        answers(tmp_path, seed, 0.01, 0.5, 0.86)  # of another limit
        answers(tmp_path, seed, 0.05, less, 0.86, variant="-ablation-1")
        path = tmp_path / f"seed-{seed}-ablation-1" / "worth" / "retrain-0.05.json"
        answer = json.loads(path.read_text())
        answer["result"] = {name: value for name, value in answer["result"].items() if name != "comparison"} | {"baseline": None}
        path.write_text(json.dumps(answer))
    paths = {path.name.split("_2")[0] + path.suffix: path for path in write(collect(tmp_path), FACTS, tmp_path)}
    report = paths["worth_ablation.md"].read_text()
    assert "85.0" not in paths["worth_fashion-mnist.md"].read_text()
    assert "| whole | 87.0, 88.0 | |" in report
    assert "| none | 86.0, 85.0 | -2.0 [-14.7, +10.7] |" in report


def test_errors_of_seeds_are_pooled() -> None:
    assert pooled_half([interval(0.01, 0.003), interval(0.0, 0.004)]) == pytest.approx(0.25)
