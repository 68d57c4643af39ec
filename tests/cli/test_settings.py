"""`edgenas settings`, and what a wrong setting is answered with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, as_object


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A run folder with settings alone."""
    folder = tmp_path / "edgenas-run"
    folder.mkdir()
    text = '[data]\nsource = "digits"\npositive = "8"\n\n[train]\nrecipe = "covitpp"\nepochs = 7\n\n[search]\nlatency_ms = 5.0\n'
    (folder / "edgenas.toml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.usefixtures("project")
def test_every_value_says_where_it_comes_from(edgenas: Run) -> None:
    code, out, _ = edgenas("settings", "--set", "train.seed=3", "--set", "search.limits=['latency_ms<=4']", "--json")
    rows = {row["key"]: row for row in as_object(out)["result"]["rows"]}
    assert code == 0
    assert {"key", "default", "value", "source", "allowed", "help"} <= rows["train.epochs"].keys()
    shown = {key: (row["value"], row["default"], row["source"], row.get("recipe")) for key, row in rows.items()}
    assert shown["train.epochs"] == (7, 40, "file", None)
    assert shown["train.seed"] == (3, 0, "flag", None)
    assert shown["train.batch_size"] == (16, 64, "file", "covitpp")
    assert shown["search.latency_ms"] == (None, None, "default", None)  # the flag's limit stands in its place
    assert shown["search.limits"] == (["latency_ms<=4"], [], "flag", None)
    assert shown["data.source"] == ("digits", None, "file", None)


def test_without_a_project_the_defaults_are_shown(edgenas: Run) -> None:
    code, out, err = edgenas("settings", "data", "--json")
    rows = as_object(out)["result"]["rows"]
    assert code == 0
    assert {row["source"] for row in rows} == {"default"}
    assert [row["value"] for row in rows if row["key"] == "data.source"] == [None]
    assert "does not exist; what is shown are the defaults" in err


@pytest.mark.usefixtures("project")
def test_one_setting_is_explained_in_full(edgenas: Run) -> None:
    code, out, err = edgenas("settings", "train.sampling")
    shown = " ".join((out + err).split())
    assert code == 0
    assert "bilateral (the same, run with the leading and with the trailing channels of every width: ViTAS with BCNet)" in shown
    assert "allowed 'even', 'sandwich', 'uniform'" in shown
    assert "--set train.sampling=VALUE" in shown


def test_the_schema_lies_beside_the_settings_and_takes_them(edgenas: Run, project: Path) -> None:
    code, out, _ = edgenas("settings", "--schema", "--json")
    assert (code, as_object(out)["outputs"]) == (0, {"schema": "edgenas.schema.json"})
    schema = json.loads((project / "edgenas.schema.json").read_text(encoding="utf-8"))
    import jsonschema  # takes a second

    jsonschema.validate({"data": {"source": "digits"}, "train": {"epochs": 7}}, schema)
    code, _, _ = edgenas("settings", "--schema", "--output", "here.json")
    assert code == 0
    assert json.loads(Path("here.json").read_text(encoding="utf-8")) == schema


def test_an_unknown_setting_is_usage(edgenas: Run) -> None:
    code, _, err = edgenas("settings", "train.epoch")
    assert code == 2
    assert "there is no setting 'train.epoch'; did you mean 'train.epochs'?" in err
    assert edgenas("settings", "--output", "x.json")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("train", "--set", "train.epoch=5"), "--set train.epoch: train.epoch is unknown; did you mean train.epochs?"),
        (("train", "--set", "train.racing=0.1"), "--set train.racing: train.racing is unknown; did you mean search.racing?"),
        (("train", "--set", "tran.epochs=5"), "--set tran.epochs: [tran] is unknown; did you mean 'train'?"),
        (("train", "--set", "train.sampling=evn"), "--set train.sampling: train.sampling is 'evn'; allowed: "),
        (("train", "--set", "train.epochs=0", "--epochs", "2", "--set", "train.seed=-1"), "--set train.seed: train.seed is -1"),
        (("settings", "--set", "train.epoch=5"), "--set train.epoch: train.epoch is unknown; did you mean train.epochs?"),
        (("settings", "--set", "tran.epochs=5"), "--set tran.epochs: [tran] is unknown; did you mean 'train'?"),
        (("profile", "--runtime", "onnxruntime-cpi"), "--runtime: profile.runtime is 'onnxruntime-cpi'; allowed: "),
        (("profile", "--budget", "1e9"), "--budget: profile.budget_min is 1000000000.0; allowed: "),
    ],
)
@pytest.mark.usefixtures("project")
def test_a_wrong_setting_is_put_down_to_what_gave_it(edgenas: Run, arguments: tuple[str, ...], problem: str) -> None:
    code, out, _ = edgenas(*arguments, "--json")
    error = as_object(out)["error"]
    assert code == 1
    assert error["message"] == "a setting of the command line is wrong"
    assert [line.startswith(problem) for line in error["problems"]] == [True], error["problems"]


def test_before_there_is_a_file_a_wrong_setting_is_put_down_to_what_gave_it(edgenas: Run) -> None:
    code, out, _ = edgenas("init", "--data", "digits", "--set", "train.epochs=-3", "--set", "train.epoch=3", "--json")
    error = as_object(out)["error"]
    assert (code, error["message"]) == (1, "a setting of the command line is wrong")
    assert [line.partition(" is ")[0] for line in error["problems"]] == [
        "--set train.epochs: train.epochs",
        "--set train.epoch: train.epoch",
    ]


def test_a_wrong_setting_of_the_file_is_put_down_to_the_file(edgenas: Run, project: Path) -> None:
    (project / "edgenas.toml").write_text('[data]\nsource = "digits"\n[train]\nepoch = 3\n', encoding="utf-8")
    code, out, _ = edgenas("train", "--set", "train.speed=2", "--json")
    error = as_object(out)["error"]
    assert code == 1
    assert error["message"] == "edgenas-run/edgenas.toml is wrong"
    assert [line.split("; ")[0] for line in error["problems"]] == [
        "train.epoch is unknown",
        "--set train.speed: train.speed is unknown",
    ]
