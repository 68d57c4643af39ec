"""Files of the tiny net that take seconds to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenas.deploy.calibrating import CalibrationImages
from edgenas.deploy.contracts import ExportedFile, ExportSpec
from edgenas.deploy.plugins import get_exporter
from edgenas.testing.exporters import INPUT_SHAPE, images, tiny_net

REPEATED = ("[fp32-None]", "[int8-None]")  # both precisions are written for one image, and any number in float16


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to `make slow` what a test beside it shows; who runs the suite on a format of their own gets all of it."""
    for item in items:
        if "exporters/test_conformance.py" not in item.nodeid or "ExecuTorch" in item.nodeid:
            continue
        if item.name.endswith(REPEATED) or "test_constructing_one_imports_nothing_heavy" in item.name:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def tiny_pte(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny net as an ExecuTorch file, with texts in it."""
    spec = ExportSpec(INPUT_SHAPE, metadata={"classes": '["a", "b", "c"]'})
    return get_exporter("executorch").export(tiny_net(), spec, tmp_path_factory.mktemp("pte"))[0].path


@pytest.fixture(scope="session")
def tiny_int8(tmp_path_factory: pytest.TempPathFactory) -> ExportedFile:
    """The tiny net as an ExecuTorch file in int8, whole: nothing stays float32 but what is no layer."""
    spec = ExportSpec(INPUT_SHAPE, precision="int8", calibration=CalibrationImages(images(32, seed=1), max_changed=0.2))
    return get_exporter("executorch").export(tiny_net(), spec, tmp_path_factory.mktemp("int8"))[0]
