"""The script that puts a server under load."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.serve_load import measured


def test_a_short_load_has_no_errors_and_is_reported_beside_the_bare_runtime(artefact: Path) -> None:
    text, num_errors = measured(artefact, clients=4, seconds=1.0, side=32, rounds=1)
    assert num_errors == 0
    rows = re.findall(r"^\| (server|bare)[^|]*\| ([\d,]+) \| 0 \|", text, re.MULTILINE)
    assert [name for name, _ in rows] == ["server", "server", "bare", "bare"]
    assert all(int(num.replace(",", "")) > 0 for _, num in rows)
