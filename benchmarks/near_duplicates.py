"""Which copies `init` recognises, and what it takes for a copy that is none: precision and recall by kind and strength.

Of generated scenes, Fashion-MNIST and digits, a tenth of the images is copied in one way at a time and looked for among the others.
A found pair is true if it is an image and its copy; what is found without any copy in the data is listed apart.

    python -m benchmarks.near_duplicates
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgenas.data import open_source
from edgenas.data.near import NearDuplicates, find_near
from edgenas.data.sketches import sketch
from edgenas.portable.facts import cpu_model

NAME = "near-duplicates_{month}.md"
SCENES, SIDE_PX = 1_000, 160
FASHION = 6_000
SHARE = 0.1  # of images that are copied


def encoded(image: Image.Image, quality: float) -> Image.Image:
    """Through JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=round(quality))
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


def resized(image: Image.Image, factor: float) -> Image.Image:
    """To another size."""
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Without this share of each side, back to its size; between pixels where they are few."""
    width, height = image.size
    box = (width * share, height * share, width * (1 - share), height * (1 - share))
    return image.resize(image.size, Image.Resampling.BICUBIC, box=box)


def shifted_crop(image: Image.Image, share: float) -> Image.Image:
    """Without this share at the top and at the left."""
    width, height = image.size
    return image.resize(image.size, Image.Resampling.BICUBIC, box=(width * share, height * share, width, height))


def brightened(image: Image.Image, factor: float) -> Image.Image:
    """Every value by a factor, cut off at white."""
    return image.point([min(255, round(value * factor)) for value in range(256)] * 3)


def lifted(image: Image.Image, levels: float) -> Image.Image:
    """So many levels added, cut off at black and white."""
    return image.point([max(0, min(255, round(value + levels))) for value in range(256)] * 3)


def everything(image: Image.Image, strength: float) -> Image.Image:
    """Cropped, resized, brightened and encoded, one after another."""
    smaller = resized(cropped(image, 0.02 * strength), 1 - 0.1 * strength)
    return encoded(brightened(smaller, 1 + 0.05 * strength), 95 - 10 * strength)


KINDS: dict[str, tuple[Callable[[Image.Image, float], Image.Image], tuple[float, ...]]] = {
    "JPEG quality": (encoded, (90, 75, 50)),
    "resized by": (resized, (2, 0.75, 0.5)),
    "cropped on each side": (cropped, (0.02, 0.05, 0.08)),
    "cropped at top and left": (shifted_crop, (0.03, 0.06)),
    "brightened by": (brightened, (1.1, 1.3, 0.7)),
    "levels added": (lifted, (20, -20)),
    "all at once, strength": (everything, (0.5, 1, 2)),
}


@dataclass(frozen=True, slots=True)
class Data:
    """Images with their classes."""

    name: str
    images: Sequence[Image.Image]
    labels_N: NDArray[np.int64]


def scene(seed: int) -> Image.Image:
    """Structure at all scales, its power falling with frequency as in photographs."""
    rng = np.random.default_rng(seed)
    pixels_HWC = np.full((SIDE_PX, SIDE_PX, 3), 120, dtype=np.float32)
    for cells in (2, 5, 10, 20, 40, 80):
        for channel in range(3):
            noise = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32) * 70 / cells**0.5)
            pixels_HWC[..., channel] += np.asarray(noise.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC))
    return Image.fromarray(np.clip(pixels_HWC, 0, 255).astype(np.uint8))


def library(name: str, num: int | None) -> Data:
    """Images of a source that comes with labels, of its published training part."""
    source = open_source(name)
    places_N = np.arange(len(source.labels_N))
    if source.published_split is not None:
        places_N = places_N[np.array(source.published_split) == "train"]
    if num is not None:
        places_N = np.sort(np.random.default_rng(0).choice(places_N, num, replace=False))
    images = [source.load(index).convert("RGB") for index in places_N.tolist()]
    return Data(f"{name}, {len(images):,} images", images, source.labels_N[places_N])


def found_in(images: Sequence[Image.Image] | NDArray[np.uint8], labels_N: NDArray[np.int64]) -> NearDuplicates:
    """What `init` would find."""
    sketches_ND = images if isinstance(images, np.ndarray) else np.stack([sketch(image) for image in images])
    *_, found = find_near(sketches_ND, labels_N, [str(position) for position in range(len(sketches_ND))])
    assert isinstance(found, NearDuplicates)
    return found


def rows(data: Data, kinds: Sequence[str] = tuple(KINDS)) -> Iterator[str]:
    """A row a kind and strength: recall, precision, and the limit that the data gave."""
    num = len(data.images)
    sketches_ND = np.stack([sketch(image) for image in data.images])
    without = {(pair.first, pair.second) for pair in found_in(sketches_ND, data.labels_N).pairs}
    copied = np.sort(np.random.default_rng(1).choice(num, round(SHARE * num), replace=False)).tolist()
    wanted = {(index, num + at) for at, index in enumerate(copied)}
    labels_N = np.concatenate([data.labels_N, data.labels_N[copied]])
    for kind in kinds:
        change, strengths = KINDS[kind]
        for strength in strengths:
            copies_ND = np.stack([sketch(change(data.images[index], strength)) for index in copied])
            found = found_in(np.concatenate([sketches_ND, copies_ND]), labels_N)
            pairs = {(pair.first, pair.second) for pair in found.pairs}
            new = pairs - without
            precision = f"{len(wanted & pairs) / len(new):.3f}" if new else "–"
            recall = f"{len(wanted & pairs) / len(wanted):.3f}"
            yield f"| {kind} {strength:g} | {recall} | {precision} | {len(new - wanted)} | {found.share:.3f} |"


def lines(sets: Iterator[Data]) -> Iterator[str]:
    """A table for each data set, with what is found without copies before it."""
    for data in sets:
        plain = found_in(data.images, data.labels_N)
        images = {position for pair in plain.pairs for position in (pair.first, pair.second)}
        apart = sum(data.labels_N[pair.first] != data.labels_N[pair.second] for pair in plain.pairs)
        yield f"## {data.name}\n"
        yield (
            f"Without any copy: {len(plain.pairs):,} pair(s), {len(images):,} image(s) ({len(images) / len(data.images):.2%}), "
            f"{apart} of the pairs with different classes; limit {plain.share:.3f}.\n"
        )
        yield "| copies | recall | precision | other new pairs | limit |\n|---|---|---|---|---|"
        yield from rows(data)
        yield ""


def whole(name: str) -> str:
    """What is found in all training images, where no pair was made by us."""
    data = library(name, None)
    plain = found_in(data.images, data.labels_N)
    images = {position for pair in plain.pairs for position in (pair.first, pair.second)}
    apart = sum(data.labels_N[pair.first] != data.labels_N[pair.second] for pair in plain.pairs)
    return (
        f"All {len(data.images):,} training images of {name}: {len(plain.pairs):,} pair(s) of {len(images):,} image(s) "
        f"({len(images) / len(data.images):.2%}), {apart} of the pairs with different classes; limit {plain.share:.3f}."
    )


def report() -> str:
    """The page."""
    sets = (
        Data(
            f"generated scenes, {SCENES:,} images of {SIDE_PX} px", [scene(seed) for seed in range(SCENES)], np.arange(SCENES) % 2
        ),
        library("fashion-mnist", FASHION),
        library("digits", None),
    )
    head = (
        "# Which copies are recognised\n\n"
        f"`python -m benchmarks.near_duplicates`, {datetime.now(UTC):%Y-%m-%d}, {cpu_model()}.\n"
        "A tenth of the images of each set is copied in one way and looked for among all. *Recall*: copies that are found with\n"
        "their image. *Precision*: of the pairs that are found with copies in the data and not without, those of an image and its\n"
        "own copy; *other new pairs* are the rest, such as a copy with an image that resembles the original. *Limit*: the share\n"
        "of what an image's ordinary neighbours differ by, below which a picture is a copy (docs/data.md). What is found\n"
        "without copies bounds the false positives from above: some of it may be copies that the data hold.\n"
    )
    return "\n".join([head, *lines(iter(sets)), whole("fashion-mnist"), ""])


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/measurements"))
    folder = parser.parse_args().output
    path = folder / NAME.format(month=f"{datetime.now(UTC):%Y%m}")
    path.write_text(report(), encoding="utf-8")
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
