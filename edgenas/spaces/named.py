"""Architectures that have a name: published and searched ones, with what their authors report.

What is reported is quoted, not measured here, and may contradict what edgenas counts; ``note`` says why where that is known.
"""

from __future__ import annotations

from difflib import get_close_matches

from edgenas.errors import ArchError
from edgenas.spaces.base import SearchSpace
from edgenas.spaces.named_autoformer import AUTOFORMER_ARCHS
from edgenas.spaces.named_pit import PIT_ARCHS
from edgenas.spaces.named_pvt_mobile import PVT_MOBILE_ARCHS
from edgenas.spaces.named_vitas import VITAS_ARCHS
from edgenas.spaces.reported import NamedArch, Reported

ENDS = {"smallest": False, "largest": True}  # names that every space has


def _covitpp(pool_size: int, depths: list[int], qkv_dims: list[int], reported: Reported) -> NamedArch:
    arch = {"pool_size": pool_size, "depths": depths, "qkv_dims": qkv_dims, "mlp_ratios": [8, 8, 8, 4]}
    return NamedArch("pvt-covidx", arch, reported)


PVT_V2 = "PVT v2 (Wang et al., CVMJ 2022, arXiv:2106.13797), table 2"


def _pvt_v2(
    space: str, depths: tuple[int, ...], embed_dims: tuple[int, ...], reported: Reported, *, linear: bool = False
) -> NamedArch:
    """One of PVT v2's nets at 224 px, as wide in attention as its embeddings are."""
    sizes, ratios = (8, 4, 2, 1), (8, 8, 4, 4)
    stages = [
        {
            "embed_dim": dim,
            "reduction": {"kind": "pool", "size": 7} if linear else {"kind": "conv" if size > 1 else "none", "size": size},
            "blocks": [{"qkv_dim": dim, "mlp_ratio": ratio}] * depth,
        }
        for depth, dim, size, ratio in zip(depths, embed_dims, sizes, ratios, strict=True)
    ]
    return NamedArch(space, {"resolution_px": 224, "stages": stages}, reported)


def _of_pvt_v2(top1: float, params: int, macs: int, note: str = "") -> Reported:
    return Reported(PVT_V2, top1=top1, dataset="ImageNet-1K val", params=params, macs=macs, note=note)


PVT_V2_DIMS = (64, 128, 320, 512)
COVITPP_COUNTER = (
    "the counter behind these numbers leaves out depthwise convolutions and stage norms, and empties every stage that is shallower "
    "than the supernet's"
)
COVITPP_ARCHS = {
    "COViT++": _covitpp(
        7,
        [2, 2, 2, 2],
        [16, 32, 80, 128],
        Reported(
            "COViT++ (hungnv142/COViTPlusPlus), README and search notebook",
            top1=0.8854,
            dataset="COVIDx8A test, 419 images",
            params=3_161_987,
            macs=295_827_000,
            note=f"{COVITPP_COUNTER}; 16 test images are training images too",
        ),
    ),
    "COViT++-15-2362": _covitpp(
        15,
        [2, 3, 6, 2],
        [16, 32, 80, 128],
        Reported("COViT++, search notebook", params=5_198_435, macs=444_061_000, note=COVITPP_COUNTER),
    ),
    "COViT++-31-2482": _covitpp(
        31,
        [2, 4, 8, 2],
        [32, 64, 160, 256],
        Reported("COViT++, search notebook", params=6_967_939, macs=3_162_013_000, note=COVITPP_COUNTER),
    ),
    "COViT++-largest": _covitpp(
        31,
        [3, 4, 12, 2],
        [32, 64, 160, 256],
        Reported("COViT++, README: upper ends", params=9_100_000, macs=10_600_000_000, note=COVITPP_COUNTER),
    ),
    "pvt_v2_b0": _pvt_v2(
        "pvt-elastic-32",
        (2, 2, 2, 2),
        (32, 64, 160, 256),
        _of_pvt_v2(0.705, 3_400_000, 600_000_000, "the net has 3.67 million parameters, 3.41 without its head of 1000 classes"),
    ),
    "pvt_v2_b1": _pvt_v2(
        "pvt-elastic",
        (2, 2, 2, 2),
        PVT_V2_DIMS,
        _of_pvt_v2(
            0.787, 13_100_000, 2_100_000_000, "the net has 14.01 million parameters, 13.50 without its head of 1000 classes"
        ),
    ),
    "pvt_v2_b2": _pvt_v2("pvt-elastic", (3, 4, 6, 3), PVT_V2_DIMS, _of_pvt_v2(0.820, 25_400_000, 4_000_000_000)),
    "pvt_v2_b2_li": _pvt_v2("pvt-elastic", (3, 4, 6, 3), PVT_V2_DIMS, _of_pvt_v2(0.821, 22_600_000, 3_900_000_000), linear=True),
}
# One dictionary a family; a new one is a line here. Names are told apart in any case.
NAMED: dict[str, NamedArch] = {**COVITPP_ARCHS, **AUTOFORMER_ARCHS, **VITAS_ARCHS, **PIT_ARCHS, **PVT_MOBILE_ARCHS}


def named_archs(space: SearchSpace) -> dict[str, NamedArch]:
    """Every architecture of ``space`` that has a name: both ends, then the published ones."""
    ends = {name: NamedArch(space.name, space.to_json(space.extreme(largest=largest)[0])) for name, largest in ENDS.items()}
    published = {name: named for name, named in NAMED.items() if named.space == space.base_name}
    if space.name != space.base_name:
        published = {name: named for name, named in published.items() if _is_in(space, named)}
    return ends | published


def _is_in(space: SearchSpace, named: NamedArch) -> bool:
    """Whether a part of a space has the architecture."""
    try:
        space.from_json(named.arch)
    except ArchError:
        return False
    return True


def find_named(space: SearchSpace, name: str) -> NamedArch | None:
    """The architecture of that name, in any case; None if there is none in ``space``."""
    by_folded = {known.casefold(): named for known, named in named_archs(space).items()}
    return by_folded.get(name.casefold())


def unknown_name(space: SearchSpace, name: str) -> ArchError:
    """What to say of a name that is neither known nor a file: similar ones, and the space of one that exists elsewhere."""
    known = list(named_archs(space))
    folded = {other.casefold(): other for other in known}
    similar = [folded[match] for match in get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)]
    elsewhere = [f"{other} is in {named.space}" for other, named in NAMED.items() if other.casefold() == name.casefold()]
    hint = [*elsewhere, f"similar: {', '.join(similar)}" if similar else f"known are: {', '.join(known)}"]
    return ArchError(f"{name} is no file and no architecture of {space.name}", hint="; ".join(hint))


__all__ = ["ENDS", "NAMED", "NamedArch", "Reported", "find_named", "named_archs", "unknown_name"]
