"""Data sources by name, and the splits, transforms and loaders on top of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from edgenas.data.base import ImageSource
from edgenas.data.cifar import open_cifar10, open_cifar100
from edgenas.data.covidx import open_covidx
from edgenas.data.digits import open_digits
from edgenas.data.dim_digits import open_dim_digits
from edgenas.data.fashion_mnist import fashion_mnist_files, open_fashion_mnist
from edgenas.data.folder import open_folder
from edgenas.data.labels import settle
from edgenas.data.libraries import open_timm, open_torchvision
from edgenas.data.table import open_table
from edgenas.errors import DataError
from edgenas.registries import Registry, nearest


@dataclass(frozen=True, slots=True)
class SourceKind:
    """How a source is written, whether something must follow its name, and what opens it.

    Attributes:
        usage: as it is written.
        argument: True where one is needed, False where none is allowed, None where it may be left out.
        open: makes the source of the argument.
        archives: all files that ``open`` may read, for the argument, where a few hold all images; those that are absent, too.
    """

    usage: str
    argument: bool | None
    open: Callable[[str | None], ImageSource]
    archives: Callable[[str | None], tuple[Path, ...]] | None = None

    @property
    def path_position(self) -> int | None:
        """Which part of the argument, parted by colons, is a path: the one that ``usage`` calls DIR or FILE; None if none is."""
        if "DIR" not in self.usage and "FILE" not in self.usage:
            return None
        return 1 if "NAME" in self.usage else 0


_OWN = {
    "digits": SourceKind("digits", False, open_digits),
    "dim-digits": SourceKind("dim-digits", False, open_dim_digits),
    "folder": SourceKind("folder:DIR", True, open_folder),
    "fashion-mnist": SourceKind("fashion-mnist[:DIR]", None, open_fashion_mnist, fashion_mnist_files),
    "cifar10": SourceKind("cifar10:DIR", True, open_cifar10),
    "cifar100": SourceKind("cifar100:DIR", True, open_cifar100),
    "csv": SourceKind("csv:FILE[?path=COLUMN&label=COLUMN]", True, open_table),
    "covidx": SourceKind("covidx:DIR", True, open_covidx),
    "torchvision": SourceKind("torchvision:NAME[:DIR]", True, open_torchvision),
    "timm": SourceKind("timm:NAME:DIR", True, open_timm),
}
SOURCES: Registry[SourceKind] = Registry(
    "data source",
    "edgenas.sources",
    _OWN,
    accepts=lambda thing: isinstance(thing, SourceKind),
    expected="a SourceKind(usage, argument, open)",
)


_AS_WRITTEN: Mapping[str, str] = MappingProxyType({})  # labels


def scan_source(text: str, map_label: Mapping[str, str] = _AS_WRITTEN) -> ImageSource:
    """Open ``NAME`` or ``NAME:ARGUMENT`` with its problems listed in it, so that they can be reported beside others.

    timm's names that start with ``torch/`` are taken without ``timm:`` too.

    Args:
        text: the source.
        map_label: new name of a label by its old one, as `edgenas.data.labels.settle` takes it.

    Raises:
        DataError: for an unknown name or a missing argument, listing how every known source is written; or for data that
            cannot even be listed.
        PluginError: naming the package that brings it, if it cannot be used.
    """
    if text.startswith("torch/"):
        text = f"timm:{text}"
    name, colon, argument = text.partition(":")
    kind = SOURCES.get(name)
    if kind is None:
        near = _meant(text)
        raise DataError(
            f"there is no data source {text!r}", hint=_known() if near is None else f"did you mean {near!r}? {_known()}"
        )
    if (kind.argument is True and not argument) or (kind.argument is False and colon):
        raise DataError(f"data source {text!r} must be written {kind.usage}", hint=_known())
    return settle(kind.open(argument or None), map_label)


def archives_of(text: str) -> tuple[Path, ...]:
    """The few files that hold all images of a source, those that are absent but would be read, too; empty where it has none."""
    name, _, argument = text.partition(":")
    kind = SOURCES.get(name)
    return () if kind is None or kind.archives is None else kind.archives(argument or None)


def _meant(text: str) -> str | None:
    """The source that somebody has in mind who writes the path alone, or misspells its kind; None where nothing is like it."""
    name, colon, argument = text.partition(":")
    path = Path(text).expanduser()
    if path.is_file() and path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return f"csv:{text}"
    if path.is_dir() or text.startswith((".", "/", "~")):
        return f"folder:{text}"
    near = nearest(name, SOURCES)
    return None if near is None else f"{near}{colon}{argument}"


def _known() -> str:
    return "known are: " + ", ".join(kind.usage for kind in SOURCES.usable().values())


def absolute_source(text: str) -> str:
    """The same source with its path made absolute, so that it can be opened from any folder; unknown ones as they are."""
    name, colon, argument = (f"timm:{text}" if text.startswith("torch/") else text).partition(":")
    kind = SOURCES.get(name)
    if kind is None or not argument or kind.path_position is None:
        return text
    parts = argument.split(":", kind.path_position)
    if len(parts) > kind.path_position and parts[-1]:
        path, mark, columns = parts[-1].partition("?") if "?" in kind.usage else (parts[-1], "", "")
        parts[-1] = f"{Path(path).expanduser().absolute()}{mark}{columns}"
    return f"{name}{colon}{':'.join(parts)}"


def open_source(text: str, map_label: Mapping[str, str] = _AS_WRITTEN) -> ImageSource:
    """Open ``NAME`` or ``NAME:ARGUMENT``, labels renamed as ``map_label`` says.

    Raises:
        DataError: as `scan_source`, or listing every problem of the data.
    """
    source = scan_source(text, map_label)
    if source.problems:
        raise DataError(f"{source.name} cannot be used: {len(source.problems)} problem(s)", problems=source.problems)
    return source


__all__ = ["SOURCES", "ImageSource", "SourceKind", "absolute_source", "archives_of", "open_source", "scan_source"]
