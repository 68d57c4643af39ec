"""Every command that a page shows is one, and the lines for an artefact do what the page says."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from edgenas.cli import cli
from edgenas.deploy.artefact import write_artefact
from edgenas.deploy.contracts import ExportSpec
from edgenas.deploy.metadata import metadata
from edgenas.deploy.plugins import get_exporter
from edgenas.testing.exporters import INPUT_SHAPE, tiny_net
from tests.deploy.conftest import CLASSES, facts, parity_of, reference

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def lines_of(page: Path, language: str = "bash") -> Iterator[str]:
    """The lines of a page's blocks of code, those that go on put together."""
    for block in re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
        yield from re.sub(r"\\\n\s*", " ", block).splitlines()


def words_of(line: str) -> list[str]:
    """What a line gives to edgenas: nothing of pipes, files and comments."""
    return shlex.split(re.split(r"\s(?:\||2?>|&&|;)\s", line)[0], comments=True)[1:]


SHOWN = [(page, line) for page in PAGES for line in lines_of(page) if line.startswith("edgenas ")]
COMMANDS = {f"{page.name}: {line}": words_of(line) for page, line in SHOWN}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
def test_every_command_of_a_page_parses(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    above = click.Context(cli)
    command = cli.get_command(above, words[0])
    assert command is not None, f"there is no command {words[0]}"
    rest = words[1:]
    if isinstance(command, click.Group):
        above = click.Context(command, parent=above)
        command, rest = command.get_command(above, rest[0]), rest[1:]
        assert command is not None
    try:
        command.make_context(command.name, rest, parent=above)
    except click.BadParameter as error:  # files of the reader's
        if "does not exist" not in error.message:
            raise


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `edgenas export` writes it, with photographs beside it."""
    folder = tmp_path_factory.mktemp("deployed")
    rules = facts()
    spec = ExportSpec(INPUT_SHAPE, metadata=metadata(rules.classes, rules.preprocessing, rules.positive, rules.threshold))
    models = [(file, parity_of()) for file in get_exporter("onnx").export(tiny_net(), spec, folder)]
    return write_artefact(folder / "artefact", models, rules, reference=reference).folder


def photographs(folder: Path) -> None:
    """What the page calls its images."""
    (folder / "photos").mkdir()
    for path in ("photo.jpg", "photos/a.png", "photos/b.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / path)


@pytest.fixture
def deployed(artefact: Path, tmp_path: Path) -> Path:
    """A copy of the folder in which the page's commands can be typed."""
    shutil.copytree(artefact, tmp_path / "copy")
    photographs(tmp_path / "copy")
    return tmp_path / "copy"


def test_the_pages_lines_for_the_example_run(deployed: Path) -> None:
    lines = [shlex.split(line, comments=True)[1:] for line in lines_of(ROOT / "docs" / "artefact.md") if line.startswith("python ")]

    def run(words: list[str]) -> str:
        return subprocess.run([sys.executable, *words], cwd=deployed, capture_output=True, text=True, check=True).stdout

    classified, timed, helped = map(run, lines)
    assert [line.split("\t")[0] for line in classified.splitlines()] == ["photo.jpg", "photos/a.png", "photos/b.png"]
    assert "median_ms\t" in timed
    assert helped.startswith("usage: ")


def test_the_pages_python_reads_the_classes_off_the_file(deployed: Path) -> None:
    code = "\n".join(lines_of(ROOT / "docs" / "artefact.md", "python"))
    done = subprocess.run([sys.executable, "-c", code], cwd=deployed, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(list(CLASSES))
