"""A tiny artefact that answers about images, and pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgenas.deploy.artefact import write_artefact
from edgenas.deploy.contracts import ExportedFile, ExportSpec
from edgenas.deploy.plugins import get_exporter
from edgenas.records import DecisionRule
from edgenas.testing.exporters import INPUT_SHAPE, tiny_net
from tests.deploy.conftest import facts, parity_of, reference

THRESHOLD, ZONE = 0.23, (0.22, 0.233)  # amid the tiny net's answers to noise


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[ExportedFile]:
    """The tiny net for one image a call, and for any number."""
    folder = tmp_path_factory.mktemp("models")
    exporter = get_exporter("onnx")
    return [exporter.export(tiny_net(), ExportSpec(INPUT_SHAPE, batch_size=size), folder)[0] for size in (1, None)]


@pytest.fixture(scope="session")
def artefact(models: list[ExportedFile], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artefact whose decisions near the threshold are for a person; not to be changed."""
    return written(tmp_path_factory.mktemp("artefact") / "artefact", models)


def written(
    folder: Path, models: list[ExportedFile], *, broken: bool = False, net: str | None = "searched", **changes: object
) -> Path:
    """An artefact folder."""
    said = replace(
        facts(decision=DecisionRule(rule="threshold", positive="covid-19", threshold=THRESHOLD, refer=ZONE), threshold=THRESHOLD),
        net=net,
        **changes,  # type: ignore[arg-type]
    )
    return write_artefact(folder, [(model, parity_of(broken=broken)) for model in models], said, reference=reference).folder


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., list[Path]]:
    """Writes pictures of noise."""

    def write(num: int, folder: str = "pictures", seed: int = 0) -> list[Path]:
        rng = np.random.default_rng(seed)
        home = tmp_path / folder
        home.mkdir(parents=True, exist_ok=True)
        paths = [home / f"{index:03d}.png" for index in range(num)]
        for path in paths:
            Image.fromarray(rng.integers(0, 256, size=(12, 16, 3), dtype=np.uint8)).save(path)
        return paths

    return write
