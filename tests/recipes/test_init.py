"""`edgenas init` on images of all kinds, and what later commands make of changed data and settings."""

from __future__ import annotations

import json
import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from edgenas.data.splits import load_splits, save_splits
from edgenas.errors import RunFolderError
from edgenas.recipes.init import InitConfig, run
from edgenas.runs import Progress, RunFolder, locked, sha256_file
from edgenas.training.checkpoints import save_tensors, save_weights
from edgenas.training.fitting import keep
from edgenas.training.folder import settle
from tests.recipes.test_end_to_end import edgenas_in

QUICK = [
    part
    for setting in (
        "teacher.name=self",
        "teacher.epochs=1",
        "train.epochs=1",
        "train.kd_weight=0.5",
        "train.flip=false",
        "search.num_generations=0",
        "search.proof_epochs=0",
    )
    for part in ("--set", setting)
]


def table(root: Path, *, num: int = 120) -> Path:
    """A table of random images: two classes, three images a patient, two sites."""
    root.mkdir(parents=True, exist_ok=True)
    rows = ["path,label,patient,site"]
    for index in range(num):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{index}.png")
        rows.append(f"{index}.png,{'ab'[index // 3 % 2]},p{index // 3},{('north', 'south')[index // 6 % 2]}")
    (root / "images.csv").write_text("\n".join(rows) + "\n")
    return root / "images.csv"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a project on such a table."""
    file = table(tmp_path / "data")
    code, value, _ = edgenas_in(
        tmp_path, "init", "--data", f"csv:{file}", "--positive", "b", "--image-px", "32", "--space", "pvt-nano"
    )
    assert code == 0, value["error"]
    return tmp_path


def test_a_bad_image_is_refused_or_left_out_as_asked(tmp_path: Path) -> None:
    file = table(tmp_path / "data")
    (tmp_path / "data" / "7.png").write_bytes(b"")
    arguments = ("init", "--data", f"csv:{file}", "--space", "pvt-nano")
    code, value, _ = edgenas_in(tmp_path, *arguments)
    assert (code, value["error"]["type"]) == (1, "DataError")
    assert value["error"]["problems"] == [f"{tmp_path / 'data' / '7.png'} is empty"]
    assert not (tmp_path / "edgenas-run" / "edgenas.toml").exists()
    code, value, _ = edgenas_in(tmp_path, *arguments, "--skip-bad-images")
    assert code == 0
    assert (value["result"]["num_images"], value["result"]["num_excluded"]) == (119, 1)
    assert "left out 1 image(s) that cannot be used" in value["warnings"][0]
    code, value, _ = edgenas_in(tmp_path, "info")
    assert value["result"]["loader"] is None
    code, value, _ = edgenas_in(tmp_path, "info", "--loader")
    assert value["result"]["loader"]["images_per_second"] > 0


def test_the_comparison_of_images_ends_with_all_also_where_some_are_equal(tmp_path: Path) -> None:
    file = table(tmp_path / "data")
    (tmp_path / "data" / "7.png").write_bytes((tmp_path / "data" / "6.png").read_bytes())
    flags = {"data": {"source": f"csv:{file}"}, "space": {"name": "pvt-nano"}}
    counts = [
        (record.done, record.total)
        for record in run(InitConfig(tmp_path / "run", flags))
        if isinstance(record, Progress) and record.label == "comparing images"
    ]
    assert counts[-1] == (120, 120)


def test_so_many_images_of_a_class_are_used_and_bad_ones_among_the_rest_do_not_matter(tmp_path: Path) -> None:
    file = table(tmp_path / "data")
    arguments = ("init", "--data", f"csv:{file}", "--space", "pvt-nano", "--image-px", "32", "--max-per-class", "30")
    code, value, err = edgenas_in(tmp_path, *arguments)
    assert code == 0, value["error"]
    result = value["result"]
    assert (result["num_images"], result["num_excluded"], result["num_not_drawn"]) == (60, 0, 60)
    assert {name: sum(split[name] for split in result["splits"].values()) for name in "ab"} == {"a": 30, "b": 30}
    assert "max_per_class 30: 60 of 120 images drawn, 60 left out" in err
    assert "checking images: 60/60" in err
    unused = json.loads((tmp_path / "edgenas-run" / "data" / "splits.json").read_text())["excluded"]
    for name in unused:
        (tmp_path / "data" / name).write_bytes(b"")
    code, value, _ = edgenas_in(tmp_path, "info")
    assert (code, value["warnings"], value["result"]["stages"][0]["state"]) == (0, [], "there")
    assert edgenas_in(tmp_path, *arguments, "--force")[0] == 0
    code, value, _ = edgenas_in(tmp_path, "train", "--set", "data.max_per_class=20")
    assert value["error"]["problems"] == ["data.max_per_class is 20 now, 30 when the images were divided"]
    code, value, _ = edgenas_in(tmp_path, "train", "--set", "data.max_per_class=0")
    assert value["error"]["problems"] == ["--set data.max_per_class: data.max_per_class is 0; allowed: a whole number at least 1"]


def test_splits_from_before_a_setting_was_there_are_read_as_without_it(project: Path) -> None:
    path = project / "edgenas-run" / "data" / "splits.json"
    splits = load_splits(path)
    later = ("max_per_class", "near_duplicates", "map_label")
    save_splits(path, replace(splits, options={name: value for name, value in splits.options.items() if name not in later}))
    code, value, _ = edgenas_in(project, "info")
    assert (code, value["warnings"]) == (0, [])
    code, value, _ = edgenas_in(project, "train", "--set", "data.max_per_class=20")
    assert value["error"]["problems"] == ["data.max_per_class is 20 now, None when the images were divided"]


def test_changed_files_are_named_and_info_says_it(project: Path) -> None:
    Image.new("L", (8, 8), 3).save(project / "data" / "5.png")
    code, value, _ = edgenas_in(project, "train")
    assert (code, value["error"]["problems"]) == (1, ["5.png changed"])
    code, value, _ = edgenas_in(project, "info")
    data = value["result"]["stages"][0]
    assert (code, data["name"], data["state"]) == (0, "data", "unusable")
    assert "5.png changed" in value["warnings"][0]
    rows = (project / "data" / "images.csv").read_text().splitlines(keepends=True)
    (project / "data" / "images.csv").write_text("".join(rows[:-1]))
    code, value, _ = edgenas_in(project, "train")
    assert (code, value["error"]["problems"]) == (1, ["119.png is gone"])


def test_a_relative_source_is_found_from_any_folder(tmp_path: Path) -> None:
    table(tmp_path / "data")
    code, _, _ = edgenas_in(tmp_path, "init", "--data", "csv:data/images.csv", "--space", "pvt-nano", "--image-px", "32")
    assert code == 0
    (tmp_path / "elsewhere").mkdir()
    code, value, _ = edgenas_in(tmp_path / "elsewhere", "info", "--run", str(tmp_path / "edgenas-run"))
    assert (code, value["warnings"]) == (0, [])
    assert value["result"]["settings"]["data"]["source"] == f"csv:{tmp_path / 'data' / 'images.csv'}"
    commands = [stage["command"] for stage in value["result"]["stages"] if stage["command"]]
    assert len(commands) > 5
    assert all(command.endswith(f" --run {tmp_path / 'edgenas-run'}") for command in commands), commands


def test_a_changed_image_is_noticed_by_the_next_command(project: Path) -> None:
    Image.new("L", (8, 8), 3).save(project / "data" / "5.png")
    code, value, _ = edgenas_in(project, "train")
    assert (code, value["error"]["type"]) == (1, "DataError")
    assert "changed since it was divided" in value["error"]["message"]
    assert "edgenas init" in value["error"]["hint"]


def test_a_removed_image_is_noticed_by_the_next_command(project: Path) -> None:
    (project / "data" / "5.png").unlink()
    code, value, _ = edgenas_in(project, "train")
    assert (code, value["error"]["type"]) == (1, "DataError")
    assert "5.png is missing" in " ".join(value["error"]["problems"])


def test_files_that_were_only_touched_are_the_same_data(project: Path) -> None:
    for path in (project / "data").glob("*.png"):
        os.utime(path)
    code, value, _ = edgenas_in(project, "info")
    assert code == 0
    assert value["warnings"] == []


def test_splits_are_not_used_with_other_settings(project: Path) -> None:
    code, value, _ = edgenas_in(project, "train", "--set", "data.seed=1")
    assert (code, value["error"]["type"]) == (1, "DataError")
    assert value["error"]["problems"] == ["data.seed is 1 now, 0 when the images were divided"]
    assert value["error"]["hint"].endswith(f"`edgenas init --data csv:{project / 'data' / 'images.csv'} --force`")


def test_patients_stay_together_and_sites_are_reported(project: Path) -> None:
    splits = json.loads((project / "edgenas-run" / "data" / "splits.json").read_text())["indices"]
    owners: dict[int, set[str]] = {}
    for name, indices in splits.items():
        for index in indices:
            owners.setdefault(index // 3, set()).add(name)
    assert all(len(names) == 1 for names in owners.values())
    assert edgenas_in(project, "train", *QUICK)[0] == 0
    code, value, _ = edgenas_in(project, "search", "--max-params", "1M", "--set", "search.population=2", *QUICK)
    assert code == 0, value["error"]
    code, value, _ = edgenas_in(project, "evaluate", "--split", "select")
    assert code == 0, value["error"]
    sites = value["result"]["sites"]
    assert set(sites) == {"north", "south"}
    assert sites["north"]["n"] + sites["south"]["n"] == value["result"]["n"]
    for site in sites.values():
        assert set(site["sensitivity"]) == {"a", "b"}
        assert site["sensitivity"]["b"]["n"] <= site["n"]


def test_weights_and_winners_of_another_division_are_refused(project: Path) -> None:
    assert edgenas_in(project, "train", *QUICK)[0] == 0
    assert edgenas_in(project, "search", "--max-params", "1M", "--set", "search.population=2", *QUICK)[0] == 0
    again = (
        "init",
        "--data",
        f"csv:{project / 'data' / 'images.csv'}",
        "--space",
        "pvt-nano",
        "--image-px",
        "32",
        "--force",
        "--seed",
        "5",
    )
    assert edgenas_in(project, *again)[0] == 0
    for command in (("train",), ("search", "--max-params", "1M"), ("retrain",), ("evaluate",), ("export",)):
        code, value, _ = edgenas_in(project, *command, *QUICK)
        assert (code, value["error"]["type"]) == (1, "CheckpointError"), (command, value)
    assert edgenas_in(project, "train", "--force", *QUICK)[0] == 0
    code, value, _ = edgenas_in(project, "retrain", *QUICK)
    assert (code, value["error"]["hint"]) == (1, "run `edgenas search` again")


def test_retrained_weights_of_another_project_are_refused(project: Path) -> None:
    facts = {"net": "winner", "space": "pvt-nano", "data_fingerprint": "0" * 64, "arch": {}}
    save_weights(project / "edgenas-run" / "retrain" / "weights.safetensors", nn.Linear(2, 2), facts)
    code, value, _ = edgenas_in(project, "evaluate")
    assert (code, value["error"]["type"]) == (1, "CheckpointError")
    assert "belongs to another project" in value["error"]["message"]
    assert any(problem.startswith("data_fingerprint is") for problem in value["error"]["problems"])


def test_a_forced_job_that_was_interrupted_is_warned_of_until_it_is_done(tmp_path: Path) -> None:
    weights, state = tmp_path / "weights.safetensors", tmp_path / "state.safetensors"
    save_weights(weights, nn.Linear(2, 2), {"net": "old"})
    assert len(list(keep("teacher", tmp_path, []))) == 1
    save_tensors(state, {}, {"kind": "training state", "replaces": sha256_file(weights)})
    os.utime(weights, (2**33, 2**33))  # the clock was set back since
    settle(tmp_path)
    _, note = keep("teacher", tmp_path, [])
    assert note.is_warning
    assert note.text.startswith("teacher: an interrupted --force is unfinished")
    save_weights(weights, nn.Linear(2, 2), {"net": "new"})
    os.utime(weights, (0, 0))
    settle(tmp_path)
    assert not state.exists()


def test_a_folder_in_the_place_of_a_log_is_an_error_before_training(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(RunFolderError, match=r"log\.jsonl is no file"):
        settle(tmp_path)


def test_only_own_temporary_files_are_swept(project: Path) -> None:
    run = project / "edgenas-run"
    theirs = [run / ".editor.tmp", run / "notes" / ".draft.tmp"]
    ours = run / "teacher" / ".state.safetensors.abc.edgenas.tmp"
    for path in [*theirs, ours]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    with locked(RunFolder(run)):
        pass
    assert all(path.exists() for path in theirs)
    assert not ours.exists()


def test_a_lock_that_leads_elsewhere_is_refused(project: Path) -> None:
    lock = project / "edgenas-run" / ".lock"
    lock.unlink(missing_ok=True)
    (project / "precious").write_text("precious")
    lock.symlink_to(project / "precious")
    code, value, _ = edgenas_in(project, "train")
    assert (code, value["error"]["hint"]) == (1, "move it away")
    assert (project / "precious").read_text() == "precious"


def small_table(root: Path, labels: tuple[str, ...], *, num: int = 60) -> Path:
    """Random images whose labels follow one another."""
    root.mkdir(parents=True, exist_ok=True)
    rows = ["path,label"]
    for index in range(num):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{index}.png")
        rows.append(f"{index}.png,{labels[index % len(labels)]}")
    (root / "images.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root / "images.csv"


def test_everything_odd_is_one_list_in_the_run_folder(tmp_path: Path) -> None:
    file = small_table(tmp_path / "data", ("0", "1", "1.0"))
    code, value, _ = edgenas_in(tmp_path, "init", "--data", f"csv:{file}", "--image-px", "32", "--space", "pvt-nano")
    assert code == 0, value["error"]
    assert value["outputs"]["problems"] == "data/problems.csv"
    assert value["result"]["classes"] == ["0", "1"]
    assert (tmp_path / "edgenas-run" / "data" / "problems.csv").read_text().splitlines() == [
        "path,what,done",
        "1,is written '1' and '1.0',one class",
    ]
    assert value["result"]["num_problems"] == 1


def test_renamed_labels_are_settings_that_later_commands_read(tmp_path: Path) -> None:
    file = small_table(tmp_path / "data", ("nan", "Cat", "cat", "dog"))
    arguments = ("init", "--data", f"csv:{file}", "--image-px", "32", "--space", "pvt-nano", "--positive", "cat")
    code, value, _ = edgenas_in(tmp_path, *arguments)
    assert code == 1
    assert [line.partition(";")[0] for line in value["error"]["problems"]] == [
        "label 'nan' is a missing value, in 15 row(s) such as line 2",
        "labels 'Cat' and 'cat' look alike: say which is which, as with --map-label 'cat=Cat'",
    ]
    code, value, _ = edgenas_in(tmp_path, *arguments, "--map-label", "Cat=cat", "--map-label", "nan=")
    assert code == 0, value["error"]
    assert (value["result"]["classes"], value["result"]["num_images"]) == (["cat", "dog"], 45)
    assert 'map_label = { "Cat" = "cat", "nan" = "" }' in (tmp_path / "edgenas-run" / "edgenas.toml").read_text()
    code, value, _ = edgenas_in(tmp_path, "info", "--no-loader")
    assert {stage["name"]: stage["state"] for stage in value["result"]["stages"]}["data"] == "there"
    code, value, _ = edgenas_in(tmp_path, "info", "--no-loader", "--set", 'data.map_label={ "Cat" = "cat" }')
    assert "data.map_label is {'Cat': 'cat'} now" in value["warnings"][0]


def test_the_positive_class_may_be_given_in_another_unicode_form(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Käse") for form in ("NFC", "NFD"))
    file = small_table(tmp_path / "data", (decomposed, "x"))
    arguments = ("init", "--data", f"csv:{file}", "--image-px", "32", "--space", "pvt-nano", "--positive")
    code, value, _ = edgenas_in(tmp_path, *arguments, decomposed)
    assert code == 0, value["error"]
    assert value["result"]["positive"] == composed
    assert f'positive = "{composed}"' in (tmp_path / "edgenas-run" / "edgenas.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["cat", "Cat=cat"])
def test_a_rename_without_an_equals_sign_or_with_two_names_is_a_usage_error(tmp_path: Path, text: str) -> None:
    code, value, _ = edgenas_in(tmp_path, "init", "--data", "digits", "--map-label", text, "--map-label", "Cat=dog")
    assert code == 2
    assert "--map-label" in value["error"]["message"]
