"""Operators that take numbers one by one, two by two or along the last axis: on tensors as they lie, where that is possible."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgenas.graphs.rewriting.columns import by_columns
from edgenas.graphs.rewriting.draft import Draft
from edgenas.graphs.rewriting.folding import into_weights
from edgenas.graphs.rewriting.kinds import attribute_of
from edgenas.graphs.views import View

if TYPE_CHECKING:
    import onnx


def each(draft: Draft, node: onnx.NodeProto) -> bool:
    """An operator that takes number by number."""
    view = draft.views.get(node.input[0])
    if view is None:
        return False
    draft.force(view.base)
    draft.emit_on(node, [view.base, *node.input[1:]], view, draft.lies[view.base])
    return True


def pair(draft: Draft, node: onnx.NodeProto) -> bool:
    """Sum, product, difference or quotient: of a value and a number, a value and a vector, or two values of one shape."""
    left, right = (draft.views.get(name) for name in node.input)
    if left is not None and right is not None:
        return _of_two(draft, node, left, right)
    view, place = (left, 0) if left is not None else (right, 1)
    tensor = draft.tensors.get(node.input[1 - place])
    if view is None or tensor is None or draft.shapes.get(node.output[0]) != view.shape:
        return False
    if into_weights(draft, node, view, tensor, place):
        return True
    draft.force(view.base)
    lies, dims = draft.lies[view.base], tuple(tensor.dims)
    is_number = math.prod(dims) == 1 and len(dims) <= len(lies)
    is_vector = len(dims) == 1 and view.ends_in_memory and view.shape[-1:] == dims == lies[-1:]
    if not (is_number or is_vector):
        return False
    names = list(node.input)
    names[place] = view.base
    draft.emit_on(node, names, view, lies)
    return True


def _of_two(draft: Draft, node: onnx.NodeProto, left: View, right: View) -> bool:
    """One operand comes to lie as the other: as the one whose last axis is the last in memory, if only one is so."""
    if left.shape != right.shape:
        return False
    first, second = (right, left) if right.ends_in_memory and not left.ends_in_memory else (left, right)
    draft.force(first.base)
    lies = draft.lies[first.base]
    fine = second.reshaped([first.sizes[atom] for atom in first.order])
    if fine is None or len(fine.counts) != len(first.sizes):
        return False
    placed = draft.place(fine.transposed(first.lying()), lies)
    names = [first.base, placed] if first is left else [placed, first.base]
    draft.emit_on(node, names, first, lies)
    return True


def normalise(draft: Draft, node: onnx.NodeProto) -> bool:
    """LayerNormalization over the last axis, on the rows of a matrix, in whichever order they lie; or as `columns` makes it."""
    if node.output[0] in draft.columns and by_columns(draft, node):
        return True
    view = draft.views.get(node.input[0])
    rank = 0 if view is None else len(view.counts)
    if view is None or "matrix" not in draft.wanted or len(node.output) > 1 or attribute_of(node, "axis", -1) not in (-1, rank - 1):
        return False
    if not view.counts[-1]:
        return False
    placed, view = draft.rows(view)
    draft.emit_on(node, [placed, *node.input[1:]], view, draft.lies[placed], axis=-1)
    return True


def along_last(draft: Draft, node: onnx.NodeProto) -> bool:
    """An operator along the last axis, on the tensor as it lies if that axis is the last there too."""
    view = draft.views.get(node.input[0])
    if view is None or not view.counts or attribute_of(node, "axis", -1) not in (-1, len(view.counts) - 1):
        return False
    draft.force(view.base)
    lies = draft.lies[view.base]
    if not view.ends_in_memory or lies[-1] != view.shape[-1]:
        return False
    draft.emit_on(node, [view.base], view, lies, axis=-1)
    return True
