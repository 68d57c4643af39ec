"""Classes that are one class, and names that look alike."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenas.data import open_source, scan_source
from edgenas.data.arrays import ArrayImages
from edgenas.data.base import ImageSource
from edgenas.data.labels import settle
from edgenas.data.names import is_missing, look, spellings, tidy
from edgenas.data.problems import Problem, odd_of
from edgenas.errors import DataError
from edgenas.testing.data import DataConformance
from tests.data.test_sources import write_folder, write_image
from tests.data.test_table import open_text, problems_of, write_table

COMPOSED, DECOMPOSED = unicodedata.normalize("NFC", "Käse"), unicodedata.normalize("NFD", "Käse")


def labelled(names: list[str]) -> ArrayImages:
    """One image of every class."""
    return ArrayImages(
        name="toy",
        class_names=tuple(names),
        ids=tuple(f"{index}" for index in range(len(names))),
        pixels_NHW=np.zeros((len(names), 2, 2), dtype=np.uint8),
        labels_N=np.arange(len(names)),
    )


TEXT = st.text(max_size=6) | st.sampled_from(
    [" a", "A", "a\u200b", "ﬁ", "fi", "FI ", "1", "1.0", "01", " 1", "１", "1.", "ß", "SS", "1e1", "10", "\u0430", "a"]
)


@given(names=st.lists(TEXT, min_size=2, max_size=8, unique=True))
def test_no_two_classes_that_are_read_look_alike(names: list[str]) -> None:
    settled = settle(labelled(names), {})
    seen = [unicodedata.normalize("NFKC", name).casefold().strip() for name in settled.class_names]
    assert settled.problems or len(set(seen)) == len(seen)


@given(names=st.lists(TEXT, min_size=2, max_size=8, unique=True))
def test_every_image_keeps_the_class_that_its_label_looks_like(names: list[str]) -> None:
    settled = settle(labelled(names), {})
    assert [look(settled.class_names[label]) for label in settled.labels_N] == [look(name) for name in names]


@given(name=TEXT)
def test_tidying_twice_is_tidying_once_and_keeps_the_look(name: str) -> None:
    assert tidy(tidy(name)) == tidy(name)
    assert look(tidy(name)) == look(name)


@pytest.mark.parametrize(
    ("names", "one"),
    [
        (("1", "1.0", "1.00"), "1"),
        (("7.0", "7"), "7"),
        ((COMPOSED, DECOMPOSED), COMPOSED),
        (("cat", " cat", "cat\u00a0"), "cat"),
        (("01", "1"), None),
        (("1000", "1e3", "1.0E+03"), None),
        (("1", "True"), None),
        (("FALSE", "0.0"), None),
        (("cat", "\u0441at"), None),  # the second begins with a Cyrillic letter
        (("ALPHA", "\u0391LPHA"), None),  # with a Greek one
        (("covid-19", "covid\u201319"), None),
        (("1.0", "01"), None),
        (("Cat", "cat"), None),
        (("straße", "STRASSE"), None),
        (("old cat", "old  cat"), None),
        (("1.5", "1.50"), None),
    ],
)
def test_names_that_look_alike_are_one_only_where_that_is_sure(names: tuple[str, ...], one: str | None) -> None:
    (spelling,) = spellings(names)
    assert (spelling.names, spelling.one) == (names, one)


@pytest.mark.parametrize("names", [("1", "2"), ("1.0", "1.5"), ("a", "b"), ("-1", "1"), (".", "0"), ("v1", "v01")])
def test_other_names_are_different(names: tuple[str, str]) -> None:
    assert len(spellings(names)) == 2


@pytest.mark.parametrize("word", ["", " ", "nan", "NaN", "None", "NULL", "<NA>", "n/a", "NaT"])
def test_words_for_nothing_are_known(word: str) -> None:
    assert is_missing(word)
    assert not is_missing(f"{word}x")


def test_whole_numbers_written_as_floats_are_one_class_and_said(tmp_path: Path) -> None:
    source = open_text(tmp_path, "path,label\na.png,1\nb.png,1.0\nc.png,0")
    assert source.class_names == ("0", "1")
    assert source.labels_N.tolist() == [1, 1, 0]
    assert "'1' is written '1' and '1.0': one class" in source.notes
    assert Problem("1", "is written '1' and '1.0'", "one class") in odd_of(source)


@pytest.mark.parametrize(("text", "label", "num"), [("nan", "nan", 2), ("None", "None", 1), ("", "", 1), ("NULL", "NULL", 3)])
def test_labels_that_say_nothing_are_a_problem_with_rows_and_ways_out(tmp_path: Path, text: str, label: str, num: int) -> None:
    rows = "\n".join(f"{name}.png,{text}" for name in "cde"[:num])
    (problem,) = problems_of(tmp_path, f"path,label\na.png,cat\nb.png,dog\n{rows}")
    assert problem.startswith(f"label {label!r} is a missing value, in {num} row(s) such as line 4; --map-label '{label}=NAME'")


@pytest.mark.parametrize(
    ("map_label", "classes", "ids"),
    [
        ({"nan": "dog"}, ("cat", "dog"), ("a.png", "b.png", "c.png")),
        ({"nan": ""}, ("cat", "dog"), ("a.png", "b.png")),
        ({"nan": "nan"}, ("cat", "dog", "nan"), ("a.png", "b.png", "c.png")),
        ({"nan": "healthy", "dog": "ill", "cat": "ill"}, ("healthy", "ill"), ("a.png", "b.png", "c.png")),
    ],
)
def test_a_missing_label_may_be_named_left_out_or_said_to_be_a_class(
    tmp_path: Path, map_label: dict[str, str], classes: tuple[str, ...], ids: tuple[str, ...]
) -> None:
    table = write_table(tmp_path, "path,label\na.png,cat\nb.png,dog\nc.png,nan")
    source = open_source(f"csv:{table}", map_label)
    assert (source.class_names, source.ids) == (classes, ids)


def test_a_label_that_is_renamed_but_not_there_is_named(tmp_path: Path) -> None:
    table = write_table(tmp_path, "path,label\na.png,cat\nb.png,dog")
    with pytest.raises(DataError, match=r"map_label renames 'cats', which is no label of the data; labels are 'cat', 'dog'"):
        open_source(f"csv:{table}", {"cats": "cat"})


def test_labels_of_any_source_may_be_renamed_also_across_parts(tmp_path: Path) -> None:
    for path in ("train/virus", "train/none", "test/viral", "test/none"):
        write_image(tmp_path / path / "a.png", value=len(path))
    source = open_source(f"folder:{tmp_path}", {"viral": "virus"})
    assert source.class_names == ("none", "virus")
    assert source.published_split == ("train", "train", "test", "test")
    digits = open_source("digits", {"8": "eight", "3": ""})
    assert digits.class_names == ("0", "1", "2", "4", "5", "6", "7", "9", "eight")
    assert digits.default_positive == "eight"
    assert len(digits.labels_N) == 1797 - 183


def test_class_folders_in_two_unicode_forms_are_one_class(tmp_path: Path) -> None:
    for name in (COMPOSED, DECOMPOSED, "x"):
        write_image(tmp_path / name / "a.png", value=len(name))
    if len(list(tmp_path.iterdir())) == 2:
        pytest.skip("this file system does not tell the forms apart")
    source = open_source(f"folder:{tmp_path}")
    assert source.class_names == (COMPOSED, "x")
    assert sorted(source.labels_N.tolist()) == [0, 0, 1]


def test_a_part_may_spell_its_class_folders_in_another_unicode_form(tmp_path: Path) -> None:
    for path in (f"train/{COMPOSED}", f"test/{DECOMPOSED}", "train/x", "test/x"):
        write_image(tmp_path / path / "a.png", value=len(path))
    assert open_source(f"folder:{tmp_path}").class_names == (COMPOSED, "x")


def test_patients_that_look_alike_are_one_and_words_for_nothing_are_none(tmp_path: Path) -> None:
    rows = "a.png,cat,3\nb.png,dog,3.0\nc.png,cat,nan\nd.png,dog,NULL\ne.png,cat,P1\nf.png,dog,p1"
    source = open_text(tmp_path, f"path,label,patient\n{rows}")
    assert source.groups == ("3", "3", "c.png", "d.png", "P1", "P1")
    assert Problem("patient 3", "is written '3' and '3.0'", "one patient") in odd_of(source)
    assert Problem("patient nan", "is a missing value, in 1 row(s)", "no patient is known") in odd_of(source)


def test_sites_of_one_look_are_one_site(tmp_path: Path) -> None:
    source = open_text(tmp_path, "path,label,site\na.png,cat,North\nb.png,dog,north \nc.png,dog,N/A")
    assert source.sites == ("North", "North", "unknown")


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", "$RECYCLE.BIN", "lost+found", ".thumbnails", "#recycle"])
@pytest.mark.parametrize("place", ["", "cat/"])
def test_folders_of_storage_systems_are_no_classes_and_hold_no_images(tmp_path: Path, name: str, place: str) -> None:
    write_folder(tmp_path)
    before = open_source(f"folder:{tmp_path}")
    write_image(tmp_path / place / name / "deeper" / "a.png")
    source = open_source(f"folder:{tmp_path}")
    assert (source.class_names, source.ids) == (before.class_names, before.ids)
    assert any(note.startswith("1 file(s) of storage systems or hidden are skipped") for note in source.notes)
    assert odd_of(source) == (Problem(f"{place}{name}", "is made by a storage system or hidden; 1 file(s)", "skipped"),)


def test_resource_forks_beside_images_are_skipped_and_counted(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "cat" / "._a.png").write_bytes(b"\0\5\x16\7")
    assert [each.path for each in odd_of(open_source(f"folder:{tmp_path}"))] == ["cat/._a.png"]


def test_rows_of_a_table_that_lead_into_a_thumbnail_folder_are_left_out(tmp_path: Path) -> None:
    write_image(tmp_path / "@eaDir" / "a.png")
    source = open_text(tmp_path, "path,label\na.png,cat\nb.png,dog\n@eaDir/a.png,cat")
    assert source.ids == ("a.png", "b.png")
    assert odd_of(source) == (Problem("@eaDir", "is made by a storage system; 1 image(s) are in it", "left out"),)


def test_hidden_folders_on_the_way_to_a_listed_file_do_not_matter(tmp_path: Path) -> None:
    write_image(tmp_path / ".cache" / "x.png")
    assert open_text(tmp_path, f"path,label\n{tmp_path}/.cache/x.png,cat\nb.png,dog").ids[0] == f"{tmp_path}/.cache/x.png"


def test_a_source_without_anything_odd_is_taken_as_it_is() -> None:
    source = labelled(["a", "b"])
    assert settle(source, {}) is source
    assert odd_of(replace(source)) == ()


def test_scanning_shows_labels_that_look_alike_beside_other_problems(tmp_path: Path) -> None:
    text = "path,label\na.png,Cat\nb.png,cat\nnowhere.png,dog"
    problems = scan_source(f"csv:{write_table(tmp_path, text)}").problems
    assert [line.partition(" ")[0] for line in problems] == ["line", "labels"]


class TestRelabelledDigits(DataConformance):
    @pytest.fixture
    def source(self) -> ImageSource:
        return open_source("digits", {"8": "eight", "3": "", "0": "1"})
