from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgenas.data import SOURCES, open_source, scan_source
from edgenas.data.base import ImageSource
from edgenas.data.fashion_mnist import read_idx
from edgenas.errors import DataError
from edgenas.testing.data import DataConformance


def write_image(path: Path, value: int = 0, size: tuple[int, int] = (6, 5)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)


def write_folder(root: Path, *, per_class: int = 5, parts: tuple[str, ...] = ("",)) -> Path:
    for part in parts:
        for name in ("cat", "dog"):
            for index in range(per_class):
                write_image(root / part / name / f"{index}.png", value=40 * index)
    return root


def write_idx(path: Path, array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], *, packed: bool = False) -> None:
    data = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if packed else data)


def write_fashion(folder: Path, *, packed: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    suffix = ".gz" if packed else ""
    for stem, num in (("train", 40), ("t10k", 20)):
        write_idx(folder / f"{stem}-images-idx3-ubyte{suffix}", rng.integers(0, 256, (num, 28, 28), dtype=np.uint8), packed=packed)
        write_idx(folder / f"{stem}-labels-idx1-ubyte{suffix}", (np.arange(num) % 10).astype(np.uint8), packed=packed)
    return folder


class TestDigits(DataConformance):
    @pytest.fixture
    def source(self) -> ImageSource:
        return open_source("digits")


class TestFolder(DataConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ImageSource:
        return open_source(f"folder:{write_folder(tmp_path)}")


class TestDividedFolder(DataConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ImageSource:
        return open_source(f"folder:{write_folder(tmp_path, parts=('train', 'val', 'test'))}")


class TestDimDigits(DataConformance):
    @pytest.fixture
    def source(self) -> ImageSource:
        return open_source("dim-digits")


class TestFashionMnist(DataConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ImageSource:
        return open_source(f"fashion-mnist:{write_fashion(tmp_path, packed=True)}")


def test_digits_are_1797_scans_over_the_whole_range() -> None:
    digits = open_source("digits")
    assert len(digits.labels_N) == 1797
    values = {int(v) for index in range(200) for v in np.unique(np.asarray(digits.load(index)))}
    assert values == {(255 * v + 8) // 16 for v in range(17)}
    assert digits.default_positive == "8"


def test_dim_digits_are_the_same_scans_in_little_light_every_time() -> None:
    digits, first, again = open_source("digits"), open_source("dim-digits"), open_source("dim-digits")
    assert (first.labels_N == digits.labels_N).all()
    assert all(first.content(index) == again.content(index) for index in range(50))
    seen = np.stack([np.asarray(first.load(index)) for index in range(200)])
    assert seen.shape[1:] == (24, 24)
    assert 40 < np.quantile(seen.max(axis=(1, 2)), 0.5) < 160  # dim, and nothing of it lost at the upper end
    assert seen[:, 0].std() > 1  # noise where there is no stroke
    assert "no camera took these pictures" in first.notes[0]


def test_an_unknown_source_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"no data source 'imagenet'.*digits, dim-digits, folder:DIR, fashion-mnist\[:DIR\]"):
        open_source("imagenet")


def test_every_known_source_is_named_when_one_is_unknown() -> None:
    with pytest.raises(DataError) as caught:
        open_source("imagenet")
    usages = ("cifar10:DIR", "cifar100:DIR", "csv:FILE", "covidx:DIR", "torchvision:NAME[:DIR]", "timm:NAME:DIR")
    assert all(usage in str(caught.value) for usage in usages)


@pytest.mark.parametrize(
    ("text", "usage"), [("folder", "folder:DIR"), ("folder:", "folder:DIR"), ("digits:x", "digits"), ("csv", "csv:FILE")]
)
def test_a_source_written_wrongly_says_how_to_write_it(text: str, usage: str) -> None:
    with pytest.raises(DataError, match=f"must be written {usage}"):
        open_source(text)


def test_every_source_is_named_as_it_is_written() -> None:
    assert all(kind.usage.startswith(name) for name, kind in SOURCES.items())


def test_folder_classes_are_alphabetical_and_ids_relative(tmp_path: Path) -> None:
    source = open_source(f"folder:{write_folder(tmp_path)}")
    assert source.class_names == ("cat", "dog")
    assert source.ids[0] == "cat/0.png"
    assert source.published_split is None


def test_published_parts_are_kept(tmp_path: Path) -> None:
    source = open_source(f"folder:{write_folder(tmp_path, parts=('Train', 'validation'))}")
    assert source.published_split == ("train",) * 10 + ("val",) * 10


def test_hidden_files_and_other_extensions_are_ignored_and_case_is_not(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "cat" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / ".git").mkdir()
    write_image(tmp_path / "cat" / "LOUD.PNG")
    write_image(tmp_path / "dog" / "nested" / "deep.JpEg")
    source = open_source(f"folder:{tmp_path}")
    assert len(source.labels_N) == 12
    assert {"cat/LOUD.PNG", "dog/nested/deep.JpEg"} <= set(source.ids)


def test_every_problem_of_a_folder_is_listed_at_once(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError) as caught:
        open_source(f"folder:{tmp_path}")
    assert len(caught.value.problems) == 2
    assert "class 'empty' has no images" in "\n".join(caught.value.problems)
    assert all("\n" not in problem for problem in caught.value.problems)


def test_published_parts_are_those_that_are_named_so_and_other_folders_are_noted(tmp_path: Path) -> None:
    write_folder(tmp_path, parts=("train", "val"))
    write_image(tmp_path / "devkit" / "a.png")
    source = open_source(f"folder:{tmp_path}")
    assert source.published_split == ("train",) * 10 + ("val",) * 10
    assert source.notes == ("folder(s) beside the published parts are ignored: devkit",)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("car", "train"):
        write_image(tmp_path / name / "a.png")
    source = open_source(f"folder:{tmp_path}")
    assert source.class_names == ("car", "train")
    assert source.published_split is None


def test_two_folders_for_one_part_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, parts=("train", "val", "validation"))
    with pytest.raises(DataError, match="several folders for one published part: train, val, validation"):
        open_source(f"folder:{tmp_path}")


def test_what_is_no_image_by_its_name_is_counted(tmp_path: Path) -> None:
    write_folder(tmp_path)
    for name in ("cat/a.txt", "cat/b.TXT", "dog/README", "labels.csv"):
        (tmp_path / name).write_text("x")
    write_image(tmp_path / "loose.png")
    assert open_source(f"folder:{tmp_path}").notes == (
        "4 file(s) are no images by their names and ignored: without extension 1, .csv 1, .txt 2",
        f"1 image(s) lie beside the class folders in {tmp_path} and are ignored",
    )


def test_class_names_that_differ_only_in_case_are_refused_with_both(tmp_path: Path) -> None:
    for name in ("Cat", "cat"):
        write_image(tmp_path / name / "a.png")
    with pytest.raises(DataError, match=r"labels 'Cat' and 'cat' look alike: .* --map-label 'cat=Cat'"):
        open_source(f"folder:{tmp_path}")


def test_a_part_that_lacks_a_class_and_one_without_class_folders_are_problems(tmp_path: Path) -> None:
    write_folder(tmp_path, parts=("train", "test"))
    write_image(tmp_path / "train" / "bird" / "a.png")
    write_image(tmp_path / "val" / "a.png")
    assert scan_source(f"folder:{tmp_path}").problems == (
        f"{tmp_path / 'val'} has no class folders, 1 loose image(s)",
        f"class 'bird' has no images in {tmp_path / 'test' / 'bird'}",
    )


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write_folder(tmp_path / "data")
    write_image(tmp_path / "elsewhere" / "linked.png")
    (tmp_path / "data" / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    assert "cat/more/linked.png" in open_source(f"folder:{tmp_path / 'data'}").ids
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path / "data" / "cat")
    (tmp_path / "data" / "dog" / "self").symlink_to(tmp_path / "data" / "dog" / "self")
    assert scan_source(f"folder:{tmp_path / 'data'}").problems == (
        f"{tmp_path}/data/cat/more/up leads back to {tmp_path}/data/cat; remove the link",
        f"{tmp_path}/data/dog/self cannot be followed: Too many levels of symbolic links",
    )


def test_folders_that_cannot_be_listed_are_named_and_the_others_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path)
    write_image(tmp_path / "cat" / "locked" / "a.png")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    source = scan_source(f"folder:{tmp_path}")
    assert source.problems == (f"{tmp_path / 'cat' / 'locked'} cannot be listed: Permission denied",)
    assert len(source.labels_N) == 10


def test_names_that_cannot_be_written_down_are_problems(tmp_path: Path) -> None:
    write_folder(tmp_path)
    for name in (b"bad\xff.png", b"red\x1b[31m.png", b"two\nlines.png", "nice\u202fname.png".encode()):
        (tmp_path / "cat" / os.fsdecode(name)).write_bytes(b"x")
    first, second, third = scan_source(f"folder:{tmp_path}").problems
    assert first == f"{tmp_path / 'cat'} holds 'bad\\udcff.png', a name with a control character or not in UTF-8; rename it"
    assert "'red\\x1b[31m.png'" in second
    assert "'two\\nlines.png'" in third


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is no folder"):
        open_source(f"folder:{tmp_path / 'nowhere'}")


def test_a_folder_of_loose_images_has_no_classes(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    with pytest.raises(DataError, match="0 class folder"):
        open_source(f"folder:{tmp_path}")


def test_a_truncated_image_is_named_when_it_is_decoded(tmp_path: Path) -> None:
    write_folder(tmp_path)
    rng = np.random.default_rng(0)
    path = tmp_path / "cat" / "half.jpg"
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:1500])
    source = open_source(f"folder:{tmp_path}")
    with pytest.raises(DataError, match=r"half\.jpg cannot be decoded"):
        source.load(source.ids.index("cat/half.jpg"))


def test_fashion_mnist_reads_plain_and_packed_files_alike(tmp_path: Path) -> None:
    plain = open_source(f"fashion-mnist:{write_fashion(tmp_path / 'plain')}")
    packed = open_source(f"fashion-mnist:{write_fashion(tmp_path / 'packed', packed=True)}")
    assert plain.ids == packed.ids
    assert plain.content(45) == packed.content(45)
    assert plain.published_split is not None
    assert plain.published_split.count("test") == 20


def test_missing_fashion_mnist_names_every_file_and_the_package(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="apt-get install dataset-fashion-mnist") as caught:
        open_source(f"fashion-mnist:{tmp_path}")
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no IDX file"),
        (struct.pack(">BBBBI", 0, 0, 13, 1, 1) + b"x", "no IDX file"),
        (struct.pack(">BBBBI", 0, 0, 8, 1, 5) + b"x", "needs 5"),
        (struct.pack(">BBBBI", 0, 0, 8, 1, 1) + b"xyz", "holds 3 bytes"),
        (struct.pack(">BBBBI", 0, 0, 8, 1, 2**32 - 1) + b"xyz", "needs 4294967295"),
    ],
)
def test_a_damaged_idx_file_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "labels"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_idx(path, 1)


def test_sizes_whose_product_overflows_are_not_taken_for_small_ones(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(struct.pack(">BBBB4I", 0, 0, 8, 4, 2**31, 2**31, 4, 1))  # 2 ** 64 bytes, 0 in 64 bits
    with pytest.raises(DataError, match=r"holds 0 bytes after its header; .* needs 18446744073709551616"):
        read_idx(path, 4)


def test_a_damaged_gzip_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress(b"x" * 1000)[:-12])
    with pytest.raises(DataError, match=r"labels\.gz cannot be read"):
        read_idx(path, 1)


@pytest.mark.parametrize("parts", [("val", "test"), ("train", "holdout")])
def test_parts_are_never_taken_for_classes(tmp_path: Path, parts: tuple[str, str]) -> None:
    with pytest.raises(DataError, match=r"with class folders in them.*name its parts train, val, test"):
        open_source(f"folder:{write_folder(tmp_path, parts=parts)}")
