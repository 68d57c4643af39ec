"""Which nets are trained alone to see how well cheap rankings agree with them."""

from __future__ import annotations

import numpy as np
import pytest

from edgenas.errors import InfeasibleError
from edgenas.project.opening import Project, open_images, open_project
from edgenas.project.run_tables import run_table
from edgenas.project.searching.ranked_nets import nets_to_train
from edgenas.spaces.designed import hand_designed_rows
from tests.recipes.budgets import make_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a table of this machine."""
    return open_project(make_project(tmp_path_factory.mktemp("ranked")) / "edgenas-run", {}, ())


@pytest.mark.parametrize("num", [4, 13, 40])
def test_half_of_the_nets_are_of_nearly_equal_latency_and_the_others_are_not(project: Project, num: int) -> None:
    images = open_images(project)
    rows_AG, in_band_A = nets_to_train(project, images, num, 0.05)
    project.space.require_valid(rows_AG)
    assert len(np.unique(rows_AG, axis=0)) == len(rows_AG) == num
    assert in_band_A.sum() == -(-num // 2)
    table = run_table(project, images.task)
    assert table is not None
    middle = np.median(table.predicted(hand_designed_rows(project.space)))
    away_A = np.abs(table.predicted(rows_AG) / middle - 1)
    assert away_A[in_band_A].max() <= 0.05 < away_A[~in_band_A].min()
    again_AG, _ = nets_to_train(project, images, num, 0.05)
    np.testing.assert_array_equal(again_AG, rows_AG)


def test_a_band_without_nets_is_refused(project: Project) -> None:
    with pytest.raises(InfeasibleError, match="0 nets of pvt-nano cost within") as caught:
        nets_to_train(project, open_images(project), 12, -1.0)
    assert caught.value.hint == "widen --band"
