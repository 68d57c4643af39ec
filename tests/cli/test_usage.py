from __future__ import annotations

from pathlib import Path

import pytest

from edgenas.cli import COMMANDS
from edgenas.cli.options import parse_count
from edgenas.deploy.plugins import exporter_names
from tests.cli.conftest import Run, as_object
from tests.settings_file import add_settings


def test_init_divides_the_digits_and_says_what_they_can_prove(edgenas: Run, tmp_path: Path) -> None:
    code, out, _ = edgenas("init", "--data", "digits", "--json")
    value = as_object(out)
    assert (code, value["status"], value["error"]) == (0, "ok", None)
    result = value["result"]
    assert result["positive"] == "8"
    assert sum(sum(counts.values()) for counts in result["splits"].values()) == 1797
    assert sum(result["splits"]["test"].values()) >= 381  # as many as show an agreement of 0.99
    assert [line.split(" a sensitivity")[0] for line in result["provable"]] == [
        f"{result['splits'][split]['8']} images of 8 in {split} prove" for split in ("select", "confirm", "test")
    ]
    assert not {"num_patients", "num_sites", "look"} & result.keys()
    names = {"samples": "data/samples.png", "problems": "data/problems.csv"}
    assert value["outputs"] == {"config": "edgenas.toml", "splits": "data/splits.json", **names}
    assert (tmp_path / "edgenas-run" / "edgenas.toml").is_file()


def test_a_second_init_does_not_overwrite(edgenas: Run) -> None:
    assert edgenas("init", "--data", "digits")[0] == 0
    code, _, err = edgenas("init", "--data", "digits")
    assert code == 1
    assert "exists already" in err
    assert "--force" in err
    assert edgenas("init", "--data", "digits", "--force")[0] == 0


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (("train",), "edgenas init"),
        (("profile",), "edgenas init"),
        (("plan", "--latency-ms", "5"), "edgenas init"),
        (("search", "--latency-ms", "5"), "edgenas init"),
        (("retrain",), "edgenas init"),
        (("evaluate",), "edgenas init"),
        (("export",), "edgenas init"),
        (("info",), "edgenas init"),
    ],
)
def test_a_stage_without_a_project_names_init(edgenas: Run, command: tuple[str, ...], hint: str) -> None:
    code, out, _ = edgenas(*command, "--json")
    value = as_object(out)
    assert code == value["exit_code"] == 1
    assert value["error"]["type"] == "MissingInputError"
    assert hint in value["error"]["hint"]


def test_a_stage_whose_input_is_missing_names_the_command_that_makes_it(edgenas: Run) -> None:
    edgenas("init", "--data", "digits")
    for command, hint in (
        (("search", "--latency-ms", "5"), "edgenas train"),
        (("plan", "--latency-ms", "5"), "edgenas profile"),
        (("retrain",), "edgenas search"),
        (("export",), "edgenas search"),
        (("evaluate",), "edgenas search"),
    ):
        code, _, err = edgenas(*command)
        assert code == 1
        assert hint in err, (command, err)


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "--latency-ms", "0"),
        ("search", "--latency-ms", "fast"),
        ("search", "--latency-ms", "cpu="),
        ("search", "--latency-ms", "5", "--latency-quantile", "p42"),
        ("plan", "--latency-ms", "5", "--confidence", "1.5"),
        ("search", "--max-params", "lots"),
        ("search", "--min-sensitivity", "8"),
        ("search", "--min-sensitivity", "8=1.5"),
        ("profile", "--device", "tpu"),
        ("train", "--only", "student"),
        ("init",),
        ("fly",),
        ("search", "--no-such-flag"),
        ("export", "--sign", ""),
        ("verify", "artefact", "--public-key", " "),
    ],
)
def test_usage_errors_exit_2_as_text_and_as_json(edgenas: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = edgenas(*arguments)
    assert (code, out) == (2, "")
    assert "Error" in err
    assert "Traceback" not in err
    code, out, _ = edgenas(*arguments, "--json")
    value = as_object(out)
    assert (code, value["status"], value["exit_code"]) == (2, "usage", 2)


def test_the_help_of_profile_says_that_its_budget_counts_tracing_too(edgenas: Run) -> None:
    assert "Minutes for tracing and timing." in edgenas("profile", "--help")[1]


def test_the_help_of_export_lists_every_format_with_a_line(edgenas: Run) -> None:
    code, out, _ = edgenas("export", "--help")
    assert code == 0
    listed = out.partition("Formats:")[2]
    assert [name for name in exporter_names() if f"\n  {name} " not in listed] == []
    assert "fp32, bf16" in listed


def test_an_unknown_format_lists_those_there_are(edgenas: Run) -> None:
    code, out, err = edgenas("export", "--format", "onx")
    assert (code, out) == (2, "")
    assert err.startswith(
        "edgenas: there is no format 'onx'; did you mean 'onnx'? known are: executorch, onnx, openvino, trt, trt-rtx"
    )
    code, out, _ = edgenas("export", "--format", "tflite", "--json")
    assert (code, as_object(out)["status"]) == (2, "usage")


@pytest.mark.parametrize(
    ("text", "count"),
    [("60k", 60_000), ("60K", 60_000), ("1.5m", 1_500_000), ("3M", 3_000_000), ("2g", 2 * 10**9), ("2G", 2 * 10**9)],
)
def test_units_of_counts_are_read_in_either_case(text: str, count: int) -> None:
    assert parse_count("--max-params", text) == count


def test_wrong_settings_are_all_named(edgenas: Run, tmp_path: Path) -> None:
    edgenas("init", "--data", "digits")
    path = tmp_path / "edgenas-run" / "edgenas.toml"
    add_settings(path, {"train.epochs": 0.5, "train.speed": 3})
    code, out, _ = edgenas("train", "--json", "--set", "search.population=x")
    value = as_object(out)
    assert code == 1
    assert value["error"]["type"] == "ConfigError"
    assert len(value["error"]["problems"]) == 3


@pytest.mark.parametrize("source", ["nothing", "folder", "folder:/no/such/folder", "digits:8", "fashion-mnist:/no/such/folder"])
def test_unusable_data_is_one_line(edgenas: Run, source: str) -> None:
    code, out, err = edgenas("init", "--data", source)
    assert (code, out) == (1, "")
    assert err.startswith("edgenas: ")
    assert "Traceback" not in err


def test_an_unknown_positive_class_names_the_classes(edgenas: Run) -> None:
    code, _, err = edgenas("init", "--data", "digits", "--positive", "covid")
    assert code == 1
    assert "classes are: 0, 1, 2" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(edgenas: Run, command: str) -> None:
    code, out, _ = edgenas(command, "--help")
    assert code == 0
    assert "Usage: edgenas" in out


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError("Cannot allocate memory (os error 12)"),
    ],
)
def test_too_little_memory_is_no_bug(edgenas: Run, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def greedy(config: object) -> None:
        raise error

    monkeypatch.setattr("edgenas.recipes.info.run", greedy)
    code, out, err = edgenas("info")
    assert (code, out) == (1, "")
    assert err.startswith("edgenas: there is not enough memory")
    assert "end other programs, or take smaller images, nets or batches" in err


def test_a_bug_is_one_line_and_one_object(edgenas: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(config: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("edgenas.recipes.info.run", broken)
    code, out, err = edgenas("info")
    assert (code, out) == (1, "")
    assert "a bug in edgenas: RuntimeError: two lines" in err
    code, out, _ = edgenas("info", "--json")
    assert (code, as_object(out)["status"]) == (1, "error")


def test_a_class_called_by_a_number_can_be_set(edgenas: Run) -> None:
    code, out, _ = edgenas("init", "--data", "digits", "--set", "data.positive=3", "--json")
    assert (code, as_object(out)["result"]["positive"]) == (0, "3")


@pytest.mark.parametrize("arguments", [(), ("tables",)])
def test_help_cuts_no_command_s_sentence(edgenas: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    code, out, _ = edgenas(*arguments, "--help")
    rows = out.partition("Commands:\n")[2]
    assert (code, "..." in rows, max(map(len, rows.splitlines())) <= 60) == (0, False, True), rows
    assert len(rows.splitlines()) >= 5
