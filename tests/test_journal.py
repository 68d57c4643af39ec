"""Journals keep what was found out, and nothing that was not."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenas.errors import RunFolderError
from edgenas.runs import Journal

OF = {"device": "this", "runs": 3}


def filled(path: Path, num: int = 3) -> Journal:
    journal = Journal(path, OF)
    for number in range(num):
        journal.record(f"net {number}", {"ms": [0.5, number], "text": "a\nb ü"})
    journal.close()
    return journal


def test_what_was_recorded_is_recalled_by_the_next_process(tmp_path: Path) -> None:
    filled(tmp_path / "j.jsonl")
    again = Journal(tmp_path / "j.jsonl", OF)
    assert len(again) == 3
    assert again.recall("net 2") == {"ms": [0.5, 2], "text": "a\nb ü"}
    assert again.recall("net 3") is None
    again.record("net 3", 1.5)
    again.close()
    assert Journal(tmp_path / "j.jsonl", OF).recall("net 3") == 1.5


def test_a_value_is_recalled_as_json_gives_it_back_also_in_the_process_that_recorded_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl", OF)
    journal.record("net", (1, 2.5))
    assert journal.recall("net") == [1, 2.5]
    journal.close()


def test_nothing_is_written_before_something_is_recorded(tmp_path: Path) -> None:
    Journal(tmp_path / "deep" / "j.jsonl", OF).close()
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_torn_last_line_is_cut_off_and_recorded_anew(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j.jsonl"
    filled(path)
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(path, OF)
    assert len(again) == 2
    again.record("net 2", "new")
    again.close()
    assert Journal(path, OF).recall("net 2") == "new"


def test_a_journal_of_other_work_is_started_anew(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    filled(path)
    other = Journal(path, {**OF, "runs": 4})
    assert len(other) == 0
    other.record("net 0", 1)
    other.close()
    assert len(Journal(path, {**OF, "runs": 4})) == 1
    assert len(Journal(path, OF)) == 0


def test_an_edited_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    filled(path)
    path.write_text(path.read_text().replace("[0.5, 1]", "[0.1, 1]"))
    with pytest.raises(RunFolderError, match=r"j\.jsonl line 3 was edited or damaged.*delete it to start again"):
        Journal(path, OF)


def test_a_removed_journal_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal = filled(path)
    journal.remove()
    assert not path.exists()
    journal.record("net", 1)
    journal.close()
    assert len(Journal(path, OF)) == 1
