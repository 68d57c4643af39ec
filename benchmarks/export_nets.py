"""The nets that studies of exports are about: two of timm, three of edgenas' spaces, and that of a demo.

Their weights are drawn: what is studied here is whether they build, how large and how fast they are, and whether a file answers as
its source does. A demo's net is trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgenas.spaces import SearchSpace, Task, get_space
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


def nets(names: Sequence[str], demo: Path | None = None) -> Iterator[Net]:
    """The nets of these names, one at a time; ``demo`` without a run folder is the largest net of the demo's space."""
    import torch

    for name in names:
        torch.manual_seed(0)
        yield _demo(demo) if name == "demo" else Net(name, _module(name).eval(), (3, PX, PX))


def _module(name: str) -> Any:
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
    return build_net(space, Task(CLASSES, 3, PX), tuple(int(gene) for gene in genes))


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
