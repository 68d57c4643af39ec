"""Dividing a data set into train, select, confirm, calibrate and test, and noticing when it changes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.data.allocate import SPLIT_NAMES, ValAs, allocate, pick_per_class, published_pools
from edgenas.data.base import ImageSource
from edgenas.data.inspect import FileIndex, changed_files, read_contents
from edgenas.errors import DataError, RunFolderError
from edgenas.registries import choices
from edgenas.runs import read_sealed, sha256_json, write_sealed

SCHEMA_VERSION = 2  # 1: first; 2: excluded images, options, a hash of the file
DEFAULT_FRACTIONS: Mapping[str, float] = MappingProxyType(
    {"train": 0.45, "select": 0.15, "confirm": 0.10, "calibrate": 0.08, "test": 0.22}
)
_AGAIN = "run edgenas init again (--force replaces it)"


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """Which image is in which split.

    Attributes:
        indices: ascending positions in the source, by split; disjoint.
        class_names: names of the labels 0, 1, ...
        class_counts: images of each class, by split.
        seed: that drew them.
        fractions: that were asked for.
        fingerprint: of the data set without the excluded images; empty until it is known.
        excluded: id of every image that was left out, with the reason; positions do not count them.
        options: what else was asked for, by setting.
        pixels: how images become pixels (`edgenas.data.pixels`), JSON-ready: what every net of them has seen; empty where it is
            as ever: no range of grey values, alpha dropped, ImageNet's normalisation, squashed.
    """

    indices: Mapping[str, NDArray[np.int64]]
    class_names: tuple[str, ...]
    class_counts: Mapping[str, Mapping[str, int]]
    seed: int
    fractions: Mapping[str, float]
    fingerprint: str = ""
    excluded: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    pixels: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> NDArray[np.int64]:
        """Positions in one split.

        Raises:
            ValueError: naming the splits there are.
        """
        if name not in self.indices:
            raise ValueError(f"there is no split {name!r}; {choices(name, self.indices)}")
        return self.indices[name]

    @property
    def sha256(self) -> str:
        """A hash of the data, where each image is and how it is read: what was learnt or chosen under another must not be used."""
        pixels = {"pixels": dict(self.pixels)} if self.pixels else {}
        return sha256_json({"data": self.fingerprint, **pixels, **{name: self.indices[name] for name in SPLIT_NAMES}})

    def __len__(self) -> int:
        return sum(len(indices_N) for indices_N in self.indices.values())


def make_splits(
    labels_N: NDArray[np.int64],
    groups: Sequence[str] | None = None,
    *,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    seed: int,
    published: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    select_per_class: int | None = None,
    val_as: ValAs = "select",
) -> Splits:
    """Divide images: stratified by class, groups kept whole, published parts kept apart, the same for the same seed.

    Without groups every class is divided by largest remainders, at least one image in each split. Of published parts, ``test``
    is test, ``val`` is divided into select, confirm and calibrate (or is test, where ``val_as`` says so, as ImageNet's is used);
    what no part provides is taken from ``train``.

    Args:
        labels_N: class index of every image.
        groups: what must stay together, of every image.
        fractions: share of every split, summing to 1.
        seed: of the shuffle.
        published: ``train``, ``val`` or ``test`` of every image.
        class_names: for messages and counts; by default the indices.
        select_per_class: images of every class in select, instead of a share (AutoFormer's search takes 100).
        val_as: what a published ``val`` is used as.

    Raises:
        DataError: naming every class that is missing in a split, with its counts; or groups in several published parts.
    """
    if set(fractions) != set(SPLIT_NAMES) or not math.isclose(sum(fractions.values()), 1.0) or min(fractions.values()) <= 0:
        raise DataError(f"split fractions must be above 0 for {', '.join(SPLIT_NAMES)} and sum to 1, not {dict(fractions)}")
    names = tuple(str(index) for index in range(int(labels_N.max()) + 1)) if class_names is None else tuple(class_names)
    rng = np.random.default_rng(seed)
    member_N = np.full(len(labels_N), -1, dtype=np.int64)
    for indices_M, pool in published_pools(len(labels_N), groups, published, val_as=val_as):
        if select_per_class is not None and "select" in pool:
            chosen_M = pick_per_class(labels_N[indices_M], _some(groups, indices_M), select_per_class, names, rng)
            member_N[indices_M[chosen_M]] = SPLIT_NAMES.index("select")
            indices_M, pool = indices_M[~chosen_M], tuple(name for name in pool if name != "select")
        if not pool:
            continue
        shares = np.array([fractions[name] for name in pool])
        placed_M = allocate(labels_N[indices_M], _some(groups, indices_M), shares / shares.sum(), len(names), rng)
        member_N[indices_M] = np.array([SPLIT_NAMES.index(name) for name in pool])[placed_M]
    indices = {name: np.flatnonzero(member_N == position) for position, name in enumerate(SPLIT_NAMES)}
    counts = _class_counts(labels_N, indices, names)
    _require_every_class(counts, names, "images" if groups is None else "groups of images (patients, equal pictures)")
    return Splits(indices, names, counts, seed, {name: float(fractions[name]) for name in SPLIT_NAMES})


def _some(groups: Sequence[str] | None, indices_M: NDArray[np.int64]) -> list[str] | None:
    return None if groups is None else [groups[index] for index in indices_M]


def _class_counts(
    labels_N: NDArray[np.int64], indices: Mapping[str, NDArray[np.int64]], names: Sequence[str]
) -> dict[str, dict[str, int]]:
    result = {}
    for split, indices_M in indices.items():
        counts_K = np.bincount(labels_N[indices_M], minlength=len(names))
        result[split] = {name: int(count) for name, count in zip(names, counts_K, strict=True)}
    return result


def _require_every_class(counts: Mapping[str, Mapping[str, int]], names: Sequence[str], needed: str) -> None:
    problems = []
    for name in names:
        if any(counts[split][name] == 0 for split in SPLIT_NAMES):
            listed = ", ".join(f"{split} {counts[split][name]}" for split in SPLIT_NAMES)
            problems.append(f"class {name!r} has {sum(counts[split][name] for split in SPLIT_NAMES)} images: {listed}")
    if problems:
        raise DataError("not every class is in every split", problems=problems, hint=f"add {needed} or leave those classes out")


def fingerprint_of(source: ImageSource, contents: Sequence[str]) -> str:
    """Hex SHA-256 of the class names and of every image's id, label, content, patient, site and part, in order.

    Args:
        source: what is fingerprinted.
        contents: hash of what every image is, as `read_contents` gives them.
    """
    digest = hashlib.sha256("\n".join(source.class_names).encode())
    facts = [facts for facts in (source.groups, source.sites, source.published_split) if facts is not None]
    for position, (identity, label) in enumerate(zip(source.ids, source.labels_N.tolist(), strict=True)):
        more = "".join(f"\0{names[position]}" for names in facts)
        digest.update(f"{identity}\0{label}\0{contents[position]}{more}\n".encode())
    return digest.hexdigest()


def fingerprint(source: ImageSource) -> str:
    """`fingerprint_of` a source whose images are all read.

    Raises:
        DataError: naming every image that cannot be read.
    """
    *_, (contents, _) = (record for record in read_contents(source, FileIndex({})) if not isinstance(record, int))
    return fingerprint_of(source, contents)


def split_source(source: ImageSource, *, fractions: Mapping[str, float] = DEFAULT_FRACTIONS, seed: int) -> Splits:
    """`make_splits` of a source, with its fingerprint.

    Raises:
        DataError: as `make_splits`.
    """
    splits = make_splits(
        source.labels_N,
        source.groups,
        fractions=fractions,
        seed=seed,
        published=source.published_split,
        class_names=source.class_names,
    )
    return replace(splits, fingerprint=fingerprint(source))


def check_fingerprint(
    splits: Splits, source: ImageSource, contents: Sequence[str] | None = None, index: FileIndex | None = None
) -> None:
    """Check that the data set is the one that was divided.

    Args:
        splits: of the data set as it was.
        source: as it is, without the excluded images.
        contents: hash of what every image is now; None reads them all.
        index: of the files when they were divided, to name those that changed.

    Raises:
        DataError: if an image, its name, label, patient, site or part changed.
    """
    if len(source.labels_N) != len(splits):
        changed = f"{len(splits)} images then, {len(source.labels_N)} now"
    elif (fingerprint(source) if contents is None else fingerprint_of(source, contents)) != splits.fingerprint:
        changed = "images, names, labels, patients, sites or parts differ"
    else:
        return
    problems = [] if index is None else changed_files(source, index, contents or (), splits.excluded)
    raise DataError(f"data set {source.name} changed since it was divided: {changed}", problems=problems, hint=_AGAIN)


def save_splits(path: Path, splits: Splits) -> None:
    """Write the splits atomically as JSON with a hash.

    Raises:
        RunFolderError: if the file cannot be written.
    """
    value: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "fingerprint": splits.fingerprint,
        "seed": splits.seed,
        "fractions": dict(splits.fractions),
        "class_names": list(splits.class_names),
        "class_counts": {name: dict(counts) for name, counts in splits.class_counts.items()},
        "options": dict(splits.options),
        "pixels": dict(splits.pixels),
        "excluded": dict(splits.excluded),
        "indices": {name: splits.indices[name].tolist() for name in SPLIT_NAMES},
    }
    write_sealed(path, "splits", value)


def load_splits(path: Path) -> Splits:
    """Read what `save_splits` wrote.

    Raises:
        RunFolderError: if the file is missing, edited, damaged, of another schema, or not a partition.
    """
    value = read_sealed(path, "splits", schema_version=SCHEMA_VERSION, hint=_AGAIN)
    try:
        indices = {name: _indices(value["indices"][name]) for name in SPLIT_NAMES}
        splits = Splits(
            indices=indices,
            class_names=tuple(str(name) for name in value["class_names"]),
            class_counts={
                split: {str(name): int(count) for name, count in value["class_counts"][split].items()} for split in SPLIT_NAMES
            },
            seed=int(value["seed"]),
            fractions={name: float(value["fractions"][name]) for name in SPLIT_NAMES},
            fingerprint=str(value["fingerprint"]),
            excluded={str(name): str(reason) for name, reason in value["excluded"].items()},
            options=dict(value["options"]),
            pixels=dict(value.get("pixels", {})),
        )
        _require_partition(splits)
    except KeyError as error:
        raise RunFolderError(f"{path} lacks {error.args[0]!r}", hint=_AGAIN) from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RunFolderError(f"{path} is damaged: {error}", hint=_AGAIN) from error
    return splits


def _indices(values: Any) -> NDArray[np.int64]:
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise ValueError("indices are no whole numbers")
    return np.array(values, dtype=np.int64)


def _require_partition(splits: Splits) -> None:
    together_N = np.sort(np.concatenate([splits.indices[name] for name in SPLIT_NAMES]))
    if not np.array_equal(together_N, np.arange(len(together_N))):
        raise ValueError("the splits overlap or leave images out")
    for name in SPLIT_NAMES:
        counts = splits.class_counts[name]
        if tuple(counts) != splits.class_names or sum(counts.values()) != len(splits.indices[name]):
            raise ValueError(f"class counts of {name} do not fit its {len(splits.indices[name])} images")


__all__ = [
    "DEFAULT_FRACTIONS",
    "SPLIT_NAMES",
    "Splits",
    "check_fingerprint",
    "fingerprint",
    "fingerprint_of",
    "load_splits",
    "make_splits",
    "save_splits",
    "split_source",
]
