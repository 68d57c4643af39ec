"""Typed float16 graphs from float32 ones, and graphs that emulate their rounding in float32.

A CPU runs a float16 ONNX graph in float32 (ONNX Runtime and OpenVINO both): a net whose activations overflow in real half
precision looks fine there. The emulation has the same typing decisions as the float16 graph but stays float32 and rounds
every value that the float16 graph would hold in half, through Cast(float16) and Cast(float32). Sums inside one operator stay
float32, as on tensor cores.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import ExportError

if TYPE_CHECKING:
    import onnx

# Sums of squares, exponentials and means lose the most in half precision; the rest only takes float32 arguments.
KEPT_IN_FP32 = frozenset(
    {
        "LayerNormalization",
        "BatchNormalization",
        "GroupNormalization",
        "InstanceNormalization",
        "Softmax",
        "LogSoftmax",
        "ReduceMean",
        "Resize",
        "Range",
    }
)
# These move values without changing them, so that their results need no rounding.
_MOVES = frozenset(
    {
        "Reshape",
        "Transpose",
        "Slice",
        "Split",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Concat",
        "Gather",
        "Expand",
        "Identity",
        "Tile",
        "Relu",
        "Max",
        "Min",
        "MaxPool",
        "DepthToSpace",
        "SpaceToDepth",
    }
)


@dataclass(frozen=True, slots=True)
class HalfGraph:
    """A float16 graph and what was found on the way."""

    model: onnx.ModelProto
    notes: dict[str, str | int | float]


def to_half(model: onnx.ModelProto) -> HalfGraph:
    """A copy of ``model`` that computes in float16; inputs and outputs stay float32.

    Float weights and tensors become float16. LayerNormalization, Softmax, ReduceMean (and the few operators of
    `KEPT_IN_FP32`) and the operator that gives the logits stay float32, with casts around them.

    Raises:
        ExportError: naming every weight outside the range of float16, or an operator with a subgraph.
    """
    rewriter = _Rewriter(model, emulate=False)
    result = rewriter.run()
    return HalfGraph(
        result,
        {
            "num_nodes": len(result.graph.node),
            "num_nodes_fp16": rewriter.num_half,
            "num_nodes_fp32": rewriter.num_float,
            "num_weights_underflowed": rewriter.num_underflowed,
        },
    )


def emulate_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """A float32 copy of ``model`` that rounds to float16 wherever `to_half` computes in it.

    Raises:
        ExportError: as `to_half`.
    """
    return _Rewriter(model, emulate=True).run()


def is_half(model: onnx.ModelProto) -> bool:
    """Whether a graph holds float16 weights."""
    from onnx import TensorProto

    return any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer)


@dataclass(slots=True)
class _Rewriter:
    """One pass over the nodes. Each float value has a home precision; the other one is made by a cast when first asked for."""

    model: onnx.ModelProto
    emulate: bool
    num_half: int = 0
    num_float: int = 0
    num_underflowed: int = 0
    nodes: list[Any] = field(default_factory=list)
    weights: dict[str, Any] = field(default_factory=dict)  # float32 initializers by name
    kept_weights: dict[str, Any] = field(default_factory=dict)  # initializers of the new graph by name
    homes: dict[str, str] = field(default_factory=dict)  # float values: "half" or "float"
    aliases: dict[tuple[str, str], str] = field(default_factory=dict)  # (value, precision) to its name there
    too_large: list[str] = field(default_factory=list)

    def run(self) -> onnx.ModelProto:
        import onnx

        inferred = onnx.shape_inference.infer_shapes(self.model)
        graph = inferred.graph
        floats = _float_values(graph)
        self._take_weights(graph.initializer)
        self.homes |= {value.name: "float" for value in graph.input if value.name in floats}
        outputs = {value.name for value in graph.output}
        for node in graph.node:
            if any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute):
                raise ExportError(f"operator {node.op_type} {node.name!r} holds a subgraph, which has no float16 form")
            self._rewrite(node, floats, outputs)
        if self.too_large:
            raise ExportError(
                "weights lie outside the range of float16 (±65504)",
                problems=self.too_large,
                hint="export with precision fp32",
            )
        return self._assemble(graph)

    def _take_weights(self, initializers: Iterable[Any]) -> None:
        from onnx import TensorProto

        for tensor in initializers:
            if tensor.data_type == TensorProto.FLOAT:
                self.weights[tensor.name] = tensor
            else:
                self.kept_weights[tensor.name] = tensor

    def _rewrite(self, node: Any, floats: set[str], outputs: set[str]) -> None:
        """Copy one node with its float arguments in the precision it computes in."""
        import onnx

        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        touches = any(name in floats or name in self.weights for name in (*node.input, *node.output))
        if not touches:
            self.nodes.append(copy)
            return
        keep = node.op_type in KEPT_IN_FP32 or bool(outputs.intersection(node.output))
        precision = "float" if keep else "half"
        for position, name in enumerate(node.input):
            if name in floats or name in self.weights:
                copy.input[position] = self._in(name, precision)
        made = [name for name in node.output if name in floats]
        self.homes |= dict.fromkeys(made, precision)
        self.num_float += keep
        self.num_half += not keep
        if precision == "half" and not self.emulate:
            _retype(copy)
        self.nodes.append(copy)
        if precision == "half" and self.emulate and node.op_type not in _MOVES:
            self._round_outputs(copy, made)

    def _round_outputs(self, node: Any, made: list[str]) -> None:
        for position, name in enumerate(node.output):
            if name in made:
                node.output[position] = f"{name}.exact"
                self._cast_pair(f"{name}.exact", name)

    def _in(self, name: str, precision: str) -> str:
        """The name under which value ``name`` exists in ``precision``; makes it when first asked for."""
        if name in self.weights:
            return self._weight(name, precision)
        if self.homes[name] == precision or (self.emulate and precision == "float"):
            return name
        key = (name, precision)
        if key not in self.aliases:
            self.aliases[key] = f"{name}.{precision}"
            if self.emulate:
                self._cast_pair(name, self.aliases[key])
            else:
                self._cast(name, self.aliases[key], half=precision == "half")
        return self.aliases[key]

    def _weight(self, name: str, precision: str) -> str:
        from onnx import numpy_helper

        if precision == "float":
            self.kept_weights[name] = self.weights[name]
            return name
        alias = f"{name}.half"
        if alias not in self.kept_weights:
            exact = numpy_helper.to_array(self.weights[name])
            rounded = self._rounded(name, exact)
            stored = rounded.astype(np.float32) if self.emulate else rounded
            self.kept_weights[alias] = numpy_helper.from_array(stored, alias)
        return alias

    def _rounded(self, name: str, exact: NDArray[np.float32]) -> NDArray[np.float16]:
        with np.errstate(over="ignore"):
            rounded = exact.astype(np.float16)
        lost = np.isfinite(exact) & ~np.isfinite(rounded)
        if lost.any():
            self.too_large.append(f"{name} holds {float(exact[lost][np.abs(exact[lost]).argmax()]):g}")
        self.num_underflowed += int(((rounded == 0) & (exact != 0)).sum())
        return rounded

    def _cast_pair(self, source: str, target: str) -> None:
        self._cast(source, f"{target}.rounded", half=True)
        self._cast(f"{target}.rounded", target, half=False)

    def _cast(self, source: str, target: str, *, half: bool) -> None:
        from onnx import TensorProto, helper

        kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
        self.nodes.append(helper.make_node("Cast", [source], [target], name=f"cast.{target}", to=kind))

    def _assemble(self, graph: Any) -> onnx.ModelProto:
        import onnx

        result = onnx.ModelProto()
        result.CopyFrom(self.model)
        for group in (result.graph.node, result.graph.initializer, result.graph.value_info):
            del group[:]
        result.graph.node.extend(self.nodes)
        result.graph.initializer.extend(self.kept_weights.values())
        inferred = onnx.shape_inference.infer_shapes(result, strict_mode=True)
        onnx.checker.check_model(inferred)
        return inferred


def _float_values(graph: Any) -> set[str]:
    """Names of all float32 values that are no weights."""
    from onnx import TensorProto

    weights = {tensor.name for tensor in graph.initializer}
    values = (*graph.input, *graph.value_info, *graph.output)
    return {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT} - weights


def _retype(node: Any) -> None:
    """Let a node that makes floats out of its attributes make float16."""
    from onnx import TensorProto, numpy_helper

    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16
        is_filler = node.op_type in ("Constant", "ConstantOfShape") and attribute.name == "value"
        if is_filler and attribute.t.data_type == TensorProto.FLOAT:
            half = numpy_helper.to_array(attribute.t).astype(np.float16)
            attribute.t.CopyFrom(numpy_helper.from_array(half, attribute.t.name))
