"""What the mobile spaces offer, and what no gene of theirs changes.

The ends of a list bound what stands between in parameters and in MACs alike. Of kernels the first is the cheapest, a bottleneck
without depthwise convolutions or with one before the widening, and the last the dearest: a widening by 3x3, where it is offered.
A plain convolution stands between them, and has no expansion. Star blocks, where they are offered, are the dearest instead: of a
bottleneck's two products of all channels they have three. Attention grows with its heads, and at equal heads keys and values
of every head cost more than those that all heads share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgenas.spaces.base import RESOLUTION, Choice, Condition, Option, SearchSpace, Task

Kernels = tuple[int, ...]  # before, of and after the widening; 0 is none. Spaces with star blocks have theirs as a fourth
Attention = tuple[str, int]  # kind and heads

NO_ATTENTION: Attention = ("none", 0)
PLAIN: Kernels = (0, 0, 3)  # nothing is widened, so that what follows is one 3x3 convolution of all channels


def is_plain(kernels: Kernels) -> bool:
    """Whether there is one convolution instead of a bottleneck."""
    return kernels[1] == 0 and not star_of(kernels)


def star_of(kernels: Kernels) -> int:
    """Rows of a star block's depthwise convolutions; 0 where there is none."""
    return kernels[3] if len(kernels) > 3 else 0


@dataclass(frozen=True, slots=True)
class StageGeometry:
    """What is fixed of a stage: kernels and stride of its entrance, whether a ReLU ends that, the stride of its keys and values."""

    kernels: Kernels
    stride: int = 2
    relu: bool = False
    kv_stride: int = 1


@dataclass(frozen=True, slots=True)
class Geometry:
    """What no gene changes: the stages, the width of a head, whether what a bottleneck adds is scaled, and the stem's stride.

    Attributes:
        stem_stride: where no gene chooses it.
        star: stem, entrances and head are those of nets of star blocks (`edgenas.spaces.pvt_mobile_star`).
    """

    stages: tuple[StageGeometry, ...]
    head_dim: int
    layer_scale: bool = False
    stem_stride: int = 2
    star: bool = False

    def grids(self, resolution_px: int, stem_stride: int | None = None) -> tuple[int, ...]:
        """Rows, and columns, of the features after the stem and after every stage's entrance."""
        grids = [-(-resolution_px // (self.stem_stride if stem_stride is None else stem_stride))]
        for stage in self.stages:
            grids.append(-(-grids[-1] // stage.stride))
        return tuple(grids)


@dataclass(frozen=True, slots=True)
class StageOptions:
    """What may be chosen in one stage; all ascend. ``entrances`` are expansions of its entrance (0: it is plain), ``expansions`` of
    its blocks."""

    embed_dims: tuple[int, ...]
    entrances: tuple[int, ...]
    depths: tuple[int, ...] = ()
    kernels: tuple[Kernels, ...] = ()
    expansions: tuple[int, ...] = ()
    attentions: tuple[Attention, ...] = ()


STEM_STRIDE: Final = "stem_stride"  # the choice of the stem's stride, in spaces that leave it open
_STAR = Geometry(tuple(StageGeometry(PLAIN) for _ in range(4)), head_dim=16, star=True)
_MEDIUM = (
    StageGeometry((0, 3, 0)),
    StageGeometry((3, 1, 5)),
    StageGeometry((3, 1, 5), kv_stride=2),
    StageGeometry((5, 1, 5)),
)
GEOMETRIES: dict[str, Geometry] = {
    "pvt-mobile": Geometry(_MEDIUM, head_dim=32),
    "pvt-mobile-mqa": Geometry(_MEDIUM, head_dim=64, layer_scale=True),
    "pvt-mobile-small": Geometry(
        (
            StageGeometry((0, 3, 0), relu=True),
            StageGeometry((0, 3, 0), relu=True),
            StageGeometry((5, 1, 5), kv_stride=2),
            StageGeometry((3, 1, 3)),
        ),
        head_dim=32,
    ),
    "pvt-mobile-nano": Geometry(
        (
            StageGeometry((0, 3, 0), stride=1),
            StageGeometry((0, 3, 0), kv_stride=2),
            StageGeometry((0, 3, 0)),
        ),
        head_dim=16,
    ),
    "pvt-mobile-pico": Geometry(
        (
            StageGeometry((0, 3, 0), stride=1),
            StageGeometry((0, 3, 0)),
            StageGeometry((0, 3, 0)),
        ),
        head_dim=16,
    ),
    "pvt-mobile-plain": Geometry(
        (
            StageGeometry(PLAIN),
            StageGeometry(PLAIN, stride=1),
            StageGeometry(PLAIN),
            StageGeometry(PLAIN, stride=1, kv_stride=2),
        ),
        head_dim=16,
        stem_stride=1,
    ),
    "pvt-mobile-star": _STAR,
    "pvt-mobile-star-l": _STAR,
}


def _stage_choices(stage: int, options: StageOptions) -> list[Choice]:
    """Width, entrance and depth of a stage, then what every block is; a block exists where the depth reaches it.

    A plain block has no expansion. Kernels of star blocks are named only where there are any.
    """
    at, depths = f"stages[{stage}]", options.depths
    choices = [Choice(f"{at}.embed_dim", options.embed_dims), Choice(f"{at}.expansion", options.entrances)]
    if not depths:
        return choices
    choices.append(Choice(f"{at}.depth", depths, length_of=(f"{at}.blocks",)))
    per_block: list[tuple[str, tuple[Option, ...], tuple[str, ...]]] = [
        ("kernels", options.kernels, ("start", "expand", "mid", "star")[: max(map(len, options.kernels))]),
        ("expansion", options.expansions, ()),
        ("attention", options.attentions, ("kind", "num_heads")),
    ]
    widened = tuple(kernels for kernels in options.kernels if not is_plain(kernels))
    for block in range(depths[-1]):
        exists = None if block < depths[0] else Condition(f"{at}.depth", tuple(depth for depth in depths if depth > block))
        for gene, own, keys in per_block:
            of_some = gene == "expansion" and len(widened) < len(options.kernels)
            when = Condition(f"{at}.blocks[{block}].kernels", widened) if of_some else exists
            choices += [Choice(f"{at}.blocks[{block}].{gene}", own, when, keys=keys)] if own else []
    return choices


def _space(
    name: str,
    resolutions: tuple[int, ...],
    stem_dims: tuple[int, ...],
    stages: Sequence[StageOptions],
    heads: tuple[tuple[int, int], ...],
    num_classes: int,
    purpose: str,
    stem_strides: tuple[int, ...] = (),
    ahead_px: int = 0,
    ahead_images: int = 0,
) -> SearchSpace:
    choices = [Choice(RESOLUTION, resolutions)]
    choices += [Choice(STEM_STRIDE, stem_strides)] if stem_strides else []
    choices.append(Choice("stem_dim", stem_dims))
    for stage, options in enumerate(stages):
        choices += _stage_choices(stage, options)
    choices.append(Choice("head", heads, keys=("neck_dim", "hidden_dim")))
    task = Task(num_classes, 3, resolutions[-1])
    return SearchSpace(name, "pvt_mobile", tuple(choices), task, purpose=purpose, ahead_px=ahead_px, ahead_images=ahead_images)


_NANO_KERNELS = ((3, 1, 0), (0, 1, 3), (5, 1, 0), (0, 1, 5), (0, 3, 0))
_KERNELS = ((0, 1, 0), (3, 1, 0), (0, 1, 3), (5, 1, 0), (3, 1, 3), (0, 1, 5), (3, 1, 5), (5, 1, 3), (5, 1, 5))
_ATTENTIONS = (NO_ATTENTION, ("mqa", 2), ("mqa", 4), ("sra", 4))
_HYBRID_ATTENTIONS = (NO_ATTENTION, ("mqa", 2), ("mqa", 4))
_RESOLUTIONS = (160, 192, 224, 256)
_HEADS = ((240, 320), (480, 640), (960, 1280))
_PICO_KERNELS = ((0, 1, 3), (0, 3, 0))
_STAR_KERNELS = ((3, 1, 0, 0), (0, 1, 3, 0), (0, 1, 5, 0), (*PLAIN, 0), (0, 0, 0, 3), (0, 0, 0, 5), (0, 0, 0, 7))
_STAR_ATTENTIONS = (NO_ATTENTION, ("mqa", 2), ("sra", 4))
_PLAIN_KERNELS = ((3, 1, 0), (0, 1, 3), (5, 1, 0), (0, 1, 5), PLAIN, (0, 3, 0))

PVT_MOBILE_SPACES = (
    _space(
        "pvt-mobile-pico",
        (24,),
        (8, 16, 24),
        (
            StageOptions((8, 16, 32), (1,)),
            StageOptions((24, 32, 48, 64), (2,), (1, 2), _PICO_KERNELS, (1, 3)),
            StageOptions((32, 48, 64, 96), (2,), (1, 2), _PICO_KERNELS, (1, 3), (NO_ATTENTION, ("sra", 4))),
        ),
        ((64, 0), (128, 0), (256, 0)),
        num_classes=10,
        purpose="thumbnails: the quickest of them to measure and to search",
    ),
    _space(
        "pvt-mobile-nano",
        (24, 32),
        (8, 16, 24),
        (
            StageOptions((8, 16, 32), (1, 2), (0, 1, 2), _NANO_KERNELS, (1, 2, 3)),
            StageOptions((24, 32, 48, 64), (2,), (1, 2, 3), _NANO_KERNELS, (1, 2, 3), _ATTENTIONS),
            StageOptions((32, 48, 64, 96), (2,), (1, 2, 3), _NANO_KERNELS, (1, 2, 3), _ATTENTIONS),
        ),
        ((64, 0), (128, 0), (256, 0)),
        num_classes=10,
        purpose="small images: bottlenecks of convolutions, or attention",
    ),
    _space(
        "pvt-mobile-plain",
        (32,),
        (8, 16, 24, 32),
        (
            StageOptions((16, 24, 32, 48), (0,)),
            StageOptions((16, 32, 48, 64), (0,), (0, 1, 2), _PLAIN_KERNELS, (1, 2)),
            StageOptions((32, 48, 64, 96), (0,)),
            StageOptions((48, 64, 96, 128), (0,), (0, 1, 2, 3), _PLAIN_KERNELS, (1, 2), _ATTENTIONS),
        ),
        ((0, 0), (128, 0), (256, 0)),
        num_classes=10,
        purpose="small images: plain convolutions at full size first",
    ),
    _space(
        "pvt-mobile-star",
        (32,),
        (16, 24, 32),
        (
            StageOptions((16, 24, 32, 48), (0,), (1, 2, 3), _STAR_KERNELS, (3, 4)),
            StageOptions((32, 48, 64, 96), (0,), (1, 2, 3), _STAR_KERNELS, (3, 4)),
            StageOptions((64, 96, 128), (0,), (1, 2, 3, 4, 6, 8), _STAR_KERNELS, (3, 4), _STAR_ATTENTIONS),
            StageOptions((96, 128, 192, 256), (0,), (1, 2, 3), _STAR_KERNELS, (3, 4)),
        ),
        ((0, 0),),
        num_classes=10,
        purpose="small images: star blocks, around StarNet",
        stem_strides=(2, 1),
        ahead_px=32,  # docs/measurements/compare_star-tight_fashion-mnist_202611.md
        ahead_images=1000,  # not with a hundred: docs/measurements/compare_star-few_202611.md
    ),
    _space(
        "pvt-mobile-star-l",
        _RESOLUTIONS,
        (16, 24, 32),
        (
            StageOptions((16, 20, 24, 32), (0,), (1, 2, 3), _STAR_KERNELS, (3, 4)),
            StageOptions((32, 40, 48, 64), (0,), (1, 2, 3), _STAR_KERNELS, (3, 4)),
            StageOptions((64, 80, 96, 128), (0,), (1, 2, 3, 4, 6, 8, 12), _STAR_KERNELS, (3, 4), _STAR_ATTENTIONS),
            StageOptions((128, 160, 192, 256), (0,), (1, 2, 3, 4, 5), _STAR_KERNELS, (3, 4), _STAR_ATTENTIONS),
        ),
        ((0, 0),),
        num_classes=1000,
        purpose="photos on slow devices: star blocks, around StarNet",
    ),
    _space(
        "pvt-mobile-small",
        _RESOLUTIONS,
        (8, 16, 24, 32),
        (
            StageOptions((8, 16, 32), (1,)),
            StageOptions((24, 40, 64), (1, 3)),
            StageOptions((40, 64, 96), (3,), (1, 2, 3, 4, 5), _KERNELS, (2, 3, 4), _ATTENTIONS),
            StageOptions((64, 96, 128), (6,), (1, 2, 3, 4, 5), _KERNELS, (2, 3, 4), _ATTENTIONS),
        ),
        _HEADS,
        num_classes=1000,
        purpose="photos on slow devices: around MobileNetV4 small",
    ),
    _space(
        "pvt-mobile",
        _RESOLUTIONS,
        (8, 16, 24, 32),
        (
            StageOptions((16, 32, 48), (2, 4)),
            StageOptions((24, 48, 80, 112), (4,), (1, 2, 3), (*_KERNELS, (0, 3, 0)), (2, 4, 6)),
            StageOptions((48, 80, 120, 160, 224), (6,), (1, 2, 3, 4, 5, 6, 7, 8), _KERNELS, (2, 4, 6), _ATTENTIONS),
            StageOptions((80, 128, 192, 256, 384), (6,), (1, 2, 4, 6, 8, 10), _KERNELS, (2, 4, 6), _ATTENTIONS),
        ),
        _HEADS,
        num_classes=1000,
        purpose="photos: convolutions or attention, 0.03 to 4 GMACs",
    ),
    _space(
        "pvt-mobile-mqa",
        _RESOLUTIONS,
        (16, 32),
        (
            StageOptions((32, 48), (4,)),
            StageOptions((48, 80), (4,), (1, 2), _KERNELS, (2, 4)),
            StageOptions((80, 120, 160), (6,), (1, 3, 5, 7), _KERNELS, (2, 4), _HYBRID_ATTENTIONS),
            StageOptions((128, 192, 256), (6,), (1, 4, 7, 11), _KERNELS, (2, 4), _HYBRID_ATTENTIONS),
        ),
        _HEADS,
        num_classes=1000,
        purpose="photos: around MobileNetV4 hybrid medium",
    ),
)
