"""The page on near-duplicates, on few images."""

from __future__ import annotations

import numpy as np

from benchmarks.near_duplicates import KINDS, Data, rows, scene


def test_every_kind_of_copy_is_a_row_with_recall_and_precision() -> None:
    data = Data("few", [scene(seed) for seed in range(60)], np.arange(60) % 2)
    told = list(rows(data, ("JPEG quality", "levels added")))
    assert [row.split(" | ")[:3] for row in told] == [
        [f"| {kind} {strength:g}", "1.000", "1.000"] for kind in ("JPEG quality", "levels added") for strength in KINDS[kind][1]
    ]
