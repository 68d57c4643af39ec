"""What every recipe starts from: settings, run folder, images and splits, the task they fix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenas.config import Flags, build, parse_overrides, read_toml
from edgenas.data import ImageSource, open_source
from edgenas.data.inspect import FileIndex, read_contents
from edgenas.data.loaders import ImageStore, LazyImages, arrays, read_split
from edgenas.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from edgenas.data.splits import Splits, check_fingerprint, load_splits
from edgenas.data.subset import without
from edgenas.errors import ConfigError, DataError, MissingBackendError, MissingInputError, RunFolderError
from edgenas.recipes.setting_limits import layered, require_flags
from edgenas.recipes.settings import DataSettings, ProjectSettings
from edgenas.runs import Progress, RunFolder
from edgenas.spaces import SearchSpace, Task, get_space

NUM_NORM_IMAGES = 128
SMALL_PX = 64
SET_POSITIVE = 'write positive = "CLASS" under [data] in edgenas.toml, or --set data.positive=CLASS'


@dataclass(frozen=True, slots=True)
class Project:
    """Settings of a run folder with flags and overrides applied."""

    run: RunFolder
    settings: ProjectSettings

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        return get_space(self.settings.space.name)


def load_settings(run: RunFolder, flags: Flags, overrides: Sequence[str]) -> ProjectSettings:
    """`edgenas.toml` with ``--set`` and then flags applied.

    Raises:
        UsageError: if limits that are flags cannot be.
        MissingInputError: if there is no `edgenas.toml` yet.
        ConfigError: listing everything that is wrong.
    """
    require_flags(flags)
    if not run.config.exists():
        raise MissingInputError(f"{run.config} does not exist", hint="run `edgenas init --data SOURCE` first")
    tables = layered(read_toml(run.config), parse_overrides(overrides), flags)
    return build(ProjectSettings, tables, source=str(run.config))


def open_project(run: Path, flags: Flags, overrides: Sequence[str]) -> Project:
    """The project in a run folder.

    Raises:
        MissingInputError, ConfigError: as `load_settings`.
    """
    folder = RunFolder(run)
    return Project(folder, load_settings(folder, flags, overrides))


@dataclass(frozen=True, slots=True)
class Images:
    """The data set of a project, divided and decoded.

    Attributes:
        store: reads images at the resolution of ``task``, or of one net (`at`).
        task: of the project, whatever the store's resolution.
        positive: index of the class that must not be missed.
    """

    source: ImageSource
    splits: Splits
    store: ImageStore
    task: Task
    positive: int | None

    @property
    def preprocess(self) -> Preprocess:
        """From a decoded image to what a net reads."""
        return self.store.preprocess

    def at(self, image_px: int) -> Images:
        """The same images as a net of another resolution reads them, resized once from the original."""
        if image_px == self.preprocess.image_px:
            return self
        preprocess = replace(self.preprocess, image_px=image_px)
        return replace(self, store=ImageStore(self.source, preprocess, memory_bytes=self.store.memory_bytes))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the labels 0, 1, ..."""
        return self.splits.class_names

    def arrays(self, split: str) -> tuple[NDArray[np.float32] | LazyImages, NDArray[np.int64]]:
        """Images (N, C, H, W) and labels (N,) of a split; images of a large split are read when they are asked for."""
        return read_split(self.store, self.splits[split]), self.labels(split)

    def norm_images(self) -> NDArray[np.float32]:
        """Training images (N, C, H, W) that batch-norm statistics of a subnet are estimated on; the same every time."""
        train_N = self.splits["train"]
        chosen_N = np.random.default_rng(0).choice(train_N, size=min(NUM_NORM_IMAGES, len(train_N)), replace=False)
        return arrays(self.store, np.sort(chosen_N))[0]

    def labels(self, split: str) -> NDArray[np.int64]:
        """Labels of a split, shape (N,)."""
        return self.source.labels_N[self.splits[split]]

    def sites(self, split: str) -> list[str] | None:
        """Where every image of a split was taken; None where that is not known."""
        sites = self.source.sites
        return None if sites is None else [sites[index] for index in self.splits[split]]


def preprocess_for(image_px: int) -> Preprocess:
    """The preprocessing of a resolution: resize, scale to [0, 1], ImageNet's mean and deviation."""
    return Preprocess(image_px, IMAGENET_MEAN, IMAGENET_STD)


def image_px_of(settings: ProjectSettings, source: ImageSource) -> int:
    """Resolution that the nets see."""
    if settings.data.image_px is not None:
        return settings.data.image_px
    return (
        min(source.default_image_px, 32)
        if settings.space.name == "pvt-nano"
        else get_space(settings.space.name).default_task.image_px
    )


def positive_index(name: str | None, class_names: Sequence[str]) -> int | None:
    """Index of the positive class.

    Raises:
        ConfigError: naming the classes there are.
    """
    if name is None:
        return None
    if name not in class_names:
        raise ConfigError(f"positive class {name!r} is no class of the data", hint=f"classes are: {', '.join(class_names)}")
    return list(class_names).index(name)


def open_images(project: Project) -> Images:
    """The images of a project, nothing decoded yet.

    Raises:
        MissingInputError: if `edgenas init` has not divided them.
        DataError: if they changed since then.
    """
    run, settings = project.run, project.settings
    if not run.splits.exists():
        raise MissingInputError(f"{run.splits} does not exist", hint="run `edgenas init --data SOURCE` first")
    source, splits = open_divided(run, settings.data)
    task = Task(len(source.class_names), 3, image_px_of(settings, source))
    _use_threads(settings.train.threads, task)
    store = ImageStore(source, preprocess_for(task.image_px), memory_bytes=settings.data.cache_mb << 20)
    return Images(source, splits, store, task, positive_index(settings.data.positive, source.class_names))


def open_divided(run: RunFolder, data: DataSettings) -> tuple[ImageSource, Splits]:
    """The source without what was left out, and its splits; both are checked to be what `edgenas init` saw.

    Raises:
        DataError: if images or settings of the division changed since then.
        RunFolderError: if a file of the run is damaged.
    """
    splits = load_splits(run.splits)
    _require_division(run, data, splits)
    source = without(open_source(data.source), splits.excluded)
    if splits.class_names != source.class_names:
        raise DataError(f"{run.splits} divides other classes than {data.source} has", hint="run `edgenas init --force` again")
    index = FileIndex.load(run.files)
    if len(source.labels_N) != len(splits):
        check_fingerprint(splits, source, (), index)
    *_, (contents, seen) = (record for record in read_contents(source, index) if not isinstance(record, int))
    check_fingerprint(splits, source, contents, index)
    if seen != index:
        # the run folder may be read-only or on a full disk; then the files are read again the next time
        with suppress(RunFolderError):
            seen.save(run.files)
    return source, splits


def _require_division(run: RunFolder, data: DataSettings, splits: Splits) -> None:
    drawn = {"fractions": dict(splits.fractions), "seed": splits.seed, **splits.options}
    problems = [
        f"data.{name} is {value!r} now, {drawn.get(name)!r} when the images were divided"
        for name, value in data.division.items()
        if drawn.get(name) != value
    ]
    if problems:
        hint = "set them back, or divide again with `edgenas init --force`"
        raise DataError(f"{run.splits} was drawn with other settings", problems=problems, hint=hint)


def _use_threads(threads: int | None, task: Task) -> None:
    """Tell PyTorch how many threads to use: two threads on small operators mostly wait, and crawl beside other programs."""
    import torch

    if threads is None and task.image_px <= SMALL_PX:
        threads = 1
    if threads is not None:
        torch.set_num_threads(max(1, threads))


def decode(images: Images, *splits: str) -> Iterator[Progress]:
    """Decode splits into the cache, with progress."""
    wanted_N = np.concatenate([images.splits[split] for split in splits])
    for done in images.store.fill(wanted_N):
        yield Progress("reading images", done, len(wanted_N))


def torch_device(name: str) -> str:
    """``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        MissingBackendError: for ``cuda`` without a GPU that PyTorch can use.
    """
    import torch

    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise MissingBackendError(
            "device cuda: PyTorch sees no usable GPU", hint="`edgenas doctor` says why; --device cpu goes without"
        )
    return "cuda"
