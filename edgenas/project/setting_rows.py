"""Every setting with what it is here and where that comes from: the default, the file, or a flag."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from edgenas.config import build, parse_overrides, read_toml
from edgenas.errors import UsageError
from edgenas.project.named_recipes import beneath
from edgenas.project.setting_help import MISSING, allowed, default_of, meaning, setting_keys, tables
from edgenas.project.setting_limits import layered
from edgenas.project.settings import ProjectSettings
from edgenas.records import SettingRow
from edgenas.registries import choices, nearest
from edgenas.runs import RunFolder

Source = Literal["default", "file", "flag"]
NO_SOURCE = ""  # stands for the images of a project that is none yet


def wanted_keys(name: str | None) -> list[str]:
    """The settings that a user asks for: of a table, one ``table.key``, one by its key alone where no other table has it; or all.

    Raises:
        UsageError: if there is no such table or setting, or several settings have that key.
    """
    if name is None:
        return setting_keys()
    if name in tables():
        return setting_keys(name)
    keys = setting_keys()
    if name in keys:
        return [name]
    alike = [key for key in keys if key.partition(".")[2] == name]
    if len(alike) == 1:
        return alike
    if alike:
        raise UsageError(f"{name} is a setting of several tables", hint=f"write one of {', '.join(alike)}")
    table, dot, _ = name.partition(".")
    if dot and table in tables():
        raise UsageError(f"there is no setting {name!r}", hint=choices(name, setting_keys(table)))
    near = nearest(name, [*tables(), *keys])
    if near is None:
        of_key = nearest(name, [key.partition(".")[2] for key in keys])
        near = next((key for key in keys if key.partition(".")[2] == of_key), None)
    meant = "" if near is None else f"did you mean {near!r}? "
    raise UsageError(f"there is no table or setting {name!r}", hint=f"{meant}tables are: {', '.join(tables())}")


def setting_rows(run: RunFolder, keys: Sequence[str], overrides: Sequence[str]) -> Iterator[SettingRow]:
    """A row a setting; without a project its defaults, and what ``--set`` says.

    Raises:
        ConfigError: if the file or an override is wrong.
    """
    file = read_toml(run.config) if run.config.exists() else {}
    given = parse_overrides(overrides)
    recipe = {} if not file and not given else beneath({}, *_naming(file, given))
    merged = layered(beneath(file, given), given, {})
    source = dict(merged.get("data", {})) if isinstance(merged.get("data", {}), Mapping) else merged["data"]
    if isinstance(source, dict):
        merged["data"] = {"source": NO_SOURCE, **source}
    values = dataclasses.asdict(build(ProjectSettings, merged, source=str(run.config)))
    for key in keys:
        table, name = key.split(".")
        default, value = default_of(key), values[table][name]
        where: Source = "flag" if name in _table(given, table) else "file" if name in _table(merged, table) else "default"
        if key == "data.source" and value == NO_SOURCE:
            where, value = "default", None
        of_recipe = where == "file" and name not in _table(file, table) and name in _table(recipe, table)
        yield SettingRow(
            key=key,
            default=None if default is MISSING else default,
            value=value,
            source=where,
            allowed=allowed(key),
            help=meaning(table, name),
            recipe=_recipe_name(file, given) if of_recipe else None,
        )


def _naming(*layers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What layers say of the named recipe, and nothing else."""
    return [{"train": {"recipe": name}} for layer in layers if (name := _table(layer, "train").get("recipe")) is not None]


def _recipe_name(file: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    name = _table(given, "train").get("recipe", _table(file, "train").get("recipe"))
    return name if isinstance(name, str) else None


def _table(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = tables.get(name, {})
    return table if isinstance(table, Mapping) else {}
