"""Things that a setting or a flag chooses by name: edgenas' own, and those that installed packages bring through entry points.

A package registers without changing edgenas, e.g. in its ``pyproject.toml``::

    [project.entry-points."edgenas.sampling"]
    coldest = "their_package.rules:coldest"

Names are known without importing anything; a package is imported when what it brings is asked for, so one that is broken stops no
command that does without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any, TypeVar, cast

from edgenas.errors import PluginError, UsageError

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class At:
    """Where one of edgenas' own things stands that takes long to import, e.g. ``edgenas.deploy.gates:judge``."""

    place: str

    def load(self) -> Any:
        """The thing."""
        module, _, name = self.place.partition(":")
        return getattr(import_module(module), name)


class _Own(Mapping[str, Thing]):
    """Edgenas' own things of one kind; those that take long to import are loaded when they are asked for."""

    def __init__(self, things: Mapping[str, Thing | At]) -> None:
        self._things = dict(things)

    def __getitem__(self, name: str) -> Thing:
        thing = self._things[name]
        return cast(Thing, thing.load()) if isinstance(thing, At) else thing

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)

    def __contains__(self, name: object) -> bool:
        return name in self._things


class Registry(Mapping[str, Thing]):
    """Things of one kind by name, edgenas' own first.

    Args:
        kind: in words, for messages, e.g. ``sampling rule``.
        group: of the entry points, e.g. ``edgenas.sampling``.
        own: edgenas' own, or where they stand; an entry point of the same name does not replace one.
        accepts: whether what an entry point gives is such a thing.
        expected: in words, what ``accepts`` asks for.
        is_class: entry points name classes, which are called without arguments.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        own: Mapping[str, Thing | At],
        *,
        accepts: Callable[[Any], bool],
        expected: str,
        is_class: bool = False,
    ) -> None:
        self.kind = kind
        self.group = group
        self.own: Mapping[str, Thing] = _Own(own)
        self.accepts = accepts
        self.expected = expected
        self.is_class = is_class
        self._loaded: dict[str, Thing] = {}

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from (name for name in sorted(_points(self.group)) if name not in self.own)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in _points(self.group)

    def __getitem__(self, name: str) -> Thing:
        """The thing of that name.

        Raises:
            KeyError: if there is none.
            PluginError: naming package and entry point, if a package brings it and it cannot be used.
        """
        thing = self._resolved(name)
        if name in self.packages() and not self.packages()[name].startswith("edgenas "):  # which brings formats so, too
            _in_use[self._described(name, _points(self.group)[name])] = None
        return thing

    def _resolved(self, name: str) -> Thing:
        if name in self.own:
            return self.own[name]
        points = _points(self.group)[name]
        if name not in self._loaded:
            self._loaded[name] = self._load(name, points)
        return self._loaded[name]

    def find(self, name: str) -> Thing:
        """The thing that a user asked for.

        Raises:
            UsageError: if there is none, with the names there are and the nearest spelling.
            PluginError: as ``registry[name]``.
        """
        if name not in self:
            raise UsageError(f"there is no {self.kind} {name!r}", hint=choices(name, self))
        return self[name]

    def usable(self) -> dict[str, Thing]:
        """All that can be used; what cannot is left out, and `problems` says why."""
        return {name: self._resolved(name) for name in self if self._problem(name) is None}

    def problems(self) -> dict[str, PluginError]:
        """What is wrong with things that packages bring, by name; an own name that a package takes too is told as well."""
        problems = {name: self._problem(name) for name in self if name not in self.own}
        for name in _points(self.group):
            if name in self.own:
                text = f"{self._described(name, _points(self.group)[name])} is not used: edgenas has one of that name"
                problems[name] = PluginError(text, hint="give it another name")
        return {name: problem for name, problem in problems.items() if problem is not None}

    def packages(self) -> dict[str, str]:
        """Name and version of the package that brings each thing that is not edgenas' own."""
        return {name: _package(points[0]) for name, points in _points(self.group).items() if name not in self.own}

    def _problem(self, name: str) -> PluginError | None:
        try:
            self._resolved(name)
        except PluginError as error:
            return error
        return None

    def _load(self, name: str, points: tuple[EntryPoint, ...]) -> Thing:
        if len(points) > 1:
            packages = " and by ".join(sorted(_package(point) for point in points))
            raise PluginError(f"the {self.kind} {name!r} is brought by {packages}", hint="remove all but one of these packages")
        try:
            thing = points[0].load()
            thing = thing() if self.is_class and callable(thing) else thing
        except Exception as error:  # whatever a foreign module raises when it is imported
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise self._unusable(name, points, text) from error
        if not self.accepts(thing):
            raise self._unusable(name, points, f"it is {type(thing).__name__}, expected {self.expected}")
        return cast(Thing, thing)

    def _unusable(self, name: str, points: tuple[EntryPoint, ...], why: str) -> PluginError:
        return PluginError(f"{self._described(name, points)} cannot be used: {why}", hint="fix that package or remove it")

    def refused(self, name: str, why: str) -> PluginError:
        """That a thing did what it must not, with the package where one brings it."""
        points = _points(self.group).get(name)
        described = f"the {self.kind} {name!r}" if name in self.own or points is None else self._described(name, points)
        return PluginError(f"{described} {why}", hint="fix it, or choose another")

    def _described(self, name: str, points: tuple[EntryPoint, ...]) -> str:
        point = points[0]
        return f"the {self.kind} {name!r} of package {_package(point)} (entry point {point.name} = {point.value} in {self.group})"


_in_use: dict[str, None] = {}


def in_use() -> tuple[str, ...]:
    """Everything of installed packages that this process was asked to use, with package and entry point, in words."""
    return tuple(_in_use)


def choices(name: str, known: Iterable[str], those: str = "known are") -> str:
    """What to say of a name that is not known: the nearest spelling, if one is near, and ``those`` that there are."""
    names = list(known)
    near = nearest(name, names)
    listed = f"{those}: {', '.join(names) or 'none'}"
    return listed if near is None else f"did you mean {near!r}? {listed}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is spelt most like ``name``, in any case; None if none is like it."""
    folded = {other.casefold(): other for other in known}
    matches = get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return folded[matches[0]] if matches else None


def _package(point: EntryPoint) -> str:
    return "unknown" if point.dist is None else _name_and_version(point.dist)


@cache
def _name_and_version(package: Distribution) -> str:
    """A package's name and version, kept: asked again, it would parse its whole metadata again."""
    about = package.metadata
    return f"{about['Name']} {about['Version']}"


def forget() -> None:
    """Look for installed packages anew, after one came or went."""
    _points.cache_clear()
    _name_and_version.cache_clear()
    _in_use.clear()


@cache
def _points(group: str) -> Mapping[str, tuple[EntryPoint, ...]]:
    """The entry points of a group by name, those of one package once."""
    found: dict[str, dict[tuple[str, str], EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, {})[_package(point), point.value] = point
    return {name: tuple(points.values()) for name, points in found.items()}
