"""`edgenas init --latency-ms` and `edgenas plan --spaces`: nets of a few spaces, really timed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgenas.project.choosing import asking, here, looking
from edgenas.records import MachineFacts
from edgenas.registries import Registry
from edgenas.spaces import SearchSpace, get_space
from tests.recipes.test_end_to_end import edgenas_in

PIT = "pit-nano[base_dim=4,depths[0]=1,depths[1]=1,depths[2]=1,mlp_ratio=1]"
VITAS = "vitas-nano[patch_size=8]"
DIGITS = ("init", "--data", "digits", "--max-per-class", "20", "--set", "profile.threads=1")
HERE = ("--set", "profile.runtime=torch-cpu")  # the runtime that needs no tracing


@pytest.fixture(autouse=True)
def two_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small spaces, of which the first asks for more images than there are."""
    own = {name: replace(get_space(name), needs_images=needs) for name, needs in ((VITAS, 10**6), (PIT, 0))}
    toys = Registry("search space", "edgenas.nothing", own, accepts=lambda thing: isinstance(thing, SearchSpace), expected="one")
    monkeypatch.setattr(asking, "SPACES", toys)
    monkeypatch.setattr(here, "machine_remarks", lambda machines, threads: iter(()))  # whatever else runs beside the tests


def settings(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "edgenas-run" / "edgenas.toml").read_text())


def test_init_takes_a_space_that_fits_and_plan_reads_or_repeats_the_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, value, err = edgenas_in(tmp_path, *DIGITS, *HERE, "--latency-ms", "50")
    assert code == 0, value["error"]
    found = value["result"]["look"]
    assert value["result"]["space"]["name"] == found["chosen"]["space"] == PIT
    assert value["outputs"]["look"] == "look/result.json"
    assert {row["space"]: row["image_px"] for row in found["rows"]} == {PIT: 32, VITAS: 32}
    assert all(0 < net["latency_ms"] < 50 for row in found["rows"] for net in row["nets"].values())
    training = found["rows"][0]["training"]
    assert 0 < 4 * training["quick_s"] == pytest.approx(training["full_s"])  # 10 and 40 epochs
    assert found["set_aside"][VITAS].startswith("1,000,000 training images are asked for, there are")
    written = settings(tmp_path)
    assert (written["space"]["name"], written["data"]["image_px"], written["search"]["latency_ms"]) == (PIT, 32, 50.0)
    assert "looking at spaces: 2/2" in err

    monkeypatch.setattr(looking, "time_quickly", None)  # nothing is timed again
    code, value, err = edgenas_in(tmp_path, "plan", "--spaces")
    assert (code, value["result"]["rows"]) == (0, found["rows"])
    assert "of an earlier look" in err
    code, _, err = edgenas_in(tmp_path, "plan", "--set", "space.name=pvt-nano")
    assert code == 1  # there is no table yet
    assert f"preferred {found['chosen']['words']}" in " ".join(err.split())
    assert "preferred" not in edgenas_in(tmp_path, "plan", "--set", "space.name=pvt-nano", "--latency-ms", "49")[2]


@pytest.mark.slow
def test_nets_are_exported_and_timed_by_the_runtime_that_ships_where_no_other_is_set(tmp_path: Path) -> None:
    code, value, err = edgenas_in(tmp_path, *DIGITS, "--set", "profile.device=cpu", "--latency-ms", "50")
    assert code == 0, value["error"]
    assert (value["result"]["look"]["runtime"], value["result"]["look"]["threads"]) == ("onnxruntime-cpu", 1)
    assert list((tmp_path / "edgenas-run" / "latency" / "components").rglob("*.onnx"))  # `profile` does not trace them again
    assert "measuring with onnxruntime-cpu" in err


def test_a_limit_that_nothing_meets_exits_3_with_the_nearest_achievable_and_writes_no_settings(tmp_path: Path) -> None:
    code, value, _ = edgenas_in(tmp_path, *DIGITS, *HERE, "--latency-ms", "0.000001")
    error, result = value["error"], value["result"]
    assert (code, error["type"]) == (3, "InfeasibleError")
    nearest = min(result["rows"], key=lambda row: row["least_ms"])
    assert result["closest"]["latency_ms"] == {
        "asked": 1e-6,
        "achievable": nearest["least_ms"],
        "space": nearest["space"],
        "image_px": 32,
    }
    assert f"nearest achievable is {nearest['least_ms']:.4g} ms by the smallest net of {nearest['space']}" in error["message"]
    assert not (tmp_path / "edgenas-run" / "edgenas.toml").exists()


def test_a_space_that_is_named_is_kept_with_a_warning_where_it_does_not_fit(tmp_path: Path) -> None:
    code, value, _ = edgenas_in(tmp_path, *DIGITS, *HERE, "--space", PIT, "--latency-ms", "0.000001")
    assert (code, settings(tmp_path)["space"]["name"]) == (0, PIT)
    assert f"no net of {PIT} that was looked at meets latency_ms <= 1e-06" in value["warnings"][0]
    assert [row["space"] for row in value["result"]["look"]["rows"]] == [PIT]


def test_without_a_limit_on_this_device_the_space_is_said_to_be_unmeasured(tmp_path: Path) -> None:
    code, value, err = edgenas_in(tmp_path, *DIGITS)
    assert (code, "look" in value["result"]) == (0, False)
    assert "no limit is given: pvt-nano is taken by the kind of source alone" in err
    code, value, err = edgenas_in(tmp_path, *DIGITS, "--force", "--latency-ms", "jetson=5")
    assert (code, "look" in value["result"]) == (0, False)
    assert "limits are of other devices" in err
    assert settings(tmp_path)["search"]["latency_ms"] == {"jetson": 5.0}


def test_a_look_that_was_disturbed_says_so_and_is_not_begun_with_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int | None] = []

    def busy(machines: list[MachineFacts], threads: int | None) -> Iterator[str]:
        seen.append(machines[0].num_cores)
        seen.append(threads)
        yield "other processes used 7.0 of 2 core(s)"

    monkeypatch.setattr(here, "machine_remarks", busy)
    code, value, _ = edgenas_in(tmp_path, *DIGITS, *HERE, "--space", VITAS, "--latency-ms", "50")
    assert (code, seen[1]) == (0, 1)
    assert value["warnings"][0].startswith("other processes used 7.0 of 2 core(s); what fits may be more than is said")
    assert value["result"]["look"]["disturbed"] == ["other processes used 7.0 of 2 core(s)"]
    assert not (tmp_path / "edgenas-run" / "look" / "journal.jsonl").exists()


def test_plan_needs_a_limit_to_look_with(tmp_path: Path) -> None:
    assert edgenas_in(tmp_path, *DIGITS)[0] == 0
    code, value, _ = edgenas_in(tmp_path, "plan", "--spaces")
    assert (code, value["error"]["message"]) == (1, "no latency of this device is limited")
