"""Nets of mobile spaces that a person would write down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

from edgenas.errors import ArchError
from edgenas.spaces.archs import Readable
from edgenas.spaces.base import RESOLUTION, Option, SearchSpace
from edgenas.spaces.named_pvt_mobile import STARNETS, starnet
from edgenas.spaces.pvt_mobile_options import GEOMETRIES, NO_ATTENTION, PLAIN, STEM_STRIDE, Kernels
from edgenas.spaces.uniform import STEPS, at_step

INVERTED, FUSED = (0, 1, 3), (0, 3, 0)  # kernels of an inverted bottleneck, as of MobileNetV2, and of a fused one
MAX_WIDENING = 4  # as in `edgenas.training.cnn`
STAR = (0, 0, 0, 7)  # of a star block as StarNet has it


def hand_designed(space: SearchSpace) -> list[Readable]:
    """What an engineer would write down without a search: one kind of block everywhere, scaled in resolution, depth and width.

    The kinds are inverted bottlenecks with a depthwise 3x3 convolution and, where the space has them, fused ones, plain
    convolutions and star blocks; no attention. Where there are plain convolutions, so is VGG's pattern of them
    (`edgenas.training.cnn`), which starts on the whole grid, and where there are star blocks, so are the nets of StarNet that the
    space has.
    """
    choices = {choice.name: choice.options for choice in space.choices}
    offered = {option for name, options in choices.items() if name.endswith(".kernels") for option in options}
    has_stars = STAR in offered
    kinds: list[Kernels] = [STAR] if has_stars else []
    kinds += [each for kernels in (INVERTED, FUSED, PLAIN) if (each := (*kernels, 0) if has_stars else kernels) in offered]
    nets = [*_starnets(space, choices)] if has_stars else []  # first: a search with a small population leaves out the last
    if (*PLAIN, 0) in offered and STEM_STRIDE in choices:
        nets += [_widening(space, *each) for each in product(choices["stem_dim"], (1, 2))]
    nets += [_uniform(space, *step) for step in product(choices[RESOLUTION], kinds, STEPS, STEPS)]
    nets += [_pairs(space, width) for width in choices["stem_dim"]] if PLAIN in offered else []
    return [net for position, net in enumerate(nets) if net not in nets[:position]]


def _starnets(space: SearchSpace, choices: Mapping[str, tuple[Option, ...]]) -> Iterator[Readable]:
    """StarNet's nets that the space has, at every resolution, with every stride of the stem."""
    for shape, resolution_px, stride in product(STARNETS.values(), choices[RESOLUTION], choices.get(STEM_STRIDE, (None,))):
        attends = [f"stages[{stage}].blocks[0].attention" in choices for stage in range(len(shape.depths))]
        try:
            yield space.to_json(space.from_json(starnet(shape, resolution_px, attends, stem_stride=stride))[0])
        except ArchError:
            continue


def _uniform(space: SearchSpace, resolution_px: Option, kernels: Kernels, depth: float, width: float) -> Readable:
    row = []
    for choice in space.choices:
        if choice.name == RESOLUTION:
            row.append(choice.options.index(resolution_px))
        elif choice.name == STEM_STRIDE:
            row.append(0)
        elif choice.name.endswith(".kernels"):
            row.append(choice.options.index(kernels if kernels in choice.options else INVERTED))
        elif choice.name.endswith(".attention"):
            row.append(choice.options.index(NO_ATTENTION))
        else:
            step = depth if choice.length_of else width
            row.append(at_step(step, len(choice.options)))
    return space.to_json(space.canonical(np.array([row], dtype=np.int16))[0])


def _pairs(space: SearchSpace, width: Any) -> Readable:
    """Two plain convolutions on every grid, the later of which strides; the first of each further pair doubles the channels.

    Widths that are not offered become the nearest that are.
    """
    geometry, widening = GEOMETRIES[space.base_name], 1
    wanted: dict[str, Any] = {"stem_dim": width, "head": (0, 0), f"stages[{len(geometry.stages) - 1}].depth": 1}
    for index, stage in enumerate(geometry.stages):
        widening *= 2 if stage.stride == 1 else 1
        wanted[f"stages[{index}].embed_dim"] = width * widening
    row = []
    for choice in space.choices:
        is_kernels = choice.name.endswith(".kernels")
        value = PLAIN if is_kernels else wanted.get(choice.name)
        row.append(0 if value is None else _nearest(choice.options, value))
    return space.to_json(space.canonical(np.array([row], dtype=np.int16))[0])


def _widening(space: SearchSpace, width: Any, depth: int) -> Readable:
    """Plain convolutions from the whole grid on, which the entrance of every stage halves: twice the width, later four times.

    Widths that are not offered become the nearest that are.
    """
    row = []
    for choice in space.choices:
        value: Any = {STEM_STRIDE: 1, "stem_dim": width}.get(choice.name)
        if choice.name.endswith(".kernels"):
            value = (*PLAIN, 0)
        elif choice.name.endswith(".embed_dim"):
            value = width * (2 if choice.name.startswith("stages[0]") else MAX_WIDENING)
        elif choice.length_of:
            value = depth
        row.append(0 if value is None else _nearest(choice.options, value))
    return space.to_json(space.canonical(np.array([row], dtype=np.int16))[0])


def _nearest(options: tuple[Any, ...], value: Any) -> int:
    """Position of an option, of numbers that of the nearest one."""
    if value in options or not isinstance(value, int):
        return options.index(value) if value in options else 0
    return min(range(len(options)), key=lambda position: abs(options[position] - value))
