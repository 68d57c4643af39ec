"""Which of file and command line a wrong setting is said of."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenas.errors import ConfigError
from edgenas.project.opening import load_settings
from edgenas.runs import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "edgenas-run")
    folder.config.parent.mkdir()
    folder.config.write_text('[data]\nsource = "digits"\n', encoding="utf-8")
    return folder


def test_what_the_command_line_sets_is_no_fault_of_the_file(run: RunFolder) -> None:
    for flags, overrides, blamed in (
        ({}, ["train.epochs=-3"], "--set train.epochs: "),
        ({"train": {"epochs": -3}}, [], "--epochs: "),
    ):
        with pytest.raises(ConfigError) as caught:
            load_settings(run, flags, overrides)
        assert caught.value.message == "a setting of the command line is wrong"
        assert caught.value.problems == (f"{blamed}train.epochs is -3; allowed: a whole number at least 1",)


def test_a_wrong_file_is_named(run: RunFolder) -> None:
    with run.config.open("a", encoding="utf-8") as file:
        file.write("[train]\nepochs = -3\n")
    for overrides in ([], ["search.seed=1"]):
        with pytest.raises(ConfigError) as caught:
            load_settings(run, {}, overrides)
        assert caught.value.message == f"{run.config} is wrong"
    assert load_settings(run, {}, ["train.epochs=3"]).train.epochs == 3
