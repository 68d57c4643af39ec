"""Every setting is explained: in words, in the file that `init` writes, and in the schema that editors read."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from edgenas.config import build
from edgenas.errors import ConfigError, UsageError
from edgenas.project.setting_file import LEAST, MOST, brief, settings_text, short
from edgenas.project.setting_help import (
    MISSING,
    allowed,
    allowed_words,
    default_of,
    meaning,
    setting_keys,
    table_meaning,
    tables,
)
from edgenas.project.setting_rows import wanted_keys
from edgenas.project.setting_schema import LINE, schema
from edgenas.project.settings import ProjectSettings
from edgenas.runs import jsonable

CHOSEN = {"data": {"source": "folder:/a \\ b", "positive": "8"}, "search": {"latency_ms": 8.0, "min_sensitivity": {"8 mm": 0.9}}}
KEYS = setting_keys()


def test_every_setting_has_a_meaning_and_says_what_it_may_be() -> None:
    assert len(KEYS) > 190
    for key in KEYS:
        words = meaning(*key.split("."))
        assert len(words) > 3, f"{key} is not explained under Attributes of its table"
        assert not words.startswith("as in ["), key
        assert "None" not in words.split(), key
        assert allowed(key), key


def test_every_table_says_what_it_is_about() -> None:
    assert all(table_meaning(name) for name in tables())


def test_the_words_of_a_setting_are_known_and_those_of_no_setting_are_none() -> None:
    assert "sandwich" in allowed_words("train.sampling")
    assert allowed_words("data.resize_mode") == ["squash", "crop", "letterbox"]
    assert allowed_words("retrain.baseline") == ["true", "false"]
    assert allowed_words("train.epochs") == allowed_words("train.speed") == allowed_words("speed") == []


def test_the_file_of_a_new_project_has_every_setting_once_in_a_line() -> None:
    text = settings_text(CHOSEN)
    assert text.startswith(f"{LINE}\n")
    assert tomllib.loads(text) == CHOSEN | {name: {} for name in tables() if name not in CHOSEN and name != "gates"} | {
        "gates": {"min_agreement": 0.99, "max_new_false_negatives": 0}
    }
    table, found = "", []
    for line in text.splitlines():
        table = named[1] if (named := re.match(r"\[(\w+)\]", line)) else table
        if key := re.match(r"(?:# )?(\w+) =", line):
            found.append(f"{table}.{key[1]}")
            assert re.search(r" # .+ \(.+\)$", line), line
    assert sorted(found) == sorted(KEYS)


def test_a_line_of_the_file_can_be_taken_in_as_it_is() -> None:
    text = "\n".join(re.sub(r"^# (\w+ = \S)", r"\1", line) for line in settings_text(CHOSEN).splitlines())
    taken = tomllib.loads(text)
    assert taken["train"]["epochs"] == 40
    settings = build(ProjectSettings, taken, source="the file")
    assert settings.train.sampling == "even"
    assert settings.search.latency_ms == 8.0


def test_comments_are_short_and_cut_where_a_part_ends() -> None:
    assert brief("share of a label.") == "share of a label"
    long = (
        "of the subnets (all of those that a step may draw, one after the other, from everywhere) that are near a limit; the others"
    )
    assert brief(long) == "of the subnets (all of those that a step may draw, one after the other, from everywhere) that ..."
    for key in KEYS:
        words = brief(meaning(*key.split(".")))
        assert len(words) <= MOST + 4
        assert len(words) >= LEAST or "..." not in words, key
    assert short("a whole number at least 0 and below 4294967296") == "whole number >= 0"
    assert short("'cosine', 'wsd' or a number above 0 and at most 1") == "cosine, wsd or number > 0, <= 1"


def test_the_schema_takes_what_edgenas_takes() -> None:
    import jsonschema  # takes a second, which no other test needs

    checked = jsonschema.Draft7Validator(schema())
    jsonschema.Draft7Validator.check_schema(schema())
    checked.validate(CHOSEN | {"train": {"sampling": "sandwich", "temperature": "auto", "near_share": 1}})
    defaults: dict[str, Any] = {name: {} for name in tables()} | {"data": {"source": "digits"}}
    for key in KEYS:
        table, name = key.split(".")
        if default_of(key) not in (MISSING, None):
            defaults[table][name] = jsonable(default_of(key))
    checked.validate(defaults)


@pytest.mark.parametrize(
    "wrong",
    [
        {"train": {"epochs": 0}},
        {"train": {"epochs": 1.5}},
        {"train": {"sampling": "evenly"}},
        {"train": {"speed": 1}},
        {"tran": {}},
        {"data": {"resize_mode": "fit"}},
        {"search": {"racing": 1.5}},
        {"export": {"targets": "sm86"}},
    ],
)
def test_the_schema_refuses_what_edgenas_refuses(wrong: dict[str, Any]) -> None:
    tables = wrong | {"data": {"source": "digits"} | wrong.get("data", {})}
    with pytest.raises(ConfigError):
        build(ProjectSettings, tables, source="the file")
    import jsonschema

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tables, schema())


def test_settings_are_found_by_table_and_by_key() -> None:
    assert wanted_keys(None) == KEYS
    assert wanted_keys("gates") == setting_keys("gates")
    assert wanted_keys("train.epochs") == ["train.epochs"]
    assert wanted_keys("sampling") == ["train.sampling"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("epochs", "write one of teacher.epochs, train.epochs, retrain.epochs"),
        ("tran", "did you mean 'train'?"),
        ("train.epoch", "did you mean 'train.epochs'?"),
        ("samplng", "did you mean 'train.sampling'?"),
        ("colour", "tables are: data, space, teacher"),
    ],
)
def test_an_unknown_setting_is_answered_with_the_nearest(name: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        wanted_keys(name)
    assert said in caught.value.hint
