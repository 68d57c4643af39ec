"""Normalisations of thousands of short rows, for all rows at once, in the layout of convolutions.

ONNX Runtime normalises one row after the other, and hands each of them out to its threads: of rows of 32 numbers that takes
longer than the numbers do, and longest with several threads. Where the features lie apart, as a convolution leaves them, the steps
of the formula are a few operators over long runs of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from edgenas.graphs.rewriting.around import spatial_of
from edgenas.graphs.rewriting.centring import is_affine
from edgenas.graphs.rewriting.draft import Draft
from edgenas.graphs.rewriting.kinds import MOVES, attribute_of
from edgenas.graphs.rewriting.roots import ONES, ZEROS
from edgenas.graphs.shapes import BATCH
from edgenas.graphs.views import plain
from edgenas.graphs.weights import derived

if TYPE_CHECKING:
    import onnx

MIN_ROWS = 2_000  # of an image; of fewer, the operators take as long as the normalisation (docs/measurements/export.md)
MAX_FEATURES = 64


def norms_by_columns(draft: Draft, others: Collection[str]) -> frozenset[str]:
    """Names of what normalisations give that are to be made so: of many short rows, next to a convolution, and not ``others``."""
    return frozenset(
        node.output[0]
        for node in draft.model.graph.node
        if is_affine(draft, node) and node.output[0] not in others and _has_short_rows(draft, node) and _meets_columns(draft, node)
    )


def _has_short_rows(draft: Draft, norm: onnx.NodeProto) -> bool:
    _, *places, width = draft.shapes[norm.output[0]]
    is_known = not (draft.is_free and any(size % BATCH == 0 for size in places))  # else the batch is not the first axis
    return is_known and math.prod(places) >= MIN_ROWS and width <= MAX_FEATURES


def _meets_columns(draft: Draft, norm: onnx.NodeProto) -> bool:
    """Whether a convolution gives what is normalised or reads the result, with nothing but moves between."""
    maker = draft.makers.get(norm.input[0])
    while maker is not None and maker.op_type in MOVES:
        maker = draft.makers.get(maker.input[0])
    if maker is not None and maker.op_type == "Conv":
        return True
    left = [norm.output[0]]
    while left:
        for reader in draft.readers.get(left.pop(), []):
            is_projection = reader.op_type in ("MatMul", "Gemm") and "pointwise" in draft.wanted
            if reader.op_type == "Conv" or (is_projection and spatial_of(draft, reader) is not None):
                return True
            if reader.op_type in MOVES:
                left.append(reader.output[0])
    return False


def by_columns(draft: Draft, norm: onnx.NodeProto) -> bool:
    """A normalisation as steps, on features that lie apart: mean, difference, mean of squares, root, quotient."""
    view, output = draft.views.get(norm.input[0]), norm.output[0]
    batch, width = draft.shapes[output][0], draft.shapes[output][-1]
    lies = (batch, width, math.prod(draft.shapes[output][1:-1]))
    rows = None if view is None else view.reshaped((batch, lies[2], width))
    read = plain(output, lies).transposed((0, 2, 1)).reshaped(draft.shapes[output])
    if rows is None or read is None:
        return False
    placed = draft.place(rows.transposed((0, 2, 1)), lies)
    average = _constant(draft, f"average:{width}", np.full((1, width), 1 / width))
    above = attribute_of(norm, "epsilon", 1e-5)
    epsilon = _constant(draft, f"epsilon:{above:g}:{lies[2]}", np.full((1, 1, lies[2]), above))  # a lone number is added slowly

    def step(kind: str, names: list[str], result: str, width: int = width) -> str:
        draft.emit(kind, names, result)
        draft.lies[result] = (batch, width, lies[2])
        return result

    rest = step("Sub", [placed, step("MatMul", [average, placed], f"{output}:mean", 1)], f"{output}:rest")
    squares = step("Mul", [rest, rest], f"{output}:squares")
    variance = step("Add", [step("MatMul", [average, squares], f"{output}:variance", 1), epsilon], f"{output}:above", 1)
    inverse = step("Reciprocal", [step("Sqrt", [variance], f"{output}:root", 1)], f"{output}:inverse", 1)
    last = [("Mul", inverse), *_affine(draft, norm)]
    for kind, operand in last[:-1]:
        rest = step(kind, [rest, operand], f"{rest}:{kind.lower()}")
    step(last[-1][0], [rest, last[-1][1]], output)
    draft.views[output] = read
    draft.counts["columns"] += 1
    return True


def _affine(draft: Draft, norm: onnx.NodeProto) -> list[tuple[str, str]]:
    """A normalisation's factors and biases as columns, and what takes them up; none that readers have taken up already."""
    factors, shifts = (draft.tensors[name] for name in norm.input[1:3])
    taken = [
        *([] if factors.name.endswith(ONES) else [("Mul", factors)]),
        *([] if shifts.name.endswith(ZEROS) else [("Add", shifts)]),
    ]
    return [(kind, _column(draft, tensor)) for kind, tensor in taken]


def _constant(draft: Draft, name: str, values: object) -> str:
    import onnx

    return draft.keep(onnx.numpy_helper.from_array(np.asarray(values, dtype=np.float32), name)).name


def _column(draft: Draft, tensor: onnx.TensorProto) -> str:
    (width,) = tensor.dims
    return draft.keep(derived(tensor, f"{tensor.name}:column", (width, 1), lambda values: values.reshape(-1, 1))).name
