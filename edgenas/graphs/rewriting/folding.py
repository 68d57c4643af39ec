"""Projections that wait take up what follows: a bias, a factor, the choice of some of their features."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgenas.graphs.rewriting.draft import Draft
from edgenas.graphs.rewriting.projections import WaitingProjection, first_feature
from edgenas.graphs.views import View
from edgenas.graphs.weights import derived, scalar

if TYPE_CHECKING:
    import onnx


def into_weights(draft: Draft, node: onnx.NodeProto, view: View, tensor: onnx.TensorProto, place: int) -> bool:
    """Whether a bias or a factor went into a projection that waits and that nothing else reads."""
    source, projection = node.input[place], draft.waiting.get(view.base)
    if projection is None or source not in draft.own or draft.uses[source] != 1:
        return False
    number, output = scalar(tensor), node.output[0]
    if node.op_type == "Add" and projection.bias is None and number is None and len(tensor.dims) == 1:
        width = projection.num_out
        features = tuple(range(first_feature(view, width), len(view.sizes))) if projection.spatial is None else None
        if tensor.dims[0] != width or view.shape[-1] != width or (features is not None and view.axes[-1] != features):
            return False
        changed = replace(projection, bias=tensor)
    elif "scale" in draft.wanted and number is not None and (node.op_type == "Mul" or (node.op_type == "Div" and place == 0)):
        changed = _scaled(draft, projection, output, number if node.op_type == "Mul" else 1 / number)
        draft.counts["scale"] += 1
    else:
        return False
    del draft.waiting[view.base]
    draft.waiting[output] = changed
    draft.views[output] = view.of(output)
    draft.own.add(output)
    draft.lies[output] = draft.lies[view.base]
    return True


def _scaled(draft: Draft, projection: WaitingProjection, output: str, factor: float) -> WaitingProjection:
    weight, bias = projection.weight, projection.bias
    weight = draft.keep(derived(weight, f"{output}:weight", weight.dims, lambda values: values * factor))
    if bias is not None:
        bias = draft.keep(derived(bias, f"{output}:bias", bias.dims, lambda values: values * factor))
    return replace(projection, weight=weight, bias=bias)


def to_features(draft: Draft, projection: WaitingProjection, output: str, begin: int, end: int) -> WaitingProjection:
    """A projection to a range of the features; ``output`` names its weights."""
    weight, bias, turned = projection.weight, projection.bias, projection.is_turned
    dims = (end - begin, projection.num_in) if turned else (projection.num_in, end - begin)
    weight = draft.keep(
        derived(weight, f"{output}:weight", dims, lambda values: values[begin:end] if turned else values[:, begin:end])
    )
    if bias is not None:
        bias = draft.keep(derived(bias, f"{output}:bias", (end - begin,), lambda values: values[begin:end]))
    return replace(projection, weight=weight, bias=bias)
