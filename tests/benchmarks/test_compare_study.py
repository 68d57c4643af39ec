"""The study of comparisons: its commands, its images, and what its report makes of results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks import compare_study
from benchmarks.compare_study import DATA, Job, collect, compared_before, digits_of_ten, main, same_rivals, share_trained
from benchmarks.compare_study_report import write

FACTS = {"command": "c", "data": "digits-10", "per_class": None, "positive": "8", "num_asked": 12, "ended_early": ["stopped"]}


def share(value: float, n: int = 1000) -> dict[str, Any]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "n": n}


def net(name: str, kind: str, top1: float, ours: float, *, fits: bool = True) -> dict[str, Any]:
    found = {
        "name": name,
        "kind": kind,
        "family": "ResNet" if kind == "timm" else kind,
        "image_px": 32,
        "epochs": 10,
        "seconds": 60.0,
    }
    found |= {"latency_ms_measured": 0.2, "fits": fits, "parity": "passed", "top1": share(top1), "sensitivity": {"8": share(0.9)}}
    compared = {} if kind == "searched" else {"better": "neither"}
    return {**found, "false_alarms": share(0.02), "difference": None if kind == "searched" else share(ours - top1), **compared}


def answers(folder: Path, seed: int, ours: float, rival: float) -> None:
    """What the commands of one run folder left."""
    kept = folder / "digits-10" / "pvt-nano" / f"seed-{seed}" / "worth"
    kept.mkdir(parents=True)
    nets = [net("searched", "searched", ours, ours), net("resnet18", "timm", rival, ours)]
    nets.append(net("slow", "cnn", 0.99, ours, fits=False))
    result = {"limit_ms": 0.25, "epochs": 10, "seconds": 60.0, "winner": "searched", "verdict": "not told apart", "left_out": []}
    for equal in ("epochs", "time"):
        found = {"result": {**result, "equal": equal, "nets": nets, "table": None}, "seconds": 100.0}
        (kept / f"compare-0.05-{equal}.json").write_text(json.dumps(found))
    for name in ("train", "search-0.05"):
        (kept / f"{name}.json").write_text(json.dumps({"result": {}, "seconds": 5.0}))


def test_a_dry_run_tells_every_command_in_order(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked = ("--data", "rare", "--spaces", "pvt-nano", "--seeds", "0", "1", "--shares", "0.05", "--folder", str(tmp_path / "new"))
    assert main([*asked, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == 2 * ["init", "train", "search", "retrain", "compare", "compare"]
    assert "--image-px 64" in lines[0]
    assert "--equal epochs" in lines[4]
    assert "--equal time" in lines[5]
    assert not (tmp_path / "new").exists()


def test_one_kind_of_equality_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--spaces", "pvt-nano", "--seeds", "0", "--shares", "0.05", "--equal", "epochs", "--dry-run"]) == 0
    compared = [line for line in capsys.readouterr().out.splitlines() if line.startswith("edgenas compare")]
    assert len(compared) == 1
    assert "--equal epochs" in compared[0]


def test_a_space_that_is_not_there_is_told() -> None:
    with pytest.raises(SystemExit):
        main(["--spaces", "pvt-nowhere", "--dry-run"])


def test_every_data_set_names_a_class_that_must_not_be_missed(tmp_path: Path) -> None:
    for name, data in DATA.items():
        asked = Job(name, "pvt-nano", 0).init(tmp_path, 700)
        assert asked[asked.index("--positive") + 1] == data.positive
        assert ("--max-per-class" in asked) == (name == "fashion-mnist")


def test_ten_digits_a_class_are_trained_on_and_none_of_them_judges(tmp_path: Path) -> None:
    digits_of_ten(tmp_path, 0)
    files = {part: {path.name for path in (tmp_path / part / "8").iterdir()} for part in ("train", "val", "test")}
    assert {part: len(names) for part, names in files.items()} == {"train": 10, "val": 20, "test": 100}
    assert len(set.union(*files.values())) == 130


def test_the_report_says_how_often_the_searched_net_is_the_best_that_fits(tmp_path: Path) -> None:
    answers(tmp_path, 0, 0.90, 0.89)
    answers(tmp_path, 1, 0.88, 0.884)
    rows = collect(tmp_path, "digits-10")
    assert len(rows) == 4
    paths = {path.suffix: path for path in write(rows, FACTS, tmp_path / "out")}
    text = paths[".md"].read_text()
    assert "Best of all in 1 of 2 seeds, within 0.5 points of the best in 1 more" in text
    assert "4 of 12 comparisons are done" in text
    assert "| ResNet (resnet18) | 2 | 32 | 0.200 | 10 | 1.0 | 88.7 |" in text
    with Image.open(paths[".png"]) as image:
        image.verify()
    assert len(json.loads(paths[".json"].read_text())["rows"]) == 4


def test_one_seed_is_reported_with_the_intervals_over_its_images(tmp_path: Path) -> None:
    answers(tmp_path, 0, 0.90, 0.89)
    paths = {path.suffix: path for path in write(collect(tmp_path, "digits-10"), FACTS, tmp_path / "out")}
    text = paths[".md"].read_text()
    assert (
        "Best of all in 1 of 1 seed, within 0.5 points of the best in 0 more; the best rival of each seed is ahead by -1.00" in text
    )
    assert "One seed: intervals are those of its test images" in text
    ours = "| 89.0 [88.0, 90.0] | +1.0 [+0.0, +2.0] | neither 1 | 90.0 [89.0, 91.0] | 2.0 [1.0, 3.0] |"
    assert f"| ResNet (resnet18) | 1 | 32 | 0.200 | 10 | 1.0 {ours}" in text


def test_another_space_meets_the_same_rivals_and_none_is_trained_twice(tmp_path: Path) -> None:
    first, second = Job("digits-10", "pvt-nano", 0), Job("digits-10", "pvt-mobile-pico", 0)
    run = first.folder(tmp_path)
    for folder in ("compare/tries/resnet10t@32", "compare/tries/hand-1", "retrain/tries/cnn-8", "retrain/tries/searched-1"):
        (run / folder).mkdir(parents=True)
        (run / folder / "weights.safetensors").write_text("w")
    (run / "worth").mkdir()
    nets = [net("searched", "searched", 0.9, 0.9), net("resnet10t", "timm", 0.8, 0.9), net("cnn", "cnn", 0.8, 0.9)]
    nets.append({**net("starnet_s1@48/2", "timm", 0.8, 0.9), "image_px": 48, "stem_stride": 2})
    kept: dict[str, Any] = {"command": "compare", "result": {"nets": nets}}
    (run / "worth" / "compare-0.05-epochs.json").write_text(json.dumps(kept))
    assert list(compared_before(tmp_path, first, "compare-0.05-epochs")) == []
    assert list(compared_before(tmp_path, second, "compare-0.05-time")) == []
    (earlier,) = compared_before(tmp_path, second, "compare-0.05-epochs")
    assert same_rivals("auto,hand,cnn", kept["result"]) == "timm:resnet10t@32,timm:starnet_s1@48/2,hand,cnn"
    share_trained(earlier, second.folder(tmp_path))
    copied = {str(path.relative_to(second.folder(tmp_path)).parent) for path in second.folder(tmp_path).rglob("weights.*")}
    assert copied == {"compare/tries/resnet10t@32", "retrain/tries/cnn-8"}


def test_without_results_nothing_is_written(tmp_path: Path) -> None:
    assert write(compare_study.collect(tmp_path, "rare"), FACTS, tmp_path) == []
