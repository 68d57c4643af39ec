"""The text of a new `edgenas.toml`: what was chosen, and below it every other setting as a comment, ready to be taken in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from edgenas.project.setting_help import MISSING, allowed, default_of, meaning, setting_keys, table_meaning, tables
from edgenas.project.setting_schema import LINE
from edgenas.runs import jsonable

HEAD = f"""\
{LINE}
# Settings of this edgenas project. A line that begins with # shows a default: take the # away to change it.
# `edgenas settings KEY` explains one in full; `edgenas COMMAND --set table.key=value` overrides one for a call.
# Selection reads the splits select and confirm; test is read by retrain, export and evaluate --split test.
"""
GATES = {"min_agreement": 0.99, "max_new_false_negatives": 0}  # that every project is to see at once
WIDTH, MOST = 38, 96  # columns before a comment; of what a comment says of a meaning
LEAST = 24  # of these where a part is shown
SIGNS = {" and at most ": ", <= ", " and below ": ", < ", " at least ": " >= ", " at most ": " <= ", " above ": " > ", "'": ""}
MAX_WORDS = 70  # columns of what a setting may be


def settings_text(chosen: Mapping[str, Any]) -> str:
    """The file.

    Args:
        chosen: by table and key, what is written as it is.
    """
    given = {**chosen, "gates": {**GATES, **dict(chosen.get("gates", {}))}}
    parts = ["\n".join(_table(name, given.get(name, {}))) for name in tables()]
    return "\n\n".join([HEAD.rstrip("\n"), *parts]) + "\n"


def _table(name: str, chosen: Mapping[str, Any]) -> Iterator[str]:
    yield f"[{name}]".ljust(WIDTH) + f"# {table_meaning(name)}"
    yield from (_line(f"{name}.{key}", f"{key} = {toml_value(value)}") for key, value in chosen.items())
    for key in setting_keys(name):
        if key.partition(".")[2] not in chosen:
            yield _line(key, f"# {key.partition('.')[2]} = {_default(key)}")


def _default(key: str) -> str:
    """The default as it is written; nothing where none is the default, which TOML has no word for."""
    default = default_of(key)
    return "" if default is MISSING or default is None else toml_value(jsonable(default))


def _line(key: str, text: str) -> str:
    table, name = key.split(".")
    words = short(allowed(key))
    shown = words if len(words) <= MAX_WORDS else f"see `edgenas settings {key}`"
    return f"{f'{text.rstrip()}  '.ljust(WIDTH)}# {brief(meaning(table, name))} ({shown})"


def brief(text: str) -> str:
    """A meaning in about `MOST` characters: whole, or up to where a part of it ends, dots behind it."""
    if len(text) <= MOST:
        return text.rstrip(".")
    begun = text[:MOST]
    ends = [each.start() for each in re.finditer(r"[:;.] |, | \(", begun)]
    whole = [end for end in ends if end >= LEAST and begun[:end].count("(") == begun[:end].count(")")]
    return f"{begun[: max(whole)] if whole else begun.rpartition(' ')[0]} ..."


def short(text: str) -> str:
    """What a setting may be, in signs; bounds that nobody meets are left out."""
    text = re.sub(r" and below (1000000|4294967296)\b|\ba (?=whole|number|list|table|string|path)", "", text)
    for words, sign in SIGNS.items():
        text = text.replace(words, sign)
    return text


def toml_value(value: Any) -> str:
    """A value in TOML; strings, numbers, booleans and lists are written alike in JSON."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{json.dumps(key, ensure_ascii=False)} = {toml_value(item)}" for key, item in value.items())
        return "{ " + inner + " }" if inner else "{}"
    return json.dumps(value, ensure_ascii=False)
