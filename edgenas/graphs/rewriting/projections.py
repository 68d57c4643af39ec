"""Matrix products with a weight that wait for a reader, and how their results are read."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgenas.graphs.views import Shape, View, plain

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class WaitingProjection:
    """A matrix product with a weight that waits for a reader.

    Attributes:
        node: that it comes from.
        rows: what is projected, along its last axis.
        weight: initialiser of shape (features in, features out), or the other way round if ``is_turned``.
        bias: initialiser, None without one.
        spatial: height and width that it is computed over as a 1x1 convolution; None for a product of matrices.
    """

    node: onnx.NodeProto
    rows: View
    weight: onnx.TensorProto
    bias: onnx.TensorProto | None
    is_turned: bool
    spatial: Shape | None

    @property
    def num_in(self) -> int:
        """Features in."""
        return int(self.weight.dims[1 if self.is_turned else 0])

    @property
    def num_out(self) -> int:
        """Features out."""
        return int(self.weight.dims[0 if self.is_turned else 1])


def first_feature(view: View, num: int) -> int:
    """The atom at which the features of a projection's rows begin: the last ones in memory, ``num`` together."""
    atom, left = len(view.sizes), num
    while left > 1:
        atom -= 1
        left //= view.sizes[atom]
    return atom


def over_rows(projection: WaitingProjection, base: str) -> View:
    """A projection's result, its rows in the order in which they lie where the features are the last in memory already."""
    rows = projection.rows
    num = rows.counts[-1]
    order = rows.order[: len(rows.order) - num]
    if not rows.ends_in_memory:
        sizes = tuple(rows.sizes[atom] for atom in order)
        order = tuple(range(len(order)))
    else:
        sizes = rows.sizes[: len(rows.sizes) - num]
    return View(base, (*sizes, projection.num_out), (*order, len(order)), (*rows.counts[:-1], 1))


def over_space(projection: WaitingProjection, base: str, shape: Shape) -> View | None:
    """A 1x1 convolution's result, read as (batch, tokens, features); None where the tokens are no image."""
    assert projection.spatial is not None
    if len(shape) != 3 or shape[1] != math.prod(projection.spatial):
        return None
    image = plain(base, (shape[0], shape[2], *projection.spatial)).reshaped((shape[0], shape[2], shape[1]))
    return None if image is None else image.transposed((0, 2, 1))


def image_of(shape: Shape, spatial: Shape) -> Shape:
    """The shape of an image of (batch, tokens, features)."""
    return (shape[0], shape[2], *spatial)


def shape_of(projection: WaitingProjection, view: View) -> Shape:
    """How a projection's result lies."""
    if projection.spatial is not None:
        return image_of(view.shape, projection.spatial)
    return (math.prod(view.sizes) // projection.num_out, projection.num_out)


def resized(view: View, atom: int, size: int, base: str) -> View:
    """With another size of one atom, which goes where it is 1."""
    sizes = list(view.sizes)
    sizes[atom] = size
    if size > 1:
        return replace(view, base=base, sizes=tuple(sizes))
    del sizes[atom]
    axes = [tuple(each - (each > atom) for each in axis if each != atom) for axis in view.axes]
    return View(base, tuple(sizes), tuple(each for axis in axes for each in axis), tuple(len(axis) for axis in axes))
