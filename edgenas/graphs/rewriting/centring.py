"""Sums of a residual stream without a mean: what adds to it is centred, so that normalising it needs no mean.

LayerNormalization subtracts each row's mean, so that what only normalisations read needs none: the weights and biases of what
is added lose theirs, once and for all. Where something else adds to a stream, e.g. a normalisation that it begins with, the
mean is subtracted there. A row of mean 0 is normalised by the root of the mean of its squares (`roots`), which is exact. The idea
is that of Ashkboos et al., "SliceGPT", 2024, section 3.2; nothing is sliced here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edgenas.graphs.naming import joined, module_of
from edgenas.graphs.rewriting.draft import Draft
from edgenas.graphs.rewriting.kinds import MOVES, attribute_of
from edgenas.graphs.rewriting.roots import CENTRED
from edgenas.graphs.views import View, plain
from edgenas.graphs.weights import derived

if TYPE_CHECKING:
    import onnx


@dataclass(slots=True)
class Stream:
    """Values that only normalisations and sums read, while they are found.

    Attributes:
        width: features of a row.
        values: names of all sums and of what is added.
        norms: nodes that normalise one of them.
        centred: constants and weights of what is added, as a node, which of its inputs, and the axis of the features.
        others: values of which the mean has to be subtracted.
    """

    width: int
    values: set[str] = field(default_factory=set)
    norms: list[onnx.NodeProto] = field(default_factory=list)
    centred: list[tuple[onnx.NodeProto, int, int]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def pays(self) -> bool:
        """Whether more is saved than is added: subtracting a mean takes nearly as long as two normalisations gain."""
        return len(self.norms) > 2 * len(self.others)


def with_centred_streams(draft: Draft) -> tuple[onnx.ModelProto, frozenset[str]]:
    """The model with streams that have no mean, and what `roots` makes: their normalisations, and rows without a mean, by name.

    The model itself is not changed.
    """
    import onnx

    streams = [stream for stream in _streams(draft) if stream.pays]
    if not streams:
        return draft.model, frozenset()
    model = onnx.ModelProto()
    model.CopyFrom(draft.model)
    nodes = {node.output[0]: node for node in model.graph.node}
    without_mean: frozenset[str] = frozenset()
    for stream in streams:
        for node, place, axis in stream.centred:
            own = _centred(draft.tensors[node.input[place]], f"{node.output[0]}:centred{place}", axis)
            nodes[node.output[0]].input[place] = own.name
            model.graph.initializer.append(own)
        without_mean |= {_subtract_mean(model, name, stream.width, draft.readers[name]) for name in stream.others}
    return model, without_mean.union(norm.output[0] for stream in streams for norm in stream.norms)


def is_affine(draft: Draft, norm: onnx.NodeProto) -> bool:
    """Whether a node normalises along the last axis, with factors and biases of its own."""
    shape = draft.shapes.get(norm.output[0], ())
    return (
        norm.op_type == "LayerNormalization"
        and len(norm.input) == 3
        and len(norm.output) == 1
        and attribute_of(norm, "axis", -1) in (-1, len(shape) - 1)
        and all(tuple(draft.tensors[name].dims) == shape[-1:] if name in draft.tensors else False for name in norm.input[1:3])
    )


def _streams(draft: Draft) -> Iterator[Stream]:
    seen: set[str] = set()
    for node in draft.model.graph.node:
        if not is_affine(draft, node) or node.input[0] in seen:
            continue
        stream = Stream(draft.shapes[node.output[0]][-1])
        if _is_whole(draft, stream, node.input[0]):
            yield stream
        seen |= stream.values


def _is_whole(draft: Draft, stream: Stream, start: str) -> bool:
    """Find a stream from one of its values on; whether nothing but normalisations and sums reads it."""
    outputs, left = {value.name for value in draft.model.graph.output}, [start]
    while left:
        name = left.pop()
        if name in stream.values:
            continue
        stream.values.add(name)
        if name in outputs or name not in draft.makers or draft.shapes.get(name, ())[-1:] != (stream.width,):
            return False
        for reader in draft.readers.get(name, []):
            if is_affine(draft, reader) and reader.input[0] == name:
                stream.norms.append(reader)
            elif _is_sum(draft, reader) or _keeps_features(draft, reader):
                left.append(reader.output[0])
            else:
                return False
        left += _before(draft, stream, name)
    return True


def _before(draft: Draft, stream: Stream, name: str) -> list[str]:
    """Values of the stream that one follows from; what makes it otherwise is noted."""
    maker = draft.makers[name]
    constants = [place for place, each in enumerate(maker.input) if each in draft.tensors]
    if _is_sum(draft, maker):
        if not constants:
            return list(maker.input)
        if len(constants) == 1 and draft.tensors[maker.input[constants[0]]].dims[-1:] == [stream.width]:
            stream.centred.append((maker, constants[0], -1))
            return [maker.input[1 - constants[0]]]
    if _keeps_features(draft, maker):
        return [maker.input[0]]
    weighted = _weighted(draft, maker, stream.width) or _convolution(draft, name, stream.width)
    if weighted:
        stream.centred += weighted
    else:
        stream.others.append(name)
    return []


def _is_sum(draft: Draft, node: onnx.NodeProto) -> bool:
    """Whether a node adds a constant, or two values of one shape."""
    shapes = [draft.shapes.get(name) for name in node.input if name not in draft.tensors]
    return node.op_type == "Add" and all(shape is not None and shape == draft.shapes.get(node.output[0]) for shape in shapes)


def _keeps_features(draft: Draft, node: onnx.NodeProto) -> bool:
    """Whether a node moves rows as wholes."""
    before, after = draft.shapes.get(node.input[0]) if node.input else None, draft.shapes.get(node.output[0])
    if node.op_type not in MOVES or not before or not after or before[-1] != after[-1]:
        return False
    view = _moved(plain("", before), node, after)
    return view is not None and view.axes[-1] == (len(view.sizes) - 1,) and view.sizes[-1] == before[-1]


def _moved(view: View, node: onnx.NodeProto, shape: tuple[int, ...]) -> View | None:
    return view.transposed(attribute_of(node, "perm")) if node.op_type == "Transpose" else view.reshaped(shape)


def _weighted(draft: Draft, node: onnx.NodeProto, width: int) -> list[tuple[onnx.NodeProto, int, int]]:
    """Weight and bias of a product with so many features; nothing for other nodes."""
    weight = draft.tensors.get(node.input[1]) if node.op_type in ("MatMul", "Gemm") else None
    if weight is None or len(weight.dims) != 2:
        return []
    axis = 0 if attribute_of(node, "transB", 0) else 1
    weighted = [(node, 1, axis)]
    if len(node.input) > 2:
        bias = draft.tensors.get(node.input[2])
        if bias is None or tuple(bias.dims) != (width,):
            return []
        weighted.append((node, 2, 0))
    return weighted if weight.dims[axis] == width else []


def _convolution(draft: Draft, name: str, width: int) -> list[tuple[onnx.NodeProto, int, int]]:
    """Weight and bias of a convolution whose channels are a value's features, with nothing but moves between the two."""
    moves, node = [], draft.makers[name]
    while node.op_type in MOVES and node.input[0] in draft.makers and draft.uses[node.input[0]] == 1:
        moves.append(node)
        node = draft.makers[node.input[0]]
    shape = draft.shapes.get(node.output[0], ())
    if node.op_type != "Conv" or attribute_of(node, "group", 1) != 1 or len(shape) < 3 or shape[1] != width:
        return []
    view: View | None = plain("", shape)
    for move in reversed(moves):
        view = _moved(view, move, draft.shapes.get(move.output[0], ())) if view is not None else None
    if view is None or len(view.axes[-1]) != 1:
        return []
    (atom,) = view.axes[-1]
    is_channels = view.sizes[atom] == width and math.prod(view.sizes[atom + 1 :]) == math.prod(shape[2:])
    is_known = all(each in draft.tensors for each in node.input[1:])
    return [(node, place, 0) for place in range(1, len(node.input))] if is_channels and is_known else []


def _centred(tensor: onnx.TensorProto, name: str, axis: int) -> onnx.TensorProto:
    """Numbers without their mean along an axis."""
    return derived(tensor, name, tensor.dims, lambda values: values - values.mean(axis, dtype=np.float64, keepdims=True))


def _subtract_mean(model: onnx.ModelProto, name: str, width: int, readers: list[onnx.NodeProto]) -> str:
    """Let what reads a value read it without the mean of its rows; the name of that.

    What subtracts it stands as a normalisation until `roots` makes its steps, so that it takes rows as they lie.
    """
    import onnx

    result, factors = f"{name}{CENTRED}", f"ones:{width}"
    if all(tensor.name != factors for tensor in model.graph.initializer):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(width, dtype=np.float32), factors))
    outputs = {reader.output[0] for reader in readers}
    for node in model.graph.node:
        if node.output[0] in outputs:
            node.input[:] = [result if each == name else each for each in node.input]
    place = next(index for index, node in enumerate(model.graph.node) if name in node.output)
    around = joined(module_of(model.graph.node[place].name), "Sub")
    made = onnx.helper.make_node("LayerNormalization", [name, factors], [result], name=around, axis=-1)
    model.graph.node.insert(place + 1, made)
    known = next(value for value in model.graph.value_info if value.name == name)
    model.graph.value_info.add().CopyFrom(known)
    model.graph.value_info[-1].name = result
    return result
