"""Recipes by name: settings of published systems and of our own, each a TOML file beside this one.

A file holds ``title``, ``trains`` (teacher, supernet, retrain or all), ``source``, the spaces that it ``suits`` (patterns, if any),
its ``departures`` from the source, ``[settings.TABLE]`` as in `edgenas.toml`, and ``[why.TABLE]``, a few words on a key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from edgenas.config import Flags, read_toml
from edgenas.errors import UsageError
from edgenas.registries import choices


@dataclass(frozen=True, slots=True)
class NamedRecipe:
    """One recipe.

    Attributes:
        name: of its file.
        title: what it is, a line.
        trains: teacher, supernet, retrain or all.
        source: where it was published.
        suits: patterns of the spaces that it was made for; empty for any.
        settings: by table and key.
        why: a few words on some of them.
        departures: where it differs from its source, a sentence each.
    """

    name: str
    title: str
    trains: str
    source: str
    suits: str = ""
    settings: Flags = field(default_factory=dict)
    why: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    departures: tuple[str, ...] = ()


ORDER = (
    *("default", "quick", "covit-teacher", "covitpp", "autoformer", "tftas-retrain"),
    *("vitas-bcnet", "vitas-autoslim", "vitas-retrain"),
)


class _Recipes(Mapping[str, NamedRecipe]):
    """All recipes, read when they are asked for."""

    def __iter__(self) -> Iterator[str]:
        return iter(ORDER)

    def __len__(self) -> int:
        return len(ORDER)

    def __getitem__(self, name: str) -> NamedRecipe:
        return _read(name)


@cache
def _read(name: str) -> NamedRecipe:
    if name not in ORDER:
        raise KeyError(name)
    file = read_toml(Path(__file__).with_name(f"{name}.toml"))
    return NamedRecipe(name=name, **{**file, "departures": tuple(file["departures"])})


RECIPES: Mapping[str, NamedRecipe] = _Recipes()


def words_on(recipe: NamedRecipe, space: str, *, by_flag: bool) -> Iterator[str]:
    """What to say where a recipe is taken: that it was made for other spaces, that later commands do not know of it.

    Args:
        recipe: that is taken.
        space: name of the project's.
        by_flag: it was asked for in this call alone.
    """
    patterns = [pattern.strip() for pattern in recipe.suits.split(",") if pattern.strip()]
    if patterns and not any(fnmatch(space, pattern) for pattern in patterns):
        yield f"the recipe {recipe.name} was made for the spaces {recipe.suits}, not for {space}"
    if by_flag:
        yield f'later commands take the recipe, too, with recipe = "{recipe.name}" under [train] in edgenas.toml'


def find_recipe(name: str) -> NamedRecipe:
    """The recipe that a user asked for.

    Raises:
        UsageError: if there is none, with the names there are and the nearest spelling.
    """
    if name not in RECIPES:
        raise UsageError(f"there is no recipe {name!r}", hint=choices(name, RECIPES))
    return RECIPES[name]


def require_recipe(flags: Flags) -> None:
    """Check the recipe that a flag names.

    Raises:
        UsageError: as `find_recipe`.
    """
    name = flags.get("train", {}).get("recipe")
    if name is not None:
        find_recipe(name)


def beneath(file: Mapping[str, Any], *later: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a file with those of the recipe under them, key by key, that the last of all layers names.

    Args:
        file: tables of `edgenas.toml`.
        later: layers above it, whose tables may name another recipe; an unknown one is refused where settings are read.
    """
    asked = [layer["train"].get("recipe") for layer in (file, *later) if isinstance(layer.get("train"), Mapping)]
    name = next((each for each in reversed(asked) if each is not None), None)
    settings = RECIPES[name].settings if isinstance(name, str) and name in RECIPES else {}
    result: dict[str, Any] = {table: dict(values) for table, values in settings.items()}
    for table, values in file.items():
        result[table] = {**result.get(table, {}), **values} if isinstance(values, Mapping) else values
    return result
