"""Nets that a race dropped, and what becomes of those that are finalists all the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenas.project.searching.races import completed
from tests.project.test_finalists import finalist


def test_a_finalist_that_was_dropped_counts_as_it_is_on_all_images() -> None:
    whole = finalist()
    dropped = replace(whole.candidate, images_M=np.array([0]), dropped_for="accuracy")
    other = replace(dropped, genes=(2,))
    assert completed([other, dropped], [whole]) == [other, whole.candidate]
