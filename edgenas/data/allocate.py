"""Which split every image goes to: arithmetic on labels and groups.

Shapes: N images, K classes, S splits, G groups.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgenas.data.base import PARTS
from edgenas.errors import DataError

SPLIT_NAMES = ("train", "select", "confirm", "calibrate", "test")
ValAs = Literal["select", "test"]
_PROVIDED: Mapping[ValAs, Mapping[str, tuple[str, ...]]] = {
    "select": {"val": ("select", "confirm", "calibrate"), "test": ("test",)},
    "test": {"val": ("test",)},
}


def published_pools(
    num: int, groups: Sequence[str] | None, published: Sequence[str] | None, *, val_as: ValAs = "select"
) -> list[tuple[NDArray[np.int64], tuple[str, ...]]]:
    """Image indices of every published part and the splits it is divided into; one pool where nothing is published.

    Raises:
        DataError: for an unknown part, no training part, two parts to test on, or groups that lie in several parts.
    """
    if published is None:
        return [(np.arange(num), SPLIT_NAMES)]
    unknown = sorted(set(published) - set(PARTS))
    if unknown or "train" not in published:
        raise DataError(f"published parts are {sorted(set(published))}; known are {', '.join(PARTS)}, and train is needed")
    if val_as == "test" and "test" in published:
        raise DataError("val cannot be the test split of data that come with a part test", hint="leave data.val_as at select")
    if groups is not None:
        parts_of: dict[str, set[str]] = {}
        for group, part in zip(groups, published, strict=True):
            parts_of.setdefault(group, set()).add(part)
        torn = [f"{group} is in {', '.join(sorted(parts))}" for group, parts in parts_of.items() if len(parts) > 1]
        if torn:
            raise DataError(f"{len(torn)} group(s) lie in several published parts", problems=torn)
    parts_N = np.asarray(published)
    pools = [(part, splits) for part, splits in _PROVIDED[val_as].items() if part in published]
    taken = {split for _, splits in pools for split in splits}
    pools.insert(0, ("train", tuple(split for split in SPLIT_NAMES if split not in taken)))
    return [(np.flatnonzero(parts_N == part), splits) for part, splits in pools]


def allocate(
    labels_N: NDArray[np.int64],
    groups: Sequence[str] | None,
    shares_S: NDArray[np.float64],
    num_classes: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Split position of every image, 0 to S - 1."""
    if len(shares_S) == 1:
        return np.zeros(len(labels_N), dtype=np.int64)
    if groups is None:
        return _allocate_images(labels_N, shares_S, num_classes, rng)
    return _allocate_groups(labels_N, groups, shares_S, num_classes, rng)


def pick_per_class(
    labels_N: NDArray[np.int64],
    groups: Sequence[str] | None,
    num: int,
    class_names: Sequence[str],
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Mask of ``num`` images of every class; groups are taken whole, so a class may come out above ``num``.

    Raises:
        DataError: naming every class that would keep no image beside these.
    """
    num_K = np.bincount(labels_N, minlength=len(class_names))
    small = [
        f"class {class_names[label]!r} has {count} image(s); {num} for select must leave some"
        for label, count in enumerate(num_K)
        if count <= num
    ]
    if small:
        raise DataError("select_per_class is too large", problems=small)
    return take_per_class(labels_N, range(len(labels_N)) if groups is None else groups, num, len(class_names), rng)


def take_per_class(
    labels_N: NDArray[np.int64], groups: Sequence[Hashable], num: int, num_classes: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Mask of ``num`` images of every class, in random order; a group is taken whole while each of its classes lacks images."""
    members: dict[Hashable, list[int]] = {}
    for position in rng.permutation(len(labels_N)).tolist():
        members.setdefault(groups[position], []).append(position)
    missing_K = np.full(num_classes, num)
    chosen_N = np.zeros(len(labels_N), dtype=np.bool_)
    for positions in members.values():
        wanted_M = labels_N[positions]
        if (missing_K[wanted_M] > 0).all():
            np.subtract.at(missing_K, wanted_M, 1)
            chosen_N[positions] = True
    return chosen_N


def largest_remainder(total: int, shares_S: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers that sum to ``total`` in proportion to ``shares_S``; none is 0 where ``total`` allows it.

    Remainders that are equal go to the earlier split; what fills an empty split is taken from the fullest.
    """
    quotas_S = total * shares_S
    counts_S = np.floor(quotas_S + 1e-9).astype(np.int64)
    order_S = np.argsort(-(quotas_S - counts_S).round(9), kind="stable")
    counts_S[order_S[: total - int(counts_S.sum())]] += 1
    while total >= len(shares_S) and (counts_S == 0).any():
        counts_S[int(np.argmax(counts_S))] -= 1
        counts_S[int(np.argmin(counts_S))] += 1
    return counts_S


def _allocate_images(
    labels_N: NDArray[np.int64], shares_S: NDArray[np.float64], num_classes: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    result_N = np.zeros(len(labels_N), dtype=np.int64)
    for label in range(num_classes):
        mine_M = rng.permutation(np.flatnonzero(labels_N == label))
        result_N[mine_M] = np.repeat(np.arange(len(shares_S)), largest_remainder(len(mine_M), shares_S))
    return result_N


def _allocate_groups(
    labels_N: NDArray[np.int64],
    groups: Sequence[str],
    shares_S: NDArray[np.float64],
    num_classes: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Place whole groups, those of the rarest class and the largest first, where they reduce the misfit most.

    The misfit of a split is the sum over classes of (count - target)² / (target + 1).
    """
    names = {name: position for position, name in enumerate(dict.fromkeys(groups))}
    group_N = np.array([names[group] for group in groups], dtype=np.int64)
    counts_GK = np.zeros((len(names), num_classes), dtype=np.int64)
    np.add.at(counts_GK, (group_N, labels_N), 1)
    groups_of_K = (counts_GK > 0).sum(axis=0)
    rarity_G = np.where(counts_GK > 0, groups_of_K, len(names) + 1).min(axis=1)
    order_G = np.lexsort((rng.permutation(len(names)), -counts_GK.sum(axis=1), rarity_G))
    target_SK = shares_S[:, None] * counts_GK.sum(axis=0)[None, :]
    gap_SK = -target_SK
    place_G = np.zeros(len(names), dtype=np.int64)
    for group in order_G.tolist():
        added_K = counts_GK[group]
        change_S = (((gap_SK + added_K) ** 2 - gap_SK**2) / (target_SK + 1)).sum(axis=1)
        place_G[group] = int(np.argmin(change_S.round(9)))
        gap_SK[place_G[group]] += added_K
    result_N: NDArray[np.int64] = place_G[group_N]
    return result_N
