"""Overlapping parts, bad images, and splits that keep together what belongs together."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgenas.data import scan_source
from edgenas.data.allocate import SPLIT_NAMES
from edgenas.data.base import ImageSource
from edgenas.data.divide import Divided, Division, divide
from edgenas.data.inspect import FileIndex, Inspection, inspect, read_contents
from edgenas.data.splits import check_fingerprint, fingerprint
from edgenas.errors import DataError

ROW = "path,label,patient,site,split"


def found_in(source: ImageSource) -> Inspection:
    *_, last = inspect(source)
    assert isinstance(last, Inspection)
    return last


def divided(text: str, how: Division | None = None) -> Divided:
    source = scan_source(text)
    return divide(source, found_in(source), how if how is not None else Division())


def draw(path: Path, seed: int, mode: str = "RGB", size: tuple[int, int] = (9, 7)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def folder_of(root: Path, parts: tuple[str, ...] = ("",), num: int = 8) -> Path:
    for p, part in enumerate(parts):
        for c, name in enumerate(("cat", "dog")):
            for index in range(num):
                draw(root / part / name / f"{index}.png", 1000 * p + 100 * c + index)
    return root


def table_of(root: Path, rows: list[str]) -> str:
    (root / "images.csv").write_text("\n".join([ROW, *rows]) + "\n")
    return f"csv:{root / 'images.csv'}"


def patients(root: Path) -> list[str]:
    """Forty patients with three images each, of three sites."""
    rows = []
    for patient in range(40):
        for shot in range(3):
            draw(root / f"{patient}-{shot}.png", 10 * patient + shot)
            rows.append(f"{patient}-{shot}.png,{'ab'[patient % 2]},p{patient},s{patient % 3}")
    return rows


def test_a_shared_file_picture_and_patient_are_three_kinds_of_overlap(tmp_path: Path) -> None:
    rows = [f"{row},train" for row in patients(tmp_path)]
    shutil.copy(tmp_path / "0-0.png", tmp_path / "copy.png")
    with Image.open(tmp_path / "2-0.png") as image:
        image.save(tmp_path / "converted.bmp")
    draw(tmp_path / "new.png", 999)
    rows += ["4-1.png,a,p4,s1,test", "copy.png,a,q1,s0,test", "converted.bmp,a,q2,s0,test", "new.png,b,p7,s1,val"]
    text = table_of(tmp_path, rows)
    with pytest.raises(DataError) as caught:
        divided(text)
    message = caught.value.message
    assert "train and val share 1 patients" in message
    assert "train and test share 1 files and 2 further pictures and 1 patients, 0 of them with neither" in message
    problems = "\n".join(caught.value.problems)
    assert "test/4-1.png is in train too: the same file" in problems
    assert "test/copy.png shows the same as train/0-0.png of train" in problems
    assert "test/converted.bmp shows the same as train/2-0.png of train" in problems
    assert "patient p7 has 3 image(s) in train and 1 in val" in problems
    assert "--drop-overlap train keeps val and test and leaves out 12 image(s)" in caught.value.hint


def test_dropping_from_train_takes_whole_patients_and_keeps_val_and_test(tmp_path: Path) -> None:
    rows = [f"{row},train" for row in patients(tmp_path)]
    rows += ["4-1.png,a,p4,s1,test"]
    for index in range(6):
        draw(tmp_path / f"t{index}.png", 5000 + index)
        rows.append(f"t{index}.png,{'ab'[index % 2]},t{index},s0,test")
    found = divided(table_of(tmp_path, rows), Division(drop_overlap=("train",)))
    assert sorted(found.splits.excluded) == ["train/4-0.png", "train/4-1.png", "train/4-2.png"]
    assert sum(found.splits.class_counts["test"].values()) == 7
    assert "left out 3 image(s) that overlap other parts" in found.warnings[0]
    assert len(found.source.labels_N) == len(found.splits) == 120 - 3 + 7


def test_val_gives_way_to_test_only_when_asked(tmp_path: Path) -> None:
    root = folder_of(tmp_path, ("train", "val", "test"))
    shutil.copy(root / "test" / "cat" / "0.png", root / "val" / "cat" / "again.png")
    with pytest.raises(DataError, match="val and test share 1 further pictures") as caught:
        divided(f"folder:{root}", Division(drop_overlap=("train",)))
    assert "--drop-overlap train --drop-overlap val keeps test" in caught.value.hint
    found = divided(f"folder:{root}", Division(drop_overlap=("train", "val")))
    assert list(found.splits.excluded) == ["val/cat/again.png"]


def test_equal_pictures_and_patients_stay_in_one_split(tmp_path: Path) -> None:
    rows = [f"{row}," for row in patients(tmp_path)]
    (tmp_path / "images.csv").write_text("path,label,patient,site\n" + "\n".join(row.rstrip(",") for row in rows) + "\n")
    for patient in range(0, 40, 4):  # a picture of a second patient, so both belong together
        shutil.copy(tmp_path / f"{patient}-0.png", tmp_path / f"{patient + 2}-1.png")
    found = divided(f"csv:{tmp_path / 'images.csv'}")
    place = {int(index): name for name in SPLIT_NAMES for index in found.splits[name]}
    owners: dict[str, set[str]] = {}
    for index, name in enumerate(found.source.ids):
        patient = int(name.split("-")[0])
        owners.setdefault(str(patient // 4 * 4 if patient % 2 == 0 else patient), set()).add(place[index])
    assert all(len(splits) == 1 for splits in owners.values())


def test_every_kind_of_bad_image_is_named_beside_every_other_problem(tmp_path: Path) -> None:
    root = folder_of(tmp_path)
    (root / "empty").mkdir()
    for index in range(3):
        draw(root / "few" / f"{index}.png", 7000 + index)
    (root / "cat" / "text.png").write_text("no image")
    (root / "cat" / "nothing.png").write_bytes(b"")
    whole = (root / "dog" / "0.png").read_bytes()
    (root / "dog" / "half.png").write_bytes(whole[: len(whole) // 2])
    Image.new("1", (10_000, 9_000)).save(root / "dog" / "bomb.png")
    Image.new("1", (20_000, 10_000)).save(root / "dog" / "huge.png")
    with pytest.raises(DataError) as caught:
        divided(f"folder:{root}")
    problems = "\n".join(caught.value.problems)
    for line in (
        "class 'empty' has no images",
        "text.png is no image that can be read (8 bytes)",
        "nothing.png is empty",
        "half.png cannot be decoded",
        "bomb.png is too large: 10000 x 9000 pixels",
        "huge.png is too large",
        "class 'few' has 3 images",
    ):
        assert line in problems
    assert all("\n" not in problem for problem in caught.value.problems)
    assert "5 image(s) cannot be used" in caught.value.message
    assert "--skip-bad-images" in caught.value.hint


@pytest.mark.timeout(30)
def test_a_pipe_among_the_images_is_named_instead_of_waited_for(tmp_path: Path) -> None:
    root = folder_of(tmp_path)
    os.mkfifo(root / "cat" / "pipe.png")
    with pytest.raises(DataError, match=r"1 image\(s\) cannot be used.*pipe\.png is no regular file"):
        divided(f"folder:{root}")


def test_bad_images_are_left_out_when_asked_and_counted(tmp_path: Path) -> None:
    root = folder_of(tmp_path)
    (root / "cat" / "text.png").write_text("no image")
    found = divided(f"folder:{root}", Division(skip_bad_images=True))
    assert "cat/text.png" in found.splits.excluded
    assert len(found.splits) == 16
    assert "left out 1 image(s) that cannot be used" in found.warnings[0]
    assert found.splits.options["skip_bad_images"] is True


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "LA", "I;16"])
def test_every_mode_of_image_works(tmp_path: Path, mode: str) -> None:
    root = folder_of(tmp_path)
    suffix = ".tiff" if mode in ("CMYK", "I;16") else ".png"
    path = root / "cat" / f"odd{suffix}"
    if mode == "I;16":
        Image.fromarray(np.arange(63, dtype=np.uint16).reshape(7, 9) * 1000).save(path)
    else:
        draw(path, 1, mode)
    assert len(divided(f"folder:{root}").splits) == 17


def test_a_picture_with_two_labels_is_a_warning(tmp_path: Path) -> None:
    root = folder_of(tmp_path)
    shutil.copy(root / "cat" / "0.png", root / "dog" / "same.png")
    (warning,) = divided(f"folder:{root}").warnings
    assert "1 picture(s) have several labels: the same picture is cat/0.png (cat) and dog/same.png (dog)" in warning


def test_a_class_with_fewer_images_than_splits_is_named(tmp_path: Path) -> None:
    root = folder_of(tmp_path)
    for index in range(4):
        draw(root / "rare" / f"{index}.png", 300 + index)
    with pytest.raises(DataError, match="class 'rare' has 4 images: train"):
        divided(f"folder:{root}")


def test_select_takes_so_many_of_every_class_and_val_may_be_the_test_split(tmp_path: Path) -> None:
    root = folder_of(tmp_path, ("train", "val"), num=20)
    found = divided(f"folder:{root}", Division(select_per_class=3, val_as="test"))
    assert found.splits.class_counts["select"] == {"cat": 3, "dog": 3}
    assert found.splits.class_counts["test"] == {"cat": 20, "dog": 20}
    assert all(min(counts.values()) > 0 for counts in found.splits.class_counts.values())
    with pytest.raises(DataError, match="class 'cat' has 20 image"):
        divided(f"folder:{root}", Division(select_per_class=20, val_as="test"))


def test_val_cannot_be_the_test_split_beside_a_part_of_that_name(tmp_path: Path) -> None:
    root = folder_of(tmp_path, ("train", "val", "test"))
    with pytest.raises(DataError, match="val cannot be the test split"):
        divided(f"folder:{root}", Division(val_as="test"))


def contents_of(source: ImageSource, index: FileIndex) -> tuple[tuple[str, ...], FileIndex, int]:
    """Hashes, the new index, and how many files were read."""
    *counts, last = read_contents(source, index)
    assert isinstance(last, tuple)
    return (*last, int(counts[-1]) if counts else 0)  # type: ignore[call-overload]


def test_unchanged_files_are_not_read_again_and_changed_ones_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgenas.data.inspect.FRESH_NS", -(10**18))
    root = folder_of(tmp_path)
    source = scan_source(f"folder:{root}")
    found = found_in(source)
    contents, index, num_read = contents_of(source, found.index)
    assert (contents, num_read) == (found.contents, 0)
    path = root / "cat" / "3.png"
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # same size, same time of change as a user sees it
    changed, _, num_read = contents_of(source, index)
    assert num_read == 1
    assert [i for i, (a, b) in enumerate(zip(contents, changed, strict=True)) if a != b] == [source.ids.index("cat/3.png")]


def test_a_file_that_changed_a_moment_ago_is_not_trusted(tmp_path: Path) -> None:
    source = scan_source(f"folder:{folder_of(tmp_path)}")
    stamps = found_in(source).index.stamps
    assert len(stamps) == len(source.ids)
    assert all(stamp.mtime_ns == stamp.ctime_ns == -1 for stamp in stamps.values())


def test_an_index_comes_back_as_it_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgenas.data.inspect.FRESH_NS", -(10**18))
    index = found_in(scan_source(f"folder:{folder_of(tmp_path / 'data')}")).index
    assert len(index.stamps) == 16
    index.save(tmp_path / "files.json")
    assert FileIndex.load(tmp_path / "files.json") == index
    assert FileIndex.load(tmp_path / "none.json").stamps == {}


def test_files_that_are_gone_are_all_named(tmp_path: Path) -> None:
    root = folder_of(tmp_path)
    source = scan_source(f"folder:{root}")
    for name in ("cat/1.png", "dog/2.png"):
        (root / name).unlink()
    with pytest.raises(DataError, match=r"2 image\(s\).*cat/1\.png.*dog/2\.png"):
        fingerprint(source)


@pytest.mark.parametrize("change", ["patient", "site", "label", "split"])
def test_a_changed_cell_of_a_table_is_a_changed_data_set(tmp_path: Path, change: str) -> None:
    rows = [f"{row},{part}" for row, part in zip(patients(tmp_path), ["train"] * 60 + ["val"] * 30 + ["test"] * 30, strict=True)]
    found = divided(table_of(tmp_path, rows))
    old = {"patient": ",p0,", "site": ",s0,", "label": ",a,", "split": ",train"}[change]
    new = {"patient": ",p99,", "site": ",s9,", "label": ",b,", "split": ",val"}[change]
    rows[0] = rows[0].replace(old, new)
    source = scan_source(table_of(tmp_path, rows))
    with pytest.raises(DataError, match="changed since it was divided"):
        check_fingerprint(found.splits, source)
