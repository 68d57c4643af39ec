"""TOML to frozen dataclasses; an unknown key is an error. What a field may hold is said by `edgenas.fields`."""

from __future__ import annotations

import dataclasses
import re
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
    known = {name: typing.get_type_hints(table_cls, include_extras=True) for name, table_cls in hints.items()}
    for name, table_cls in hints.items():
        table = tables.get(name, {})
        if not isinstance(table, Mapping):
            problems.append(f"{name} must be a table")
            continue
        values, problems_there = _table(table_cls, table, name, known)
        problems += problems_there
        if not problems_there:
            try:
                parts[name] = table_cls(**values)
            except ValueError as error:
                problems += [f"[{name}] {problem}" for problem in error.args]
    if problems:
        raise ConfigError(f"{source} is wrong", problems=problems)
    return cls(**parts)


def _table(
    cls: type[Any], table: Mapping[str, Any], where: str, known: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], list[str]]:
    hints = known[where]
    values: dict[str, Any] = {}
    problems = []
    for key, value in table.items():
        if key not in hints:
            near = _meant(key, where, known)
            meant = "" if near is None else f"did you mean {near}? "
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


def _meant(key: str, where: str, known: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The setting that is spelt most like ``key``: or as it is, of the one other table that has it."""
    near = nearest(key, known[where])
    others = [table for table, hints in known.items() if key in hints]
    if len(others) == 1:
        return f"{others[0]}.{key}"
    return None if near is None else f"{where}.{near}"


_SETTING = re.compile(r"(?P<table>\w+)\.(?P<key>\w+) is |\[(?P<whole>\w+)\] ")
_FLAGS = {  # that are not called as their setting is
    "data.source": "--data",
    "space.name": "--space",
    "teacher.name": "--teacher",
    "teacher.checkpoint": "--teacher-checkpoint",
    "train.budget_min": "--budget",
    "profile.budget_min": "--budget",
    "profile.soak_min": "--soak",
    "search.limits": "--limit",
    "compare.rivals": "--with",
    "compare.budget_min": "--budget",
    "export.targets": "--gpu",
}


def blamed(problems: Sequence[str], given: Mapping[str, Any], flags: Flags) -> list[str]:
    """Problems of settings, each with the flag or ``--set`` before it that gave the wrong one."""
    return [f"{giver}: {problem}" if (giver := _giver(problem, given, flags)) else problem for problem in problems]


def _giver(problem: str, given: Mapping[str, Any], flags: Flags) -> str:
    """The flag that a problem is of; nothing where it stands in the file."""
    match = _SETTING.match(problem)
    if match is None:
        return ""
    whole, table, key = match.group("whole", "table", "key")
    if whole is not None:
        keys = given.get(whole, {})
        return f"--set {whole}.{next(iter(keys))}" if keys else ""
    if key in flags.get(table, {}):
        return _FLAGS.get(f"{table}.{key}", f"--{key.replace('_', '-')}")
    return f"--set {table}.{key}" if key in given.get(table, {}) else ""
