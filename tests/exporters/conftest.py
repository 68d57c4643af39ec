"""Files of the tiny net that take seconds to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenas.deploy.contracts import ExportSpec
from edgenas.deploy.plugins import get_exporter
from edgenas.testing.exporters import INPUT_SHAPE, tiny_net


@pytest.fixture(scope="session")
def tiny_pte(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny net as an ExecuTorch file, with texts in it."""
    spec = ExportSpec(INPUT_SHAPE, metadata={"classes": '["a", "b", "c"]'})
    return get_exporter("executorch").export(tiny_net(), spec, tmp_path_factory.mktemp("pte"))[0].path
