"""Files of latency tables: what was damaged, edited or sealed again with nonsense is refused in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.errors import LatencyTableError
from edgenas.latency import LatencyTable
from edgenas.latency.table.check import check_table, origins, require_sound
from edgenas.latency.table.remarks import remarks
from edgenas.latency.table.store import load_table
from edgenas.latency.table.table import SCHEMA_VERSION
from edgenas.recipes.tables import header
from edgenas.records import EntryCounts
from edgenas.runs import sha256_json, write_json
from edgenas.spaces import Choice
from tests.latency.tables import nano, toy_table

SEED, DAMAGES = 20261125, 100


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(toy_table(bound=20).save(tmp_path).read_text(encoding="utf-8"))
    return value


def sealed(path: Path, content: dict[str, Any]) -> Path:
    """Write a content with the hash that belongs to it, as somebody who edits a table with care would."""
    plain = {key: value for key, value in content.items() if key != "sha256"}
    write_json(path, {**plain, "sha256": sha256_json(plain)})
    return path


def refused(path: Path) -> LatencyTableError:
    with pytest.raises(LatencyTableError) as caught:
        LatencyTable.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "edgenas profile" in str(caught.value)
    return caught.value


def test_a_pipe_in_the_place_of_a_table_is_told_as_such(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(LatencyTableError, match=r"pipe\.json.* is no regular file but a pipe"):
        load_table(tmp_path / "pipe.json")


def test_units_are_in_the_keys_and_quantiles_in_every_row(content: dict[str, Any]) -> None:
    names = {"predicted_ms", "upper_ms", "measured_ms", "mad_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "variation", "n"}
    for row in content["validation"]["rows"]:
        assert names <= row.keys()
        assert row["min_ms"] <= row["p50_ms"] <= row["p90_ms"] <= row["p95_ms"] <= row["p99_ms"]
    assert {"level_ms", "p50_ms", "p99_ms", "mad_ms", "variation"} <= content["reference"].keys()
    assert {entry["origin"] for entry in content["entries"]} == {"measured"}
    assert len(content["measuring"]["machine"]) == 2
    assert len(content["measuring"]["calibration_rows"]) == content["measuring"]["num_calibration_nets"]


@pytest.mark.parametrize(
    ("version", "words"), [(SCHEMA_VERSION + 1, "a newer edgenas wrote it"), (0, "schema_version 0"), ("1", "'1'")]
)
def test_another_schema_is_one_line(content: dict[str, Any], tmp_path: Path, version: object, words: str) -> None:
    error = refused(sealed(tmp_path / "t.json", content | {"schema_version": version}))
    assert words in error.message
    assert f"this edgenas reads {SCHEMA_VERSION}" in error.message


def change(*place: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(content: dict[str, Any]) -> None:
        inner: Any = content
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = value

    return edit


NONSENSE: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a cost in words": (change("entries", 3, "ms", value="fast"), "entry 4: ms is 'fast'"),
    "no cost": (change("entries", 3, "ms", value=None), "entry 4: ms is None"),
    "another origin": (change("entries", 1, "origin", value="guessed"), "entry 2: origin is 'guessed'"),
    "nothing timed": (change("entries", 1, "n", value=0), "entry 2: n is 0"),
    "no components": (change("entries", 1, "components", value=[]), "entry 2 has no components"),
    "no entries": (change("entries", value=[]), "there are no entries"),
    "a scale of nothing": (change("calibration", "scale", value=0), "calibration: scale is 0"),
    "an infinite bound": (change("calibration", "upper_factor", value=None), "calibration: upper_factor is None"),
    "no level": (change("reference", "level_ms", value=-1.0), "reference: level_ms is -1.0"),
    "a number for components": (change("reference", "components", value=-(10**28)), "reference: components is -1000"),
    "components in words": (change("reference", "components", value=["PatchEmbed"]), "reference: components is ['PatchEmbed']"),
    "a truth as a number": (change("context", "batch_size", value=True), "batch_size is True"),
    "a batch of nothing": (change("context", "batch_size", value=0), "batch_size is 0"),
    "no device": (change("context", "device", value=None), "context: device is None"),
    "a number for rewrites": (change("context", "details", "rewrites", value=5), "context: rewrites is 5"),
    "an image without a side": (change("task", "image_px", value=0), "image_px is 0"),
    "rows that are none": (change("validation", "rows", value={}), "validation has no rows"),
    "a row without a net": (change("validation", "rows", 0, "arch", value="x"), "validation: row 1 has no arch"),
    "a net of no time": (change("validation", "rows", 0, "measured_ms", value=0.0), "row 1: measured_ms is 0.0"),
    "a negative error": (change("validation", "mape", value=-0.1), "validation: mape is -0.1"),
    "a bound of no net": (change("promise", "nets", value="net"), "bound net 1 is no object"),
    "a quantile in words": (change("promise", "nets", 2, "p95_ms", value="slow"), "bound net 3: p95_ms is 'slow'"),
    "a promise that is none": (change("promise", value=[]), "is not a latency table"),
    "no context": (change("context", value=[]), "is not a latency table"),
    "half a call": (change("reference", "n", value=5.5), "reference: n is 5.5, expected int"),
    "half a call of a net": (change("validation", "rows", 1, "n", value=2.5), "validation: rows[1].n is 2.5, expected int"),
    "a key too many": (change("context", "colour", value="red"), "is not a latency table"),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_with_the_right_hash_is_refused(content: dict[str, Any], tmp_path: Path, kind: str) -> None:
    edit, words = NONSENSE[kind]
    edit(content)
    assert words in str(refused(sealed(tmp_path / "t.json", content)))


def test_all_nonsense_is_listed(content: dict[str, Any], tmp_path: Path) -> None:
    for kind in ("a cost in words", "no level", "a batch of nothing"):
        NONSENSE[kind][0](content)
    assert len(refused(sealed(tmp_path / "t.json", content)).problems) == 3


def test_text_that_is_no_unicode_is_an_edited_file(content: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps(content).replace('"toy"', '"\\ud800"', 1), encoding="utf-8")
    assert "lone surrogate" in refused(path).message


def test_random_changes_of_sealed_values_never_crash(content: dict[str, Any], tmp_path: Path) -> None:
    """Edits with the right hash: read as what they say, or refused; what is read survives every check."""
    rng = np.random.default_rng(SEED)
    text = json.dumps(content)
    values: list[Any] = [None, True, -1, 0, 1e300, "x", [], {}, [1], "2026"]
    lines: set[int] = set()
    refusals = failures = 0
    for _ in range(DAMAGES):
        damaged = json.loads(text)
        inner: Any = damaged
        while True:
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            key = keys[int(rng.integers(len(keys)))]
            if not isinstance(inner[key], (dict, list)) or not inner[key] or rng.random() < 0.1:
                break
            inner = inner[key]
        inner[key] = values[int(rng.integers(len(values)))]
        try:
            table = LatencyTable.load(sealed(tmp_path / "t.json", damaged))
        except LatencyTableError as error:
            refusals += 1
            lines.add(str(error).count("\n"))
            continue
        remarks(table)
        header(tmp_path / "t.json", table)
        if table.space == "pvt-nano":
            failures += any(check.verdict == "failed" for check in check_table(table, nano()))
    assert lines == {0}
    assert refusals > DAMAGES / 5
    assert failures > 3


def test_a_whole_table_passes_every_check() -> None:
    checks = check_table(toy_table(), nano())
    assert [(check.name, check.verdict) for check in checks] == [
        (name, "passed") for name in ("space", "entries", "nets", "predictions")
    ]
    assert origins(toy_table(), nano()) == EntryCounts(measured=45, interpolated=0, missing=0)


def test_interpolated_entries_count_and_missing_ones_are_named() -> None:
    table = toy_table()
    some = tuple(replace(e, origin="interpolated", n=0, raw_ms=None) if i > 30 else e for i, e in enumerate(table.entries))
    assert origins(replace(table, entries=some), nano()).interpolated == 6
    lacking = replace(table, entries=table.entries[:-2])
    found = {check.name: check for check in check_table(lacking, nano())}
    assert found["entries"].verdict == "failed"
    assert found["entries"].reason == "2 of 45 components have no entry"
    assert len(found["entries"].problems) == 2
    assert '"kind": "Block"' in found["entries"].problems[0]
    assert found["predictions"].verdict == "not_run"
    assert origins(lacking, nano()).missing == 2


def test_an_entry_that_was_made_faster_contradicts_the_stored_predictions() -> None:
    table = toy_table()
    faster = tuple(replace(entry, ms=entry.ms * 0.5) if at == 0 else entry for at, entry in enumerate(table.entries))
    found = {check.name: check for check in check_table(replace(table, entries=faster), nano())}
    assert found["predictions"].verdict == "failed"
    assert "stored predictions differ" in found["predictions"].reason


def test_an_error_that_was_made_smaller_contradicts_its_rows() -> None:
    table = toy_table()
    better = replace(table, validation=replace(table.validation, mape=(table.validation.mape or 0) / 2))
    assert [check.verdict for check in check_table(better, nano())] == ["passed", "passed", "passed", "failed"]


def test_a_space_whose_choices_changed_is_another_space() -> None:
    changed = replace(nano(), choices=(*nano().choices, Choice("extra", (1, 2))))
    found = {check.name: check for check in check_table(toy_table(), changed)}
    assert found["space"].verdict == "failed"
    assert "have changed" in found["space"].reason


def sealed_anew(table: LatencyTable, path: Path, *way: Any, new: Any) -> Path:
    """A file with one value replaced, and the hash made anew."""
    table.write(path)
    value = json.loads(path.read_text())
    inner = value
    for key in way[:-1]:
        inner = inner[key]
    inner[way[-1]] = new
    del value["sha256"]
    path.write_text(json.dumps({**value, "sha256": sha256_json(value)}))
    return path


@pytest.mark.parametrize(
    ("way", "new", "words"),
    [
        (("context", "device"), "x" * 1000, "a name of device, runtime or space is empty or has more than 256 characters"),
        (("context", "batch_size"), 10**6, "batch_size is 1000000, expected at most 4096"),
        (("task", "num_classes"), 10**9, "num_classes is 1000000000"),
        (("calibration", "scale"), 1e9, "calibration: scale is 1e[+]09"),
        (("calibration", "upper_factor"), 1e-7, "calibration: upper_factor is 1e-07"),
        (("calibration", "num_nets"), -3, "calibration: num_nets is -3"),
        (("entries", 0, "ms"), 1e200, "entry 1: ms is 1e[+]200"),
        (("entries", 0, "mad_ms"), -1, "entry 1: mad_ms is -1"),
        (("reference", "p50_ms"), 1e7, "reference: p50_ms is 1e[+]07, which is more than p90_ms"),
        (("validation", "mape"), 0.0, "validation: mape is 0, its rows give"),
        (("validation", "within_5"), 2.0, "validation: within_5 is 2, its rows give"),
        (("validation", "kendall_tau"), 1.5, "validation: kendall_tau is 1.5, its rows give"),
        (("validation", "num_subnets"), 10**6, "validation: num_subnets is 1e[+]06, its rows give 8"),
        (("validation", "rows", 0, "min_ms"), -1, "validation: row 1: min_ms is -1"),
        (("validation", "intervals", "within_5", "low"), 3, r"validation: intervals: within_5 is .* \[3, "),
        (("promise", "bounds", 0, "coverage", "high"), -1, "promise: bound 1: coverage is"),
        (("promise", "bounds", 0, "factor"), -2, "promise: bound 1: factor is -2"),
        (("measuring", "seconds"), 1e300, "measuring: seconds is 1e[+]300"),
    ],
)
def test_what_no_measurement_gives_is_refused_though_its_hash_fits(
    tmp_path: Path, way: tuple[Any, ...], new: Any, words: str
) -> None:
    path = sealed_anew(toy_table(bound=20), tmp_path / "table.json", *way, new=new)
    with pytest.raises(LatencyTableError, match=words):
        LatencyTable.load(path)


@pytest.mark.parametrize(
    ("way", "new", "words"),
    [
        (("entries", 0, "ms"), -5.0, "stored predictions differ"),
        (("entries", 3, "components", 0, "embed_dim"), 7, "of its entries and nets are of no net of pvt-nano"),
        (("reference", "components", 0, "kind"), "Rocket", "of its entries and nets are of no net of pvt-nano"),
        (("measuring", "calibration_rows", 0, "arch", "pool_size"), 77, "of its entries and nets are of no net of pvt-nano"),
    ],
)
def test_what_contradicts_the_entries_is_refused_before_anything_rests_on_it(
    tmp_path: Path, way: tuple[Any, ...], new: Any, words: str
) -> None:
    path = sealed_anew(toy_table(), tmp_path / "table.json", *way, new=new)
    with pytest.raises(LatencyTableError, match=words):
        require_sound(path, LatencyTable.load(path), nano())


def test_nets_behind_promises_without_a_level_have_their_median(tmp_path: Path) -> None:
    table = toy_table(bound=20)
    plain = [{name: value for name, value in net.as_json().items() if name != "measured_ms"} for net in table.bound_nets]
    read = LatencyTable.load(sealed_anew(table, tmp_path / "table.json", "promise", "nets", new=plain))
    assert [net.measured_ms for net in read.bound_nets] == [net.p50_ms for net in table.bound_nets]
