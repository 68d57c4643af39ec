"""Records as JSON and back: one frozen dataclass a thing that travels, its fields the keys of its JSON object, in order.

A field without a default must be in the JSON; one with a default may be missing, as in files of earlier versions. Keys that a
record does not know are left out, unless it keeps how it was read (`AS_READ`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Self, Union, cast, get_args, get_origin, get_type_hints

from edgenas.errors import RunFolderError
from edgenas.records.proportion import Proportion
from edgenas.runs.files import REMAKE, jsonable, read_sealed, write_sealed

Arch = Mapping[str, Any]  # a readable architecture, as the contract shows one of every space
Component = Mapping[str, Any]  # a readable component of a net: its kind and its fields
Details = Mapping[str, Any]  # what explains a measurement and is compared with nothing: load, clocks, versions and the like


OMITTED = "omitted"  # marks a field whose key is left out of the JSON where it is None
FLAT = "flat"  # marks a field of a record whose keys stand among those of the record around it
AS_READ = "as read"  # marks a field that is no key: how the object stood in its file, so that it is written as it was read


@dataclass(frozen=True, slots=True)
class AsRead:
    """How an object stood in the file that its record was read from.

    Attributes:
        keys: in their order.
        others: what stood under those that the record does not know.
    """

    keys: tuple[str, ...]
    others: Mapping[str, Any]

    def arranged(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a record as the object had them; what it had no key for comes last, unless it is None."""
        others = _copied(self.others)
        stood = {key: values.get(key, others.get(key)) for key in self.keys}
        return stood | {key: value for key, value in values.items() if key not in stood and value is not None}


@dataclass(frozen=True, slots=True)
class Called:
    """Marks a field whose key in the JSON is a word that Python keeps for itself, as ``class``."""

    key: str


class JsonRecord:
    """A frozen dataclass that reads and writes its JSON object."""

    __slots__ = ()

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, keys in the order of the fields; numbers that are not finite become null."""
        result: dict[str, Any] = {}
        stood: AsRead | None = None
        for key in _keys(cast(Any, type(self))):
            value = getattr(self, key.name)
            if AS_READ in key.marks:
                stood = value
            elif FLAT in key.marks:
                result |= value.as_json()
            elif value is not None or OMITTED not in key.marks:
                result[key.json_name] = jsonable(value)
        return result if stood is None else stood.arranged(result)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The record of a JSON object.

        Raises:
            RunFolderError: naming every key that is missing or holds something else than it should.
        """
        problems: list[str] = []
        result = _record(cls, value, "", problems)
        if problems:
            raise RunFolderError(f"this is no {_title(cls)}", problems=problems)
        return cast(Self, result)


class SealedRecord(JsonRecord):
    """A record that is a file of its own, sealed with a hash of its content."""

    __slots__ = ()
    kind: ClassVar[str]
    schema_version: ClassVar[int]

    @classmethod
    def read(cls, path: Path, *, hint: str = REMAKE) -> Self:
        """The record in a file.

        Raises:
            RunFolderError: naming the file and what is wrong with it.
        """
        value = read_sealed(path, cls.kind, schema_version=cls.schema_version, hint=hint)
        try:
            return cls.from_json(value)
        except RunFolderError as error:
            raise RunFolderError(f"{path} is no {cls.kind}", problems=error.problems, hint=hint) from error

    def write(self, path: Path) -> None:
        """Write the file, atomically.

        Raises:
            RunFolderError: if it cannot be written.
        """
        write_sealed(path, self.kind, {"schema_version": self.schema_version, **self.as_json()})


def _title(cls: type) -> str:
    """A class's name in words, e.g. ``search result``."""
    kind = getattr(cls, "kind", None)
    return kind if kind is not None else "".join(f" {c.lower()}" if c.isupper() else c for c in cls.__name__).strip()


@dataclass(frozen=True, slots=True)
class _Key:
    """One field: its name, its annotated kind without marks, the marks, whether it has a default, and its key in the JSON."""

    name: str
    kind: Any
    marks: tuple[Any, ...]
    has_default: bool
    json_name: str


@cache
def _keys(cls: type) -> tuple[_Key, ...]:
    """The fields of a record in order."""
    hints, found = get_type_hints(cls, include_extras=True), []
    for each in fields(cast(Any, cls)):
        kind = hints[each.name]
        kind, marks = (get_args(kind)[0], get_args(kind)[1:]) if get_origin(kind) is Annotated else (kind, ())
        has_default = each.default is not MISSING or each.default_factory is not MISSING
        found.append(_Key(each.name, kind, marks, has_default, _json_name(each.name, marks)))
    return tuple(found)


def _json_name(name: str, marks: tuple[Any, ...]) -> str:
    return next((mark.key for mark in marks if isinstance(mark, Called)), name)


def _record(cls: type, value: Any, where: str, problems: list[str]) -> Any:
    """A record of an object; what is wrong is added to ``problems``, and the record then is None."""
    if not isinstance(value, Mapping):
        problems.append(f"{where or 'it'} is {type(value).__name__}, not an object")
        return None
    num_problems = len(problems)
    values: dict[str, Any] = {}
    for key in _keys(cast(Any, cls)):
        place = f"{where}.{key.json_name}" if where else key.json_name
        if AS_READ in key.marks:
            values[key.name] = _as_read(cls, value)
        elif FLAT in key.marks:
            values[key.name] = _record(key.kind, value, where, problems)
        elif key.json_name in value:
            values[key.name] = _read(key.kind, value[key.json_name], place, problems)
        elif not key.has_default:
            problems.append(f"{place} is missing")
    return cls(**values) if len(problems) == num_problems else None


def _as_read(cls: type, value: Mapping[str, Any]) -> AsRead:
    known = {key.json_name for key in _keys(cast(Any, cls))}
    return AsRead(tuple(value), {name: _copied(item) for name, item in value.items() if name not in known})


def _copied(value: Any) -> Any:
    """A JSON value whose objects and lists nobody else holds."""
    if isinstance(value, Mapping):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _read(kind: Any, value: Any, where: str, problems: list[str]) -> Any:
    """A value of an annotated kind; what is wrong is added to ``problems``."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return _copied(value)
    if origin in (Union, UnionType):
        return _either(args, value, where, problems)
    if origin is tuple:
        return _items(args, value, where, problems)
    if origin is not None and origin is not Literal:
        return _entries(args, value, where, problems)
    if isinstance(kind, type) and issubclass(kind, JsonRecord):
        return _record(kind, value, where, problems)
    if kind is Proportion:
        return _share(value, where, problems)
    fits = value in args if origin is Literal else _is_scalar(kind, value)
    if not fits:
        expected = " or ".join(map(repr, args)) if origin is Literal else kind.__name__
        problems.append(f"{where} is {value!r:.40}, expected {expected}")
    return value


def _is_scalar(kind: type, value: Any) -> bool:
    """Whether a value is of a plain type; an integer is a number, too, a truth value is neither."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _either(args: tuple[Any, ...], value: Any, where: str, problems: list[str]) -> Any:
    """A value of the first of several kinds that it fits."""
    if value is None and NoneType in args:
        return None
    wrong: list[str] = []
    for kind in (each for each in args if each is not NoneType):
        wrong = []
        result = _read(kind, value, where, wrong)
        if not wrong:
            return result
    problems += wrong
    return None


def _items(args: tuple[Any, ...], value: Any, where: str, problems: list[str]) -> tuple[Any, ...]:
    """A list as a tuple, of any length or of as many items as there are kinds."""
    if not isinstance(value, list | tuple) or (Ellipsis not in args and len(value) != len(args)):
        problems.append(f"{where} is {value!r:.40}, expected a list")
        return ()
    kinds = [args[0]] * len(value) if Ellipsis in args else args
    return tuple(_read(kind, each, f"{where}[{i}]", problems) for i, (kind, each) in enumerate(zip(kinds, value, strict=True)))


def _entries(args: tuple[Any, ...], value: Any, where: str, problems: list[str]) -> dict[str, Any]:
    """An object whose values are all of one kind."""
    if not isinstance(value, Mapping):
        problems.append(f"{where} is {value!r:.40}, expected an object")
        return {}
    return {name: _read(args[1], each, f"{where}.{name}", problems) for name, each in value.items()}


def _share(value: Any, where: str, problems: list[str]) -> Proportion | None:
    """The contract's interval; null is not a number."""
    names = ("value", "low", "high", "n")
    if not isinstance(value, Mapping) or any(name not in value for name in names):
        problems.append(f"{where} is {value!r:.40}, expected an interval of {', '.join(names)}")
        return None
    numbers = [value[name] for name in names]
    if any(each is not None and not _is_scalar(float, each) for each in numbers) or not _is_scalar(int, numbers[-1]):
        problems.append(f"{where} is {value!r:.80}, expected numbers")
        return None
    share, low, high = (math.nan if each is None else each for each in numbers[:3])
    return Proportion(share, low, high, numbers[3])
