"""The pages on `run` and `settings`: their commands are commands, and those on settings do what the page says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from edgenas.cli import cli
from tests.cli.conftest import Run

DOCS = Path(__file__).parents[2] / "docs"


def commands(page: str) -> Iterator[list[str]]:
    """The words of every line of a page that calls edgenas."""
    for block in re.findall(r"```bash\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL):
        yield from (shlex.split(line, comments=True)[1:] for line in block.splitlines() if line.startswith("edgenas "))


@pytest.mark.parametrize("words", list(commands("run.md")), ids=" ".join)
def test_every_command_of_the_page_on_runs_parses(words: list[str]) -> None:
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None
    command.make_context(words[0], words[1:], parent=click.Context(cli))


@pytest.mark.parametrize("words", list(commands("settings.md")), ids=" ".join)
def test_every_command_of_the_page_on_settings_runs(edgenas: Run, words: list[str]) -> None:
    code, _, err = edgenas(*words)
    assert code == 0, err
