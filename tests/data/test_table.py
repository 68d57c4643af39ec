from __future__ import annotations

from pathlib import Path

import pytest

from edgenas.data import open_source, scan_source
from edgenas.data.base import ImageSource
from edgenas.errors import DataError
from edgenas.testing.data import DataConformance
from tests.data.test_sources import write_image

FULL = """Path,Label,Patient,Site,Split
a.png,cat,p1,north,train
sub/b.png,dog,p1,,Training
c.png,cat,,south,valid
d.png,dog,p2,south,VAL
e.png,dog,p3,north,test
f.png,cat,p4,north,test
"""


def write_table(folder: Path, text: str, *, images: str = "a b c d e f sub/b") -> Path:
    for value, name in enumerate(images.split()):
        write_image(folder / f"{name}.png", value=value)
    (folder / "list.csv").write_text(text, encoding="utf-8")
    return folder / "list.csv"


def open_text(folder: Path, text: str) -> ImageSource:
    return open_source(f"csv:{write_table(folder, text)}")


def problems_of(folder: Path, text: str) -> tuple[str, ...]:
    return tuple(line.replace(f"{folder}/", "") for line in scan_source(f"csv:{write_table(folder, text)}").problems)


class TestFullTable(DataConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ImageSource:
        return open_text(tmp_path, FULL)


class TestSmallestTable(DataConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ImageSource:
        return open_text(tmp_path, "label;path\ncat;a.png\ndog;b.png")


class TestTableThatListsAFileInTwoParts(DataConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ImageSource:
        return open_text(tmp_path, "path,label,split\na.png,cat,train\na.png,cat,test\nb.png,dog,train")


def test_every_column_is_read(tmp_path: Path) -> None:
    source = open_text(tmp_path, FULL)
    assert source.class_names == ("cat", "dog")
    assert source.labels_N.tolist() == [0, 1, 0, 1, 1, 0]
    assert source.ids == ("a.png", "sub/b.png", "c.png", "d.png", "e.png", "f.png")
    assert source.groups == ("p1", "p1", "c.png", "p2", "p3", "p4")
    assert source.sites == ("north", "unknown", "south", "south", "north", "north")
    assert source.published_split == ("train", "train", "val", "val", "test", "test")
    assert source.file_keys is None


def test_columns_that_are_not_there_are_not_known(tmp_path: Path) -> None:
    source = open_text(tmp_path, "path,label\na.png,cat\nb.png,dog")
    assert source.groups is source.sites is source.published_split is None


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_delimiters_marks_and_line_ends_are_recognised(tmp_path: Path, delimiter: str, encoding: str, line_end: str) -> None:
    text = line_end.join(("label,PATH ", "Käse,a.png", "", "dog,b.png", ",")).replace(",", delimiter)
    write_table(tmp_path, "").write_bytes(text.encode(encoding))
    source = open_source(f"csv:{tmp_path / 'list.csv'}")
    assert source.class_names == ("Käse", "dog")
    assert source.ids == ("a.png", "b.png")


def test_quoted_cells_may_hold_delimiters(tmp_path: Path) -> None:
    source = open_text(tmp_path, 'path,label\na.png,"cat, big"\nb.png,"dog ""x"" y"')
    assert source.class_names == ("cat, big", 'dog "x" y')


def test_paths_are_normalised_relative_to_the_table_or_absolute(tmp_path: Path) -> None:
    write_image(tmp_path / "elsewhere" / "x.png")
    text = f"path,label\n./sub/../a.png,cat\n{tmp_path}/elsewhere/x.png,dog\n../elsewhere/x.png,dog"
    source = open_text(tmp_path / "table", text)
    assert source.ids == ("a.png", f"{tmp_path}/elsewhere/x.png", "../elsewhere/x.png")


def test_a_path_in_two_parts_is_kept_twice_with_distinct_ids_and_one_key(tmp_path: Path) -> None:
    text = "path,label,split\na.png,cat,train\na.png,cat,test\nb.png,dog,train"
    source = open_text(tmp_path, text)
    assert source.ids == ("train/a.png", "test/a.png", "train/b.png")
    assert source.file_keys == ("a.png", "a.png", "b.png")


def test_unknown_columns_are_a_note(tmp_path: Path) -> None:
    source = open_text(tmp_path, "age,path,label,\n7,a.png,cat,\n8,b.png,dog,")
    assert source.notes == ("column(s) without a meaning here: age, (no name)",)


def test_every_problem_of_a_table_is_a_line_with_its_number(tmp_path: Path) -> None:
    text = (
        "path,label,split\n"
        "a.png,cat,train\n"
        ",,train\n"
        "a.png,cat,train\n"
        "b.png,dog,training\n"
        "b.png,cat,test\n"
        "nowhere.png,cat,train\n"
        "sub,cat,train\n"
        "c.png,cat,holdout\n"
        "c.png,cat\n"
        'd.png,"ca"t,train\n'
        '"d\n.png",cat,train\n'
        f"{'x' * 300}.png,dog,test\n"
        "e.png,cat,\n"
    )
    found = problems_of(tmp_path, text)
    allowed = "allowed are train, val, test and other words for them, such as training, valid, dev, testing"
    assert found == (
        "line 3: path is empty",
        "line 3: label is empty",
        f"line 9: split is 'holdout'; {allowed}",
        "line 10: has 2 cells, the header 3",
        "line 11: is malformed: ',' expected after '\"'",
        "line 12: path holds a control character or line break",
        f"line 15: split is ''; {allowed}",
        "line 4: a.png is listed again in train, first in line 2",
        "line 6: b.png is labelled 'cat' here and 'dog' in line 5",
        "line 7: nowhere.png is missing",
        "line 8: sub is a folder",
        f"line 14: {'x' * 300}.png cannot be opened: File name too long",
    )


def test_a_quote_that_is_never_closed_is_malformed(tmp_path: Path) -> None:
    found = problems_of(tmp_path, 'path,label\na.png,cat\nb.png,dog\nc.png,"cat\nd.png,dog\n')
    assert found == ("line 4: is malformed: unexpected end of data",)


def test_files_that_are_all_missing_are_one_problem_that_says_where_they_were_looked_for(tmp_path: Path) -> None:
    found = problems_of(tmp_path, "path,label\nx/a.png,cat\nx/b.png,dog")
    assert found == (f"none of the 2 files is there, such as line 2: x/a.png is missing; paths are relative to {tmp_path}",)


def test_fewer_than_two_classes_are_a_problem(tmp_path: Path) -> None:
    found = problems_of(tmp_path, "path,label\na.png,cat\nb.png,cat")
    assert found == ("list.csv has 1 class(es); at least 2 are needed",)


def test_a_table_of_nothing_but_a_header_lists_no_images(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label\n")
    with pytest.raises(DataError, match=r"list\.csv lists no images below its header"):
        scan_source(f"csv:{tmp_path / 'list.csv'}")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("age,sex\na.png,cat", ("line 1: column 'label' is missing", "line 1: column 'path' is missing")),
        ("a.png,cat\nb.png,dog", ("line 1: column 'label' is missing", "line 1: column 'path' is missing")),
        ("path|label\na.png|cat", ("line 1: column 'label' is missing", "line 1: column 'path' is missing")),
        ("\n\npath,label,LABEL\na.png,cat,cat", ("line 3: column 'label' is there 2 times",)),
    ],
)
def test_a_header_that_does_not_fit_names_every_column(tmp_path: Path, text: str, problems: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=r"cannot be read as a table of images.*the first line names the columns path") as caught:
        open_text(tmp_path, text)
    assert caught.value.problems == problems


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"list\.csv is empty"),
        (b" \n\n", r"list\.csv is empty"),
        (b"path,label\na.png,c\0at\n", r"list\.csv is no text in UTF-8: line 2 holds a NUL byte"),
        ("path,label\na.png,cat".encode("utf-16"), "holds a NUL byte"),
        (b"path,label\na.png,K\xe4se\n", r"list\.csv is no text in UTF-8: line 2 holds the byte 0xe4"),
        (b'path,label\na.png,"' + b"x" * 200_000, r"a cell of more than 131,072 characters from line 2 on; is a quote not closed"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "list.csv").write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        open_source(f"csv:{tmp_path / 'list.csv'}")
    assert "\n" not in str(caught.value)


def test_a_folder_or_nothing_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        open_source(f"csv:{tmp_path}")
    with pytest.raises(DataError, match="does not exist"):
        open_source(f"csv:{tmp_path / 'nowhere.csv'}")
