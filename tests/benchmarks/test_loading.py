"""How fast training images come; run alone: ``pytest -m benchmark -s tests/benchmarks/test_loading.py``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgenas.data import open_source
from edgenas.data.batches import TrainBatches, loader_rate
from edgenas.data.loaders import ImageStore
from edgenas.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess

NUM_IMAGES = 256
SECONDS = 4.0


def photographs(folder: Path) -> Path:
    """JPEGs of 512 px that compress as photographs do: about 1 bit a pixel."""
    rng = np.random.default_rng(0)
    for number in range(NUM_IMAGES):
        coarse = Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)).resize((512, 512), Image.Resampling.BICUBIC)
        path = folder / f"class{number % 4}" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        coarse.save(path, quality=90)
    return folder


@pytest.mark.benchmark
def test_loading_is_measured_with_and_without_workers_and_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = open_source(f"folder:{photographs(tmp_path)}")
    preprocess = Preprocess(224, IMAGENET_MEAN, IMAGENET_STD)
    cold, warm = (ImageStore(source, preprocess, memory_bytes=memory_bytes) for memory_bytes in (0, 1 << 30))
    parts = []
    for name, store, augmentation, workers in (
        ("0 workers", cold, "base", 0),
        ("1 worker", cold, "base", 1),
        ("2 workers", cold, "base", 2),
        ("cached light 0 workers", warm, "light", 0),
        ("cached light 2 workers", warm, "light", 2),
        ("cached none", warm, "none", 0),
    ):
        batches = TrainBatches(store, np.arange(NUM_IMAGES), 64, augmentation, workers=workers)  # type: ignore[arg-type]
        rate = loader_rate(batches, seconds=SECONDS)
        assert rate.images_per_second > 1
        parts.append(f"{name} {rate.images_per_second:.0f}/s")
    with capsys.disabled():
        print(f"\nloading JPEGs of 512 px to 224 px, {os.cpu_count()} CPUs, base: {', '.join(parts)}")  # noqa: T201 - a benchmark
