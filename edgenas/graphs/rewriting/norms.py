"""Normalisations before attention of one head, whose factors and biases go into what reads them.

A row that is normalised has the mean 0; with factors and biases of 1 its features have the mean 1. So a number ``c`` that a product
of such rows is to be shifted by is ``c / I`` in each of the I rows of its weight, where no bias could be: in the keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np

from edgenas.graphs.rewriting.absorbing import output_after, pays
from edgenas.graphs.rewriting.centring import is_affine
from edgenas.graphs.rewriting.draft import Draft
from edgenas.graphs.rewriting.kinds import MOVES, PAIRS
from edgenas.graphs.rewriting.readers import readers_of, take_up
from edgenas.graphs.rewriting.roots import ONES, ZEROS
from edgenas.graphs.weights import derived

if TYPE_CHECKING:
    import onnx

PARTS = frozenset({"Slice", "Split", "Gather"})


def with_plain_norms(draft: Draft, others: Collection[str]) -> tuple[onnx.ModelProto, frozenset[str]]:
    """The model in which normalisations before attention of one head have factors and biases of 1, and the names of what they give.

    Those that give ``others`` have factors of 1 and biases of 0. Only those are changed whose readers can all take the
    factors and biases up. The model itself is not changed.
    """
    import onnx

    units = frozenset(norm.output[0] for norm in _norms(draft)) if "absorb" in draft.wanted else frozenset()
    norms = [node for node in draft.model.graph.node if node.output and node.output[0] in {*units, *others}]
    takers = {norm.output[0]: readers for norm in norms if (readers := readers_of(draft, norm.output[0], -1))}
    if not takers:
        return draft.model, frozenset()
    model = onnx.ModelProto()
    model.CopyFrom(draft.model)
    nodes = {node.output[0]: node for node in model.graph.node}
    for name, readers in takers.items():
        norm = nodes[name]
        factors, shifts = (draft.tensors[each] for each in norm.input[1:3])
        for reader in readers:
            model.graph.initializer.extend(take_up(nodes, reader, factors, shifts, is_unit=name in units))
        ones = derived(factors, f"{name}{ONES}", factors.dims, np.ones_like)
        plain_shifts = derived(shifts, f"{name}:shifts", shifts.dims, np.ones_like)
        if name not in units:
            plain_shifts = derived(shifts, f"{name}{ZEROS}", shifts.dims, np.zeros_like)
        norm.input[1:3] = [ones.name, plain_shifts.name]
        model.graph.initializer.extend([ones, plain_shifts])
    return model, units.intersection(takers)


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
