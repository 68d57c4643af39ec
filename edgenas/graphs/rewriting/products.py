"""Products of matrices: with a weight they wait for a reader, of two values they are made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgenas.graphs.rewriting.absorbing import absorb_output, absorb_queries
from edgenas.graphs.rewriting.around import spatial_of
from edgenas.graphs.rewriting.draft import Draft
from edgenas.graphs.rewriting.kinds import attribute_of
from edgenas.graphs.rewriting.projections import WaitingProjection, over_rows, over_space, shape_of

if TYPE_CHECKING:
    import onnx


def product(draft: Draft, node: onnx.NodeProto) -> bool:
    """A projection if the second factor is a weight, else a product of batches of matrices."""
    left, right = node.input
    weight = draft.tensors.get(right)
    if weight is not None and len(weight.dims) == 2 and left in draft.views:
        return _project(draft, node, weight, None, is_turned=False)
    if left in draft.views and right in draft.views and len(draft.views[right].counts) > 1:
        if "absorb" in draft.wanted and (absorb_queries(draft, node) or absorb_output(draft, node)):
            return True
        draft.emit_like(node, [draft.place(draft.views[left]), draft.place_turned(draft.views[right])])
        return True
    return False


def gemm(draft: Draft, node: onnx.NodeProto) -> bool:
    """A projection if the second factor and the bias are weights and nothing is scaled."""
    plain_factors = attribute_of(node, "alpha", 1.0) == 1.0 == attribute_of(node, "beta", 1.0) and not attribute_of(
        node, "transA", 0
    )
    weight = draft.tensors.get(node.input[1])
    bias = draft.tensors.get(node.input[2]) if len(node.input) > 2 else None
    known = weight is not None and node.input[0] in draft.views and (len(node.input) < 3 or bias is not None)
    if not plain_factors or not known or weight is None or (bias is not None and len(bias.dims) != 1):
        return False
    return _project(draft, node, weight, bias, is_turned=bool(attribute_of(node, "transB", 0)))


def _project(draft: Draft, node: onnx.NodeProto, weight: Any, bias: Any, *, is_turned: bool) -> bool:
    """Let a projection wait for its reader."""
    rows = draft.views[node.input[0]]
    shape = draft.shapes.get(node.output[0])
    spatial = spatial_of(draft, node) if "pointwise" in draft.wanted else None
    projection = WaitingProjection(node, rows, weight, bias, is_turned, spatial)
    if shape is None or projection.num_in != rows.shape[-1] or projection.num_out == 1:
        return False
    view = over_space(projection, node.output[0], shape) if spatial is not None else None
    if view is None:
        if "matrix" not in draft.wanted:
            return False
        projection, view = replace(projection, spatial=None), over_rows(projection, node.output[0])
    draft.waiting[node.output[0]] = projection
    draft.views[node.output[0]] = view
    draft.own.add(node.output[0])
    draft.lies[node.output[0]] = shape_of(projection, view)
    return True
