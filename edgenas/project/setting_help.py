"""What a setting means, read from where it is said: the docstring of the table that it stands in."""

from __future__ import annotations

import inspect
import re
import typing
from functools import cache
from typing import Any

from edgenas.project.settings import ProjectSettings

_ENTRY = re.compile(r"^    (?P<names>[a-z_]+(?:, [a-z_]+)*): ", re.MULTILINE)


def meaning(table: str, key: str) -> str:
    """What ``table.key`` means, in a line; empty for a setting whose name says it all."""
    return _meanings(tables()[table]).get(key, "")


def tables() -> dict[str, Any]:
    """The dataclass of every table of `edgenas.toml`."""
    return typing.get_type_hints(ProjectSettings)


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
            result |= dict.fromkeys(entry["names"].split(", "), words)
    return result
