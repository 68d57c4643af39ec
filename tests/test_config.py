from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from edgenas.config import build, merge, parse_overrides, read_toml
from edgenas.errors import ConfigError
from edgenas.fields import OneOf, Range
from edgenas.project.gates import gates_of
from edgenas.project.settings import ProjectSettings

MINIMAL = {"data": {"source": "digits"}}


def test_missing_tables_take_their_defaults() -> None:
    settings = build(ProjectSettings, MINIMAL, source="edgenas.toml")
    assert settings.data.source == "digits"
    assert gates_of(settings.gates).agreement == 0.99
    assert settings.gates.max_new_false_negatives == 0


def test_the_agreement_of_an_earlier_project_still_counts_as_asked() -> None:
    gates = gates_of(build(ProjectSettings, MINIMAL | {"gates": {"min_top1_agreement": 0.8}}, source="edgenas.toml").gates)
    assert (gates.agreement, gates.min_top1_agreement) == (0.8, 0.8)
    assert (
        gates_of(build(ProjectSettings, MINIMAL | {"gates": {"min_agreement": 0.9}}, source="edgenas.toml").gates).agreement == 0.9
    )


def test_every_unknown_key_and_wrong_value_is_named_at_once() -> None:
    tables = {"data": {"source": "digits", "sead": 1}, "train": {"epochs": "many", "sampling": "random"}, "sarch": {}}
    with pytest.raises(ConfigError) as caught:
        build(ProjectSettings, tables, source="edgenas.toml")
    text = str(caught.value)
    for part in ("data.sead is unknown", "train.epochs is 'many'; allowed: a whole number", "'sandwich', 'uniform'", "[sarch]"):
        assert part in text
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("search", "latency_ms", -1.0),
        ("search", "latency_ms", float("nan")),
        ("search", "min_sensitivity", {"8": 1.5}),
        ("data", "train", 0.9),
        ("profile", "visits", 0),
        ("train", "epochs", True),
        ("train", "epochs", 2.5),
        ("train", "epochs", 0),
        ("train", "learning_rate", float("inf")),
        ("train", "temperature", 0.0),
        ("train", "kd_weight", 2.0),
        ("teacher", "batch_size", 0),
        ("teacher", "ema_decay", 1.0),
        ("retrain", "learning_rate", -1.0),
        ("search", "mutation_prob", 1.5),
        ("profile", "batch_size", -1),
        ("data", "image_px", 4),
        ("export", "opset", 9),
    ],
)
def test_values_out_of_range_are_refused(table: str, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=table):
        build(ProjectSettings, merge(MINIMAL, {table: {key: value}}), source="edgenas.toml")


def test_a_whole_number_is_a_number_and_a_list_a_tuple() -> None:
    tables = merge(MINIMAL, {"search": {"latency_ms": 5}, "export": {"targets": ["sm86"]}})
    settings = build(ProjectSettings, tables, source="edgenas.toml")
    assert settings.search.latency_ms == 5.0
    assert settings.export.targets == ("sm86",)


def test_overrides_are_toml_values_or_strings() -> None:
    assert parse_overrides(["train.epochs=5", "data.positive=8x", "search.latency_ms=2.5"]) == {
        "train": {"epochs": 5},
        "data": {"positive": "8x"},
        "search": {"latency_ms": 2.5},
    }


def test_malformed_overrides_are_all_named() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_overrides(["epochs=5", "train.epochs", "a.b.c=1"])
    assert len(caught.value.problems) == 3


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "edgenas.toml"
    path.write_text("[data\nsource=", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"edgenas\.toml is not TOML"):
        read_toml(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not TOML"):
        read_toml(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_toml(tmp_path)


def test_what_a_field_allows_is_told_with_the_nearest_word() -> None:
    tables = merge(
        MINIMAL, {"train": {"kd": "sofd", "kd_weight": 2.0, "balance": "wieghts"}, "profile": {"fps": 0.0, "threads": 0}}
    )
    with pytest.raises(ConfigError) as caught:
        build(ProjectSettings, tables, source="edgenas.toml")
    assert caught.value.problems == (
        "train.kd is 'sofd'; allowed: 'soft', 'hard', 'hard-smoothed', 'alpha-divergence'; did you mean 'soft'?",
        "train.kd_weight is 2.0; allowed: a number at least 0 and at most 1 or 'auto'",
        "train.balance is 'wieghts'; allowed: 'none', 'weights', 'sampler', 'downsample'; did you mean 'weights'?",
        "profile.fps is 0.0; allowed: a number at least 0.01 and at most 10000",
        "profile.threads is 0; allowed: a whole number at least 1",
    )


@pytest.mark.parametrize(
    ("mark", "inside", "outside", "words"),
    [
        (Range(ge=1, lt=3), (1, 2.5), (0, 3, float("nan")), "a number at least 1 and below 3"),
        (Range(gt=0), (1e-9, 1e9), (0, -1), "a number above 0"),
        (Range(le=1), (1, -5), (1.1,), "a number at most 1"),
        (OneOf(("a", "b")), ("a", None), ("c",), "'a', 'b'"),
    ],
)
def test_marks_of_fields_are_exact(mark: OneOf | Range, inside: Sequence[object], outside: Sequence[object], words: str) -> None:
    assert all(mark.allows(value) for value in inside)
    assert not any(mark.allows(value) for value in outside)
    assert mark.words("a number") == words
