from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenas.data import open_source
from edgenas.data.allocate import SPLIT_NAMES, largest_remainder
from edgenas.data.arrays import ArrayImages
from edgenas.data.digits import as_digits
from edgenas.data.splits import (
    DEFAULT_FRACTIONS,
    Splits,
    check_fingerprint,
    load_splits,
    make_splits,
    save_splits,
    split_source,
)
from edgenas.errors import DataError, RunFolderError
from edgenas.runs import write_sealed


def tiny_source(num: int = 60, seed: int = 0) -> ArrayImages:
    rng = np.random.default_rng(seed)
    return as_digits(rng.integers(0, 256, (num, 8, 8), dtype=np.uint8), np.arange(num) % 10)


def labels_of(counts: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.repeat(np.arange(len(counts)), counts)


@given(counts=st.lists(st.integers(5, 60), min_size=2, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_splits_are_a_stratified_partition(counts: list[int], seed: int) -> None:
    labels_N = labels_of(counts)
    splits = make_splits(labels_N, seed=seed)
    together = np.concatenate([splits[name] for name in SPLIT_NAMES])
    assert np.array_equal(np.sort(together), np.arange(len(labels_N)))
    for name in SPLIT_NAMES:
        for label, total in enumerate(counts):
            found = splits.class_counts[name][str(label)]
            assert found == (labels_N[splits[name]] == label).sum() >= 1
            assert abs(found - total * DEFAULT_FRACTIONS[name]) < (1 if total >= 40 else 3)


@given(
    sizes=st.lists(st.integers(1, 6), min_size=40, max_size=80),
    seed=st.integers(0, 2**32 - 1),
)
def test_groups_are_never_split(sizes: list[int], seed: int) -> None:
    group_N = np.repeat(np.arange(len(sizes)), sizes)
    labels_N = (group_N % 2).astype(np.int64)
    groups = [f"patient {group}" for group in group_N]
    splits = make_splits(labels_N, groups, seed=seed)
    owners: dict[str, set[str]] = {}
    for name in SPLIT_NAMES:
        for index in splits[name]:
            owners.setdefault(groups[index], set()).add(name)
    assert all(len(names) == 1 for names in owners.values())
    for name in SPLIT_NAMES:
        assert abs(len(splits[name]) / len(labels_N) - DEFAULT_FRACTIONS[name]) < 0.08


@given(total=st.integers(0, 200), weights=st.lists(st.floats(0.01, 1), min_size=1, max_size=6))
def test_largest_remainders_sum_to_the_total_and_leave_nothing_empty(total: int, weights: list[float]) -> None:
    shares_S = np.array(weights) / sum(weights)
    counts_S = largest_remainder(total, shares_S)
    assert counts_S.sum() == total
    assert (counts_S > 0).all() if total >= len(weights) else (counts_S >= 0).all()


def test_the_same_seed_gives_the_same_splits_and_another_gives_others() -> None:
    labels_N = labels_of([50, 50])
    first, again, other = (make_splits(labels_N, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in SPLIT_NAMES)
    assert not np.array_equal(first["train"], other["train"])


def test_splits_do_not_depend_on_hash_seeds() -> None:
    script = (
        "import numpy as np; from edgenas.data.splits import make_splits\n"
        "s = make_splits(np.arange(200) // 2 % 2, [str(i // 2) for i in range(200)], seed=3)\n"
        "print([s[n].tolist() for n in ('train', 'select', 'confirm', 'calibrate', 'test')])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_digits_leave_enough_test_images_to_prove_99_percent() -> None:
    splits = split_source(open_source("digits"), seed=0)
    assert len(splits["test"]) >= 381


def test_published_parts_are_kept_apart() -> None:
    labels_N = np.tile([0, 1], 60)
    published = ["train"] * 60 + ["val"] * 40 + ["test"] * 20
    splits = make_splits(labels_N, seed=0, published=published)
    assert np.array_equal(splits["train"], np.arange(60))
    assert np.array_equal(splits["test"], np.arange(100, 120))
    assert {len(splits[name]) for name in ("select", "confirm", "calibrate")} <= set(range(8, 21))


def test_what_no_part_provides_is_taken_from_train() -> None:
    splits = make_splits(np.tile([0, 1], 60), seed=0, published=["train"] * 100 + ["test"] * 20)
    assert np.array_equal(splits["test"], np.arange(100, 120))
    assert sum(len(splits[name]) for name in ("train", "select", "confirm", "calibrate")) == 100


def test_a_patient_in_two_published_parts_is_named() -> None:
    with pytest.raises(DataError, match=r"1 group\(s\).*p7 is in test, train"):
        make_splits(np.array([0, 1, 0, 1]), ["p7", "a", "p7", "b"], seed=0, published=["train", "train", "test", "test"])


def test_a_class_that_is_too_small_is_named_with_its_counts() -> None:
    with pytest.raises(DataError, match="class 'rare' has 3 images: train 1") as caught:
        make_splits(labels_of([50, 3]), seed=0, class_names=["common", "rare"])
    assert len(caught.value.problems) == 1


def test_one_patient_cannot_fill_every_split() -> None:
    with pytest.raises(DataError, match="class '1' has 30 images"):
        make_splits(labels_of([60, 30]), [str(i) for i in range(60)] + ["same"] * 30, seed=0)


@pytest.mark.parametrize("change", [{"train": 0.5}, {"train": 0.53, "calibrate": 0.0}])
def test_fractions_must_be_positive_and_sum_to_one(change: dict[str, float]) -> None:
    with pytest.raises(DataError, match="sum to 1"):
        make_splits(labels_of([50, 50]), seed=0, fractions={**DEFAULT_FRACTIONS, **change})


def test_saved_splits_are_read_back(tmp_path: Path) -> None:
    splits = split_source(tiny_source(), seed=4)
    save_splits(tmp_path / "splits.json", splits)
    again = load_splits(tmp_path / "splits.json")
    assert all(np.array_equal(again[name], splits[name]) for name in SPLIT_NAMES)
    assert (again.fingerprint, again.class_counts, again.seed) == (splits.fingerprint, splits.class_counts, 4)
    assert (tmp_path / "splits.json").read_text().endswith("}\n")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda value: value.update(schema_version=9), "schema_version 9"),
        (lambda value: value.pop("indices"), "lacks 'indices'"),
        (lambda value: value["indices"].pop("test"), "lacks 'test'"),
        (lambda value: value["indices"].update(test=value["indices"]["select"]), "overlap or leave images out"),
        (lambda value: value["indices"]["train"].append(-1), "overlap or leave images out"),
        (lambda value: value["indices"]["train"].append("x"), "no whole numbers"),
        (lambda value: value["class_counts"]["test"].update({"0": 99}), "class counts of test"),
        (lambda value: value.update(seed="soon"), "is damaged"),
        (lambda value: value.update(fractions=None), "is damaged"),
    ],
)
def test_edited_splits_are_refused_in_one_line(tmp_path: Path, edit: Callable[[Any], object], message: str) -> None:
    path = tmp_path / "splits.json"
    save_splits(path, split_source(tiny_source(), seed=0))
    value = json.loads(path.read_text())
    edit(value)
    value.pop("sha256")
    value.pop("kind")
    write_sealed(path, "splits", value)
    with pytest.raises(RunFolderError, match=message) as caught:
        load_splits(path)
    assert "\n" not in str(caught.value)


def test_an_unchanged_data_set_passes_its_fingerprint() -> None:
    check_fingerprint(split_source(tiny_source(), seed=0), tiny_source())


@pytest.mark.parametrize("what", ["pixels", "labels", "number"])
def test_a_changed_data_set_is_noticed(what: str) -> None:
    splits: Splits = split_source(tiny_source(), seed=0)
    changed = tiny_source(70 if what == "number" else 60)
    if what == "pixels":
        changed.pixels_NHW[3, 2, 1] ^= 1
    if what == "labels":
        changed = replace(changed, labels_N=np.roll(changed.labels_N, 1))
    with pytest.raises(DataError, match=r"changed since it was divided.*run edgenas init again"):
        check_fingerprint(splits, changed)
