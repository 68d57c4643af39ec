"""Data sets of torchvision and timm by their names, read from files that are there already: nothing is ever downloaded."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgenas.data.base import PARTS
from edgenas.data.folder import published_folders
from edgenas.data.library_images import LibraryImages, join_parts, read_part, reason_of
from edgenas.errors import DataError

# values of torchvision's `split`, by published part; the first that a data set knows is taken
_SPLITS = {
    "train": ("train", "training", "trainval", "train-standard"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
_TRAIN_TEST = {"train": "train", "test": "validation"}  # in timm's words
_TRAIN_VAL = {"train": "train", "val": "validation"}
_TIMM_TORCH: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(
        [f"torch/{name}" for name in ("cifar10", "cifar100", "mnist", "kmnist", "fashion_mnist", "qmnist")], _TRAIN_TEST
    ),
    **dict.fromkeys([f"torch/{name}" for name in ("imagenet", "places365", "inaturalist", "inat")], _TRAIN_VAL),
}
_TIMM_FOLDERS = ("folder", "image_folder", "torch/folder", "torch/image_folder")
_TIMM_STREAMS = ("hfds", "hfids", "tfds", "wds")

Makers = Mapping[str, Sequence[Callable[[], Any]]]  # ways to construct every part, the first that works is taken


def open_torchvision(argument: str | None) -> LibraryImages:
    """Open ``NAME`` or ``NAME:DIR``, a class of ``torchvision.datasets``.

    The parts are those that its constructor tells apart: ``train: bool`` gives train and test, ``split`` those of train, val and
    test that it knows; otherwise there is one pool.

    Raises:
        DataError: for an unknown name, a missing folder, arguments that cannot be given, data that are no classification, and
            whatever the constructor raises.
    """
    class_name, _, folder = ("" if argument is None else argument).partition(":")
    name = f"torchvision:{argument}"
    kind = _torchvision_class(class_name)
    parameters = inspect.signature(kind).parameters
    fixed = {key: value for key, value in (("root", folder), ("download", False)) if key in parameters}
    needed = [
        key for key, value in parameters.items() if value.default is value.empty and value.kind is value.POSITIONAL_OR_KEYWORD
    ]
    unknown = [key for key in needed if key not in ("root", "split", "train")]
    if unknown:
        raise DataError(f"{name} needs {', '.join(unknown)}, which cannot be given here", hint="copy its images into folder:DIR")
    if "root" in parameters and not folder:
        raise DataError(f"{name} needs a folder", hint=f"write torchvision:{class_name}:DIR")
    if folder and "root" not in parameters:
        raise DataError(f"{name}: {class_name} takes no folder", hint=f"write torchvision:{class_name}")
    makers: dict[str, list[Callable[[], Any]]] = {"": [partial(kind, **fixed)]}
    if "train" in parameters:
        makers = {part: [partial(kind, train=part == "train", **fixed)] for part in ("train", "test")}
    elif class_name == "ImageFolder":
        makers = {part: [partial(kind, root=str(Path(folder) / below))] for part, below in _folders(Path(folder))}
    elif "split" in parameters:
        makers = {part: [partial(kind, split=value, **fixed) for value in values] for part, values in _SPLITS.items()}
    return _open(name, Path(folder) if folder else None, makers)


def _torchvision_class(class_name: str) -> type:
    from torch.utils.data import Dataset
    from torchvision import datasets

    kinds = {name: getattr(datasets, name) for name in datasets.__all__}
    classes = {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Dataset)}
    if class_name not in classes:
        raise _unknown("torchvision", class_name, list(classes))
    return classes[class_name]


def _unknown(library: str, name: str, known: list[str]) -> DataError:
    lower = {entry.lower(): entry for entry in known}
    similar = [lower[entry] for entry in difflib.get_close_matches(name.lower(), list(lower), n=4, cutoff=0.5)]
    listed = f"similar are {', '.join(similar)}" if similar else f"known are {', '.join(sorted(known))}"
    return DataError(f"{library} has no data set {name!r} that can be opened", hint=listed)


def open_timm(argument: str | None) -> LibraryImages:
    """Open ``NAME:DIR``, a name that ``timm.data.create_dataset`` takes and that names files, not a stream or a hub.

    Folders are divided as `edgenas.data.folder` says. timm calls torchvision's test parts validation; here they are test.

    Raises:
        DataError: for an unknown name, a missing folder, data that are no classification, and whatever timm raises.
    """
    kind, _, folder = ("" if argument is None else argument).partition(":")
    name, key = f"timm:{argument}", kind.lower()
    if key.partition("/")[0] in _TIMM_STREAMS:
        why = "streams have no fixed order and hubs would download"
        raise DataError(f"{name} cannot be used: {why}", hint="copy its images into folder:DIR")
    if key not in ("", *_TIMM_FOLDERS, *_TIMM_TORCH):
        raise _unknown("timm", kind, [*_TIMM_FOLDERS, *_TIMM_TORCH])
    if not folder:
        raise DataError(f"{name} needs a folder", hint=f"write timm:{kind}:DIR")
    root = Path(folder)
    if key in _TIMM_TORCH:
        return _open(name, root, {part: [_timm(key, root, split)] for part, split in _TIMM_TORCH[key].items()})
    return _open(name, root, {part: [_timm(key, root / below, "train")] for part, below in _folders(root)})


def _folders(root: Path) -> list[tuple[str, str]]:
    """Published parts of a folder of class folders, as `published_folders` says; one pool of what is no folder.

    Raises:
        DataError: if it cannot be listed, or its parts are unclear.
    """
    if not root.is_dir():
        return [("", "")]
    try:
        return published_folders(root)
    except OSError as error:
        raise DataError(f"{root} cannot be listed: {error.strerror or error}") from error


def _timm(key: str, root: Path, split: str) -> Callable[[], Any]:
    def make() -> Any:
        from timm.data.dataset_factory import create_dataset

        # an open file's position would be shared with forks
        extra: dict[str, Any] = {"cache_tarfiles": False} if root.suffix == ".tar" and root.is_file() else {}
        # bytes, since timm replaces images that do not decode by their neighbours
        return create_dataset(key, root=str(root), split=split, search_split=False, download=False, load_bytes=True, **extra)

    return make


def _open(name: str, folder: Path | None, makers: Makers) -> LibraryImages:
    if folder is not None and not folder.exists():
        raise DataError(f"{name} cannot be opened: there is no {folder}", hint="nothing is downloaded; name a folder that is there")
    datasets, problems = _construct(name, makers)
    parts, notes = [], []
    for part, dataset in datasets.items():
        of_part = read_part(part, dataset, name)
        if of_part is None:
            notes.append(f"{part or 'the data set'} has no labels and is left out")
        else:
            parts.append(of_part)
    if not parts:
        raise DataError(f"{name} has no labels", hint="only images with a class each can be used")
    return join_parts(name, folder, sorted(parts, key=lambda part: [*PARTS, ""].index(part.part)), notes, problems)


def _construct(name: str, makers: Makers) -> tuple[dict[str, Any], list[str]]:
    """The data sets that there are, by part, and what kept others from being there.

    Raises:
        DataError: with the first reason, if there are none.
    """
    datasets: dict[str, Any] = {}
    failures: dict[str, Exception] = {}
    for part, ways in makers.items():
        for make in ways:
            try:
                datasets[part] = make()
                failures.pop(part, None)
                break
            except Exception as error:  # noqa: BLE001 - whatever a library raises
                if part not in failures or (_is_unknown_split(failures[part]) and not _is_unknown_split(error)):
                    failures[part] = error
    serious = {part: error for part, error in failures.items() if not _is_unknown_split(error)}
    if datasets:
        return datasets, [f"{part} cannot be opened: {reason_of(error)}" for part, error in serious.items()]
    if serious:
        first = next(iter(serious.values()))
        hint = "nothing is downloaded; put its files there as the library expects them"
        if isinstance(first, ImportError):
            hint = "install that package"
        raise DataError(f"{name} cannot be opened: {reason_of(first)}", hint=hint) from first
    first = next(iter(failures.values()))
    raise DataError(
        f"{name} has no split named train, val or test: {reason_of(first)}", hint="copy its images into folder:DIR"
    ) from first


def _is_unknown_split(error: Exception) -> bool:
    """As torchvision says that ``split`` does not take a value."""
    return isinstance(error, ValueError) and "split" in str(error)
