"""Attention of one head with two products less: the queries' weights go into the keys, the output's into the values.

Scores are ``x Wq (z Wk)' = x (z Wk Wq')'``, and what attention gives is ``P (z Wv) Wo = P (z Wv Wo)``: where keys are few, as over
a reduced image, both projections of the many rows ``x`` are made on the few rows ``z`` instead. Rows of ``P`` sum to one, so that
the output's bias goes into the values; how the queries' bias goes into the keys says `norms`. Shapes: N queries, M keys, I features
of ``x``, Z of ``z``, D width of the head, O features out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.graphs.rewriting.draft import Draft
from edgenas.graphs.rewriting.kinds import MOVES, attribute_of
from edgenas.graphs.rewriting.projections import WaitingProjection, first_feature
from edgenas.graphs.views import View, plain
from edgenas.graphs.weights import combined

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class Output:
    """The projection that follows attention.

    Attributes:
        weight: initialiser of shape (D, O).
        bias: initialiser, None without one.
        made: values that are made with it, in their order; the last one is what others read.
    """

    weight: onnx.TensorProto
    bias: onnx.TensorProto | None
    made: tuple[str, ...]


def absorb_queries(draft: Draft, node: onnx.NodeProto) -> bool:
    """Scores of rows as they were before they became queries, and keys of as many features; whether that pays and could be done."""
    left, right = (draft.views[name] for name in node.input)
    queries, keys = (_waiting_for(draft, name) for name in node.input)
    if queries is None or keys is None or not _is_features(left, -1, queries) or not _is_features(right, -2, keys):
        return False
    num_queries, num_keys, width = left.shape[-2], right.shape[-1], queries.num_in
    if not pays(num_queries, num_keys, queries.num_out, width, keys.num_in):
        return False
    if queries.bias is not None and queries.rows.base not in draft.units:
        return False
    name = f"{node.output[0]}:keys"
    tensors = [each for each in (keys.weight, queries.weight, keys.bias, queries.bias) if each is not None]

    def weight_of(*arrays: NDArray[Any]) -> Any:
        k_ZD, q_ID, _, shift_D = _filled(arrays, keys, queries)
        return k_ZD @ q_ID.T + (k_ZD @ shift_D)[:, None] / width

    def bias_of(*arrays: NDArray[Any]) -> Any:
        _, q_ID, bias_D, shift_D = _filled(arrays, keys, queries)
        return q_ID @ bias_D + bias_D @ shift_D / width

    weight = draft.keep(combined(tensors, f"{name}:weight", (keys.num_in, width), weight_of))
    bias = None if keys.bias is None else draft.keep(combined(tensors, f"{name}:bias", (width,), bias_of))
    turned = _wait(draft, name, replace(keys, weight=weight, bias=bias, is_turned=False), right, keys.num_out)
    rows, _ = draft.rows(queries.rows)
    plain_rows = _with_features(left, queries.num_out, width, rows)
    del draft.waiting[left.base], draft.waiting[right.base]
    draft.emit_like(node, [draft.place(plain_rows), draft.place_turned(turned)])
    draft.counts["absorb"] += 1
    return True


def absorb_output(draft: Draft, node: onnx.NodeProto) -> bool:
    """What attention gives as the output's projection leaves it; whether that pays and could be done."""
    right = draft.views[node.input[1]]
    values, output = _waiting_for(draft, node.input[1]), output_after(draft, node)
    if values is None or output is None or not _is_features(right, -1, values):
        return False
    num_queries, num_keys, width = draft.shapes[node.output[0]][-2], right.shape[-2], int(output.weight.dims[1])
    if not pays(num_queries, num_keys, values.num_out, width, values.num_in):
        return False
    result, biases = output.made[-1], [each for each in (values.bias, output.bias) if each is not None]
    name = f"{result}:values"
    weight = combined([values.weight, output.weight], f"{name}:weight", (values.num_in, width), lambda v, o: _in_out(v, values) @ o)

    def bias_of(o_DO: NDArray[Any], *arrays: NDArray[Any]) -> Any:
        own = arrays[0] @ o_DO if values.bias is not None else 0.0
        return own + (arrays[-1] if output.bias is not None else 0.0)

    bias = draft.keep(combined([output.weight, *biases], f"{name}:bias", (width,), bias_of)) if biases else None
    changed = replace(values, weight=draft.keep(weight), bias=bias, is_turned=False)
    placed = _wait(draft, name, changed, right, values.num_out)
    del draft.waiting[right.base]
    lies = (*draft.shapes[node.output[0]][:-1], width)
    draft.emit("MatMul", [draft.place(draft.views[node.input[0]]), draft.place(placed)], result)
    draft.lies[result] = lies
    view = plain(result, lies).reshaped(draft.shapes[result])
    assert view is not None
    draft.views[result] = view
    draft.done.update(output.made)
    draft.counts["absorb"] += 1
    return True


def pays(num_queries: int, num_keys: int, width: int, outside: int, num_in: int) -> bool:
    """Whether it takes fewer multiply-accumulates to give the keys the ``outside`` features of the rows, of a head of ``width``."""
    apart = num_queries * width * (outside + num_keys) + num_keys * num_in * width
    return num_queries * outside * num_keys + num_keys * num_in * outside < apart


def output_after(draft: Draft, node: onnx.NodeProto) -> Output | None:
    """The projection of what a product of one head's scores and values gives, if nothing else reads that."""
    maker, shape = draft.makers.get(node.input[0]), draft.shapes.get(node.output[0])
    if maker is None or shape is None or maker.op_type != "Softmax":
        return None
    if attribute_of(maker, "axis", -1) not in (-1, len(shape) - 1):
        return None
    view, made = plain("", shape), []
    while (reader := _only_reader(draft, node)) is not None and reader.op_type in MOVES:
        moved = draft.shapes.get(reader.output[0])
        perm = attribute_of(reader, "perm")
        changed = None if moved is None else view.transposed(perm) if reader.op_type == "Transpose" else view.reshaped(moved)
        if changed is None:
            return None
        view, node = changed, reader
        made.append(node.output[0])
    weight = None if reader is None or reader.op_type != "MatMul" else draft.tensors.get(reader.input[1])
    if reader is None or weight is None or len(weight.dims) != 2 or not view.is_in_order or view.shape[-1] != shape[-1]:
        return None
    if weight.dims[0] != shape[-1] or reader.output[0] not in draft.shapes:
        return None
    made.append(reader.output[0])
    bias = _bias_after(draft, reader, int(weight.dims[1]))
    if bias is None:
        return Output(weight, None, tuple(made))
    return Output(weight, bias[0], (*made, bias[1]))


def _bias_after(draft: Draft, node: onnx.NodeProto, width: int) -> tuple[onnx.TensorProto, str] | None:
    """The bias that is added to a projection, and what that gives."""
    adds = _only_reader(draft, node)
    if adds is None or adds.op_type != "Add":
        return None
    biases = [tensor for name in adds.input if (tensor := draft.tensors.get(name)) is not None and tuple(tensor.dims) == (width,)]
    return (biases[0], adds.output[0]) if len(biases) == 1 and adds.output[0] in draft.shapes else None


def _only_reader(draft: Draft, node: onnx.NodeProto) -> onnx.NodeProto | None:
    readers = draft.readers.get(node.output[0], [])
    return readers[0] if len(readers) == 1 == draft.uses[node.output[0]] else None


def _waiting_for(draft: Draft, name: str) -> WaitingProjection | None:
    """The projection behind a value, if it waits and nothing else reads it."""
    projection = draft.waiting.get(draft.views[name].base)
    is_free = projection is not None and projection.spatial is None and name in draft.own and draft.uses[name] == 1
    return projection if is_free else None


def _is_features(view: View, axis: int, projection: WaitingProjection) -> bool:
    """Whether an axis of a view is all features of a projection, and no other axis has any."""
    first = first_feature(view, projection.num_out)
    atoms = tuple(range(first, len(view.sizes)))
    return len(view.counts) > 1 and view.axes[axis] == atoms and math.prod(view.sizes[atom] for atom in atoms) == projection.num_out


def _with_features(view: View, num: int, width: int, base: str) -> View:
    """Read as ``view``, where each of its rows has ``width`` features instead of ``num``."""
    first = first_feature(view, num)
    axes = [(first,) if axis and axis[0] == first else axis for axis in view.axes]
    return View(base, (*view.sizes[:first], width), tuple(a for axis in axes for a in axis), tuple(len(axis) for axis in axes))


def _wait(draft: Draft, name: str, projection: WaitingProjection, view: View, num: int) -> View:
    """Let a projection wait under a new name; how it is read."""
    draft.waiting[name] = projection
    placed = _with_features(view, num, projection.num_out, name)
    draft.lies[name] = (math.prod(placed.sizes) // projection.num_out, projection.num_out)
    return placed


def _in_out(values: NDArray[Any], projection: WaitingProjection) -> NDArray[Any]:
    """A projection's weight of shape (features in, features out), in float64."""
    return np.asarray(values.T if projection.is_turned else values, dtype=np.float64)


def _filled(arrays: tuple[NDArray[Any], ...], keys: WaitingProjection, queries: WaitingProjection) -> tuple[NDArray[Any], ...]:
    """Weights of keys and queries and their biases, of zeros where they have none."""
    k_ZD, q_ID = _in_out(arrays[0], keys), _in_out(arrays[1], queries)
    bias_D = arrays[2] if keys.bias is not None else np.zeros(keys.num_out)
    shift_D = arrays[-1] if queries.bias is not None else np.zeros(keys.num_out)
    return k_ZD, q_ID, bias_D, shift_D
