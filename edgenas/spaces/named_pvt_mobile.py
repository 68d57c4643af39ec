"""MobileNetV4's and StarNet's nets at 224 px, which are points of mobile spaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgenas.spaces.archs import MobileBlock, MobileStageArch, Readable
from edgenas.spaces.base import Option
from edgenas.spaces.reported import NamedArch, Reported

Bottleneck = tuple[int, int, int]  # kernels before and after the widening, and its factor


def _block(bottleneck: Bottleneck, *, heads: int | None) -> MobileBlock:
    """A readable place; ``heads`` of its attention, None where its stage offers none."""
    start, mid, expansion = bottleneck
    block: MobileBlock = {"kernels": {"start": start, "expand": 1, "mid": mid}, "expansion": expansion}
    if heads is not None:
        block["attention"] = {"kind": "mqa" if heads else "none", "num_heads": heads}
    return block


def _stage(
    embed_dim: int, expansion: int, *bottlenecks: Bottleneck, attended: tuple[int, ...] = (), attends: bool = True
) -> MobileStageArch:
    """A readable stage; ``attended`` are the places with four heads of attention, ``attends`` whether it offers any."""
    stage: MobileStageArch = {"embed_dim": embed_dim, "expansion": expansion}
    if bottlenecks:
        stage["blocks"] = [
            _block(bottleneck, heads=4 * (place in attended) if attends else None) for place, bottleneck in enumerate(bottlenecks)
        ]
    return stage


def _net(space: str, stages: list[MobileStageArch], reported: Reported) -> NamedArch:
    head = {"neck_dim": 960, "hidden_dim": 1280}
    return NamedArch(space, {"resolution_px": 224, "stem_dim": 32, "stages": stages, "head": head}, reported)


def _reported(weights: str, top1: float, params: int) -> Reported:
    source = f"timm's model card of {weights} (MobileNetV4: Qin et al., ECCV 2024, arXiv:2404.10518), at 224 px"
    return Reported(source, top1=top1, dataset="ImageNet-1K val", params=params)


@dataclass(frozen=True, slots=True)
class StarShape:
    """One of timm's StarNet nets: width of the first stage, which the later ones double, blocks of each, and their expansion."""

    base_dim: int
    depths: tuple[int, ...]
    expansion: int = 4


STARNETS: dict[str, StarShape] = {
    "starnet_s1": StarShape(24, (2, 2, 8, 3)),
    "starnet_s2": StarShape(32, (1, 2, 6, 2)),
    "starnet_s3": StarShape(32, (2, 2, 8, 4)),
    "starnet_s4": StarShape(32, (3, 3, 12, 5)),
    "starnet_s050": StarShape(16, (1, 1, 3, 1), 3),
    "starnet_s100": StarShape(20, (1, 2, 4, 1)),
    "starnet_s150": StarShape(24, (1, 2, 4, 2), 3),
}


def starnet(shape: StarShape, resolution_px: Option, attends: Sequence[bool], *, stem_stride: Option | None = None) -> Readable:
    """The readable net.

    Args:
        shape: of the net.
        resolution_px: of its images.
        attends: whether a stage offers attention, which the net has nowhere.
        stem_stride: None where no choice names it.
    """
    block = {"kernels": {"start": 0, "expand": 0, "mid": 0, "star": 7}, "expansion": shape.expansion}
    without: dict[str, Any] = {"attention": {"kind": "none", "num_heads": 0}}
    stages = [
        {"embed_dim": shape.base_dim * 2**stage, "expansion": 0, "blocks": [block | (without if attends[stage] else {})] * depth}
        for stage, depth in enumerate(shape.depths)
    ]
    strides = {} if stem_stride is None else {"stem_stride": stem_stride}
    head = {"neck_dim": 0, "hidden_dim": 0}
    return {"resolution_px": resolution_px, **strides, "stem_dim": 32, "stages": stages, "head": head}


def _starnet(name: str, source: str, top1: float, params: int, macs: int, note: str = "") -> NamedArch:
    reported = Reported(source, top1=top1, dataset="ImageNet-1K val", params=params, macs=macs, note=note)
    return NamedArch("pvt-mobile-star-l", starnet(STARNETS[name], 224, (False, False, True, True)), reported)


_OF_STARNET = "StarNet (Ma et al., CVPR 2024, arXiv:2403.19967)"
_REPOSITORY, _APPENDIX = f"{_OF_STARNET}, imagenet/README.md of ma-xu/Rewrite-the-Stars", f"{_OF_STARNET}, tables 13 and 14"
_IR, _FFN, _NEXT = (0, 3, 2), (0, 0, 2), (3, 0, 4)
_EXTRA, _EXTRA_5, _WIDE_5 = (3, 3, 4), (3, 5, 4), (5, 5, 4)

PVT_MOBILE_ARCHS: dict[str, NamedArch] = {
    "mobilenetv4_conv_small": _net(
        "pvt-mobile-small",
        [
            _stage(32, 1),
            _stage(64, 3),
            _stage(96, 3, _IR, _IR, _IR, _IR, _NEXT),
            _stage(128, 6, _WIDE_5, (0, 5, 4), (0, 5, 3), (0, 3, 4), (0, 3, 4)),
        ],
        _reported("mobilenetv4_conv_small.e2400_r224_in1k", 0.73756, 3_770_000),
    ),
    "mobilenetv4_conv_medium": _net(
        "pvt-mobile",
        [
            _stage(48, 4),
            _stage(80, 4, (3, 3, 2), attends=False),
            _stage(160, 6, _EXTRA, _EXTRA, _EXTRA_5, _EXTRA, _NEXT, _FFN, _NEXT),
            _stage(256, 6, _WIDE_5, _EXTRA_5, _EXTRA_5, (0, 0, 4), _NEXT, (3, 5, 2), _WIDE_5, (0, 0, 4), (0, 0, 4), (5, 0, 2)),
        ],
        _reported("mobilenetv4_conv_medium.e500_r224_in1k", 0.79094, 9_720_000),
    ),
    "mobilenetv4_hybrid_medium": _net(
        "pvt-mobile-mqa",
        [
            _stage(48, 4),
            _stage(80, 4, (3, 3, 2), attends=False),
            _stage(160, 6, _FFN, _EXTRA, _EXTRA_5, _EXTRA, _NEXT, _EXTRA, _NEXT, attended=(3, 4, 5, 6)),
            _stage(
                256,
                6,
                _WIDE_5,
                _EXTRA_5,
                _EXTRA_5,
                _FFN,
                (3, 5, 2),
                _FFN,
                (0, 0, 4),
                _NEXT,
                _WIDE_5,
                (5, 0, 4),
                (5, 0, 4),
                attended=(7, 8, 9, 10),
            ),
        ],
        _reported("mobilenetv4_hybrid_medium.e500_r224_in1k", 0.80442, 11_070_000),
    ),
    "starnet_s1": _starnet("starnet_s1", _REPOSITORY, 0.736, 2_900_000, 425_000_000),
    "starnet_s2": _starnet("starnet_s2", _REPOSITORY, 0.747, 3_700_000, 547_000_000),
    "starnet_s3": _starnet("starnet_s3", _REPOSITORY, 0.774, 5_800_000, 757_000_000),
    "starnet_s4": _starnet("starnet_s4", _REPOSITORY, 0.788, 7_500_000, 1_075_000_000),
    "starnet_s050": _starnet("starnet_s050", _APPENDIX, 0.557, 540_000, 92_800_000),
    "starnet_s100": _starnet("starnet_s100", _APPENDIX, 0.643, 1_040_000, 187_100_000),
    "starnet_s150": _starnet("starnet_s150", _APPENDIX, 0.680, 1_560_000, 229_000_000),
}
