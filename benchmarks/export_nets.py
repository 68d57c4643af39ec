"""The nets that studies of exports are about: two of timm, three of edgenas' spaces, and that of a demo.

Their weights are drawn: what is studied here is whether they build, how large and how fast they are, and whether a file answers as
its source does. A demo's net is trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgenas.spaces import SearchSpace, Task, get_space
from edgenas.spaces.base import RESOLUTION
from edgenas.spaces.named import NAMED
from edgenas.spaces.reported import host

NAMES = ("pvt_v2_b0", "mobilenetv4_conv_small", "COViT++", "AutoFormer-T", "pvt-elastic", "demo")
PX, CLASSES = 224, 10


@dataclass(frozen=True, slots=True)
class Net:
    """A module in eval mode and the shape of one image that it reads."""

    name: str
    module: Any
    shape: tuple[int, int, int]


def nets(names: Sequence[str], demo: Path | None = None, *, seed: int = 0, px: int = PX) -> Iterator[Net]:
    """The nets of these names, one at a time; ``demo`` without a run folder is the largest net of the demo's space.

    Args:
        names: of `NAMES`, or of timm.
        demo: run folder of `edgenas demo`.
        seed: weights are drawn from.
        px: side of the images that they read, the demo's apart. Architectures stay those of `PX`.
    """
    import torch

    for name in names:
        torch.manual_seed(seed)
        yield _demo(demo) if name == "demo" else Net(name, _module(name, px).eval(), (3, px, px))


def _module(name: str, px: int) -> Any:
    import timm

    from edgenas.supernets import build_net

    if timm.is_model(name):
        return timm.create_model(name, num_classes=CLASSES)
    if name in NAMED:
        space = host(get_space(NAMED[name].space), NAMED[name])
        genes = space.from_json(NAMED[name].arch)[0]
    else:
        space = get_space(name)
        genes = _near(space, 600e6)
    row = tuple(int(gene) for gene in genes)
    return build_net(space if px == PX else _reading(space, row, px), Task(CLASSES, 3, px), row)


def _reading(space: SearchSpace, row: Sequence[int], px: int) -> SearchSpace:
    """The same space, but a net of these genes reads images of another side, which none of its options need be."""
    if RESOLUTION not in space.index:
        return space
    at = space.index[RESOLUTION]
    asked = replace(space.choices[at], options=tuple(px + option - row[at] for option in range(len(space.choices[at].options))))
    return replace(space, choices=(*space.choices[:at], asked, *space.choices[at + 1 :]))


def _near(space: SearchSpace, wanted: float) -> Any:
    """Of 2000 drawn architectures at 224 px the one nearest to so many multiply-accumulates."""
    from edgenas.costs import cost_models

    drawn = space.sample(2000, np.random.default_rng(0))
    sides = np.array([dict(space.to_json(row)).get("resolution_px", PX) for row in drawn])
    drawn = drawn[sides == PX]
    macs = np.asarray(cost_models(space, Task(CLASSES, 3, PX))["macs"](drawn))
    return drawn[int(np.abs(macs - wanted).argmin())]


def _demo(run: Path | None) -> Net:
    if run is None:
        from edgenas.project.demo_task import SPACE
        from edgenas.supernets import build_net

        space = get_space(SPACE)
        row = space.extreme(largest=True)[0]
        px = int(dict(space.to_json(row)).get("resolution_px", 28))
        module = build_net(space, Task(CLASSES, 1, px), tuple(int(gene) for gene in row))
        return Net("demo", module.eval(), (1, px, px))
    from edgenas.project.deployed import load_final
    from edgenas.project.opening import open_images, open_project

    project = open_project(run, {}, ())
    images = open_images(project)
    px = images.preprocess.image_px
    return Net("demo", load_final(project, images).net, (images.task.in_channels, px, px))
