"""Settings that tests put into a project's `edgenas.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgenas.project.setting_file import toml_value


def add_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write ``table.key`` settings under the tables that the file has."""
    text = path.read_text(encoding="utf-8")
    for key, value in settings.items():
        table, _, name = key.partition(".")
        head, header, rest = text.partition(f"\n[{table}]")
        assert header, f"{path} has no [{table}]"
        line, _, below = rest.partition("\n")
        text = f"{head}{header}{line}\n{name} = {toml_value(value)}\n{below}"
    path.write_text(text, encoding="utf-8")
