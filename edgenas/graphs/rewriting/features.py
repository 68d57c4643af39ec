"""Slice, Split and Gather of a projection's features: projections to these alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgenas.graphs.rewriting.draft import Draft
from edgenas.graphs.rewriting.folding import to_features
from edgenas.graphs.rewriting.kinds import attribute_of
from edgenas.graphs.rewriting.projections import first_feature, resized
from edgenas.graphs.weights import integers

if TYPE_CHECKING:
    import onnx


def sliced(draft: Draft, node: onnx.NodeProto) -> bool:
    """A slice of a projection's features is a projection to them."""
    given = [integers(draft.tensors.get(name)) for name in node.input[1:]]
    if not all(given) or any(values is None or len(values) != 1 for values in given) or len(given) < 3:
        return False
    (start, stop, axis, *step) = (values[0] for values in given if values is not None)
    return step in ([], [1]) and _features(draft, node.input[0], [(start, stop, node.output[0])], axis)


def parted(draft: Draft, node: onnx.NodeProto) -> bool:
    """Parts of a projection's features are projections to them."""
    shapes = [draft.shapes.get(name) for name in node.output]
    axis = int(attribute_of(node, "axis", 0))
    if any(shape is None for shape in shapes):
        return False
    ends = [0]
    for shape in shapes:
        assert shape is not None
        ends.append(ends[-1] + shape[axis])
    return _features(draft, node.input[0], [(ends[i], ends[i + 1], name) for i, name in enumerate(node.output)], axis)


def picked(draft: Draft, node: onnx.NodeProto) -> bool:
    """One index of an axis of a projection's features is a projection to what is there."""
    index, view = draft.tensors.get(node.input[1]), draft.views.get(node.input[0])
    picked = integers(index)
    if index is None or view is None or picked is None or len(index.dims) or picked[0] < 0:
        return False
    axis = int(attribute_of(node, "axis", 0)) % len(view.counts)
    if not _features(draft, node.input[0], [(picked[0], picked[0] + 1, node.output[0])], axis):
        return False
    part = draft.views[node.output[0]]
    counts = part.counts[:axis] + part.counts[axis + 1 :]
    draft.views[node.output[0]] = replace(part, counts=counts)
    return True


def _features(draft: Draft, name: str, parts: Sequence[tuple[int, int, str]], axis: int) -> bool:
    """Projections to parts of the features of one that waits, where ``axis`` is the slowest of its features."""
    view = draft.views.get(name)
    projection = None if view is None else draft.waiting.get(view.base)
    if "heads" not in draft.wanted or view is None or projection is None or projection.spatial is not None:
        return False
    atoms = view.axes[axis % len(view.counts)]
    first = first_feature(view, projection.num_out)
    if len(atoms) != 1 or atoms[0] != first:
        return False
    size, inner = view.sizes[first], projection.num_out // view.sizes[first]
    for start, stop, output in parts:
        begin, end = (value + size if value < 0 else min(value, size) for value in (start, stop))
        own = to_features(draft, projection, output, begin * inner, end * inner)
        draft.waiting[output] = own
        draft.views[output] = resized(view, first, end - begin, output)
        draft.own.add(output)
        draft.lies[output] = (*draft.lies[view.base][:-1], own.num_out)
        draft.counts["heads"] += 1
    return True
