"""Architectures that have a name: published and searched ones, with what their authors report.

What is reported is quoted, not measured here, and may contradict what edgenas counts; ``note`` says why where that is known.
"""

from __future__ import annotations

from difflib import get_close_matches

from edgenas.errors import ArchError
from edgenas.spaces.base import SearchSpace
from edgenas.spaces.named_autoformer import AUTOFORMER_ARCHS
from edgenas.spaces.reported import NamedArch, Reported

ENDS = {"smallest": False, "largest": True}  # names that every space has


def _covitpp(pool_size: int, depths: list[int], qkv_dims: list[int], reported: Reported) -> NamedArch:
    arch = {"pool_size": pool_size, "depths": depths, "qkv_dims": qkv_dims, "mlp_ratios": [8, 8, 8, 4]}
    return NamedArch("pvt-covidx", arch, reported)


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
}
# One dictionary a family; a new one is a line here. Names are told apart in any case.
NAMED: dict[str, NamedArch] = {**COVITPP_ARCHS, **AUTOFORMER_ARCHS}


def named_archs(space: SearchSpace) -> dict[str, NamedArch]:
    """Every architecture of ``space`` that has a name: both ends, then the published ones."""
    ends = {name: NamedArch(space.name, space.to_json(space.extreme(largest=largest)[0])) for name, largest in ENDS.items()}
    return ends | {name: named for name, named in NAMED.items() if named.space == space.name}


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
