"""Values in the cells of tables."""

from __future__ import annotations

import pytest

from edgenas.report.cells import minute


@pytest.mark.parametrize(
    ("date", "shown"),
    [
        ("2026-11-25T06:48:31.123456+00:00", "2026-11-25 06:48 UTC"),
        ("2026-11-25T01:30:00+02:00", "2026-11-24 23:30 UTC"),
        ("2026-11-25T06:48:00", "2026-11-25 06:48 UTC"),
        ("", ""),
        ("last week", "last week"),
    ],
)
def test_a_date_is_shown_to_the_minute_and_nothing_else_is_changed(date: str, shown: str) -> None:
    assert minute(date) == shown
