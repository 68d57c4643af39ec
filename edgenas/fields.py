"""What a field of a dataclass may hold: its type, and marks beside it.

Written ``Annotated[float, Range(gt=0)]``, ``Annotated[str, OneOf(SAMPLING_RULES)]``.

A setting in ``edgenas.toml`` and an argument of a Python program are held to the same.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Number
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from edgenas.registries import nearest


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


LARGEST = 1e6
Count = Annotated[int, Range(ge=1)]
CountOrZero = Annotated[int, Range(ge=0)]
Seed = Annotated[int, Range(ge=0, lt=2**32)]
Amount = Annotated[float, Range(gt=0, lt=LARGEST)]
AmountOrZero = Annotated[float, Range(ge=0, lt=LARGEST)]
Share = Annotated[float, Range(ge=0, le=1)]
PartialShare = Annotated[float, Range(ge=0, lt=1)]


def require_allowed(thing: Any) -> None:
    """Check the fields of a dataclass that a program made, e.g. at the end of its making.

    Raises:
        ValueError: naming every field that holds what its type or the marks beside it do not allow, and what is allowed.
    """
    problems = [_problem(name, hint, getattr(thing, name)) for name, hint in _hints(thing.__class__).items()]
    told = "; ".join(filter(None, problems))
    if told:
        raise ValueError(f"{type(thing).__name__}: {told}")


def require_argument(name: str, value: object, hint: Any) -> None:
    """Check an argument of a function that a program called.

    Args:
        name: of the argument.
        value: that was given.
        hint: type of the argument, with marks where not every value of it is allowed, e.g. `Count`.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """
    problem = _problem(name, hint, value)
    if problem:
        raise ValueError(problem)


def _problem(name: str, hint: Any, value: Any) -> str:
    """What is wrong with a value; nothing where nothing is."""
    plain = value.item() if isinstance(value, Number) and hasattr(value, "item") else value  # a scalar of NumPy
    try:
        inner = converted(hint, plain)
        if isinstance(inner, str) and inner != plain:  # a file may write a class called 8 as a number, a program knows better
            raise TypeError
    except (TypeError, ValueError):
        return f"{name} is {value!r}; allowed: {described(hint)}{guess(hint, value)}"
    return ""


@cache
def _hints(cls: Any) -> dict[str, Any]:
    """Types and marks of the fields that are given when a dataclass is made."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def converted(hint: Any, value: Any) -> Any:
    """``value`` as ``hint``; raises TypeError or ValueError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner = converted(arguments[0], value)
        if not all(mark.allows(inner) for mark in arguments[1:]):
            raise ValueError
        return inner
    if origin in (Union, types.UnionType):
        return _first_fit(arguments, value)
    if origin is Literal:
        if value in arguments:
            return value
        raise ValueError
    if origin is tuple:
        if isinstance(value, (list, tuple)):
            return tuple(converted(arguments[0], item) for item in value)
        raise TypeError
    if origin in (dict, Mapping) or hint is dict:
        if isinstance(value, Mapping):
            return {str(key): converted(arguments[1], item) for key, item in value.items()}
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
            return converted(hint, value)
        except (TypeError, ValueError):
            continue
    raise TypeError


def described(hint: Any) -> str:
    """A type in words for an error message."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return str(arguments[1].words(described(arguments[0])))
    if origin is Literal:
        return ", ".join(repr(argument) for argument in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(described(argument) for argument in arguments if argument is not type(None))
    if origin is tuple:
        return f"a list of {described(arguments[0])}"
    if origin is dict:
        return f"a table whose values are {described(arguments[1])}"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a string", Path: "a path"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def guess(hint: Any, value: Any) -> str:
    """The allowed word that is spelt most like ``value``, as a question; nothing where none is."""
    near = nearest(value, words_in(hint)) if isinstance(value, str) else None
    return "" if near is None else f"; did you mean {near!r}?"


def words_in(hint: Any) -> list[str]:
    """The strings that a hint names one by one."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return [argument for argument in arguments if isinstance(argument, str)]
    if origin is Annotated:
        return [name for mark in arguments[1:] if isinstance(mark, OneOf) for name in mark.names]
    return [word for argument in arguments if origin in (Union, types.UnionType) for word in words_in(argument)]
