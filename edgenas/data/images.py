"""A data set as nets read it: divided, and decoded when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgenas.data import ImageSource, open_source
from edgenas.data.divide import Division, divide
from edgenas.data.draw import Drawn, draw_per_class
from edgenas.data.inspect import Inspection, inspect
from edgenas.data.loaders import DEFAULT_MEMORY_BYTES, HeldImages, ImageStore, LazyImages, arrays, held, read_split
from edgenas.data.names import tidy
from edgenas.data.pixels import PixelSettings, decide_pixels, stored_preprocess
from edgenas.data.preprocess import Preprocess
from edgenas.data.splits import Splits
from edgenas.errors import ConfigError
from edgenas.fields import Count, require_argument
from edgenas.registries import nearest
from edgenas.runs import Progress
from edgenas.spaces import Task

NUM_NORM_IMAGES = 64  # of a search, for batch norms: as good for comparing nets as twice as many (docs/search.md)
NUM_FINAL_NORM_IMAGES = 256  # of the net that is deployed


@dataclass(frozen=True, slots=True)
class Images:
    """A data set, divided; its images are decoded when they are asked for.

    Shapes: N images, C channels, H and W rows and columns.

    Attributes:
        store: reads images at the resolution of ``task``, or of one net (`at`).
        task: classes, channels and resolution that the data set has, whatever the store's resolution.
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
        """Images (N, C, H, W) and labels (N,) of a split; images of a large split are read when they are asked for.

        Raises:
            ValueError: naming the splits there are.
        """
        return read_split(self.store, self.splits[split]), self.labels(split)

    def held(self, split: str) -> NDArray[np.float32] | LazyImages | HeldImages:
        """Images of a split for many nets, decoded once where memory allows: as float32, or as pixels, within the cache's bound.

        Raises:
            ValueError: naming the splits there are.
            DataError: naming an image that cannot be decoded.
        """
        images = read_split(self.store, self.splits[split])
        return held(images) if isinstance(images, LazyImages) else images

    def norm_images(self, num: int = NUM_NORM_IMAGES) -> NDArray[np.float32]:
        """Training images (N, C, H, W) that batch-norm statistics of a subnet are estimated on; the same every time."""
        train_N = self.splits["train"]
        chosen_N = np.random.default_rng(0).choice(train_N, size=min(num, len(train_N)), replace=False)
        return arrays(self.store, np.sort(chosen_N))[0]

    def labels(self, split: str) -> NDArray[np.int64]:
        """Labels of a split, shape (N,)."""
        return self.source.labels_N[self.splits[split]]

    def sites(self, split: str) -> list[str] | None:
        """Where every image of a split was taken; None where that is not known."""
        sites, indices_N = self.source.sites, self.splits[split]
        return None if sites is None else [sites[index] for index in indices_N]


def preprocess_for(image_px: int) -> Preprocess:
    """The usual preprocessing of a resolution: squash, scale to [0, 1], ImageNet's mean and deviation."""
    return stored_preprocess({}, image_px)


def positive_index(name: str | None, class_names: Sequence[str]) -> int | None:
    """Index of the positive class.

    Raises:
        ConfigError: naming the classes there are.
    """
    if name is None:
        return None
    spelled = tidy(name)
    if spelled not in class_names:
        near = nearest(name, class_names)
        meant = "" if near is None else f"did you mean {near!r}? "
        raise ConfigError(f"positive class {name!r} is no class of the data", hint=f"{meant}classes are: {', '.join(class_names)}")
    return list(class_names).index(spelled)


def decode(images: Images, *splits: str) -> Iterator[Progress]:
    """Decode splits into the cache, with progress."""
    wanted_N = np.concatenate([images.splits[split] for split in splits])
    for done in images.store.fill(wanted_N):
        yield Progress("reading images", done, len(wanted_N))


def open_images(
    source: str | ImageSource,
    *,
    image_px: int | None = None,
    positive: str | None = None,
    division: Division | None = None,
    pixels: PixelSettings | None = None,
    map_label: Mapping[str, str] = MappingProxyType({}),
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
) -> Images:
    """Open a data set, draw from it where ``division`` says so, look at every image once, and divide into splits.

    Nothing is written. Images of one file, one picture or one patient stay in one split, published parts stay apart, and the same
    seed divides the same data alike.

    Args:
        source: as `edgenas init --data` takes it: ``digits``, ``folder:DIR``, ``csv:FILE`` and so on; or a source.
        image_px: side of the square that nets read, in pixels; None takes the source's.
        positive: name of the class that must not be missed; None without one.
        division: shares, seed and what may be left out; None takes the defaults. What is not drawn is neither read nor decoded.
        pixels: how images become what nets read; None takes the defaults.
        map_label: new name of a label by its old one; an empty one leaves its images out. Only of a source given by its name.
        memory_bytes: what decoded images may take.

    Raises:
        DataError: listing everything that is wrong with the images.
        ConfigError: if ``positive`` is no class, naming those there are.
        ValueError: for an argument that is of another type or out of range.
    """
    require_argument("source", source, str | ImageSource)
    require_argument("image_px", image_px, Count | None)
    require_argument("positive", positive, str | None)
    how = division if division is not None else Division()
    drawn = _drawn(open_source(source, map_label) if isinstance(source, str) else source, how)
    opened = drawn.source
    *_, inspected = inspect(opened)
    assert isinstance(inspected, Inspection)
    divided = divide(opened, inspected, how, left_out=drawn.left_out)
    names = divided.source.class_names
    task = Task(len(names), 3, opened.default_image_px if image_px is None else image_px)
    asked = pixels if pixels is not None else PixelSettings()
    read = decide_pixels(opened, inspected, divided.source, divided.splits["train"], task.image_px, asked)
    splits = replace(divided.splits, pixels=read.stored)
    store = ImageStore(divided.source, read.preprocess, memory_bytes=memory_bytes)
    return Images(divided.source, splits, store, task, positive_index(positive, names))


def _drawn(source: ImageSource, how: Division) -> Drawn:
    if how.max_per_class is None:
        return Drawn(source)
    return draw_per_class(source, how.max_per_class, seed=how.seed, val_as=how.val_as)
