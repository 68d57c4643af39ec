"""Normalisations before attention of one head, whose factors and biases go into what reads them.

A row that is normalised has the mean 0; with factors and biases of 1 its features have the mean 1. So a number ``c`` that a product
of such rows is to be shifted by is ``c / I`` in each of the I rows of its weight, where no bias could be: in the keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgenas.graphs.rewriting.absorbing import output_after, pays
from edgenas.graphs.rewriting.centring import is_affine
from edgenas.graphs.rewriting.draft import Draft
from edgenas.graphs.rewriting.kinds import MOVES, PAIRS, attribute_of
from edgenas.graphs.rewriting.roots import ZEROS
from edgenas.graphs.views import View, plain
from edgenas.graphs.weights import combined, derived

if TYPE_CHECKING:
    import onnx

PARTS = frozenset({"Slice", "Split", "Gather"})


@dataclass(frozen=True, slots=True)
class NormReader:
    """A node that multiplies the rows of a normalisation by a weight.

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


def with_plain_norms(draft: Draft, centred: Collection[str]) -> tuple[onnx.ModelProto, frozenset[str]]:
    """The model in which normalisations before attention of one head have factors and biases of 1, and the names of what they give.

    Others of rows without a mean, which give ``centred``, have biases of 0. Only those are changed whose readers can all take the
    factors and biases up. The model itself is not changed.
    """
    import onnx

    units = frozenset(norm.output[0] for norm in _norms(draft)) if "absorb" in draft.wanted else frozenset()
    norms = [node for node in draft.model.graph.node if node.output and node.output[0] in {*units, *centred}]
    readers_of = {norm.output[0]: readers for norm in norms if (readers := _readers_of(draft, norm))}
    if not readers_of:
        return draft.model, frozenset()
    model = onnx.ModelProto()
    model.CopyFrom(draft.model)
    nodes = {node.output[0]: node for node in model.graph.node}
    for name, readers in readers_of.items():
        norm = nodes[name]
        factors, shifts = (draft.tensors[each] for each in norm.input[1:3])
        for reader in readers:
            weight, bias = _taken_up(reader, factors, shifts, is_unit=name in units)
            nodes[reader.node.output[0]].input[1] = weight.name
            adds = reader.node if reader.adds is None else reader.adds
            place = 2 if reader.adds is None else list(adds.input).index(_name_of(reader.bias))
            nodes[adds.output[0]].input[place] = bias.name
            model.graph.initializer.extend([weight, bias])
        ones = derived(factors, f"{name}:ones", factors.dims, np.ones_like)
        plain_shifts = derived(shifts, f"{name}:shifts", shifts.dims, np.ones_like)
        if name not in units:
            plain_shifts = derived(shifts, f"{name}{ZEROS}", shifts.dims, np.zeros_like)
        norm.input[1:3] = [ones.name, plain_shifts.name]
        model.graph.initializer.extend([ones, plain_shifts])
    return model, units.intersection(readers_of)


def _norms(draft: Draft) -> Iterator[onnx.NodeProto]:
    """Normalisations of what becomes the queries of one head, where it pays to take them as they are."""
    for node in draft.model.graph.node:
        scores = draft.makers.get(node.input[0]) if node.op_type == "Softmax" else None
        if scores is None or scores.op_type != "MatMul":
            continue
        shape, wide = draft.shapes.get(scores.output[0], ()), draft.shapes.get(scores.input[0], ())
        queries = _maker_through(draft, scores.input[0], MOVES | PAIRS | PARTS)
        weight = None if queries is None or queries.op_type != "MatMul" else draft.tensors.get(queries.input[1])
        if queries is None or weight is None or len(weight.dims) != 2 or len(shape) != 4 or shape[1] != 1:
            continue
        outside = int(weight.dims[0])
        norm = _maker_through(draft, queries.input[0], MOVES)
        mixed = draft.readers.get(node.output[0], [])
        is_one_head = len(mixed) == 1 and mixed[0].op_type == "MatMul" and output_after(draft, mixed[0]) is not None
        if is_one_head and norm is not None and pays(shape[2], shape[3], wide[3], outside, outside) and is_affine(draft, norm):
            yield norm


def _maker_through(draft: Draft, name: str, kinds: frozenset[str]) -> onnx.NodeProto | None:
    """The node that a value comes from, before operators of these kinds."""
    maker = draft.makers.get(name)
    while maker is not None and maker.op_type in kinds:
        sources = [each for each in maker.input if each in draft.makers]
        maker = draft.makers[sources[0]] if len(sources) == 1 or (sources and maker.op_type in PARTS | MOVES) else None
    return maker


def _readers_of(draft: Draft, norm: onnx.NodeProto) -> list[NormReader] | None:
    """What reads a normalisation, if all of it can take its factors and biases up."""
    shape = draft.shapes[norm.output[0]]
    outputs = {value.name for value in draft.model.graph.output}
    readers: list[NormReader] = []
    left: list[tuple[str, View]] = [(norm.output[0], plain("", shape))]
    while left:
        name, view = left.pop()
        if name in outputs:
            return None
        for node in draft.readers.get(name, []):
            moved = _moved(draft, node, view)
            reader = _reader(draft, node, name, view) if moved is None else None
            if moved is not None:
                left.append((node.output[0], moved))
            elif reader is not None:
                readers.append(reader)
            else:
                return None
    return readers


def _moved(draft: Draft, node: onnx.NodeProto, view: View) -> View | None:
    shape = draft.shapes.get(node.output[0])
    if node.op_type not in MOVES or shape is None:
        return None
    return view.transposed(attribute_of(node, "perm")) if node.op_type == "Transpose" else view.reshaped(shape)


def _reader(draft: Draft, node: onnx.NodeProto, name: str, view: View) -> NormReader | None:
    """A node that multiplies the features of a view by a weight; None if it does not, or could take no bias up."""
    weight = draft.tensors.get(node.input[1]) if len(node.input) > 1 and node.input[0] == name else None
    if weight is None:
        return None
    features = tuple(range(len(view.sizes) - 1, len(view.sizes)))  # a normalisation gives its features as one atom
    if node.op_type == "MatMul" and len(weight.dims) == 2 and view.axes[-1] == features:
        readers = draft.readers.get(node.output[0], [])
        adds = readers[0] if len(readers) == 1 == draft.uses[node.output[0]] and readers[0].op_type == "Add" else None
        biases = [] if adds is None else [draft.tensors[each] for each in adds.input if each in draft.tensors]
        if len(biases) == 1 and tuple(biases[0].dims) == (weight.dims[1],):
            return NormReader(node, weight, biases[0], adds)
    is_plain = node.op_type == "Conv" and len(node.input) == 3 and attribute_of(node, "group", 1) == 1
    if is_plain and not any(attribute_of(node, "pads", ())) and attribute_of(node, "auto_pad", b"NOTSET") == b"NOTSET":
        bias = draft.tensors.get(node.input[2])
        if bias is not None and view.axes[1] == features:
            return NormReader(node, weight, bias, None)
    return None


def _taken_up(reader: NormReader, factors: Any, shifts: Any, *, is_unit: bool) -> tuple[onnx.TensorProto, onnx.TensorProto]:
    """Weight and bias that give, of rows with factors of 1 and biases of 1 or 0, what a reader gave."""
    weight, bias, name = reader.weight, reader.bias, reader.node.output[0]
    assert bias is not None
    is_product = reader.node.op_type == "MatMul"

    def scaled(w: Any, f: Any) -> Any:
        return w * f.reshape(-1, 1) if is_product else w * f.reshape(1, -1, *(1,) * (w.ndim - 2))

    def shifted(b: Any, w: Any, f: Any, s: Any) -> Any:
        w_IO = w if is_product else w.sum(tuple(range(2, w.ndim)), dtype=np.float64).T
        return b + (np.subtract(s, f, dtype=np.float64) if is_unit else s) @ w_IO

    own = combined([weight, factors], f"{name}:unit", weight.dims, scaled)
    return own, combined([bias, weight, factors, shifts], f"{name}:shift", bias.dims, shifted)


def _name_of(tensor: onnx.TensorProto | None) -> str:
    return "" if tensor is None else str(tensor.name)
