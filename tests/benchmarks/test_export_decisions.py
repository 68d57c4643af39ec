"""The study of decisions on all test images: what was answered is not asked again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import export_decisions
from edgenas.testing.exporters import tiny_net


def few_images(split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Seven generated images of a split, of ten classes."""
    rng = np.random.default_rng(len(split))
    return rng.integers(0, 256, (7, 28, 28), dtype=np.uint8), rng.integers(0, 10, 7)


def test_answers_are_kept_by_parts_and_only_missing_ones_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_decisions, "read_images", few_images)
    monkeypatch.setattr(export_decisions, "PART", 3)
    study = export_decisions.Study(tiny_net(), 16, 7, tmp_path)
    asked: list[int] = []

    def ask(x_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        asked.append(len(x_NCHW))
        return x_NCHW[:, 0, 0, :10]

    whole = export_decisions.answers(study, "a file", lambda: ask)
    assert whole.shape == (7, 10)
    assert asked == [3, 3, 1]
    (tmp_path / "a-file" / "logits-3-6.npy").unlink()
    np.testing.assert_array_equal(export_decisions.answers(study, "a file", lambda: ask), whole)
    assert asked == [3, 3, 1, 3]


def test_a_file_that_decides_otherwise_fails_and_the_table_says_why() -> None:
    rng = np.random.default_rng(0)
    reference = rng.standard_normal((600, 10)).astype(np.float32)
    labels = reference.argmax(1)
    same, other = (export_decisions.judged(logits, reference, labels).as_json() for logits in (reference, -reference))
    found = {"images": 600, "accuracy": 1.0, "files": {"same": same, "other": other, "missing": {"error": "not installed"}}}
    said = export_decisions.table(found)
    assert "| same | passed | 0 | 0 | – |" in said
    assert "| other | failed | 600 |" in said
    assert "| missing | – | – | – | not installed |" in said
