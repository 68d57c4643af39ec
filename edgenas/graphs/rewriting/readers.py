"""What multiplies the features of a normalisation by weights, and so can take its factors and biases up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgenas.graphs.rewriting.draft import Draft
from edgenas.graphs.rewriting.kinds import MOVES, attribute_of
from edgenas.graphs.views import View, plain
from edgenas.graphs.weights import combined

if TYPE_CHECKING:
    import onnx

Passes = Callable[[Draft, "onnx.NodeProto"], bool]
"""Whether a node of one input gives, of features with factors and biases, what it gives of plain ones with the same."""


@dataclass(frozen=True, slots=True)
class Features:
    """A value whose features had factors and biases.

    Attributes:
        name: of the value.
        view: how it is read.
        width: features.
        inner: numbers that lie between two features.
    """

    name: str
    view: View
    width: int
    inner: int

    def are(self, axis: int) -> bool:
        """Whether they are an axis."""
        atoms, sizes = self.view.axes[axis], self.view.sizes
        return len(atoms) == 1 and sizes[atoms[0]] == self.width and math.prod(sizes[atoms[0] + 1 :]) == self.inner


@dataclass(frozen=True, slots=True)
class NormReader:
    """A node that multiplies features by a weight.

    Attributes:
        node: a product, or a convolution that adds no border.
        weight: its initialiser.
        bias: its initialiser, None without one.
        adds: the node that adds the bias, None where the reader does.
    """

    node: onnx.NodeProto
    weight: onnx.TensorProto
    bias: onnx.TensorProto | None
    adds: onnx.NodeProto | None

    @property
    def is_turned(self) -> bool:
        """Whether the weight has features in its second axis."""
        return self.node.op_type == "Conv" or bool(attribute_of(self.node, "transB", 0))


def readers_of(draft: Draft, name: str, axis: int, passes: Passes = lambda draft, node: False) -> list[NormReader] | None:
    """What reads a normalisation, if all of it can take its factors and biases up.

    Args:
        draft: that knows the graph.
        name: of the value.
        axis: of its features.
        passes: what may stand between, beside moves.
    """
    outputs = {value.name for value in draft.model.graph.output}
    readers: list[NormReader] = []
    left = [_features(name, draft.shapes[name], axis)]
    while left:
        features = left.pop()
        if features.name in outputs:
            return None
        for node in draft.readers.get(features.name, []):
            further = _moved(draft, node, features)
            if further is None and features.are(1) and passes(draft, node):
                further = _features(node.output[0], draft.shapes[node.output[0]], 1)
            reader = _reader(draft, node, features) if further is None else None
            if further is not None:
                left.append(further)
            elif reader is not None:
                readers.append(reader)
            else:
                return None
    return readers


def _features(name: str, shape: tuple[int, ...], axis: int) -> Features:
    return Features(name, plain(name, shape), shape[axis], math.prod(shape[axis:][1:]))


def _moved(draft: Draft, node: onnx.NodeProto, features: Features) -> Features | None:
    shape, view = draft.shapes.get(node.output[0]), features.view
    if node.op_type not in MOVES or shape is None:
        return None
    moved = view.transposed(attribute_of(node, "perm")) if node.op_type == "Transpose" else view.reshaped(shape)
    return None if moved is None else Features(node.output[0], moved, features.width, features.inner)


def _reader(draft: Draft, node: onnx.NodeProto, features: Features) -> NormReader | None:
    """A node that multiplies features by a weight; None if it does not, or could take no bias up."""
    first, *others = node.input
    weight = draft.tensors.get(others[0]) if others and first == features.name else None
    if weight is None:
        return None
    if node.op_type == "MatMul" and len(weight.dims) == 2 and features.are(-1):
        readers = draft.readers.get(node.output[0], [])
        adds = readers[0] if len(readers) == 1 == draft.uses[node.output[0]] and readers[0].op_type == "Add" else None
        biases = [] if adds is None else [draft.tensors[each] for each in adds.input if each in draft.tensors]
        if len(biases) == 1 and tuple(biases[0].dims) == (weight.dims[1],):
            return NormReader(node, weight, biases[0], adds)
        return None
    is_plain = (_is_plain_convolution(node) and features.are(1)) or (_is_plain_gemm(node) and features.are(-1))
    bias = draft.tensors.get(others[1]) if len(others) > 1 else None
    if not is_plain or (bias is None and len(others) > 1):
        return None
    return NormReader(node, weight, bias, None)


def _is_plain_convolution(node: onnx.NodeProto) -> bool:
    """Whether a convolution multiplies every feature and adds no border."""
    has_border = any(attribute_of(node, "pads", ())) or attribute_of(node, "auto_pad", b"NOTSET") != b"NOTSET"
    return node.op_type == "Conv" and attribute_of(node, "group", 1) == 1 and not has_border


def _is_plain_gemm(node: onnx.NodeProto) -> bool:
    factors = (attribute_of(node, "alpha", 1.0), attribute_of(node, "beta", 1.0))
    return node.op_type == "Gemm" and factors == (1.0, 1.0) and not attribute_of(node, "transA", 0)


def take_up(
    nodes: Mapping[str, onnx.NodeProto],
    reader: NormReader,
    factors: onnx.TensorProto,
    shifts: onnx.TensorProto,
    *,
    is_unit: bool = False,
) -> tuple[onnx.TensorProto, onnx.TensorProto]:
    """Let a reader give of features with factors of 1 and biases of 0 what it gave; weight and bias that it has to find for that.

    Args:
        nodes: by their first output; that of the reader is changed, and the one that adds its bias.
        reader: one of `readers_of`.
        factors: initialiser of shape (features,).
        shifts: their biases, of the same shape.
        is_unit: whether features keep biases of 1.
    """
    weight, bias = _taken_up(reader, factors, shifts, is_unit=is_unit)
    own = nodes[reader.node.output[0]]
    own.input[1] = weight.name
    if reader.adds is not None and reader.bias is not None:
        adds = nodes[reader.adds.output[0]]
        adds.input[list(adds.input).index(reader.bias.name)] = bias.name
    else:
        own.input[2:] = [bias.name]
    return weight, bias


def _taken_up(reader: NormReader, factors: Any, shifts: Any, *, is_unit: bool) -> tuple[onnx.TensorProto, onnx.TensorProto]:
    weight, name, is_turned = reader.weight, reader.node.output[0], reader.is_turned
    own_bias = [] if reader.bias is None else [reader.bias]

    def scaled(w: Any, f: Any) -> Any:
        return w * f.reshape(1, -1, *(1,) * (w.ndim - 2)) if is_turned else w * f.reshape(-1, 1)

    def shifted(w: Any, f: Any, s: Any, *b: Any) -> Any:
        w_OI = w.sum(tuple(range(2, w.ndim)), dtype=np.float64) if is_turned else w.T
        return w_OI @ np.subtract(s, f if is_unit else 0.0, dtype=np.float64) + (b[0] if b else 0.0)

    shape = [weight.dims[0 if is_turned else 1]]
    own = combined([weight, factors], f"{name}:unit", weight.dims, scaled)
    return own, combined([weight, factors, shifts, *own_bias], f"{name}:shift", shape, shifted)
