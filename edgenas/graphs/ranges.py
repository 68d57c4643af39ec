"""How far the values of a graph reach: the graph with its largest magnitudes as outputs, and what they mean in half precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.graphs.blocks import block_names
from edgenas.graphs.half import held_reduced
from edgenas.graphs.opening import opened
from edgenas.graphs.precisions import FLUSHED, LARGEST, Reduced
from edgenas.graphs.steps import way_of
from edgenas.records import RangeReport, TensorRange

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class Probed:
    """A graph that answers, for one call, how far its values reach.

    Attributes:
        model: its outputs come in pairs: for every tensor the largest magnitude, and the share of values that become zero.
        values: names of the tensors, in order.
        makers: name and type of the operator that gives each.
    """

    model: onnx.ModelProto
    values: tuple[str, ...]
    makers: Mapping[str, tuple[str, str]]


def probed(model: onnx.ModelProto, precision: Reduced) -> Probed:
    """A graph that reduces, inside, every float tensor to two numbers, so that a runtime holds one tensor at a time.

    Args:
        model: float32. What only moves values is not looked at.
        precision: that says which values become zero.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = opened(model)
    inner = graph.graph
    floats = {v.name for v in (*inner.input, *inner.value_info, *inner.output) if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    makers = {value.name: (value.name, "") for value in inner.input if value.name in floats}
    for node in inner.node:
        if way_of(node.op_type)[0] != "moves":
            makers |= {name: (node.name, node.op_type) for name in node.output if name in floats}
    inner.initializer.append(numpy_helper.from_array(np.array(FLUSHED[precision], np.float32), "ranges.smallest"))
    inner.initializer.append(numpy_helper.from_array(np.array(0, np.float32), "ranges.zero"))
    del inner.output[:]
    for name in makers:
        _probe(inner, helper, name)
    return Probed(graph, tuple(makers), makers)


def _probe(inner: Any, helper: Any, name: str) -> None:
    from onnx import TensorProto

    new = f"{name}.ranges"
    steps: tuple[tuple[str, list[str], str, dict[str, int]], ...] = (
        ("Abs", [name], f"{new}.abs", {}),
        ("ReduceMax", [f"{new}.abs"], f"{new}.largest", {"keepdims": 0}),
        ("LessOrEqual", [f"{new}.abs", "ranges.smallest"], f"{new}.small", {}),
        ("Greater", [f"{new}.abs", "ranges.zero"], f"{new}.some", {}),
        ("And", [f"{new}.small", f"{new}.some"], f"{new}.lost", {}),
        ("Cast", [f"{new}.lost"], f"{new}.count", {"to": TensorProto.FLOAT}),
        ("ReduceMean", [f"{new}.count"], f"{new}.flushed", {"keepdims": 0}),
    )
    for op_type, inputs, output, attributes in steps:
        inner.node.append(helper.make_node(op_type, inputs, [output], name=output, **attributes))
    for label in ("largest", "flushed"):
        inner.output.append(helper.make_tensor_value_info(f"{new}.{label}", TensorProto.FLOAT, []))


def report(
    model: onnx.ModelProto,
    probe: Probed,
    found_BV2: NDArray[np.floating],
    *,
    precision: Reduced,
    kept: Sequence[str],
    split: str,
    sizes: Sequence[int],
) -> RangeReport:
    """What the answers of a probed graph mean.

    Args:
        model: that was probed.
        probe: of it.
        found_BV2: its outputs by batch and value: largest magnitude, and share that becomes zero.
        precision: as `probed`.
        kept: as `edgenas.graphs.half.to_half`.
        split: whose images they are.
        sizes: images of every batch.
    """
    values, _ = held_reduced(opened(model), precision=precision, kept=kept)
    largest_V = found_BV2[:, :, 0].max(axis=0)
    flushed_V = np.average(found_BV2[:, :, 1], axis=0, weights=np.asarray(sizes, dtype=np.float64))
    blocks = block_names(node for node, _ in probe.makers.values())
    tensors = []
    for name, largest, flushed in zip(probe.values, largest_V, flushed_V, strict=True):
        node, operator = probe.makers[name]
        share = float(largest) / LARGEST[precision]
        tensors.append(
            TensorRange(
                node=node,
                operator=operator,
                block=blocks[node],
                largest=float(largest),
                share=share,
                flushed=float(flushed),
                is_reduced=name in values,
            )
        )
    tensors.sort(key=lambda each: (-each.share if np.isfinite(each.share) else -np.inf, each.node))
    return RangeReport(
        precision=precision,
        limit=LARGEST[precision],
        smallest=FLUSHED[precision],
        split=split,
        num_images=sum(sizes),
        tensors=tuple(tensors),
    )
