"""How fast a command starts, told by what it imports: a second where nothing is computed, and what is wrong is said at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.importing import OFTEN, Imported, commands

LIGHT = {"numpy", "rich", "PIL"}
FITS = {"scipy.stats", "scipy.optimize"}  # of bounds and calibrations


@pytest.fixture(scope="module")
def imported() -> Iterator[Imported]:
    """What a command imports beside what is light."""
    with commands([*sorted(LIGHT), *OFTEN]) as run:
        yield run


@pytest.fixture(scope="module")
def all_imported() -> Iterator[Imported]:
    """What a command imports."""
    with commands() as run:
        yield run


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help"), ("trian",), ("search", "--seed", "x")])
def test_help_and_wrong_words_import_nothing(arguments: tuple[str, ...], all_imported: Imported, tmp_path: Path) -> None:
    assert all_imported(*arguments, cwd=tmp_path)[1] == set()


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (("info",), set()),
        (("spaces",), set()),
        (("recipes",), set()),
        (("tables", "list"), FITS),
        (("count", "--space", "pvt-nano", "--arch", "smallest"), set()),
        (("verify", "nothing"), set()),
        (("predict", "a.png"), FITS),
        (("serve", "nothing"), FITS),
        (("init", "--data", "digits", "--positive", "11"), FITS),
        (("run", "--data", "folder:nowhere", "--latency-ms", "5"), FITS),
        (("train",), set()),
        (("search", "--latency-ms", "5"), set()),
        (("evaluate",), set()),
        (("export",), set()),
        (("retrain",), set()),
        (("report",), set()),
    ],
    ids=lambda part: part[0] if isinstance(part, tuple) else "",
)
def test_what_computes_nothing_imports_no_pytorch(
    arguments: tuple[str, ...], more: set[str], imported: Imported, tmp_path: Path
) -> None:
    names = imported(*arguments, cwd=tmp_path)[1]
    assert names <= LIGHT | more, names - LIGHT - more
