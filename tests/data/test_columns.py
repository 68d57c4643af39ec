"""Tables as others write them: columns of other names, paths of other systems, parts by other words."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from edgenas.data import absolute_source, open_source, scan_source
from edgenas.data.parts import part_of
from edgenas.data.problems import Problem, odd_of
from edgenas.errors import DataError
from tests.data.test_sources import write_folder, write_image
from tests.data.test_table import open_text, problems_of, write_table


@pytest.mark.parametrize(
    "header",
    [
        *("filename,class", "image_id,diagnosis", "Image Index,Finding Labels", "FILE_PATH,Category", "img;target", "picture\tdx"),
        *("Datei;Befund", "Nom fichier;Étiquette", "archivo;diagnóstico", "Bilddatei,Klasse"),
    ],
)
def test_columns_that_others_call_otherwise_are_understood_and_said(tmp_path: Path, header: str) -> None:
    mark = next(mark for mark in ",;\t" if mark in header)
    source = open_text(tmp_path, f"{header}\na.png{mark}cat\nb.png{mark}dog")
    assert source.class_names == ("cat", "dog")
    path, label = header.split(mark)
    assert source.notes == (f"column {path!r} is read as path", f"column {label!r} is read as label")


def test_patients_sites_and_parts_are_understood_by_other_names_too(tmp_path: Path) -> None:
    source = open_text(tmp_path, "file,class,Patient ID,hospital,subset\na.png,cat,p,n,Training\nb.png,dog,q,s,Testing")
    assert (source.groups, source.sites, source.published_split) == (("p", "q"), ("n", "s"), ("train", "test"))


def test_the_exact_word_goes_before_others(tmp_path: Path) -> None:
    source = open_text(tmp_path, "path,label,class\na.png,cat,x\nb.png,dog,y")
    assert (source.class_names, source.notes) == (("cat", "dog"), ("column(s) without a meaning here: class",))


def test_columns_that_nobody_knows_are_listed_with_the_setting_that_maps_them(tmp_path: Path) -> None:
    table = write_table(tmp_path, "what,which\na.png,cat\nb.png,dog")
    with pytest.raises(DataError, match=r"its columns are: what, which; csv:.*list\.csv\?path=COLUMN&label=COLUMN"):
        open_source(f"csv:{table}")
    source = open_source(f"csv:{table}?path=what&label=which")
    assert (source.ids, source.class_names) == (("a.png", "b.png"), ("cat", "dog"))
    assert source.name == f"csv:{table}?path=what&label=which"


def test_several_columns_that_may_be_meant_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_text(tmp_path, "file,class,target,subject,patient_id\na.png,cat,1,s,p")
    assert caught.value.problems == (
        "line 1: column 'label' may be any of 'class', 'target'",
        "line 1: column 'patient' may be any of 'subject', 'patient_id'",
    )


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("path=nothing", "column 'nothing' is missing"),
        ("pfad=a", "'pfad' is no meaning of a column"),
        ("path=", "path names no column"),
        ("path=a&path=b", "does not say which columns hold what"),
        ("", "does not say which columns hold what"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused(tmp_path: Path, query: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_source(f"csv:{write_table(tmp_path, 'path,label')}?{query}")


def test_mapped_columns_may_be_escaped_and_a_file_may_hold_a_question_mark(tmp_path: Path) -> None:
    table = write_table(tmp_path, "a&b,%\na.png,cat\nb.png,dog")
    assert open_source(f"csv:{table}?path=a%26b&label=%25").class_names == ("cat", "dog")
    odd = tmp_path / "what?.csv"
    odd.write_text("path,label\na.png,cat\nb.png,dog")
    assert open_source(f"csv:{odd}").class_names == ("cat", "dog")


def test_an_absolute_source_keeps_its_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_source("csv:t.csv?path=a/b&label=c//d") == f"csv:{tmp_path}/t.csv?path=a/b&label=c//d"


def test_paths_with_backslashes_are_found_and_said(tmp_path: Path) -> None:
    source = open_text(tmp_path, "path,label\n.\\sub\\b.png,cat\na.png,dog")
    assert source.ids == ("sub/b.png", "a.png")
    assert odd_of(source) == (Problem(".\\sub\\b.png", "written with backslashes", "read as sub/b.png"),)
    assert source.notes == ("1 path(s) are written with backslashes, such as .\\sub\\b.png: read as sub/b.png",)


def test_a_file_whose_name_holds_a_backslash_is_that_file(tmp_path: Path) -> None:
    write_image(tmp_path / "x\\y.png")
    assert open_text(tmp_path, "path,label\nx\\y.png,cat\na.png,dog").ids[0] == "x\\y.png"


def test_paths_with_a_drive_are_told_to_be_written_relative(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "path,label\nC:\\data\\a.png,cat\nC:\\data\\b.png,dog")
    assert problem.endswith("paths with a drive of Windows lead nowhere here, write them relative to the table")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_paths_are_found_in_whatever_unicode_form_and_case_they_are_on_disk(tmp_path: Path, form: str) -> None:
    other = "NFD" if form == "NFC" else "NFC"
    on_disk, listed = (unicodedata.normalize(each, "sö/ä.PNG") for each in (form, other))
    write_image(tmp_path / on_disk)
    source = open_text(tmp_path, f"path,label\n{listed.replace('PNG', 'png')},cat\na.png,dog")
    path = source.path(0)
    assert path is not None
    assert path.is_file()
    assert odd_of(source)[0].what == "spelled otherwise on disk"


def test_names_without_extension_are_found_where_only_one_file_can_be_meant(tmp_path: Path) -> None:
    for name in ("ISIC_1.jpg", "ISIC_2.jpg", "twice.png", "twice.jpg"):
        write_image(tmp_path / "img" / name)
    table = write_table(tmp_path / "img", "image_id,dx\nISIC_1,nv\nISIC_2,mel\ntwice,mel", images="")
    source = scan_source(f"csv:{table}")
    assert source.ids == ("ISIC_1.jpg", "ISIC_2.jpg")
    assert [line.replace(f"{tmp_path}/", "") for line in source.problems] == ["line 4: img/twice is missing"]


def test_one_file_written_in_two_ways_is_listed_again(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "path,label\nsub/b.png,cat\nsub\\b.png,cat\na.png,dog")
    assert problem == "line 3: sub/b.png is listed again, first in line 2"


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Training", "train"),
        ("TRAIN_SET", "train"),
        ("valid", "val"),
        ("dev", "val"),
        ("validation-images", "val"),
        ("Testing", "test"),
        ("test set", "test"),
        ("trains", None),
        ("data", None),
        ("latest", None),
    ],
)
def test_parts_go_by_many_names(name: str, part: str | None) -> None:
    assert part_of(name) == part


@pytest.mark.parametrize("kind", ["folder", "timm:folder", "torchvision:ImageFolder"])
def test_folders_named_training_and_testing_are_parts_for_every_source(tmp_path: Path, kind: str) -> None:
    source = open_source(f"{kind}:{write_folder(tmp_path, parts=('Training', 'Testing'), per_class=2)}")
    assert source.class_names == ("cat", "dog")
    assert source.published_split == ("train",) * 4 + ("test",) * 4
