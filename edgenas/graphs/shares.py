"""In which precision an ONNX graph computes: shares of its operators and of its multiply-accumulates, and what stayed float32.

The types in a graph are binding for runtimes that take them as they are (TensorRT's strongly typed networks, ONNX Runtime), so
this is the proof of precision where no engine can be opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgenas.errors import PrecisionError
from edgenas.graphs.macs import INTEGER, PRODUCTS, factors, macs_of
from edgenas.graphs.precisions import is_kept
from edgenas.percents import percent
from edgenas.records import Precision

if TYPE_CHECKING:
    import onnx

OTHERS = "other operators"  # that nobody wants in int8
FLOOR = 0.5  # of the multiply-accumulates in the precision asked for; the layer that gives the logits may stay float32
SHARE_NOTES = ("precision_", "macs_share_", "nodes_share_")  # what keys of `Shares.as_notes` begin with
_CONVERSIONS = frozenset({"Cast", "CastLike", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
_VALUES = frozenset({"Constant", "ConstantOfShape", "Identity", "Shape", "Range"})  # they hold or pass on, and compute nothing
_MOVES = frozenset({"Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten", "Cast"})
_REASONS = {
    "Softmax": "exponentials",
    "LogSoftmax": "exponentials",
    "ReduceMean": "sums of many values",
    "ReduceSum": "sums of many values",
    "ReduceL2": "sums of squares",
    "ReduceSumSquare": "sums of squares",
    "GlobalAveragePool": "sums of many values",
    "Resize": "takes float32 only",
    "Range": "takes float32 only",
}


@dataclass(frozen=True, slots=True)
class KeptOperators:
    """Operators of one type that are not in the precision asked for, and why.

    Attributes:
        num_nodes: how many.
        share: of the graph's multiply-accumulates.
    """

    op_type: str
    num_nodes: int
    share: float
    reason: str

    def __str__(self) -> str:
        macs = f", {percent(self.share)} of the work" if self.share >= 0.005 else ""
        return f"{self.num_nodes} {self.op_type} ({self.reason}{macs})"


@dataclass(frozen=True, slots=True)
class Shares:
    """What a graph computes in.

    Attributes:
        nodes: operators by precision; casts and (de)quantisation are no computation.
        macs: multiply-accumulates of convolutions, matrix products and attention by precision, for one image.
        head_macs: those of ``macs["fp32"]`` that give the logits.
        rest: operators that are not in ``precision``, most work first.
        precision: that was asked for.
    """

    precision: Precision
    nodes: Mapping[Precision, int]
    macs: Mapping[Precision, int]
    head_macs: int
    rest: tuple[KeptOperators, ...]

    @property
    def of_nodes(self) -> float:
        """Share of the operators that compute in ``precision``."""
        return self.nodes.get(self.precision, 0) / max(1, sum(self.nodes.values()))

    @property
    def of_macs(self) -> float:
        """Share of the multiply-accumulates that are done in ``precision``."""
        return self.macs.get(self.precision, 0) / max(1, sum(self.macs.values()))

    @property
    def happened(self) -> bool:
        """Whether at least `FLOOR` of the work is in ``precision``, the logits' layer apart; fp32 takes all of it."""
        if self.precision == "fp32":
            return set(self.nodes) == {"fp32"}
        work = sum(self.macs.values()) - self.head_macs
        return work > 0 and self.macs.get(self.precision, 0) / work >= FLOOR

    @property
    def words(self) -> str:
        """The shares for people."""
        return f"{percent(self.of_macs)} of multiply-accumulates and {percent(self.of_nodes)} of operators in {self.precision}"

    @property
    def rest_words(self) -> str:
        """What is in another precision, and why; empty if nothing is."""
        return ", ".join(map(str, self.rest))

    def as_notes(self) -> dict[str, str | int | float]:
        """Facts for a manifest: shares by precision, and both texts."""
        notes: dict[str, str | int | float] = {"precision_share": self.words}
        if self.rest:
            notes["precision_rest"] = self.rest_words
        for kind, macs in sorted(self.macs.items()):
            notes[f"macs_share_{kind}"] = round(macs / max(1, sum(self.macs.values())), 6)
        for kind, num in sorted(self.nodes.items()):
            notes[f"nodes_share_{kind}"] = round(num / max(1, sum(self.nodes.values())), 6)
        return notes

    def require(self) -> None:
        """Raise `PrecisionError` unless the precision that was asked for happened."""
        if self.happened:
            return
        expected = "all" if self.precision == "fp32" else f"at least {percent(FLOOR)} of the work, the logits' layer apart,"
        raise PrecisionError(
            f"{self.precision} was asked for, but the graph does {self.words}; expected is {expected} in it",
            problems=[f"in another precision: {kept}" for kept in self.rest],
            hint="export with --precision fp32" if self.precision != "fp32" else "",
        )


def shares_of(model: onnx.ModelProto, precision: Precision, *, kept: Sequence[str] = ()) -> Shares:
    """Read off a graph what it computes in.

    Args:
        model: with or without shapes; any batch counts as one image.
        precision: that it is to be in.
        kept: blocks and operators that stay float32 on purpose, as `ExportSpec.kept`.
    """
    graph = _Graph(model)
    nodes: Counter[Precision] = Counter()
    macs: Counter[Precision] = Counter()
    rest: Counter[tuple[str, str]] = Counter()
    rest_macs: Counter[tuple[str, str]] = Counter()
    heads, head_macs = graph.heads(), 0
    for node in graph.nodes:
        kind = graph.precision(node)
        if kind is None:
            continue
        work = graph.macs(node)
        nodes[kind] += 1
        macs[kind] += work
        is_head = any(name in heads for name in node.output)
        if is_head and kind == "fp32":
            head_macs += work
        if kind != precision:
            is_aside = precision == "int8" and node.op_type not in PRODUCTS
            key = (
                (OTHERS, "no products") if is_aside else (node.op_type, _reason(node, kind, precision, is_head=is_head, kept=kept))
            )
            rest[key] += 1
            rest_macs[key] += work
    total = max(1, sum(macs.values()))
    listed = [KeptOperators(op, num, rest_macs[op, why] / total, why) for (op, why), num in rest.items()]
    listed.sort(key=lambda each: (-each.share, -each.num_nodes, each.op_type))
    return Shares(precision, dict(nodes), {kind: num for kind, num in macs.items() if num}, head_macs, tuple(listed))


def _reason(node: onnx.NodeProto, kind: Precision, precision: Precision, *, is_head: bool, kept: Sequence[str]) -> str:
    if precision == "fp32":
        return f"computes in {kind}"
    if is_head:
        return "gives the logits"
    if is_kept(node.name, node.op_type, kept):
        return "kept in a higher precision"
    if node.op_type in PRODUCTS:
        return f"left in {kind}" if precision == "int8" else f"its factors are {kind}"
    if "Normalization" in node.op_type:
        return "sums of squares"
    return _REASONS.get(node.op_type, f"between {kind} operators")


def _of_one_image(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph for one image where any number goes: rows of a product over all tokens of a batch would have no size."""
    import onnx

    axes = [value.type.tensor_type.shape.dim for value in (*model.graph.input, *model.graph.output)]
    if not any(dims and dims[0].dim_param for dims in axes):
        return model
    one = onnx.ModelProto()
    one.CopyFrom(model)
    for value in (*one.graph.input, *one.graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].dim_param:
            dims[0].dim_value = 1  # of a choice of fields: the name goes
    del one.graph.value_info[:]  # said for any number; the inference says it anew
    return one


class _Graph:
    """Types and shapes of a graph's values by name."""

    def __init__(self, model: onnx.ModelProto) -> None:
        import onnx

        kinds: dict[int, Precision] = {
            onnx.TensorProto.FLOAT: "fp32",
            onnx.TensorProto.FLOAT16: "fp16",
            onnx.TensorProto.BFLOAT16: "bf16",
            onnx.TensorProto.DOUBLE: "fp32",
        }
        graph = _inferred(_of_one_image(model)).graph
        self.nodes = list(graph.node)
        self._outputs = [value.name for value in graph.output]
        self._makers = {name: node for node in self.nodes for name in node.output if name}
        self._kinds: dict[str, Precision] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        for value in (*graph.input, *graph.value_info, *graph.output):
            tensor = value.type.tensor_type
            if tensor.elem_type in kinds:
                self._kinds[value.name] = kinds[tensor.elem_type]
            if tensor.HasField("shape"):
                self._shapes[value.name] = tuple(max(1, dim.dim_value) for dim in tensor.shape.dim)
        for weight in graph.initializer:
            self._shapes[weight.name] = tuple(weight.dims)
            if weight.data_type in kinds:
                self._kinds[weight.name] = kinds[weight.data_type]

    def precision(self, node: onnx.NodeProto) -> Precision | None:
        """What a node computes in; None if it computes nothing on numbers with a point."""
        if node.op_type in INTEGER:
            return "int8"
        if node.op_type in _CONVERSIONS or node.op_type in _VALUES:
            return None
        if node.op_type in PRODUCTS and all(self._is_dequantised(name) for name in factors(node)):
            return "int8"
        return next((self._kinds[name] for name in node.output if name in self._kinds), None)

    def _is_dequantised(self, name: str) -> bool:
        maker = self._makers.get(name)
        while maker is not None and maker.op_type in _MOVES:
            maker = self._makers.get(maker.input[0])
        return maker is not None and maker.op_type == "DequantizeLinear"

    def heads(self) -> set[str]:
        """Outputs of the products that the logits come from, and of what lies between them and the logits."""
        heads: set[str] = set()
        waiting = list(self._outputs)
        while waiting:
            name = waiting.pop()
            node = self._makers.get(name)
            if name in heads or node is None:
                continue
            heads.add(name)
            if INTEGER.get(node.op_type, node.op_type) not in PRODUCTS:
                waiting += [each for each in node.input if each]
        return heads

    def macs(self, node: onnx.NodeProto) -> int:
        """Multiply-accumulates of one node; a size that the graph does not say counts as 1."""
        return macs_of(node, self._shapes)


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with every type and shape that can be said."""
    import onnx

    named = {value.name for value in model.graph.value_info}
    if all(name in named or not name for node in model.graph.node[:-1] for name in node.output):
        return model
    return onnx.shape_inference.infer_shapes(model, data_prop=True)
