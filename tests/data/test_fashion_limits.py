"""IDX files of strangers."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from edgenas.data import fashion_mnist
from edgenas.errors import DataError


def test_a_file_that_unpacks_to_far_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(bytes(1 << 20)))
    monkeypatch.setattr(fashion_mnist, "MAX_TEXT_BYTES", 1 << 16)
    with pytest.raises(DataError, match="unpacks to more than 64 kB"):
        fashion_mnist.read_idx(path, 3)


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    os.mkfifo(path)
    with pytest.raises(DataError, match="no regular file"):
        fashion_mnist.read_idx(path, 3)
