"""The picture of a search's front, drawn with characters."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgenas.report.front import FRONT, HAND, LIMIT, FrontPicture
from edgenas.report.terminal import Screen
from edgenas.runs import Found, Front, Outcome, Progress

CHEAP, BEATEN, GOOD, DEAR = Found(1.0, 0.70, is_hand_designed=True), Found(2.0, 0.65), Found(2.5, 0.80), Found(3.5, 0.75)


def record(*nets: Found, limit: float | None = 4.0) -> Front:
    return Front("searching", "latency_ms", limit, nets)


def picture(*nets: Found, limit: float | None = 4.0) -> FrontPicture:
    found = FrontPicture(record(limit=limit))
    for net in nets:  # a record each, as they come
        found.add(record(net))
    return found


def drawn(what: FrontPicture, *, width: int = 80, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=file, width=width).print(what)
    file.seek(0)
    return file.read()


def test_the_front_is_what_no_other_net_beats() -> None:
    assert picture(DEAR, GOOD, CHEAP, BEATEN).line == "front of 4 nets: 1 ms 70.0 %, 2.5 ms 80.0 %"


def test_of_two_nets_of_one_cost_the_better_one_is_on_the_front() -> None:
    assert picture(Found(1.0, 0.5), Found(1.0, 0.6)).line == "front of 2 nets: 1 ms 60.0 %"


def test_a_long_front_is_named_from_end_to_end() -> None:
    line = picture(*(Found(float(n), 0.5 + n / 100) for n in range(1, 20))).line
    assert line.startswith("front of 19 nets: 1 ms 51.0 %")
    assert line.endswith("19 ms 69.0 %")
    assert line.count("ms") == 5


def test_costs_without_a_unit_are_counted_in_millions() -> None:
    found = FrontPicture(Front("searching", "macs", None, ()))
    found.add(Front("searching", "macs", None, (Found(2_500_000.0, 0.5),)))
    assert found.line == "front of 1 nets: 2.5 M 50.0 %"


def test_far_below_a_limit_no_cost_is_negative() -> None:
    (axis,) = [line for line in drawn(picture(Found(0.1, 0.5), Found(0.2, 0.6), limit=8.0)).splitlines() if "predicted" in line]
    assert axis.split()[:2] == ["0", "ms"]


@pytest.mark.parametrize("width", [60, 80, 110])
def test_the_picture_fits_and_shows_front_hand_made_nets_and_limit(width: int) -> None:
    text = drawn(picture(CHEAP, BEATEN, GOOD, DEAR), width=width)
    assert max(map(len, text.splitlines())) <= width
    rows = [line for line in text.splitlines() if "┤" in line or "│" in line]
    above = "\n".join(rows)
    assert above.count(FRONT) == 2
    assert LIMIT in above
    assert "2 on the front" in text
    assert "4 nets" in text
    assert FRONT in rows[0]  # the best net is at the top
    assert HAND in text


def test_without_a_limit_none_is_drawn() -> None:
    assert LIMIT not in drawn(picture(CHEAP, GOOD, limit=None))


def test_a_terminal_without_such_characters_gets_plain_ones() -> None:
    text = drawn(picture(CHEAP, BEATEN, GOOD, DEAR), encoding="ascii")
    assert text.isascii()
    assert "o 2 on the front" in text
    assert "x hand-made" in text


def test_nothing_is_drawn_where_there_is_no_room_or_one_net() -> None:
    assert not drawn(picture(CHEAP, GOOD), width=30).strip()
    assert not drawn(picture(CHEAP)).strip()


def search() -> list[object]:
    return [
        record(CHEAP, BEATEN),
        Progress("searching", 50, 100, unit="%"),
        record(GOOD, DEAR),
        Progress("searching", 100, 100, unit="%"),
        Progress("measuring", 1, 1),
        Outcome(None),
    ]


def test_where_nobody_watches_the_front_is_a_line_beside_the_progress() -> None:
    file = io.StringIO()
    Screen(Console(file=file, width=100)).follow(iter(search()))  # type: ignore[arg-type]
    assert "front of 4 nets: 1 ms 70.0 %, 2.5 ms 80.0 %" in file.getvalue()
    assert "┤" not in file.getvalue()


def test_on_a_terminal_the_finished_picture_stays_once() -> None:
    file = io.StringIO()
    screen = Screen(Console(file=file, width=100, force_terminal=True, color_system=None, height=40))
    screen.follow(iter(search()))  # type: ignore[arg-type]
    kept = file.getvalue().rpartition("measuring")[0]
    assert "2 on the front" in kept
    assert screen.warnings == []
