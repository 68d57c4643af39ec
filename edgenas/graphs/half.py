"""Typed float16 and bfloat16 graphs from float32 ones, and graphs that emulate their rounding in float32.

A CPU runs a float16 ONNX graph in float32 (ONNX Runtime and OpenVINO both): a net whose activations overflow in real half
precision looks fine there. The emulation has the same typing decisions as the reduced graph but stays float32 and rounds
every value that the reduced graph would hold, through a Cast to its type and one back. Sums inside one operator stay float32, as on
tensor cores; which operators are one step is said by `edgenas.graphs.steps`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import ExportError
from edgenas.graphs.opening import opened
from edgenas.graphs.precisions import LARGEST, TYPE_NAMES, Reduced, element_type, is_kept, round_to, takes
from edgenas.graphs.precisions import is_half as is_half
from edgenas.graphs.precisions import reduced_precision as reduced_precision
from edgenas.graphs.steps import way_of

if TYPE_CHECKING:
    import onnx


ROUNDED = "/rounded"  # ends the name of the cast that rounds what a node gives, in an emulation


@dataclass(frozen=True, slots=True)
class HalfGraph:
    """A reduced graph and what was found on the way."""

    model: onnx.ModelProto
    notes: dict[str, str | int | float]


def to_half(model: onnx.ModelProto, *, precision: Reduced = "fp16", kept: Sequence[str] = ()) -> HalfGraph:
    """A copy of ``model`` that computes in float16 or bfloat16; inputs and outputs stay float32.

    Float weights and tensors are converted. Operators that `edgenas.graphs.steps` says so of, those that the opset gives no such
    type, and the operator that gives the logits stay float32, with casts around them. Attention and Gelu are opened.

    Args:
        model: float32.
        precision: of what is converted.
        kept: blocks and operators that stay float32 as well, by the start of a node's name or by operator type.

    Raises:
        ExportError: naming every weight outside the range of the precision, or an operator whose types are not known.
    """
    rewriter = _Rewriter(opened(model), precision, tuple(kept), emulate=False)
    result = rewriter.run()
    notes: dict[str, str | int | float] = {
        "num_nodes": len(result.graph.node),
        f"num_nodes_{precision}": len(rewriter.reduced_nodes),
        "num_nodes_fp32": rewriter.num_float,
        "num_weights_underflowed": rewriter.num_underflowed,
    }
    return HalfGraph(result, notes | ({"kept_fp32": ", ".join(kept)} if kept else {}))


def emulate_half(model: onnx.ModelProto, *, precision: Reduced = "fp16", kept: Sequence[str] = ()) -> onnx.ModelProto:
    """A float32 copy of ``model`` that rounds wherever `to_half` computes in the reduced precision.

    Raises:
        ExportError: as `to_half`.
    """
    return _Rewriter(opened(model), precision, tuple(kept), emulate=True).run()


def too_large(model: onnx.ModelProto, *, precision: Reduced = "fp16", kept: Sequence[str] = ()) -> dict[str, str]:
    """Operators that read a weight outside the range of the precision, by name, each with what it reads; see ``kept``."""
    rewriter = _Rewriter(opened(model), precision, tuple(kept), emulate=True)
    rewriter.rewrite()
    return rewriter.too_large


def held_reduced(model: onnx.ModelProto, *, precision: Reduced = "fp16", kept: Sequence[str] = ()) -> tuple[set[str], set[str]]:
    """What the reduced graph of an opened graph does in the precision: values that exist in it, and nodes that compute in it."""
    rewriter = _Rewriter(model, precision, tuple(kept), emulate=True)
    rewriter.rewrite()
    values = {name for name, home in rewriter.homes.items() if home == "half"}
    return values | {name for name, where in rewriter.aliases if where == "half"}, rewriter.reduced_nodes


@dataclass(slots=True)
class _Rewriter:
    """One pass over the nodes. Each float value has a home precision; the other one is made by a cast when first asked for."""

    model: onnx.ModelProto
    precision: Reduced
    kept: tuple[str, ...]
    emulate: bool
    num_float: int = 0
    reduced_nodes: set[str] = field(default_factory=set)
    num_underflowed: int = 0
    nodes: list[Any] = field(default_factory=list)
    weights: dict[str, Any] = field(default_factory=dict)  # float32 initializers by name
    kept_weights: dict[str, Any] = field(default_factory=dict)  # initializers of the new graph by name
    homes: dict[str, str] = field(default_factory=dict)  # float values: "half" or "float"
    makers: dict[str, str] = field(default_factory=dict)  # float values to the nodes that give them
    aliases: dict[tuple[str, str], str] = field(default_factory=dict)  # (value, precision) to its name there
    too_large: dict[str, str] = field(default_factory=dict)  # operator to the weight that it reads
    lost_weights: dict[str, str] = field(default_factory=dict)

    def run(self) -> onnx.ModelProto:
        self.rewrite()
        if self.too_large:
            raise ExportError(
                f"weights lie outside the range of {TYPE_NAMES[self.precision]} (±{LARGEST[self.precision]:.6g})",
                problems=list(dict.fromkeys(self.too_large.values())),
                hint="export with precision fp32, or let their operators stay fp32: export.repair = true",
            )
        return self._assemble()

    def rewrite(self) -> None:
        graph = self.model.graph
        floats = _float_values(graph)
        self._take_weights(graph.initializer)
        self.homes |= {value.name: "float" for value in graph.input if value.name in floats}
        outputs = {value.name for value in graph.output}
        _require_types(graph, floats)
        for node in graph.node:
            self._rewrite(node, floats, outputs)

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
        self._read_inside(copy, floats)
        touches = any(name in floats or name in self.weights for name in (*node.input, *node.output))
        if not touches:
            self.nodes.append(copy)
            return
        keep = self._stays_float(node, floats) or bool(outputs.intersection(node.output))
        precision = "float" if keep else "half"
        for position, name in enumerate(node.input):
            if name in floats or name in self.weights:
                copy.input[position] = self._in(name, precision, node)
        made = [name for name in node.output if name in floats]
        self.homes |= dict.fromkeys(made, precision)
        self.makers |= dict.fromkeys(made, node.name)
        self.num_float += keep
        if not keep:
            self.reduced_nodes.add(node.name)
        if precision == "half" and not self.emulate:
            _retype(copy, self.precision)
        self.nodes.append(copy)
        if precision == "half" and self.emulate and way_of(node.op_type)[0] != "moves":
            self._round_outputs(copy, made)

    def _stays_float(self, node: Any, floats: set[str]) -> bool:
        if node.domain not in ("", "ai.onnx") or way_of(node.op_type)[0] in ("float32", "opened"):
            return True
        if is_kept(node.name, node.op_type, self.kept):
            return True
        if node.op_type == "Cast" and node.output[0] not in floats:
            return True
        if node.op_type == "Einsum" and len(node.input) > 2:
            return True
        return not takes(node.op_type, self._opset(), self.precision)

    def _opset(self) -> int:
        return next(int(each.version) for each in self.model.opset_import if each.domain in ("", "ai.onnx"))

    def _read_inside(self, node: Any, floats: set[str]) -> None:
        """Let the graphs inside a node, which stay float32, read float32 values of this graph."""
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                for each in inner.node:
                    self._read_inside(each, floats)
                    for position, name in enumerate(each.input):
                        if name in self.weights or (name in floats and name in self.homes):
                            each.input[position] = self._in(name, "float", each)
                for value in inner.output:
                    if value.name in self.weights or value.name in self.homes:
                        value.name = self._in(value.name, "float", node)

    def _round_outputs(self, node: Any, made: list[str]) -> None:
        for position, name in enumerate(node.output):
            if name in made:
                node.output[position] = f"{name}.exact"
                self._cast_pair(f"{name}.exact", name, node.name)

    def _in(self, name: str, precision: str, reader: Any) -> str:
        """The name under which value ``name`` exists in ``precision``; makes it when first asked for."""
        if name in self.weights:
            return self._weight(name, precision, reader)
        if self.homes[name] == precision or (self.emulate and precision == "float"):
            return name
        key = (name, precision)
        if key not in self.aliases:
            self.aliases[key] = f"{name}.{precision}"
            if self.emulate:
                self._cast_pair(name, self.aliases[key], self.makers.get(name, name))
            else:
                self._cast(name, self.aliases[key], half=precision == "half")
        return self.aliases[key]

    def _weight(self, name: str, precision: str, reader: Any) -> str:
        from onnx import numpy_helper

        if precision == "float":
            self.kept_weights[name] = self.weights[name]
            return name
        alias = f"{name}.half"
        if alias not in self.kept_weights:
            rounded = self._rounded(name, numpy_helper.to_array(self.weights[name]))
            stored = rounded.astype(np.float32) if self.emulate else rounded
            self.kept_weights[alias] = numpy_helper.from_array(stored, alias)
        if name in self.lost_weights:
            self.too_large[reader.name] = self.lost_weights[name]
        return alias

    def _rounded(self, name: str, exact: NDArray[np.float32]) -> NDArray[Any]:
        rounded = round_to(exact, self.precision)
        lost = np.isfinite(exact) & ~np.isfinite(rounded.astype(np.float32))
        if lost.any():
            self.lost_weights[name] = f"{name} holds {float(exact[lost][np.abs(exact[lost]).argmax()]):g}"
        self.num_underflowed += int(((rounded == 0) & (exact != 0)).sum())
        return rounded

    def _cast_pair(self, source: str, target: str, maker: str) -> None:
        self._cast(source, f"{target}.rounded", half=True, name=f"{maker}{ROUNDED}")
        self._cast(f"{target}.rounded", target, half=False)

    def _cast(self, source: str, target: str, *, half: bool, name: str = "") -> None:
        from onnx import TensorProto, helper

        kind = element_type(self.precision) if half else TensorProto.FLOAT
        self.nodes.append(helper.make_node("Cast", [source], [target], name=name or f"cast.{target}", to=kind))

    def _assemble(self) -> onnx.ModelProto:
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


def _require_types(graph: Any, floats: set[str]) -> None:
    """Raise `ExportError` for operators that give values whose type nobody knows, beside floats."""
    known = {value.name for value in (*graph.input, *graph.value_info, *graph.output)}
    problems = [
        f"{node.op_type} {node.name!r}"
        for node in graph.node
        if any(name and name not in known for name in node.output) and any(name in floats for name in node.input)
    ]
    if problems:
        raise ExportError(
            "operators give values of types that ONNX does not know", problems=problems, hint="export with precision fp32"
        )


def _retype(node: Any, precision: Reduced) -> None:
    """Let a cast to float be one to the reduced precision."""
    from onnx import TensorProto

    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = element_type(precision)
