from __future__ import annotations

import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from edgenas.data import open_source, scan_source
from edgenas.data.base import ImageSource
from edgenas.errors import DataError
from edgenas.testing.data import DataConformance
from tests.conftest import FIXTURES
from tests.data.test_sources import write_image

PARTS = ("train", "val", "test")


def file_name(line: str) -> str:
    """Of an invented line, whose patients are one word, or a word and a number."""
    words = line.split()
    start = 2 if words[1].isdigit() else 1
    end = max(at for at, word in enumerate(words) if word.lower() in ("covid-19", "normal", "pneumonia"))
    return " ".join(words[start:end])


def write_lists(root: Path, *, lists: str = ".", images: str = "{part}") -> Path:
    """The invented lists in ``lists`` and an image for every file in ``images``."""
    (root / lists).mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        shutil.copyfile(FIXTURES / "covidx" / f"{part}_split.txt", root / lists / f"{part}_split.txt")
        names = dict.fromkeys(map(file_name, (root / lists / f"{part}_split.txt").read_text().splitlines()))
        for value, name in enumerate(names):
            write_image(root / images.format(part=part) / name, value=value)
    return root


def write_small(root: Path, train: str, test: str = "1 t.png normal rsna", *, images: str = "a.png b.png c.png t.png") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "train_split.txt").write_text(train, encoding="utf-8")
    (root / "test_split.txt").write_text(test, encoding="utf-8")
    for value, name in enumerate(images.split()):
        write_image(root / name, value=value)
    return root


def problems_of(root: Path) -> tuple[str, ...]:
    return tuple(problem.replace(f"{root}/", "") for problem in scan_source(f"covidx:{root}").problems)


def facts(source: ImageSource) -> dict[str, tuple[str, str, str]]:
    """Class, site and group by id."""
    assert source.sites is not None
    assert source.groups is not None
    names = [source.class_names[label] for label in source.labels_N]
    return dict(zip(source.ids, zip(names, source.sites, source.groups, strict=True), strict=True))


class TestCovidx(DataConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ImageSource:
        return open_source(f"covidx:{write_lists(tmp_path)}")


def test_lines_are_merged_to_distinct_files_and_the_notes_give_both_numbers(tmp_path: Path) -> None:
    source = open_source(f"covidx:{write_lists(tmp_path)}")
    assert source.notes == (
        "train: 45 lines, 32 distinct files",
        "val: 6 lines, 6 distinct files",
        "test: 8 lines, 7 distinct files",
    )
    assert Counter(source.published_split) == {"train": 32, "val": 6, "test": 7}
    assert source.class_names == ("covid-19", "normal", "pneumonia")
    assert (source.default_positive, source.default_space, source.default_image_px) == ("covid-19", "pvt-covidx", 256)


def test_every_form_of_line_is_understood(tmp_path: Path) -> None:
    found = facts(open_source(f"covidx:{write_lists(tmp_path)}"))
    assert found["train/COVID(101).png"] == ("covid-19", "sirm", "sirm/COVID 101")
    assert found["train/COVID-19(101).png"] == ("covid-19", "sirm", "sirm/COVID-19(101)")
    assert found["train/NORMAL(101).png"] == ("normal", "sirm", "sirm/NORMAL 101")
    assert found["train/Viral Pneumonia(101).png"] == ("pneumonia", "sirm", "sirm/Pneumonia 101")
    assert found["train/MIDRC-RICORD-1C-SITE2-000200-20000-1.png"] == ("covid-19", "ricord", "ricord/SITE2-000200")
    assert found["train/10000_2020_100_Fig1_HTML-a.png"] == ("covid-19", "cohen", "cohen/50a")
    assert found["train/aspiration-pneumonia-5-day27.jpg"] == ("pneumonia", "cohen", "cohen/9")


def test_a_source_is_taken_from_any_line_of_any_list(tmp_path: Path) -> None:
    found = facts(open_source(f"covidx:{write_lists(tmp_path)}"))
    rsna = "00aa0000-0000-4000-8000-00000000000"
    assert found[f"train/{rsna}1.png"] == ("normal", "rsna", f"rsna/{rsna}1")  # a later line of the same list
    assert found[f"train/{rsna}2.png"] == ("normal", "rsna", f"rsna/{rsna}2")  # another list
    assert found[f"train/{rsna}4.png"] == ("normal", "unknown", f"{rsna}4")  # none


def test_a_file_in_two_lists_is_two_images_with_one_key(tmp_path: Path) -> None:
    source = open_source(f"covidx:{write_lists(tmp_path)}")
    assert source.file_keys is not None
    assert {"train/COVID-00013a.jpg", "test/COVID-00013a.jpg"} <= set(source.ids)
    assert source.file_keys.count("COVID-00013a.jpg") == 2


@pytest.mark.parametrize(("lists", "images"), [(".", "."), ("labels", "images"), ("labels", "data"), (".", "{part}"), (".", "val")])
def test_lists_and_images_are_found_where_people_put_them(tmp_path: Path, lists: str, images: str) -> None:
    source = open_source(f"covidx:{write_lists(tmp_path, lists=lists, images=images)}")
    assert len(source.labels_N) == 45
    path = source.path(0)
    assert path is not None
    assert path.parent == tmp_path / images.format(part="train")


def test_lists_of_other_names_are_taken_if_there_is_one_a_part(tmp_path: Path) -> None:
    write_small(tmp_path, "1 a.png normal\n2 b.png pneumonia")
    (tmp_path / "train_split.txt").rename(tmp_path / "train_COVIDx.txt")
    assert len(open_source(f"covidx:{tmp_path}").labels_N) == 3
    (tmp_path / "train_older.txt").write_text("")
    with pytest.raises(DataError, match=r"several lists could be that of train: .*name the right one train_split\.txt"):
        open_source(f"covidx:{tmp_path}")


def test_a_missing_list_is_a_problem_and_none_at_all_an_error(tmp_path: Path) -> None:
    write_small(tmp_path, "1 a.png normal\n2 b.png pneumonia")
    (tmp_path / "test_split.txt").unlink()
    assert problems_of(tmp_path) == ("test_split.txt is missing",)
    (tmp_path / "train_split.txt").unlink()
    with pytest.raises(DataError, match=r"holds no COVIDx lists.*write covidx:DIR with") as caught:
        scan_source(f"covidx:{tmp_path}")
    assert len(caught.value.problems) == 2
    with pytest.raises(DataError, match="nowhere is no folder"):
        scan_source(f"covidx:{tmp_path / 'nowhere'}")


def test_every_line_that_says_too_little_is_a_problem_with_list_and_number(tmp_path: Path) -> None:
    lines = (
        "1 a.png normal",
        "",
        "b.png normal",
        "2 b.png",
        "NORMAL 3 NORMAL(3).png sirm",
        "4 viral pneumonia 4.png",
        "word",
        "  ",
    )
    problems = problems_of(write_small(tmp_path, "\n".join(lines)))
    labels = "(covid-19, normal, pneumonia, negative, positive)"
    assert problems == (
        "train_split.txt line 3: has no file name behind the patient: 'b.png normal'",
        f"train_split.txt line 4: has no label behind a file name {labels}: '2 b.png'",
        f"train_split.txt line 5: has no label behind a file name {labels}: 'NORMAL 3 NORMAL(3).png sirm'",
        f"train_split.txt line 6: has no label behind a file name {labels}: '4 viral pneumonia 4.png'",
        f"train_split.txt line 7: has no label behind a file name {labels}: 'word'",
    )


def test_a_list_of_other_labels_is_one_problem(tmp_path: Path) -> None:
    problems = problems_of(write_small(tmp_path, "1 a.png sick cohen\n2 b.png well rsna\n"))
    assert problems == (
        "train_split.txt: none of its 2 lines holds a file name and one of covid-19, normal, pneumonia, negative, positive",
    )


def test_two_labels_of_a_file_are_a_problem_in_one_list_and_across_lists(tmp_path: Path) -> None:
    train = "1 a.png normal\n1 a.png Pneumonia rsna\n2 t.png covid-19"
    assert problems_of(write_small(tmp_path, train)) == (
        "train_split.txt line 2: a.png is pneumonia here and normal in train_split.txt line 1",
        "test_split.txt line 1: t.png is normal here and covid-19 in train_split.txt line 3",
    )


def test_a_missing_image_is_one_problem_and_a_folder_without_any_too(tmp_path: Path) -> None:
    write_small(tmp_path, "1 a.png normal\n2 gone.png normal\n2 gone.png normal rsna")
    assert problems_of(tmp_path) == (f"train_split.txt line 2: gone.png is in none of {tmp_path}",)
    for path in tmp_path.glob("*.png"):
        path.unlink()
    searched = f"{tmp_path} and its folders images, data, train, val, test"
    assert problems_of(tmp_path) == (
        f"train_split.txt: none of its 2 images is in {searched}",
        f"test_split.txt: none of its 1 images is in {searched}",
    )


def test_another_cut_between_patient_and_file_is_taken_if_that_file_is_there(tmp_path: Path) -> None:
    images = "a.png t.png"
    write_small(tmp_path, "P 7 8 b.png normal x\nfirst second c.png normal x\n9 a.png covid-19", images=images)
    for name in ("7 8 b.png", "c.png"):
        write_image(tmp_path / name)
    found = facts(open_source(f"covidx:{tmp_path}"))
    assert found["train/7 8 b.png"] == ("normal", "x", "x/P")
    assert found["train/c.png"] == ("normal", "x", "x/first second")


def test_files_spelled_in_another_case_are_found_and_exact_ones_preferred(tmp_path: Path) -> None:
    write_small(
        tmp_path, "1 A.PNG normal\n1 a.png normal rsna\n2 B.png covid-19\n3 b.png pneumonia", images="a.png b.png B.png t.png"
    )
    source = open_source(f"covidx:{tmp_path}")
    assert source.ids == ("train/a.png", "train/B.png", "train/b.png", "test/t.png")
    assert source.path(1) == tmp_path / "B.png"


def test_several_patients_or_sources_of_a_file_and_unlisted_images_are_notes(tmp_path: Path) -> None:
    write_small(tmp_path, "1 a.png normal rsna\n2 a.png normal cohen\n3 b.png pneumonia")
    source = open_source(f"covidx:{tmp_path}")
    assert source.notes[2:] == (
        "1 file(s) are listed with several patients, such as a.png; the first counts",
        "1 file(s) are listed with several sources, such as a.png; the first counts",
        "1 image file(s) are in no list, such as 'c.png'",
    )
    assert facts(source)["train/a.png"] == ("normal", "rsna", "rsna/1")


def test_a_list_that_is_no_text_or_empty_is_a_problem(tmp_path: Path) -> None:
    write_small(tmp_path, "")
    (tmp_path / "test_split.txt").write_bytes(b"1 a.png normal\n\xff")
    first, second = problems_of(tmp_path)
    assert first == "train_split.txt is empty"
    assert second.startswith("test_split.txt is no text in UTF-8: line 2 holds the byte 0xff")


def test_lists_as_long_as_the_published_ones_take_no_time(tmp_path: Path) -> None:
    write_small(tmp_path, "1 a.png normal")
    names = [f"{number:08d}" for number in range(23_000)]
    lines = [f"{name} {name}.png normal" for name in names] + [f"{name} {name}.png normal rsna" for name in names[:13_000]]
    (tmp_path / "train_split.txt").write_text("\n".join(lines))
    for name in names:
        (tmp_path / f"{name}.png").touch()
    start = time.process_time()
    source = open_source(f"covidx:{tmp_path}")
    assert time.process_time() - start < 10  # a third of a second on an idle machine
    assert source.notes[0] == "train: 36,000 lines, 23,000 distinct files"


def test_lists_of_two_classes_have_these_and_the_positive_one_must_not_be_missed(tmp_path: Path) -> None:
    source = open_source(f"covidx:{write_small(tmp_path, '1 a.png positive cohen', '2 t.png negative rsna')}")
    assert source.class_names == ("negative", "positive")
    assert source.labels_N.tolist() == [1, 0]
    assert source.default_positive == "positive"


def test_a_line_of_two_classes_among_three_is_asked_about_and_may_be_mapped(tmp_path: Path) -> None:
    lines = "1 a.png positive sirm\n2 b.png covid-19 sirm\n3 c.png normal\n4 d.png pneumonia"
    root = write_small(tmp_path, lines, "5 t.png normal", images="a.png b.png c.png d.png t.png")
    (problem,) = problems_of(root)
    assert problem.startswith("label 'positive' of 1 line(s), such as train_split.txt line 1, stands among covid-19, normal")
    source = open_source(f"covidx:{root}", {"positive": "covid-19"})
    assert source.class_names == ("covid-19", "normal", "pneumonia")
    assert source.labels_N.tolist() == [0, 0, 1, 2, 1]
    assert source.default_positive == "covid-19"


def test_lists_and_folders_of_parts_may_be_called_otherwise(tmp_path: Path) -> None:
    for part, image in (("Training", "a.png"), ("Testing", "t.png")):
        write_image(tmp_path / part / image)
        (tmp_path / f"{part}.txt").write_text(f"1{part} {image} positive\n")
    write_image(tmp_path / "Testing" / "n.png", value=9)
    with (tmp_path / "Testing.txt").open("a") as file:
        file.write("2 n.png negative\n")
    source = open_source(f"covidx:{tmp_path}")
    assert source.published_split == ("train", "test", "test")
