"""MobileNetV4's nets at 224 px, which are points of mobile spaces."""

from __future__ import annotations

from typing import Any

from edgenas.spaces.reported import NamedArch, Reported

Bottleneck = tuple[int, int, int]  # kernels before and after the widening, and its factor


def _block(bottleneck: Bottleneck, *, heads: int | None) -> dict[str, Any]:
    """A readable place; ``heads`` of its attention, None where its stage offers none."""
    start, mid, expansion = bottleneck
    block: dict[str, Any] = {"kernels": {"start": start, "expand": 1, "mid": mid}, "expansion": expansion}
    if heads is not None:
        block["attention"] = {"kind": "mqa" if heads else "none", "num_heads": heads}
    return block


def _stage(
    embed_dim: int, expansion: int, *bottlenecks: Bottleneck, attended: tuple[int, ...] = (), attends: bool = True
) -> dict[str, Any]:
    """A readable stage; ``attended`` are the places with four heads of attention, ``attends`` whether it offers any."""
    stage: dict[str, Any] = {"embed_dim": embed_dim, "expansion": expansion}
    if bottlenecks:
        stage["blocks"] = [
            _block(bottleneck, heads=4 * (place in attended) if attends else None) for place, bottleneck in enumerate(bottlenecks)
        ]
    return stage


def _net(space: str, stages: list[dict[str, Any]], reported: Reported) -> NamedArch:
    head = {"neck_dim": 960, "hidden_dim": 1280}
    return NamedArch(space, {"resolution_px": 224, "stem_dim": 32, "stages": stages, "head": head}, reported)


def _reported(weights: str, top1: float, params: int) -> Reported:
    source = f"timm's model card of {weights} (MobileNetV4: Qin et al., ECCV 2024, arXiv:2404.10518), at 224 px"
    return Reported(source, top1=top1, dataset="ImageNet-1K val", params=params)


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
}
