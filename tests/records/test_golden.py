"""Records are read from JSON that earlier code wrote, and give back the same."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest

from edgenas import records
from edgenas.errors import RunFolderError
from edgenas.records import CandidateRow, JsonRecord, RetrainResult, SealedRecord, SearchResult, TeacherProbe, TeachingProbe
from edgenas.runs import dump_json, write_sealed

WRITTEN: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent.parent / "fixtures" / "records.json").read_text())
SEALED = [name for name in WRITTEN if issubclass(getattr(records, name), SealedRecord)]


def record_of(name: str, value: dict[str, Any]) -> JsonRecord:
    cls: type[JsonRecord] = getattr(records, name)
    return cls.from_json(value)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_record_gives_back_the_json_it_was_read_from(name: str) -> None:
    assert dump_json(record_of(name, WRITTEN[name])) == dump_json(WRITTEN[name])  # keys in order, too


@pytest.mark.parametrize("name", WRITTEN)
def test_a_record_is_read_from_its_own_json(name: str) -> None:
    once = record_of(name, WRITTEN[name]).as_json()
    assert record_of(name, once).as_json() == once


@pytest.mark.parametrize("name", SEALED)
def test_a_file_is_written_as_before_and_read_back(name: str, tmp_path: Path) -> None:
    cls: type[SealedRecord] = getattr(records, name)
    before, now = tmp_path / "before.json", tmp_path / "now.json"
    write_sealed(before, cls.kind, {"schema_version": cls.schema_version, **WRITTEN[name]})
    cls.read(before).write(now)
    assert now.read_bytes() == before.read_bytes()


def test_what_is_missing_or_wrong_is_named_all_at_once() -> None:
    value = json.loads(json.dumps(WRITTEN["SearchResult"]))
    del value["winner"]["params"]
    value["finalists"][1]["top1"] = "high"
    value["limits"] = [5.0]
    value["space"]["is_exact"] = 1
    value["finalists"][0]["sensitivity"]["8"] = {"value": 0.5}
    with pytest.raises(RunFolderError, match="this is no search result") as raised:
        SearchResult.from_json(value)
    assert sorted(raised.value.problems) == [
        "finalists[0].sensitivity.8 is {'value': 0.5}, expected an interval of value, low, high, n",
        "finalists[1].top1 is 'high', expected float",
        "limits is [5.0], expected an object",
        "space.is_exact is 1, expected bool",
        "winner.params is missing",
    ]


def test_a_file_that_is_no_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_sealed(path, SearchResult.kind, {"schema_version": SearchResult.schema_version, "winner": None})
    with pytest.raises(RunFolderError, match=r"result\.json is no search result") as raised:
        SearchResult.read(path)
    assert "space is missing" in raised.value.problems


def without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: item for name, item in value.items() if name not in names}


def test_files_of_an_earlier_edgenas_are_read() -> None:
    search = without(WRITTEN["SearchResult"], "tables", "promises", "fidelity", "seconds", "proof_epochs")
    result = SearchResult.from_json(search)
    assert (result.seconds, result.proof_epochs, result.promises) == (None, None, None)
    assert result.as_json() == search
    probe = WRITTEN["TeacherProbe"]
    rows = [without(row, "epochs", "seconds") for row in probe["rows"]]
    assert [(row.epochs, row.seconds) for row in TeacherProbe.from_json(probe | {"rows": rows}).rows] == [(0, None)] * len(rows)
    teaching = TeachingProbe.from_json(without(WRITTEN["TeachingProbe"], "identity", "settled", "flip"))
    assert (teaching.identity, teaching.settled, teaching.flip) == (None, (), False)
    alone = without(WRITTEN["RetrainResult"], "baseline", "comparison", "cnn", "chosen", "chosen_by", "cost")
    assert RetrainResult.from_json(alone).baseline is None


def test_what_a_later_edgenas_adds_is_left_out() -> None:
    row = WRITTEN["CandidateRow"]
    assert CandidateRow.from_json(row | {"new": 1}).as_json() == row


def test_a_share_of_no_images_is_null_in_json() -> None:
    row = WRITTEN["CandidateRow"]
    empty = {"value": None, "low": 0.0, "high": 1.0, "n": 0}
    record = CandidateRow.from_json(row | {"sensitivity": {"8": empty}})
    assert math.isnan(record.sensitivity["8"].value)
    assert record.as_json()["sensitivity"] == {"8": empty}


def test_retraining_alone_says_nothing_of_others() -> None:
    value = without(WRITTEN["RetrainResult"], "baseline", "comparison", "cnn", "chosen", "chosen_by", "remarks", "cost")
    value |= {"baseline": None, "cost": {"searched": {"final_s": 1.5}}, "remarks": ["said"]}
    assert dump_json(RetrainResult.from_json(value)) == dump_json(value)


def test_every_record_is_frozen() -> None:
    classes = [value for name in records.__all__ if isinstance(value := getattr(records, name), type)]
    described = [cls for cls in classes if is_dataclass(cls)]
    assert len(described) > 80
    for cls in described:
        assert cls.__dataclass_params__.frozen, cls  # type: ignore[attr-defined]
        assert not hasattr(cls, "__dict__") or "__slots__" in vars(cls), cls


def test_every_file_has_a_kind_and_a_version_of_its_own() -> None:
    classes = [getattr(records, name) for name in records.__all__]
    files = [cls for cls in classes if isinstance(cls, type) and issubclass(cls, SealedRecord) and cls is not SealedRecord]
    assert len({cls.kind for cls in files}) == len(files) >= 8
    assert all(isinstance(cls.schema_version, int) for cls in files)


def test_a_record_cannot_be_changed() -> None:
    record: Any = CandidateRow.from_json(WRITTEN["CandidateRow"])
    changes: list[Callable[[], object]] = [lambda: setattr(record, "top1", 1.0), lambda: record.rejected_by.append("macs")]
    for change in changes:
        with pytest.raises(AttributeError):
            change()
