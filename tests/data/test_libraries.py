from __future__ import annotations

import multiprocessing
import pickle
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import Dataset
from torchvision import datasets

from edgenas.data import open_source, scan_source
from edgenas.data.base import ImageSource
from edgenas.data.library_images import join_parts, read_part
from edgenas.errors import DataError
from edgenas.testing.data import DataConformance
from tests.data.test_sources import write_fashion, write_folder, write_image


def write_mnist(root: Path) -> Path:
    write_fashion(root / "MNIST" / "raw")
    return root


def write_pets(root: Path) -> Path:
    """A data set of files with parts, as torchvision finds it: Oxford-IIIT Pet's layout, three kinds, 3 and 2 images."""
    base = root / "oxford-iiit-pet"
    (base / "annotations").mkdir(parents=True)
    for part, numbers in (("trainval", range(3)), ("test", range(3, 5))):
        rows = [(f"Kind_{label}_{number}", label) for label in (1, 2, 3) for number in numbers]
        text = "".join(f"{name} {label} 1 1\n" for name, label in rows)
        (base / "annotations" / f"{part}.txt").write_text(text)
        for value, (name, _) in enumerate(rows):
            write_image(base / "images" / f"{name}.jpg", value=value)
    return root


def write_tar(root: Path, *, broken: bool = False) -> Path:
    write_folder(root / "images")
    if broken:
        path = root / "images" / "cat" / "1.png"
        path.write_bytes(path.read_bytes()[:40])
    with tarfile.open(root / "all.tar", "w") as tar:
        tar.add(root / "images", arcname="")
    return root / "all.tar"


class FewFakes(datasets.FakeData):  # type: ignore[misc]
    """As many as a test needs."""

    def __init__(self) -> None:
        super().__init__(size=40, image_size=(3, 8, 8), num_classes=3)


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Callable[[type], str]:
    """Puts a class among torchvision's data sets and gives what to open."""

    def add(kind: type) -> str:
        monkeypatch.setattr(datasets, kind.__name__, kind, raising=False)
        monkeypatch.setattr(datasets, "__all__", (*datasets.__all__, kind.__name__))
        return f"torchvision:{kind.__name__}"

    return add


class TestFakeData(DataConformance):
    @pytest.fixture
    def source(self, offer: Callable[[type], str]) -> ImageSource:
        return open_source(offer(FewFakes))


class TestTorchvisionMnist(DataConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ImageSource:
        return open_source(f"torchvision:MNIST:{write_mnist(tmp_path)}")


class TestTorchvisionPets(DataConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ImageSource:
        return open_source(f"torchvision:OxfordIIITPet:{write_pets(tmp_path)}")


class TestTorchvisionImageFolder(DataConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ImageSource:
        return open_source(f"torchvision:ImageFolder:{write_folder(tmp_path)}")


class TestTimmFolder(DataConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ImageSource:
        return open_source(f"timm:folder:{write_folder(tmp_path, parts=('train', 'val'))}")


class TestTimmTar(DataConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ImageSource:
        return open_source(f"timm:folder:{write_tar(tmp_path)}")


def test_fake_data_open_by_name_alone() -> None:
    source = open_source("torchvision:FakeData")
    assert len(source.labels_N) == 1000
    assert source.class_names == tuple("0123456789")
    assert source.published_split is source.file_keys is source.path(0) is None
    assert (source.ids[7], source.default_space) == ("000007", "pvt-covidx")


def test_images_loaded_in_several_threads_are_those_loaded_in_one(offer: Callable[[type], str]) -> None:
    source = open_source(offer(FewFakes))
    alone = [source.content(index) for index in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(source.content, range(40))) == alone


def test_a_train_flag_gives_train_and_test(tmp_path: Path) -> None:
    source = open_source(f"torchvision:MNIST:{write_mnist(tmp_path)}")
    assert source.published_split == ("train",) * 40 + ("test",) * 20
    assert (source.ids[0], source.ids[40]) == ("train/000000", "test/000000")
    assert source.class_names[3] == "3 - three"
    assert (source.default_space, source.default_image_px) == ("pvt-nano", 32)


def test_a_split_gives_the_parts_that_it_knows_and_paths_where_there_are_files(tmp_path: Path) -> None:
    source = open_source(f"torchvision:OxfordIIITPet:{write_pets(tmp_path)}")
    assert source.published_split == ("train",) * 9 + ("test",) * 6
    assert source.class_names == ("Kind 1", "Kind 2", "Kind 3")
    assert source.labels_N.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 1, 1, 2, 2]
    assert source.path(9) == tmp_path / "oxford-iiit-pet" / "images" / "Kind_1_3.jpg"
    assert source.ids[9] == "oxford-iiit-pet/images/Kind_1_3.jpg"


def test_a_part_that_should_be_there_but_does_not_open_is_a_problem(tmp_path: Path) -> None:
    (write_pets(tmp_path) / "oxford-iiit-pet" / "annotations" / "test.txt").unlink()
    (problem,) = scan_source(f"torchvision:OxfordIIITPet:{tmp_path}").problems
    assert problem.startswith("test cannot be opened: FileNotFoundError: ")


@pytest.mark.parametrize("name", ["torch/cifar10", "timm:torch/cifar10", "timm:Torch/CIFAR10"])
def test_timm_names_of_torchvision_data_sets_work_with_and_without_timm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        entry = {"data": rng.integers(0, 256, (10, 3072), dtype=np.uint8), "labels": list(range(10))}
        (folder / file).write_bytes(pickle.dumps(entry))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"kind{label}" for label in range(10)]}))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    source = open_source(f"{name}:{tmp_path}")
    assert source.published_split == ("train",) * 50 + ("test",) * 10
    assert source.class_names[4] == "kind4"
    assert source.name.startswith("timm:")


def test_timm_folders_have_paths_parts_and_relative_ids(tmp_path: Path) -> None:
    source = open_source(f"timm:image_folder:{write_folder(tmp_path, parts=('Training', 'val'))}")
    assert source.published_split == ("train",) * 10 + ("val",) * 10
    assert source.ids[0] == "Training/cat/0.png"
    assert source.path(0) == tmp_path / "Training" / "cat" / "0.png"


def test_classes_of_several_parts_are_matched_by_name(tmp_path: Path) -> None:
    write_folder(tmp_path, parts=("train", "val"))
    write_image(tmp_path / "train" / "bird" / "0.png")
    for name in ("timm:folder", "timm:torch/folder"):
        source = open_source(f"{name}:{tmp_path}")
        assert source.published_split is not None
        named = {(source.published_split[at], source.class_names[label]) for at, label in enumerate(source.labels_N)}
        assert named == {("train", "bird"), ("train", "cat"), ("train", "dog"), ("val", "cat"), ("val", "dog")}
        assert all(source.class_names[label] in source.ids[at] for at, label in enumerate(source.labels_N))


def test_a_damaged_image_is_named_and_not_replaced_by_its_neighbour(tmp_path: Path) -> None:
    source = open_source(f"timm:folder:{write_tar(tmp_path, broken=True)}")
    with pytest.raises(DataError, match=r"000001 of timm:folder:.* is no image that can be read \(40 bytes\)"):
        source.load(1)
    assert source.load(2).mode == "L"


def test_a_tar_file_is_read_alike_by_threads_and_forks(tmp_path: Path) -> None:
    source = open_source(f"timm:folder:{write_tar(tmp_path)}")
    alone = [source.content(index) for index in range(10)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(source.content, range(10))) == alone
    with multiprocessing.get_context("fork").Pool(2) as forks:
        assert forks.map(source.content, [*range(10)] * 20, chunksize=5) == alone * 20


def test_images_in_no_class_folder_and_a_single_class_are_problems(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    first, second = scan_source(f"timm:folder:{tmp_path}").problems
    assert "has 1 class(es); at least 2 are needed" in first
    assert "has images that lie in no class folder" in second


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("torchvision:cifar10:.", "torchvision has no data set 'cifar10' that can be opened. similar are CIFAR10, CIFAR100"),
        ("torchvision:zzzz:.", "known are CIFAR10, CIFAR100, .*WIDERFace"),
        ("torchvision:CIFAR10", "needs a folder. write torchvision:CIFAR10:DIR"),
        ("torchvision:FakeData:.", "FakeData takes no folder. write torchvision:FakeData"),
        ("torchvision:Kinetics:.", "needs frames_per_clip, which cannot be given here"),
        ("torchvision:EMNIST:.", "no split named train, val or test: ValueError: Unknown value 'train' for argument split"),
        ("torchvision:CIFAR10:.", "cannot be opened: RuntimeError: Dataset not found.* nothing is downloaded"),
        ("torchvision:CIFAR10:/nowhere", "there is no /nowhere. nothing is downloaded"),
        ("torchvision:VisionDataset:.", "has no length, but images need a fixed order: NotImplementedError"),
        ("timm:tfds/mnist:.", "streams have no fixed order and hubs would download"),
        ("timm:hfds/mnist:.", "streams have no fixed order and hubs would download"),
        ("timm:mnist:.", "timm has no data set 'mnist' that can be opened. similar are torch/mnist"),
        ("timm:folder", "timm:folder needs a folder. write timm:folder:DIR"),
        ("torch/cifar10", "timm:torch/cifar10 needs a folder. write timm:torch/cifar10:DIR"),
        ("timm:folder:.", "cannot be opened: RuntimeError: Found 0 images"),
    ],
)
def test_what_cannot_be_opened_says_why_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        open_source(text)
    assert "\n" not in str(caught.value)


class Items(Dataset[Any]):
    """Gives whatever it is told to."""

    def __init__(self, *items: Any, **attributes: Any) -> None:
        self.items = items
        self.__dict__.update(attributes)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.items[index], Exception):
            raise self.items[index]
        return self.items[index]


GREY = Image.new("L", (4, 4), 7)


def joined(dataset: Any) -> ImageSource:
    part = read_part("", dataset, "toy")
    assert part is not None
    return join_parts("toy", None, [part], [], [])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ((GREY, [1, 2]), "toy has a list as label instead of a class index; only classification works"),
        ((GREY, GREY), "has a Image as label"),
        ((GREY, 0.5), "has a float as label"),
        ((GREY, 1, 2), "toy gives 3 things an item instead of an image and its class"),
        (GREY, "toy gives a Image an item"),
        (ValueError("bad\nbytes"), "image 0 of toy cannot be read: ValueError: bad bytes"),
        ((GREY, -1), "labels below 0"),
    ],
)
def test_data_that_are_no_classification_are_refused(item: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_part("", Items(item), "toy")


def test_an_empty_data_set_is_refused() -> None:
    with pytest.raises(DataError, match="toy has no images"):
        read_part("", Items(), "toy")


def test_a_part_without_labels_is_left_out_with_a_note(offer: Callable[[type], str]) -> None:
    class Contest(Items):
        def __init__(self, train: bool) -> None:
            super().__init__(*((GREY, label if train else None) for label in range(2)))

    source = open_source(offer(Contest))
    assert source.notes == ("test has no labels and is left out",)
    assert source.published_split == ("train", "train")


def test_labels_are_read_without_decoding_where_they_are_listed() -> None:
    unread = ValueError("decoded")
    source = joined(Items((GREY, 1), unread, unread, targets=[1, 0, 1]))
    assert source.labels_N.tolist() == [1, 0, 1]
    with pytest.raises(DataError, match=r"000001 of toy cannot be read: ValueError: decoded"):
        source.load(1)


def test_listed_numbers_that_are_not_the_labels_are_not_taken_for_them() -> None:
    assert joined(Items((GREY, 0), (GREY, 1), labels=[7, 9])).labels_N.tolist() == [0, 1]


def test_class_names_are_made_distinct_and_are_indices_where_too_few_are_listed() -> None:
    items = ((GREY, 0), (GREY, 1))
    assert joined(Items(*items, classes=[("crane", "bird"), "dog"])).class_names == ("crane, bird", "dog")
    assert joined(Items(*items, classes=["crane", "crane"])).class_names == ("crane (0)", "crane (1)")
    assert joined(Items(*items, classes=["crane"])).class_names == ("0", "1")
    assert joined(Items(*items, class_to_idx={"b": 0, "a": 1})).class_names == ("b", "a")


def arrays() -> Iterator[tuple[Any, str, Any]]:
    import torch

    rgb_HWC = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    yield rgb_HWC, "RGB", rgb_HWC
    yield rgb_HWC[:, :, 0], "L", rgb_HWC[:, :, 0]
    yield rgb_HWC[:, :, :1], "L", rgb_HWC[:, :, 0]
    yield torch.from_numpy(rgb_HWC).permute(2, 0, 1), "RGB", rgb_HWC
    yield torch.from_numpy(rgb_HWC).permute(2, 0, 1).float() / 255, "RGB", rgb_HWC


@pytest.mark.parametrize(("value", "mode", "expected"), list(arrays()))
def test_arrays_and_tensors_become_images(value: Any, mode: str, expected: Any) -> None:
    image = joined(Items((value, 0), (value, 1))).load(0)
    assert image.mode == mode
    assert np.array_equal(np.asarray(image), expected)


@pytest.mark.parametrize("value", [np.zeros((4, 4), dtype=np.int64), np.zeros((4, 4, 7), dtype=np.uint8), "a.png"])
def test_what_is_no_image_is_named(value: Any) -> None:
    with pytest.raises(DataError, match="000000 of toy is no image but"):
        joined(Items((value, 0), (value, 1))).load(0)


def test_a_file_in_two_parts_has_two_ids_and_one_key(tmp_path: Path) -> None:
    write_folder(tmp_path)
    parts = [read_part(word, datasets.ImageFolder(tmp_path), "toy") for word in ("train", "test")]
    source = join_parts("toy", tmp_path, [part for part in parts if part is not None], [], [])
    assert (source.ids[0], source.ids[10]) == ("train/cat/0.png", "test/cat/0.png")
    assert source.file_keys is not None
    assert source.file_keys[0] == source.file_keys[10] == "cat/0.png"
