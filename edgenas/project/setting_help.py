"""What a setting means, read from where it is said: the docstring of the table that it stands in; and what it may be."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from functools import cache
from typing import Any

from edgenas.fields import described, words_in
from edgenas.project.settings import ProjectSettings

MISSING: Any = dataclasses.MISSING  # default of a setting that has none
_ENTRY = re.compile(r"^    (?P<names>[a-z_0-9]+(?:, [a-z_0-9]+)*): ", re.MULTILINE)
_ELSEWHERE = re.compile(r"^as in \[(?P<table>[a-z]+)\]")


def meaning(table: str, key: str) -> str:
    """What ``table.key`` means, in a line; a setting that is explained with another table means the same as there."""
    words = _meanings(tables()[table]).get(key, "")
    match = _ELSEWHERE.match(words)
    elsewhere = table if match is None else match.group("table")
    if elsewhere == table:
        return _without_none(words)
    return meaning(elsewhere, key) or words


def tables() -> dict[str, Any]:
    """The dataclass of every table of `edgenas.toml`."""
    return typing.get_type_hints(ProjectSettings)


def table_meaning(table: str) -> str:
    """What a table is about, in a line."""
    first = (inspect.getdoc(tables()[table]) or "").partition("\n")[0]
    return _without_none(first.partition(": ")[2].rstrip("."))


def _without_none(text: str) -> str:
    """Python's word for a setting that is left out in words of the file, which has none for it."""
    return re.sub(r"\bNone\b", "unset", text)


def setting_keys(table: str | None = None) -> list[str]:
    """``table.key`` of every setting, of one table or of all."""
    names = tables() if table is None else [table]
    return [f"{name}.{each.name}" for name in names for each in dataclasses.fields(tables()[name])]


def default_of(key: str) -> Any:
    """The default of a setting; `MISSING` where it has none."""
    table, name = key.split(".")
    each = next(each for each in dataclasses.fields(tables()[table]) if each.name == name)
    return each.default_factory() if each.default_factory is not dataclasses.MISSING else each.default


def hint_of(key: str) -> Any:
    """The type of a setting, with the marks of what it may be."""
    table, name = key.split(".")
    return _hints(tables()[table])[name]


def allowed(key: str) -> str:
    """What a setting may be, in words."""
    return described(hint_of(key))


def allowed_words(key: str) -> list[str]:
    """The words that a setting may be, ``true`` and ``false`` of a switch; nothing where it is no setting or takes others too."""
    if key not in setting_keys():
        return []
    hint = hint_of(key)
    return ["true", "false"] if hint is bool else words_in(hint)


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


@cache
def _meanings(cls: Any) -> dict[str, str]:
    """The entries under ``Attributes:`` of a dataclass and of what it inherits from."""
    result: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        text = (inspect.getdoc(owner) or "").partition("Attributes:\n")[2]
        entries = list(_ENTRY.finditer(text))
        ends = [*(each.start() for each in entries[1:]), len(text)]
        for entry, after in zip(entries, ends, strict=False):
            words = " ".join(text[entry.end() : after].replace("``", "").split())
            result |= dict.fromkeys(entry.group("names").split(", "), words)
    return result
