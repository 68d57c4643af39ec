"""`edgenas settings`: what can be set, what is set, and where that was said; a schema for editors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgenas.project.setting_rows import setting_rows, wanted_keys
from edgenas.project.setting_schema import FILE, schema
from edgenas.records import SettingsResult
from edgenas.runs import Note, Outcome, Record, RunFolder, write_json


@dataclass(frozen=True, slots=True)
class SettingsConfig:
    """What `edgenas settings` was asked for.

    Attributes:
        name: a table, a key, or None for all.
        schema: write the schema as well.
        output: file of the schema; None takes the run folder, where there is one.
    """

    run: Path
    overrides: tuple[str, ...] = ()
    name: str | None = None
    schema: bool = False
    output: Path | None = None


def run(config: SettingsConfig) -> Iterator[Record]:
    """List settings; of a project with what its file says, else with the defaults.

    Raises:
        UsageError: if there is no such table or setting.
        ConfigError: if the file or an override is wrong.
        RunFolderError: if the schema cannot be written.
    """
    folder = RunFolder(config.run)
    keys = wanted_keys(config.name)
    rows = tuple(setting_rows(folder, keys, config.overrides))
    if not folder.config.exists():
        yield Note(f"{folder.config} does not exist; what is shown are the defaults")
    outputs = {}
    if config.schema:
        path = config.output if config.output is not None else (config.run if config.run.is_dir() else Path()) / FILE
        write_json(path, schema())
        outputs["schema"] = path
    yield Outcome(SettingsResult(rows=rows, is_single=config.name is not None and len(rows) == 1), outputs)
