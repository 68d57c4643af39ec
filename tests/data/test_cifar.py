from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgenas.data import open_source, scan_source
from edgenas.data.base import ImageSource
from edgenas.errors import DataError
from edgenas.testing.data import DataConformance

FILES10 = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")


def write_records(path: Path, labels: Sequence[tuple[int, ...]], seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(bytes(label) + rng.integers(0, 256, 3072, dtype=np.uint8).tobytes() for label in labels))


def write_cifar10(folder: Path, *, names: bool = True) -> Path:
    for seed, file in enumerate(FILES10):
        write_records(folder / file, [(label,) for label in range(10)], seed)
    if names:
        (folder / "batches.meta.txt").write_text("".join(f"kind{label}\n" for label in range(10)) + "\n")
    return folder


def write_cifar100(folder: Path) -> Path:
    for seed, (file, times) in enumerate((("train.bin", 2), ("test.bin", 1))):
        write_records(folder / file, [(label % 20, label) for label in range(100)] * times, seed)
    (folder / "fine_label_names.txt").write_text("".join(f"fine{label}\n" for label in range(100)))
    return folder


class TestCifar10(DataConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ImageSource:
        return open_source(f"cifar10:{write_cifar10(tmp_path)}")


class TestCifar100(DataConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ImageSource:
        return open_source(f"cifar100:{write_cifar100(tmp_path)}")


def test_the_parts_are_those_published_and_the_names_those_of_the_file(tmp_path: Path) -> None:
    source = open_source(f"cifar10:{write_cifar10(tmp_path)}")
    assert source.published_split == ("train",) * 50 + ("test",) * 10
    assert source.ids[0] == "train/00000"
    assert source.ids[50] == "test/00000"
    assert source.class_names[3] == "kind3"
    assert (source.default_space, source.default_image_px) == ("pvt-nano", 32)


def test_pixels_are_planes_of_red_green_and_blue(tmp_path: Path) -> None:
    source = open_source(f"cifar10:{write_cifar10(tmp_path)}")
    record = (tmp_path / "data_batch_1.bin").read_bytes()[3073 + 1 : 2 * 3073]
    expected_HWC = np.frombuffer(record, dtype=np.uint8).reshape(3, 32, 32).transpose(1, 2, 0)
    image = source.load(1)
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), expected_HWC)
    assert source.content(1) == expected_HWC.tobytes()


def test_cifar10_knows_its_names_without_their_file(tmp_path: Path) -> None:
    source = open_source(f"cifar10:{write_cifar10(tmp_path, names=False)}")
    assert source.class_names[:2] == ("airplane", "automobile")


def test_the_folder_above_the_unpacked_one_works_too(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "cifar-10-batches-bin")
    write_cifar100(tmp_path / "cifar-100-binary")
    assert len(open_source(f"cifar10:{tmp_path}").labels_N) == 60
    assert len(open_source(f"cifar100:{tmp_path}").labels_N) == 300


def test_cifar100_takes_the_fine_label(tmp_path: Path) -> None:
    source = open_source(f"cifar100:{write_cifar100(tmp_path)}")
    assert source.class_names[42] == "fine42"
    assert source.labels_N[:100].tolist() == list(range(100))


def test_cifar100_needs_the_file_of_names(tmp_path: Path) -> None:
    (write_cifar100(tmp_path) / "fine_label_names.txt").unlink()
    with pytest.raises(DataError, match=r"fine_label_names\.txt is missing"):
        open_source(f"cifar100:{tmp_path}")


def test_a_folder_without_cifar_names_every_file_and_notices_the_python_version(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"x")
    with pytest.raises(DataError, match="the files there are the version for Python") as caught:
        open_source(f"cifar10:{tmp_path}")
    assert len(caught.value.problems) == 6


def test_every_problem_of_the_files_is_listed_at_once(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_1.bin").unlink()
    with (tmp_path / "data_batch_2.bin").open("ab") as file:
        file.write(b"xyz")
    write_records(tmp_path / "data_batch_3.bin", [(1,), (200,), (11,)])
    (tmp_path / "data_batch_4.bin").write_bytes(b"")
    (tmp_path / "batches.meta.txt").write_text("cat\ndog\ncat\n")
    source = scan_source(f"cifar10:{tmp_path}")
    assert [problem.removeprefix(f"{tmp_path}/") for problem in source.problems] == [
        "batches.meta.txt has 3 names, 2 distinct, instead of 10",
        "data_batch_1.bin is missing",
        "data_batch_2.bin has 30,733 bytes, no multiple of the 3,073 of a record; copy it again",
        "data_batch_3.bin has 2 label(s) above 9, the first is record 1 with 200",
        "data_batch_4.bin is empty",
    ]
    assert len(source.labels_N) == 10 + 1 + 10 + 10
    assert source.labels_N.max() < 10


def test_names_that_are_no_text_are_a_problem(tmp_path: Path) -> None:
    (write_cifar10(tmp_path) / "batches.meta.txt").write_bytes(b"cat\n\xff\xfe\n")
    with pytest.raises(DataError, match=r"batches\.meta\.txt is no text in UTF-8: line 2 holds the byte 0xff"):
        open_source(f"cifar10:{tmp_path}")
