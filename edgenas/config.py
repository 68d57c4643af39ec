"""TOML to frozen dataclasses; an unknown key is an error. What a field may hold is said by `edgenas.fields`."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Any, TypeVar

from edgenas.errors import ConfigError
from edgenas.fields import converted, described, guess
from edgenas.registries import choices, nearest
from edgenas.runs.outside import MAX_TOML_BYTES, OutsideError, parse_toml, read_regular

Flags = Mapping[str, Mapping[str, Any]]  # settings given on the command line, by table
Settings = TypeVar("Settings")


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ConfigError: if it cannot be read or is not TOML.
    """
    try:
        return parse_toml(read_regular(path, MAX_TOML_BYTES))
    except OutsideError as error:
        raise ConfigError(f"{path} {error}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """``table.key=value`` strings as nested tables; a value that is not TOML is taken as a string.

    Raises:
        ConfigError: naming every override that has another form.
    """
    tables: dict[str, Any] = {}
    problems = []
    for override in overrides:
        key, equals, text = override.partition("=")
        parts = key.strip().split(".")
        if not equals or len(parts) != 2 or not all(parts):
            problems.append(f"--set {override}: write table.key=value, e.g. train.epochs=5")
            continue
        value, problem = _given(text.strip())
        if problem:
            problems.append(f"--set {key.strip()}: {problem}")
        tables.setdefault(parts[0], {})[parts[1]] = value
    if problems:
        raise ConfigError("an override cannot be read", problems=problems)
    return tables


def _given(text: str) -> tuple[Any, str]:
    """A value of the command line, as TOML where it is some and as a string where not; or what it cannot be."""
    try:
        read = parse_toml(f"value = {text}")
    except ValueError as error:
        if not isinstance(error, TOMLDecodeError):
            return text, str(error)
        if len(text.splitlines()) > 1:
            return text, "it has a line break, and is no TOML"
        return text, "" if _is_unicode(text) else "it is no Unicode text"
    if list(read) != ["value"]:
        return text, "more than one value is given; write --set once for each"
    return read["value"], ""


def _is_unicode(text: str) -> bool:
    """Whether text has no half of a character, as arguments that are not UTF-8 have."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def merge(tables: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Tables with the overrides' keys replaced."""
    result = {name: dict(table) if isinstance(table, Mapping) else table for name, table in tables.items()}
    for name, table in overrides.items():
        if isinstance(result.get(name, {}), dict):
            result[name] = {**result.get(name, {}), **table}
    return result


def build(cls: type[Settings], tables: Mapping[str, Any], *, source: str) -> Settings:
    """A dataclass of dataclasses from tables: one field a table.

    Args:
        cls: frozen dataclass whose fields are frozen dataclasses.
        tables: as read from TOML.
        source: named in errors.

    Raises:
        ConfigError: listing every unknown table and key and every value of a wrong type or range.
    """
    hints = typing.get_type_hints(cls)
    problems = [f"[{name}] is unknown; {choices(name, hints)}" for name in tables if name not in hints]
    parts: dict[str, Any] = {}
    for name, table_cls in hints.items():
        table = tables.get(name, {})
        if not isinstance(table, Mapping):
            problems.append(f"{name} must be a table")
            continue
        values, found = _table(table_cls, table, name)
        problems += found
        if not found:
            try:
                parts[name] = table_cls(**values)
            except ValueError as error:
                problems += [f"[{name}] {problem}" for problem in error.args]
    if problems:
        raise ConfigError(f"{source} is wrong", problems=problems)
    return cls(**parts)


def _table(cls: type[Any], table: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[str]]:
    hints = typing.get_type_hints(cls, include_extras=True)
    values: dict[str, Any] = {}
    problems = []
    for key, value in table.items():
        if key not in hints:
            near = nearest(key, hints)
            meant = "" if near is None else f"did you mean {where}.{near}? "
            problems.append(f"{where}.{key} is unknown; {meant}[{where}] knows {', '.join(hints)}")
            continue
        try:
            values[key] = converted(hints[key], value)
        except (TypeError, ValueError):
            problems.append(f"{where}.{key} is {value!r}; allowed: {described(hints[key])}{guess(hints[key], value)}")
    missing = [
        f"{where}.{field.name} is missing"
        for field in dataclasses.fields(cls)
        if field.name not in table and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    return values, problems + missing
