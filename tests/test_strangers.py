"""What is read from outside, and how names of strangers are shown."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenas.config import parse_overrides, read_toml
from edgenas.errors import ConfigError, RunFolderError
from edgenas.escaping import csv_cell, html_text, markdown, markdown_code, terminal
from edgenas.report.cells import table
from edgenas.report.console import LiteralConsole
from edgenas.report.figures import new_figure, save
from edgenas.runs import atomic_path, read_json
from edgenas.runs.files import TEMPORARY
from edgenas.runs.outside import OutsideError, parse_json, parse_npz, parse_toml, read_regular

NASTY = "a`<img src=x>|[b](c)$x$:smile:\x1b[2J\u202e\\"


@pytest.mark.parametrize(
    "text",
    ['{"a": 1e999}', '{"a": 1, "a": 2}', '{"a": NaN}', f'{{"a": {"7" * 301}}}', '{"\\udfff": 0}', "[" * 70 + "]" * 70, "[" * 9000],
    ids=["float", "double", "nan", "digits", "surrogate", "deep", "deeper"],
)
def test_json_that_means_two_things_or_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"kept|twice|no JSON number|digits|half|nested"):
        parse_json(text)


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(), lambda x: st.lists(x, max_size=3)))
def test_other_json_is_read_as_the_library_reads_it(value: object) -> None:
    import json

    assert parse_json(json.dumps(value, ensure_ascii=False)) == value


@pytest.mark.parametrize("text", ["a = 1e999", "a = nan", f"a = {2**63}", "a = " + "[" * 4000, "a." * 40 + "b = 1"])
def test_toml_beyond_its_numbers_and_depth_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"kept|64 bits|nested|parts"):
        parse_toml(text)


@pytest.mark.parametrize("kind", ["pipe", "device", "sparse"])
def test_what_never_ends_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(8 << 30)
    with pytest.raises(OutsideError, match=r"no regular file|is larger than 1 MB"):
        read_regular(path, 1 << 20)
    with pytest.raises(ConfigError, match=str(path)):
        read_toml(path)
    with pytest.raises(RunFolderError, match=str(path)):
        read_json(path)


def test_an_array_larger_than_it_may_be_is_not_unpacked(tmp_path: Path) -> None:
    import numpy as np

    packed = io.BytesIO()
    np.savez_compressed(packed, images=np.zeros((64, 64, 64), np.float32))
    with pytest.raises(ValueError, match=r"images is float32 of shape \(64, 64, 64\), expected float32 of shape \(2, 3\)"):
        parse_npz(packed.getvalue(), {"images": (2, 3)})


def test_an_override_with_a_line_break_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_overrides(["train.epochs=5\nseed=1", "data.source=a\nb"])
    assert caught.value.problems == (
        "--set train.epochs: more than one value is given; write --set once for each",
        "--set data.source: it has a line break, and is no TOML",
    )


def test_what_a_killed_command_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    left = tmp_path / f".table.json.abc{TEMPORARY}"
    left.write_text("half")
    with atomic_path(path) as first:
        assert not left.exists()
        with atomic_path(path) as second:
            assert first.exists()
            second.write_text("second")
        first.write_text("first")
    assert [each.name for each in tmp_path.iterdir()] == ["table.json"]


def test_names_are_text_on_a_terminal_in_markdown_in_html_and_in_csv() -> None:
    assert terminal(NASTY) == NASTY.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    for shown in (markdown(NASTY), markdown_code(NASTY), html_text(NASTY)):
        assert "<img" not in shown
        assert "\x1b" not in shown
    assert "`" not in markdown_code(NASTY)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a.png", "a.png"),
        ("=1+1", "'=1+1"),
        (" @x", "' @x"),
        ("-2", "'-2"),
        ("a\nb\x1b[31m", "a\\nb\\x1b[31m"),
        ("\t=1", "'\\t=1"),
        ("Käse", "Käse"),
    ],
)
def test_cells_hold_neither_formulas_nor_control_characters(text: str, cell: str) -> None:
    assert csv_cell(text) == cell


def test_a_cell_shows_the_name_itself() -> None:
    file = io.StringIO()
    rows = table(">[bold]class", title=":smile:")
    rows.add_row(":smile: [red]x\\")
    LiteralConsole(file=file, width=60).print(rows)
    assert file.getvalue().count(":smile:") == 2
    assert "[bold]class" in file.getvalue()
    assert "[red]x\\ " in file.getvalue() + " "


@pytest.mark.parametrize("columns", ["0", "1", "x"])
def test_a_terminal_of_no_width_is_no_fault(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    file = io.StringIO()
    rows = table("class")
    rows.add_row("crack")
    LiteralConsole(file=file).print(rows)
    assert "c" in file.getvalue()


def test_a_dollar_in_a_title_is_no_formula(tmp_path: Path) -> None:
    figure = new_figure(2, 2)
    axes = figure.add_subplot()
    axes.plot([1, 2], label="$\\frac{")
    axes.legend()
    axes.set_title("$x^$")
    save(figure, [tmp_path / "plot.png"])
    assert (tmp_path / "plot.png").stat().st_size > 0
