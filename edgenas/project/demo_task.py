"""What the demo is about: which images, which limit, and which pictures were missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from edgenas.config import Flags
from edgenas.data.fashion_mnist import DEBIAN_FOLDER
from edgenas.data.images import Images
from edgenas.project.deployed import load_final
from edgenas.project.opening import Project
from edgenas.project.run_tables import run_table
from edgenas.runs import atomic_path
from edgenas.spaces import Task
from edgenas.spaces.designed import hand_designed_rows
from edgenas.stats import decide
from edgenas.training.evaluation import predict

SPACE = "pvt-mobile-pico"
ABOVE_FASTEST = 1.6  # the limit, in latencies of the quickest hand-made net: there accuracy rises steeply with latency
NUM_MISSED = 3
ENLARGED_PX = 224  # least side of a picture that is written for a person to look at


@dataclass(frozen=True, slots=True)
class DemoTask:
    """Images that a demo may be about.

    Attributes:
        words: what they are, for whoever watches.
        flags: settings of its `edgenas.toml`, by table.
        overrides: that every stage gets.
    """

    words: str
    flags: Flags
    overrides: tuple[str, ...] = ()


TASKS: Mapping[str, DemoTask] = MappingProxyType(
    {
        "fashion-mnist": DemoTask(
            "photos of clothes (Fashion-MNIST), 400 of every class; the class that must not be missed is shirt, the hardest",
            {"data": {"source": "fashion-mnist", "positive": "shirt", "max_per_class": 400}, "space": {"name": SPACE}},
            ("train.flip=true", "gates.max_new_false_negatives=5"),  # of 1,000 shirts: none at all is a limit for tens of them
        ),
        "dim-digits": DemoTask(
            "1,797 real digits, made hard as a cheap camera in low light sees them (moved, blurred, dim, noisy; always in the same "
            "way; no camera took them). Fashion-MNIST is not on this machine: apt-get install dataset-fashion-mnist",
            {
                "data": {
                    "source": "dim-digits",
                    "positive": "8",
                    "train": 0.4,
                    "select": 0.15,
                    "confirm": 0.1,
                    "calibrate": 0.1,
                    "test": 0.25,
                },
                "space": {"name": SPACE},
            },
            ("train.flip=false",),
        ),
    }
)


def find_task() -> str:
    """Which of `TASKS` it is here: Fashion-MNIST where Debian's package has put it, else the dim digits."""
    return "fashion-mnist" if DEBIAN_FOLDER.is_dir() else "dim-digits"


def steep_limit(project: Project, task: Task) -> float:
    """`ABOVE_FASTEST` times the predicted latency of the quickest hand-made net, in milliseconds, to three digits."""
    chosen = run_table(project, task)
    assert chosen is not None
    return float(f"{ABOVE_FASTEST * chosen.predicted(hand_designed_rows(project.space)).min():.3g}")


def missed(project: Project, images: Images, folder: Path) -> Iterator[Path]:
    """Paths of at most `NUM_MISSED` images of test that are of the positive class and are decided otherwise, the surest first.

    Images that are no files of their own are written into ``folder``, enlarged; their names say what they were taken for. The
    splits calibrate and test must be decoded.
    """
    final = load_final(project, images)
    images_NCHW, labels_N = images.arrays("test")
    p_NC = predict(final.net, images_NCHW)
    if images.positive is None:
        return
    decided_N = decide(p_NC, images.positive, final.threshold)
    places = np.flatnonzero((labels_N == images.positive) & (decided_N != images.positive))
    for place in places[np.argsort(p_NC[places, images.positive], kind="stable")][:NUM_MISSED]:
        index = int(images.splits["test"][place])
        path = images.source.path(index)
        if path is None:
            name = images.source.ids[index].replace("/", "-")
            path = folder / f"{name}-taken-for-{images.class_names[decided_N[place]]}.png".replace("/", "-")
            _write_enlarged(images.source.load(index), path)
        yield path


def _write_enlarged(image: Image.Image, path: Path) -> None:
    """Write a picture, pixels as squares, so that a person can see it."""
    times = max(1, -(-ENLARGED_PX // max(image.size)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as unfinished:
        image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST).save(unfinished, format="PNG")
