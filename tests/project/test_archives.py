"""Images that lie in a few large files are read again only where these files changed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgenas.data import archives_of, open_source
from edgenas.data.archives import Archives
from edgenas.data.splits import load_splits, save_splits, split_source
from edgenas.errors import DataError
from edgenas.project import opening
from edgenas.project.opening import Project, images_of, open_project, require_divided


def _idx(values: np.ndarray) -> bytes:
    return bytes((0, 0, 8, values.ndim)) + np.array(values.shape, dtype=">u4").tobytes() + values.astype(np.uint8).tobytes()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of 300 images in the four files of Fashion-MNIST, old enough for their times to tell."""
    monkeypatch.setattr("edgenas.data.archives.FRESH_NS", -(10**12))
    rng = np.random.default_rng(0)
    for part, num in (("train", 200), ("t10k", 100)):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(_idx(rng.integers(0, 256, (num, 28, 28))))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(_idx(np.arange(num) % 10))
    source, run = f"fashion-mnist:{tmp_path}", tmp_path / "run"
    run.mkdir()
    (run / "edgenas.toml").write_text(f'[data]\nsource = "{source}"\n', encoding="utf-8")
    project = open_project(run, {}, ())
    data = project.settings.data
    splits = split_source(open_source(source), fractions=data.fractions, seed=data.seed)
    options = {name: value for name, value in data.division.items() if name not in ("fractions", "seed")}
    save_splits(project.run.splits, replace(splits, options=options))
    return project


def _closed(*_: object) -> None:
    raise AssertionError("the images were read")


def test_unchanged_files_are_not_read_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    require_divided(project)
    monkeypatch.setattr(opening, "open_source", _closed)
    require_divided(project)
    (folder,) = {Path(name).parent for name in Archives.load(project.run.archives).files}  # type: ignore[union-attr] # there
    assert len(archives_of(f"fashion-mnist:{folder}")) == 8


def test_a_changed_byte_is_found_whatever_the_file_says_of_its_age(project: Project) -> None:
    require_divided(project)
    path = archives_of(project.settings.data.source)[0]
    before, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DataError, match="changed since it was divided"):
        require_divided(project)


def test_a_file_that_appears_beside_them_is_seen(project: Project) -> None:
    require_divided(project)
    packed = archives_of(project.settings.data.source)[1]
    assert packed.suffix == ".gz"
    packed.write_bytes(b"no archive")  # not read while the plain one is there, but nobody knows before having looked
    stored = Archives.load(project.run.archives)
    require_divided(project)
    assert Archives.load(project.run.archives) != stored


def test_files_are_read_where_the_record_is_damaged_or_of_other_splits(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    images_of(project)
    whole, splits = project.run.archives.read_bytes(), load_splits(project.run.splits)
    monkeypatch.setattr(opening, "open_source", _closed)
    other = replace(splits, fingerprint="0" * 64)
    for content, given in ((whole[:-40], splits), (whole.replace(b"ubyte", b"ubyts", 1), splits), (whole, other)):
        project.run.archives.write_bytes(content)
        with pytest.raises(AssertionError, match="the images were read"):
            require_divided(project, given)


def test_files_that_have_just_changed_are_not_trusted(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgenas.data.archives.FRESH_NS", 10**18)
    require_divided(project)
    assert not project.run.archives.exists()
