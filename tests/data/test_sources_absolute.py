"""Sources with relative paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenas.data import absolute_source


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("digits", "digits"),
        ("fashion-mnist", "fashion-mnist"),
        ("folder:images", "folder:{here}/images"),
        ("folder:../a:b", "folder:{here}/../a:b"),
        ("csv:/data/x.csv", "csv:/data/x.csv"),
        ("torchvision:MNIST:data", "torchvision:MNIST:{here}/data"),
        ("torchvision:FakeData", "torchvision:FakeData"),
        ("torch/mnist:data", "timm:torch/mnist:{here}/data"),
        ("nonsense:x", "nonsense:x"),
        ("folder:", "folder:"),
    ],
)
def test_paths_become_absolute(given: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_source(given) == expected.format(here=tmp_path)
