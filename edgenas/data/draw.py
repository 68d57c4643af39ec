"""So many images of every class, chosen before any is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edgenas.data.allocate import ValAs, take_per_class
from edgenas.data.base import ImageSource
from edgenas.data.leaks import linked
from edgenas.data.subset import without
from edgenas.errors import DataError

_STREAM = 1  # beside the seed: the draw must not depend on how the drawn images are divided, nor the other way round


@dataclass(frozen=True, slots=True)
class Drawn:
    """A source without the images that were not drawn.

    Attributes:
        source: what is left of it.
        left_out: the reason by id of every other image.
        num_pool: images that were drawn from.
    """

    source: ImageSource
    left_out: Mapping[str, str] = field(default_factory=dict)
    num_pool: int = 0

    def __str__(self) -> str:
        kept = self.num_pool - len(self.left_out)
        return f"{kept:,} of {self.num_pool:,} images drawn, {len(self.left_out):,} left out"


def draw_per_class(source: ImageSource, num: int, *, seed: int, val_as: ValAs = "select") -> Drawn:
    """Draw ``num`` images of every class from what is not published as test; all of a class that has no more.

    Files that are listed twice and images of one patient are taken together, so a class may come out above ``num``. No picture is
    decoded: one that equals a drawn one may be left out, which leaks nothing, because it is not used at all.

    Args:
        source: as `scan_source` gives it.
        num: images of every class.
        seed: of the draw; with the same one fewer images are some of more where every image stands alone.
        val_as: what a published ``val`` is used as; drawn from unless it is the test split.

    Raises:
        DataError: if ``num`` is below 1.
    """
    if num < 1:
        raise DataError(f"max_per_class is {num}; allowed is 1 or more")
    parts = source.published_split
    tested = ("test", "val") if val_as == "test" else ("test",)
    pool_M = np.array([i for i in range(len(source.labels_N)) if parts is None or parts[i] not in tested], dtype=np.int64)
    clusters_N = linked(source, [""] * len(source.labels_N))
    taken_M = take_per_class(
        source.labels_N[pool_M],
        clusters_N[pool_M].tolist(),
        num,
        len(source.class_names),
        np.random.default_rng((seed, _STREAM)),
    )
    reason = f"not drawn: max_per_class is {num}"
    left_out = {source.ids[position]: reason for position in pool_M[~taken_M].tolist()}
    return Drawn(without(source, left_out), left_out, len(pool_M))
