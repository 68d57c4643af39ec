"""A tiny exported model, its artefact folder and what goes in."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.deploy.artefact import Facts, write_artefact
from edgenas.deploy.contracts import ExportedFile, ExportSpec
from edgenas.deploy.parity import Gates, compare
from edgenas.deploy.plugins import get_exporter
from edgenas.deploy.signing import Signer
from edgenas.records import ArchitectureFacts, DataFacts, Metrics, Parity, SplitMetrics, WeightsFacts
from edgenas.stats import wilson
from edgenas.testing.exporters import INPUT_SHAPE, reference_logits, tiny_net

SHARE = wilson(1, 1)
CLASSES = ("healthy", "covid-19", "other")


@cache
def parity_of(num: int = 600, *, broken: bool = False) -> Parity:
    labels = np.arange(num) % 3
    logits = (4 * np.eye(3)[labels]).astype(np.float32)
    candidate = -logits if broken else logits + np.float32([0, 0.3, 0])
    return compare(logits, candidate, labels, class_names=CLASSES, positive=1, threshold=0.4, gates=Gates())


def facts(**changes: Any) -> Facts:
    values: dict[str, Any] = {
        "input_shape": INPUT_SHAPE,
        "preprocessing": {
            "image_px": 8,
            "mean": [0.5, 0.4, 0.3],
            "std": [0.2, 0.25, 0.3],
            "resize": "bilinear",
            "resize_mode": "squash",
            "crop_pct": 1.0,
            "channels": "RGB",
        },
        "classes": CLASSES,
        "positive": "covid-19",
        "threshold": 0.4,
        "architecture": ArchitectureFacts(space="tiny", arch={"depths": [1]}, params=1, macs=1),
        "weights": WeightsFacts(origin="finetuned", sha256="1" * 64),
        "data": DataFacts(source="noise", fingerprint="0" * 64, splits={"test": 400}),
        "metrics": SplitMetrics(split="test", metrics=Metrics(n=1, top1=SHARE, top1_decision=SHARE, sensitivity={})),
        "latency": None,
        "versions": {"torch": "2"},
    }
    return Facts(**(values | changes))


def reference(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return reference_logits(tiny_net(), images)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExportedFile]:
    folder = tmp_path_factory.mktemp("exported")
    exporter = get_exporter("onnx")
    return {
        "fp32": exporter.export(tiny_net(), ExportSpec(INPUT_SHAPE), folder)[0],
        "fp16": exporter.export(tiny_net(), ExportSpec(INPUT_SHAPE, batch_size=None, precision="fp16"), folder)[0],
    }


@pytest.fixture
def make_artefact(exported: dict[str, ExportedFile], tmp_path: Path) -> Callable[..., Path]:
    def make(
        *, parity: Parity | None = None, precisions: tuple[str, ...] = ("fp32",), signer: Signer | None = None, **changes: Any
    ) -> Path:
        models = [(exported[precision], parity_of() if parity is None else parity) for precision in precisions]
        return write_artefact(tmp_path / "artefact", models, facts(**changes), reference=reference, signer=signer).folder

    return make
