"""Batch normalisations that no convolution comes before: they go into the weights of what reads them.

One that follows a convolution alone is folded into it while the graph is traced. Before attention it follows a sum, and what reads
it multiplies: 1x1 convolutions to queries, keys and values, also behind an average of windows; or a classifier behind the mean of
an image. All of them take factors and biases up, exactly; Jacob et al. (arXiv:1712.05877, section 3.2) fold into what comes before.
A convolution that adds a border of zeros cannot: what it adds would have to become another number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgenas.graphs.rewriting.draft import Draft
from edgenas.graphs.rewriting.kinds import attribute_of
from edgenas.graphs.rewriting.readers import readers_of, take_up
from edgenas.graphs.weights import combined, integers

if TYPE_CHECKING:
    import onnx


def with_folded_norms(draft: Draft) -> tuple[onnx.ModelProto, int]:
    """The model in which the readers of batch normalisations have taken them up, and how many; the model itself is not changed.

    Only those are taken up whose readers all can.
    """
    import onnx

    norms = [node for node in draft.model.graph.node if _is_constant(draft, node)]
    takers = [(norm, readers) for norm in norms if (readers := readers_of(draft, norm.output[0], 1, _is_mean))]
    if not takers:
        return draft.model, 0
    model = onnx.ModelProto()
    model.CopyFrom(draft.model)
    nodes = {node.output[0]: node for node in model.graph.node}
    for norm, readers in takers:
        factors, shifts = _affine(draft, norm)
        for reader in readers:
            model.graph.initializer.extend(take_up(nodes, reader, factors, shifts))
        source, result = norm.input[0], norm.output[0]
        for node in draft.readers[result]:
            other = nodes[node.output[0]]
            other.input[:] = [source if name == result else name for name in other.input]
    return model, len(takers)


def _is_constant(draft: Draft, node: onnx.NodeProto) -> bool:
    """Whether a node normalises a batch with statistics, factors and biases that are known."""
    is_plain = node.op_type == "BatchNormalization" and len(node.output) == 1 and not attribute_of(node, "training_mode", 0)
    return is_plain and len(draft.shapes.get(node.output[0], ())) > 2 and all(name in draft.tensors for name in node.input[1:])


def _affine(draft: Draft, norm: onnx.NodeProto) -> tuple[onnx.TensorProto, onnx.TensorProto]:
    """Factors and biases of features that are what the normalisation reads."""
    factor, bias, mean, variance = (draft.tensors[name] for name in norm.input[1:])
    epsilon, name = attribute_of(norm, "epsilon", 1e-5), norm.output[0]
    scale = combined([factor, variance], f"{name}:factors", factor.dims, lambda f, v: f / np.sqrt(v.astype(np.float64) + epsilon))
    shift = combined(
        [bias, factor, mean, variance],
        f"{name}:biases",
        bias.dims,
        lambda b, f, m, v: b - m * f / np.sqrt(v.astype(np.float64) + epsilon),
    )
    return scale, shift


def _is_mean(draft: Draft, node: onnx.NodeProto) -> bool:
    """Whether a node gives, of every channel, means of numbers of it; zeros of a border are not among them."""
    if node.op_type == "AveragePool":
        has_border = any(attribute_of(node, "pads", ())) or attribute_of(node, "auto_pad", b"NOTSET") != b"NOTSET"
        goes_beyond = has_border or attribute_of(node, "ceil_mode", 0)
        return not (goes_beyond and attribute_of(node, "count_include_pad", 0))
    if node.op_type == "ReduceMean":
        rank, axes = len(draft.shapes[node.input[0]]), integers(draft.tensors.get(node.input[1])) if len(node.input) > 1 else None
        return axes is not None and not {0, 1} & {axis % rank for axis in axes}
    return node.op_type == "GlobalAveragePool"
