"""Architectures that have a name: published and searched ones, with what their authors report.

What is reported is quoted, not measured here, and may contradict what edgenas counts; ``note`` says why where that is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from edgenas.errors import ArchError
from edgenas.spaces.base import SearchSpace

ENDS = {"smallest": False, "largest": True}  # names that every space has


@dataclass(frozen=True, slots=True)
class Reported:
    """What a publication says of a net; None where it says nothing.

    Attributes:
        source: where it says so.
        dataset: that ``top1``, a fraction, is the accuracy on.
        note: what does not reproduce, and why.
    """

    source: str
    top1: float | None = None
    dataset: str | None = None
    params: int | None = None
    macs: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class NamedArch:
    """A readable architecture of the space called ``space``."""

    space: str
    arch: Mapping[str, Any]
    reported: Reported | None = None


def _covitpp(pool_size: int, depths: list[int], qkv_dims: list[int], reported: Reported) -> NamedArch:
    arch = {"pool_size": pool_size, "depths": depths, "qkv_dims": qkv_dims, "mlp_ratios": [8, 8, 8, 4]}
    return NamedArch("pvt-covidx", arch, reported)


def _pit(space: str, base_dim: int, mlp_ratio: int, num_heads: list[int], depths: list[int], reported: Reported) -> NamedArch:
    return NamedArch(space, {"base_dim": base_dim, "mlp_ratio": mlp_ratio, "num_heads": num_heads, "depths": depths}, reported)


def _pit_published(top1: float, params: int, macs: int) -> Reported:
    return Reported("PiT (naver-ai/pit, README), weights without distillation", top1, "ImageNet val", params, macs)


def _pit_winner(letters: str) -> Reported:
    return Reported(f"TF-TAS (decemberzhou/TF_TAS), experiments/subnet_pit/TF_TAS-{letters}.yaml")


COVITPP_COUNTER = (
    "the counter behind these numbers leaves out depthwise convolutions and stage norms, and empties every stage that is shallower "
    "than the supernet's"
)
NAMED: dict[str, NamedArch] = {
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
    "TF-TAS-PiT-T": _pit("pit-ti", 40, 2, [2, 4, 8], [2, 4, 4], _pit_winner("T")),
    "TF-TAS-PiT-XS": _pit("pit-xs", 56, 2, [2, 8, 8], [1, 4, 2], _pit_winner("XS")),
    "TF-TAS-PiT-S": _pit("pit-s", 36, 6, [3, 12, 12], [1, 4, 4], _pit_winner("S")),
    "pit_ti": _pit("pit-ti", 32, 4, [2, 4, 8], [2, 6, 4], _pit_published(0.730, 4_900_000, 710_000_000)),
    "pit_xs": _pit("pit-xs", 48, 4, [2, 4, 8], [2, 6, 4], _pit_published(0.781, 10_600_000, 1_400_000_000)),
    "pit_s": _pit("pit-s", 48, 4, [3, 6, 12], [2, 6, 4], _pit_published(0.809, 23_500_000, 2_900_000_000)),
}


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
