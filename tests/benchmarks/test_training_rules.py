"""The study of sampling rules and lessons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.training_rules import ARMS, NETS, SOURCES, collect, main, shown_nets
from benchmarks.training_rules_report import CLAIMS, SHOWN, agree, claims, comparisons, write
from edgenas.costs import cost_models
from edgenas.data import open_source
from edgenas.errors import EdgeNASError
from edgenas.spaces import get_space


def row(arm: str, seed: int, share: float) -> dict[str, Any]:
    right_N = np.arange(2000) < round(2000 * share)
    return {
        "arm": arm,
        "seed": seed,
        "seconds": 10.0,
        "epochs": 2,
        "images": 280,
        "sets": [],
        "right": dict.fromkeys(SHOWN, right_N),
    }


FACTS = {
    "command": "python -m benchmarks.training_rules",
    "per_class": 40,
    "sets": ["train.epochs=2"],
    "arms": {
        "even": {"factor": "default", "space": "s", "against": None},
        "sandwich": {"factor": "sampling", "space": "s", "against": "even"},
    },
}


def test_a_difference_is_told_where_images_and_seeds_agree(tmp_path: Path) -> None:
    rows = [row("even", 0, 0.5), row("sandwich", 0, 0.6), row("even", 1, 0.5), row("sandwich", 1, 0.55)]
    compared = comparisons(rows, FACTS)
    assert [each["net"] for each in compared] == list(SHOWN)
    assert compared[0]["difference"]["value"] == pytest.approx(0.075)
    assert compared[0]["by_seed"] == pytest.approx([0.1, 0.05])
    assert agree(compared[0])
    other = comparisons([*rows[:3], row("sandwich", 1, 0.48)], FACTS)
    assert not agree(other[0])  # one seed says the reverse
    assert not agree(comparisons(rows[:2], FACTS)[0])  # one seed tells nothing
    paths = write(rows, FACTS, tmp_path)
    text = paths[0].read_text()
    assert "| sandwich | s | 2 | 60.0, 55.0 |" in text
    assert "**+7.5 [" in text
    assert json.loads(paths[1].read_text())["rows"][1]["top1"]["median"] == 0.6
    assert paths[2].stat().st_size > 10_000
    assert write([], FACTS, tmp_path) == []


def test_arms_whose_folders_are_gone_are_taken_over_from_the_earlier_report(tmp_path: Path) -> None:
    rows = [row("even", 0, 0.5), row("sandwich", 0, 0.6), row("even", 1, 0.5), row("sandwich", 1, 0.55)]
    earlier = json.loads(write(rows, FACTS, tmp_path)[1].read_text())
    facts = {**FACTS, "command": "new", "arms": {**FACTS["arms"], "start": {"factor": "start", "space": "s", "against": "even"}}}
    again = [row("even", 0, 0.5), row("start", 0, 0.7), row("even", 1, 0.5), row("start", 1, 0.7)]
    paths = write(again, facts, tmp_path, earlier)
    text = paths[0].read_text()
    for line in ("| sandwich | s | 2 | 60.0, 55.0 |", "| start | s | 2 | 70.0, 70.0 |", "| sandwich − even |", "| start − even |"):
        assert line in text
    assert "`python -m benchmarks.training_rules`, 2" in text  # where the earlier ones are from
    assert [(each["arm"], each["seed"]) for each in json.loads(paths[1].read_text())["rows"]] == [
        (arm, seed) for arm in facts["arms"] for seed in (0, 1)
    ]


def test_what_becomes_of_a_claim_is_said_only_where_both_seeds_tell_it() -> None:
    arms = {
        "AutoSlim": {"factor": "f", "space": "s", "against": None},
        "BCNet": {"factor": "f", "space": "s", "against": "AutoSlim"},
    }
    facts = {**FACTS, "arms": arms}
    rows = [row("AutoSlim", 0, 0.5), row("BCNet", 0, 0.6), row("AutoSlim", 1, 0.5), row("BCNet", 1, 0.55)]
    told = claims(comparisons(rows, facts))
    assert [line.startswith(f"- {CLAIMS['BCNet']}") for line in told] == [False, False, True, True]
    assert all("better here, +7.5 [" in line for line in told[2:])
    assert "worse here" in claims(comparisons([*rows[:1], row("BCNet", 0, 0.4), rows[2], row("BCNet", 1, 0.4)], facts))[2]
    assert "not told by one subset" in claims(comparisons(rows[:2], facts))[2]
    assert "not told, " in claims(comparisons([*rows[:3], row("BCNet", 1, 0.45)], facts))[2]
    assert claims(comparisons([row("even", 0, 0.5), row("sandwich", 0, 0.6)], FACTS)) == []
    assert set(CLAIMS) <= set(ARMS)


def test_an_arm_of_two_folders_is_the_first_ones(tmp_path: Path) -> None:
    for folder, share in (("one", 0.25), ("two", 0.75)):
        for arm in ("arm-0-seed-0", f"arm-1-seed-{folder}"):
            run = tmp_path / folder / arm
            run.mkdir(parents=True)
            (run / "rules.json").write_text(json.dumps({"arm": arm}))
            np.savez(run / "right.npz", median=np.arange(8) < 8 * share)
            (run / "supernet").mkdir()
            (run / "supernet" / "log.jsonl").write_text('{"seconds": 0.7, "images_per_second": 4942.857}\n')
    rows = collect([tmp_path / "one", tmp_path / "two"])
    assert [each["arm"] for each in rows] == ["arm-0-seed-0", "arm-1-seed-one", "arm-1-seed-two"]
    assert {each["images"] for each in rows} == {3460}
    assert [float(each["right"]["median"].mean()) for each in rows] == [0.25, 0.25, 0.75]


@pytest.mark.parametrize("space", sorted({arm.space for arm in ARMS.values()}))
def test_the_median_lies_between_the_ends(space: str) -> None:
    named = get_space(space)
    nets = shown_nets(named, named.default_task)
    assert tuple(nets) == NETS
    macs = cost_models(named, named.default_task)["macs"](np.array(list(nets.values()), dtype=np.int16))
    assert list(macs) == sorted(macs)


def test_every_arm_is_compared_with_one_of_its_own_space() -> None:
    for arm in ARMS.values():
        assert arm.against is None or ARMS[arm.against].space == arm.space
        assert arm.source is None or arm.source in SOURCES


@pytest.mark.slow
def test_a_short_study_goes_on_where_it_was(tmp_path: Path) -> None:
    try:
        open_source("fashion-mnist")
    except EdgeNASError:
        pytest.skip("Fashion-MNIST is not installed")
    arguments = [
        "--folder",
        str(tmp_path / "rules"),
        "--output",
        str(tmp_path),
        "--seeds",
        "0",
        "--per-class",
        "40",
        "--epochs",
        "1",
    ]
    arguments += ["--tune-epochs", "1", "--set", "teacher.epochs=1", "--set", "teacher.probe_steps=2"]
    assert main([*arguments, "--arms", "even"]) == 0
    kept = (tmp_path / "rules" / "arm-0-seed-0" / "right.npz").stat().st_mtime_ns
    assert main([*arguments, "--arms", "even", "sandwich"]) == 0
    assert (tmp_path / "rules" / "arm-0-seed-0" / "right.npz").stat().st_mtime_ns == kept
    (report,) = tmp_path.glob("*.md")
    assert "| sandwich − even |" in report.read_text()
