"""Which runtimes nets can be measured with."""

from __future__ import annotations

import pytest

from edgenas.errors import UsageError
from edgenas.latency.measuring.runtimes import choose_runtime
from edgenas.recipes.doctor import _measures


def test_a_runtime_that_loads_files_of_its_format_alone_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="executorch-cpu loads executorch files alone") as caught:
        next(choose_runtime("cpu", "executorch-cpu"))
    assert "openvino-cpu" in caught.value.hint


def test_the_doctor_knows_which_cannot_measure() -> None:
    assert _measures("executorch-cpu") is False
    assert _measures("openvino-cpu") is None
