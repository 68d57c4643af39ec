"""How fast a command starts, told by what it imports: a second where nothing is computed, and what is wrong is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.importing import imported

LIGHT = {"numpy", "rich", "PIL"}
FITS = {"scipy.stats", "scipy.optimize"}  # of bounds and calibrations


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help"), ("trian",), ("search", "--seed", "x")])
def test_help_and_wrong_words_import_nothing(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert imported(*arguments, cwd=tmp_path)[1] == set()


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
        (("train",), set()),
        (("search", "--latency-ms", "5"), set()),
        (("evaluate",), set()),
        (("export",), set()),
        (("retrain",), set()),
        (("report",), set()),
    ],
    ids=lambda part: part[0] if isinstance(part, tuple) else "",
)
def test_what_computes_nothing_imports_no_pytorch(arguments: tuple[str, ...], more: set[str], tmp_path: Path) -> None:
    names = imported(*arguments, cwd=tmp_path)[1]
    assert names <= LIGHT | more, names - LIGHT - more
