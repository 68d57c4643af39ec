"""Sealed files and journals, as kits write them: nothing half written, nothing edited, nobody beside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgenas.portable.journal import BusyFileError, JournalFile
from edgenas.portable.sealing import DamagedFileError, sealed, unsealed, write_beside
from edgenas.runs import Journal, read_sealed, write_sealed


def test_what_was_sealed_is_unsealed_and_what_was_edited_is_not() -> None:
    value = {"b": [1.5, None], "a": "ü"}
    whole = sealed("thing", value)
    assert list(whole) == ["kind", "b", "a", "sha256"]
    assert unsealed(whole, "thing") == value
    with pytest.raises(DamagedFileError, match="is a file of kind 'thing', not 'other'"):
        unsealed(whole, "other")
    for damaged in ({**whole, "a": "u"}, {**whole, "a": "\ud800"}, {}, value):
        with pytest.raises(DamagedFileError, match="does not match its sha256"):
            unsealed(damaged, "thing")


def test_run_folders_and_kits_read_each_other_s_files(tmp_path: Path) -> None:
    path, identity = tmp_path / "file.json", {"plan": "a"}
    write_sealed(path, "thing", {"schema_version": 1, "a": 1})
    assert unsealed(json.loads(path.read_text()), "thing") == {"schema_version": 1, "a": 1}
    write_beside(path, json.dumps(sealed("thing", {"schema_version": 1, "a": 2})))
    assert read_sealed(path, "thing", schema_version=1)["a"] == 2
    for write, read in ((Journal, JournalFile), (JournalFile, Journal)):
        path = tmp_path / f"{write.__module__}.jsonl"
        journal = write(path, identity)
        journal.record("net", {"ms": [0.5, 1e-7]})
        journal.close()
        assert read(path, identity).recall("net") == {"ms": [0.5, 1e-7]}


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_beside(tmp_path / "taken", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_journal_that_is_held_is_nobody_else_s_and_says_whose_results_it_has(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "j.jsonl"
    with pytest.raises(FileNotFoundError):
        JournalFile(path, {"plan": "a"}, is_alone=True)
    path = tmp_path / "j.jsonl"
    held = JournalFile(path, {"plan": "a"}, sync_every_s=0.0, is_alone=True)
    held.record("net", 1)
    with pytest.raises(BusyFileError, match=r"j\.jsonl"):
        JournalFile(path, {"plan": "a"}, is_alone=True)
    held.close()
    again = JournalFile(path, {"plan": "a"}, is_alone=True)
    assert (again.values, again.is_other) == ({"net": 1}, False)
    again.record("later", 2)
    again.close()
    assert JournalFile(path, {"plan": "a"}).values == {"net": 1, "later": 2}
    assert JournalFile(path, {"plan": "b"}).is_other
