"""Means of whole images: one operator that runtimes compute in the layout of convolutions, where a mean of any axes is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgenas.graphs.rewriting.draft import Draft
from edgenas.graphs.rewriting.kinds import attribute_of
from edgenas.graphs.views import plain
from edgenas.graphs.weights import integers

if TYPE_CHECKING:
    import onnx

IMAGE_AXES = {2, 3}


def pooled(draft: Draft, node: onnx.NodeProto) -> bool:
    """A mean over height and width of what lies as convolutions give it."""
    view = draft.views.get(node.input[0])
    if "pool" not in draft.wanted or view is None or len(node.input) != 2:
        return False
    axes, shape = integers(draft.tensors.get(node.input[1])), view.shape
    if len(shape) != 4 or axes is None or {axis % 4 for axis in axes} != IMAGE_AXES:
        return False
    draft.force(view.base)
    if not view.is_in_order or draft.lies[view.base] != shape:
        return False  # of rows, a mean over them takes no step before
    output = node.output[0]
    name = f"{output}:pooled"
    draft.emit("GlobalAveragePool", [view.base], name)
    draft.lies[name] = (*shape[:2], 1, 1)
    pooled_view = plain(name, draft.lies[name])
    read = pooled_view if attribute_of(node, "keepdims", 1) else pooled_view.reshaped(shape[:2])
    assert read is not None  # axes of size 1 have no atoms
    draft.views[output] = read
    draft.counts["pool"] += 1
    return True
