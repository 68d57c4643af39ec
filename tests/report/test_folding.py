"""Tables on narrow terminals: no word is cut, and what is long goes on in the next line."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from edgenas.report.cells import table
from edgenas.report.console import LiteralConsole
from edgenas.report.folding import LONGEST, FirstBeside, parted, shared

HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
PATH = "/data/somebody/images/edgenas-run/export/onnx-with-a-long-name/model.onnx"
COMMAND = "edgenas search --latency-ms 5 --min-sensitivity covid-19=0.95"


def drawn(width: int | None, *rows: tuple[str, ...], columns: tuple[str, ...] = ("file", ">size", "sha256", "next")) -> str:
    """What a terminal, or without a width a pipe, shows of a table."""
    file, shown = io.StringIO(), table(*columns, title="What is there, with a title that is longer than the table itself is wide")
    for row in rows:
        shown.add_row(*row)
    LiteralConsole(file=file, width=width).print(shown)
    return file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 110, 120])
def test_paths_hashes_and_commands_are_whole(width: int) -> None:
    text = drawn(width, (PATH, "1.2 MB", HASH, COMMAND), ("a", "2 kB", "–", "–"))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    blocks = re.sub(r"\s", "", text)
    assert re.sub(r"\s", "", COMMAND) in blocks
    assert all(part in text for part in ("1.2 MB", "2 kB"))
    if width >= 80:  # a block a row: what fits into a line is in one
        assert HASH in text
    assert HASH in blocks
    assert PATH in blocks


@given(st.integers(20, 120), st.lists(st.tuples(*[st.text("abcdefgh ", max_size=40)] * 3), min_size=1, max_size=4))
def test_no_word_is_cut_at_any_width(width: int, rows: list[tuple[str, ...]]) -> None:
    text = drawn(width, *rows, columns=("one", ">two", "three"))
    words = {word for row in rows for cell in row for word in cell.split() if len(word) <= min(LONGEST, width - 12)}
    assert words <= set(text.split())
    assert "…" not in text


NET = "timm:mobilenetv4_conv_small_035@16"
INTERVAL = "84.9 [82.5, 87.0]"


def test_a_name_goes_over_several_lines_where_that_keeps_columns_beside_each_other() -> None:
    file, shown = io.StringIO(), table("net", ">right %", ">found %", title="nets", names=12)
    shown.add_row(f"→ {NET}", INTERVAL, INTERVAL)
    shown.add_row("  hand\n  cpu", INTERVAL, INTERVAL)
    LiteralConsole(file=file, width=66).print(shown)
    rows = [re.split("  +", line.strip())[0] for line in file.getvalue().splitlines() if line.strip()][3:]
    assert rows == ["→ timm:mobilenetv4_conv_", "small_035@16", "hand", "cpu"]
    assert f"{INTERVAL}   {INTERVAL}" in file.getvalue()


@pytest.mark.parametrize("names", [None, 12])
def test_where_even_parted_names_leave_no_room_rows_become_blocks(names: int | None) -> None:
    file, shown = io.StringIO(), table("net", ">right %", ">found %", title="nets", names=names)
    shown.add_row(NET, INTERVAL, INTERVAL)
    LiteralConsole(file=file, width=50 if names is None else 38).print(shown)
    assert NET in file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "names"), [(40, 12), (63, None)])
def test_intervals_go_below_their_values_before_rows_become_blocks(width: int, names: int | None) -> None:
    file, shown = io.StringIO(), table("net", ">right %", ">found %", title="nets", names=names)
    shown.add_row(NET, INTERVAL, "–")
    LiteralConsole(file=file, width=width).print(shown)
    lines = [line.split() for line in file.getvalue().splitlines()]
    (place,) = [number for number, words in enumerate(lines) if words[-2:] == ["84.9", "–"]]
    assert lines[place + 1][-2:] == ["[82.5,", "87.0]"]


@pytest.mark.parametrize(("width", "first"), [(60, "wide"), (20, "narrow")])
def test_of_two_tables_the_first_is_shown_that_has_room(width: int, first: str) -> None:
    file, wide, narrow = io.StringIO(), table("wide", *(f">{number}" for number in range(8))), table("narrow")
    wide.add_row("a", *"12345678")
    narrow.add_row("b")
    LiteralConsole(file=file, width=width).print(FirstBeside(wide, narrow))
    assert file.getvalue().split()[0] == first


@given(st.text("ab _/:@-", min_size=1, max_size=60), st.integers(3, 40))
def test_a_parted_name_is_whole_and_as_narrow_as_asked_for(name: str, width: int) -> None:
    lines = str(parted(Text(name), width)).splitlines()
    assert all(len(line) <= max(width, len(name) - len(name.lstrip()) + 1) for line in lines)
    assert "".join(line.strip() for line in lines).replace(" ", "") == name.replace(" ", "")


def test_a_pipe_has_no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    text = drawn(None, (PATH, "1.2 MB", HASH, COMMAND * 9))
    (line,) = [line for line in text.splitlines() if PATH in line]
    assert HASH in line
    assert COMMAND * 9 in line
    monkeypatch.setenv("COLUMNS", "70")
    assert max(map(len, drawn(None, ("a", "b", "c", COMMAND * 9)).splitlines())) <= 70


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 30)), min_size=1, max_size=6), st.integers(1, 150))
def test_columns_share_their_room_and_none_is_less_than_it_needs(sizes: list[tuple[int, int]], room: int) -> None:
    needs = [(least, least + more) for least, more in sizes]
    widths = shared(needs, room)
    if widths is None:
        assert sum(least for least, _ in needs) > room
        return
    assert sum(widths) <= room
    assert all(least <= width <= most for width, (least, most) in zip(widths, needs, strict=True))
