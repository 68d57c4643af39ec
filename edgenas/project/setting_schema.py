"""A JSON schema of `edgenas.toml`, by which editors complete keys, explain them and underline what is wrong."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from edgenas.fields import OneOf, Range
from edgenas.project.setting_help import MISSING, default_of, hint_of, meaning, setting_keys, table_meaning, tables
from edgenas.runs import jsonable

DRAFT = "http://json-schema.org/draft-07/schema#"  # which taplo and VS Code's TOML extensions read
FILE = "edgenas.schema.json"
LINE = f"#:schema {FILE}"  # first line of the settings, where the schema lies beside them
_SCALARS: Mapping[Any, str] = {int: "integer", float: "number", bool: "boolean", str: "string"}
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def schema() -> dict[str, Any]:
    """The schema; an unknown table or key is an error, as in edgenas itself."""
    return {
        "$schema": DRAFT,
        "title": "edgenas.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _table(name) for name in tables()},
    }


def _table(name: str) -> dict[str, Any]:
    keys = setting_keys(name)
    required = [key.partition(".")[2] for key in keys if default_of(key) is MISSING]
    table = {
        "type": "object",
        "description": table_meaning(name),
        "additionalProperties": False,
        "properties": {key.partition(".")[2]: _setting(key) for key in keys},
    }
    return table | ({"required": required} if required else {})


def _setting(key: str) -> dict[str, Any]:
    table, name = key.split(".")
    default = default_of(key)
    described = {"description": meaning(table, name), **_kind(hint_of(key))}
    return described if default is MISSING or default is None else described | {"default": jsonable(default)}


def _kind(hint: Any) -> dict[str, Any]:
    """What a hint allows; TOML knows no null, so nothing is said of None."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        kind = _kind(arguments[0])
        for mark in arguments[1:]:
            kind |= _mark(mark)
        return kind
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        kinds = [_kind(argument) for argument in arguments if argument is not type(None)]
        return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if origin is tuple:
        return {"type": "array", "items": _kind(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _kind(arguments[1])}
    if hint is str:
        return {"type": ["string", "integer"]}  # a class called 8
    return {"type": _SCALARS[hint]}


def _mark(mark: Any) -> dict[str, Any]:
    if isinstance(mark, OneOf):
        return {"type": "string", "enum": list(mark.names)}
    if isinstance(mark, Range):
        return {word: value for name, word in _BOUNDS.items() if (value := getattr(mark, name)) is not None}
    return {}
