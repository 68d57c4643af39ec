"""One way to write a share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenas.percents import numeral, percent, with_interval
from edgenas.records import Proportion


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0.0 %"),
        (1.0, "100.0 %"),
        (0.97042, "97.0 %"),
        (0.0005, "0.1 %"),
        (0.00012, "0.012 %"),
        (2.2e-7, "2.2e-5 %"),
        (0.9997, "99.97 %"),
        (-0.031, "-3.1 %"),
    ],
)
def test_a_share_has_one_decimal_and_more_where_that_would_say_none_or_all(share: float, text: str) -> None:
    assert percent(share) == text


@given(st.floats(1e-9, 1 - 1e-9))
def test_only_none_is_none_and_only_all_is_all(share: float) -> None:
    assert numeral(share) not in ("0.0", "100.0")
    assert float(numeral(share)) == pytest.approx(100 * share, abs=0.051)


def test_an_interval_stands_behind_its_share() -> None:
    assert with_interval(Proportion(0.9512, 0.8641, 1.0, 61)) == "95.1 % [86.4, 100.0]"
