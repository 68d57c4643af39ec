"""Earlier names of what others may have imported."""

from __future__ import annotations

import pytest

import edgenas
import edgenas.latency
import edgenas.recipes
from edgenas.training import initial


def test_an_earlier_name_leads_to_the_present_one_and_says_it() -> None:
    with pytest.warns(DeprecationWarning, match="edgenas.latency.ProfileSettings is now edgenas.latency.MeasuringSettings"):
        assert edgenas.latency.ProfileSettings is edgenas.latency.MeasuringSettings
    with pytest.warns(DeprecationWarning, match="edgenas.recipes.initial is now edgenas.training.initial"):
        assert edgenas.recipes.initial is initial
    with pytest.warns(DeprecationWarning, match=r"edgenas\.Objective is now edgenas\.TrainingLoss") as warned:
        assert edgenas.Objective is edgenas.TrainingLoss
    assert warned[0].filename == __file__


def test_a_name_that_never_was_is_not_found() -> None:
    with pytest.raises(AttributeError, match=r"module 'edgenas\.latency' has no attribute 'Nothing'"):
        edgenas.latency.Nothing  # noqa: B018 - reading it is the test
