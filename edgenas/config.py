"""TOML to frozen dataclasses; an unknown key is an error.

What a field allows beyond its type stands beside it: ``Annotated[float, Range(gt=0)]``, ``Annotated[str, OneOf(SAMPLING_RULES)]``.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from edgenas.errors import ConfigError
from edgenas.registries import nearest

Flags = Mapping[str, Mapping[str, Any]]  # settings given on the command line, by table
Settings = TypeVar("Settings")


@dataclass(frozen=True, slots=True, eq=False)
class OneOf:
    """Marks a string that is one of ``names``: a registry's, read when it is needed, so that installed packages count."""

    names: Iterable[str]

    def allows(self, value: object) -> bool:
        """Whether a value of the field's type may stand there."""
        return value is None or value in list(self.names)

    def words(self, kind: str) -> str:
        """What is allowed, for a message; ``kind`` are the words of the type."""
        return ", ".join(map(repr, self.names))


@dataclass(frozen=True, slots=True)
class Range:
    """Marks a number that lies between bounds: ``ge`` and ``le`` are inside, ``gt`` and ``lt`` are not; None is no bound."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def allows(self, value: object) -> bool:
        """Whether a value of the field's type may stand there; what is no number has no range."""
        if not isinstance(value, (int, float)):
            return True
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )

    def words(self, kind: str) -> str:
        """What is allowed, for a message; ``kind`` are the words of the type."""
        bounds = {"at least": self.ge, "above": self.gt, "at most": self.le, "below": self.lt}
        return f"{kind} {' and '.join(f'{words} {bound:.12g}' for words, bound in bounds.items() if bound is not None)}"


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ConfigError: if it cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
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
        try:
            value = tomllib.loads(f"value = {text.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        tables.setdefault(parts[0], {})[parts[1]] = value
    if problems:
        raise ConfigError("an override cannot be read", problems=problems)
    return tables


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
    problems = [f"[{name}] is unknown; known are {', '.join(hints)}" for name in tables if name not in hints]
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
            problems.append(f"{where}.{key} is unknown; [{where}] knows {', '.join(hints)}")
            continue
        try:
            values[key] = _convert(hints[key], value)
        except (TypeError, ValueError):
            problems.append(f"{where}.{key} is {value!r}; allowed: {describe(hints[key])}{_guess(hints[key], value)}")
    missing = [
        f"{where}.{field.name} is missing"
        for field in dataclasses.fields(cls)
        if field.name not in table and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    return values, problems + missing


def _convert(hint: Any, value: Any) -> Any:
    """``value`` as ``hint``; raises TypeError or ValueError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        converted = _convert(arguments[0], value)
        if not all(mark.allows(converted) for mark in arguments[1:]):
            raise ValueError
        return converted
    if origin in (Union, types.UnionType):
        return _first_fit(arguments, value)
    if origin is Literal:
        if value in arguments:
            return value
        raise ValueError
    if origin is tuple:
        if isinstance(value, (list, tuple)):
            return tuple(_convert(arguments[0], item) for item in value)
        raise TypeError
    if origin in (dict, Mapping) or hint is dict:
        if isinstance(value, Mapping):
            return {str(key): _convert(arguments[1], item) for key, item in value.items()}
        raise TypeError
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # a class called 8
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        if isinstance(value, float) and value != value:
            raise ValueError
        return value
    raise TypeError


def _first_fit(hints: Sequence[Any], value: Any) -> Any:
    for hint in hints:
        if hint is type(None):
            if value is None:
                return None
            continue
        try:
            return _convert(hint, value)
        except (TypeError, ValueError):
            continue
    raise TypeError


def describe(hint: Any) -> str:
    """A type in words for an error message."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return str(arguments[1].words(describe(arguments[0])))
    if origin is Literal:
        return ", ".join(repr(argument) for argument in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(argument) for argument in arguments if argument is not type(None))
    if origin is tuple:
        return f"a list of {describe(arguments[0])}"
    if origin is dict:
        return f"a table whose values are {describe(arguments[1])}"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a string", Path: "a path"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _guess(hint: Any, value: Any) -> str:
    """The allowed word that is spelt most like ``value``, as a question; nothing where none is."""
    near = nearest(value, _words(hint)) if isinstance(value, str) else None
    return "" if near is None else f"; did you mean {near!r}?"


def _words(hint: Any) -> list[str]:
    """The strings that a hint names one by one."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return [argument for argument in arguments if isinstance(argument, str)]
    if origin is Annotated:
        return [name for mark in arguments[1:] if isinstance(mark, OneOf) for name in mark.names]
    return [word for argument in arguments if origin in (Union, types.UnionType) for word in _words(argument)]
