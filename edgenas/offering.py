"""Names that a shell can offer while a command is typed: of spaces, settings, classes, tables, known without PyTorch, at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import get_args

from edgenas.errors import RunFolderError
from edgenas.runs import RunFolder, read_json

SOURCES = ("digits", "dim-digits", "folder:", "fashion-mnist", "cifar10:", "cifar100:", "csv:", "covidx:", "torchvision:", "timm:")
_PARTS = ("train", "training", "val", "valid", "validation", "test", "testing")


def spaces() -> Iterator[str]:
    """Search spaces, those of installed packages too."""
    from edgenas.spaces import SPACES

    yield from SPACES


def recipes() -> dict[str, str]:
    """Titles of the named recipes."""
    from edgenas.project.named_recipes import RECIPES

    return {name: recipe.title for name, recipe in RECIPES.items()}


def settings() -> dict[str, str]:
    """What every setting means, by ``table.key``."""
    from edgenas.project.setting_help import meaning, setting_keys

    return {key: meaning(*key.split(".")) for key in setting_keys()}


def setting_words(key: str) -> list[str]:
    """What a setting may be, where that is a few words; nothing where there is no such setting."""
    from edgenas.project.setting_help import allowed_words

    return allowed_words(key)


def formats() -> dict[str, str]:
    """What every format of deployment is, those of installed packages too."""
    from edgenas.deploy.plugins import exporter_names, format_words

    return {name: format_words(name) for name in exporter_names()}


def precisions() -> list[str]:
    """Precisions of an export."""
    from edgenas.records import Precision

    return [*get_args(Precision), "auto"]


def runtimes() -> list[str]:
    """Runtimes that can measure."""
    return sorted(point.name for point in entry_points(group="edgenas.runtimes"))


def tables(run: Path) -> list[str]:
    """Latency tables of a run folder, then those that come with edgenas."""
    shipped = [each.name for each in files("edgenas.latency_tables").iterdir() if each.name.endswith(".json")]
    return [
        *sorted(path.stem for path in (run / "latency").glob("*.json")),
        *sorted(name.removesuffix(".json") for name in shipped),
    ]


def classes(run: Path, source: str) -> list[str]:
    """Classes of a source that is a folder, else of the project in a run folder; nothing where neither is there."""
    kind, _, folder = source.partition(":")
    with suppress(RunFolderError, KeyError, TypeError):
        if kind == "folder":
            root = Path(folder).expanduser()
            names = folders(root)
            parts = [name for name in names if name.casefold() in _PARTS]
            return sorted({name for part in parts for name in folders(root / part)}) if parts else names
        return [str(name) for name in read_json(RunFolder(run).splits)["class_names"]]
    return []


def run_folders(below: Path) -> list[str]:
    """Names of the run folders in a folder."""
    return sorted(path.parent.name for path in below.glob("*/edgenas.toml"))


def folders(below: Path) -> list[str]:
    """Names of the folders in a folder, hidden ones left out; nothing where it cannot be listed."""
    with suppress(OSError):
        return sorted(each.name for each in below.iterdir() if each.is_dir() and not each.name.startswith("."))
    return []
