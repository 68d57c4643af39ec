"""int8 graphs from float32 ones: QuantizeLinear and DequantizeLinear in front of convolutions and matrix products.

What is quantised are the inputs of ``Conv``, ``Gemm`` and ``MatMul`` that have constant weights: nearly all multiplications of a
net. LayerNorm, Softmax, additions and products of two activations stay as they are. A tensor that other operators read too is
quantised for these alone, so that a residual sum does not lose what its branch can do without. What ReLUs alone read keeps no
integers for negative values. Ranges, scales and rounding are those of `onnxruntime.quantization`; how an input is quantised is a
`Scheme`, because runtimes differ in what they have fast kernels for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgenas.errors import ExportError
from edgenas.graphs.observing import WEIGHTED, Ranges, hushed

if TYPE_CHECKING:
    import onnx

FIXED_RANGE = (-4.0, 4.0)  # where only the time of a net is asked for
_INTEGERS = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a runtime wants its int8.

    Attributes:
        name: for notes.
        activations: type of quantised activations; ``int8`` is symmetric with zero point 0, ``uint8`` is asymmetric.
        outputs: operator types whose output is quantised too, for want of a kernel that gives float32; never the logits.
        integer_weights: weights are kept as int8; else as float with a QuantizeLinear, which builders of engines fold.
        integer_biases: biases are kept as int32.
        logits: the layer that gives them is quantised too.
    """

    name: str
    activations: Literal["uint8", "int8"]
    outputs: tuple[str, ...]
    integer_weights: bool
    integer_biases: bool
    logits: bool


# Of ONNX Runtime on a CPU: a Gemm of integers may give floats. A MatMul that does is first joined with its bias to a Gemm of
# dequantised floats, which is slower than float32 alone.
ASYMMETRIC = Scheme("unsigned asymmetric activations, int8 weights by channel", "uint8", ("Conv", "MatMul"), True, True, True)
# of TensorRT, which refuses other zero points
SYMMETRIC = Scheme("symmetric int8 activations and weights, weights by channel", "int8", (), False, False, False)


def quantizable(model: onnx.ModelProto, kept: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the nodes that can be quantised, in their order.

    Args:
        model: float32, every node with a name of its own (see `named`).
        kept: node-name prefixes and operator types to leave out.
    """
    weights = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    return tuple(node.name for node in model.graph.node if _has_weights(node, weights) and not is_kept(node, kept))


def is_kept(node: onnx.NodeProto, kept: Sequence[str]) -> bool:
    """Whether a node is meant by one of these prefixes of names, or operator types."""
    return any(node.op_type == each or node.name.startswith(each) for each in kept)


def _has_weights(node: onnx.NodeProto, weights: Mapping[str, int]) -> bool:
    """A product of an activation and constant weights; a product of two activations, or of stacked matrices, is none."""
    if node.op_type not in WEIGHTED or node.input[0] in weights:
        return False
    axes = weights.get(node.input[1])
    return axes is not None and (node.op_type == "Conv" or axes == 2)


def named(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every node has a name that no other has; names that are so already stay."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    taken: set[str] = set()
    for position, node in enumerate(copy.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.name or node.op_type}.{position}"
        taken.add(node.name)
    return copy


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether a graph holds integers that stand for floats."""
    return any(node.op_type == "DequantizeLinear" for node in model.graph.node)


def int8_products(model: onnx.ModelProto) -> tuple[int, int]:
    """How many products with constant weights read dequantised integers on both sides, and how many such products there are."""
    made = {name: node for node in model.graph.node for name in node.output}
    weights = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}

    def source(name: str) -> onnx.NodeProto | None:
        node = made.get(name)
        while node is not None and node.op_type == "Cast":  # of a graph that emulates half precision
            node = made.get(node.input[0])
        return node

    products = [node for node in model.graph.node if node.op_type in WEIGHTED and _reads_weights(node, source, weights)]
    integer = [node for node in products if all(_is_dequantized(source(name)) for name in node.input[:2])]
    return len(integer), len(products)


def _reads_weights(node: onnx.NodeProto, source: Any, weights: Mapping[str, int]) -> bool:
    """Whether the second input is constant: weights, or what integers or floats of weights become."""
    name = node.input[1]
    while name not in weights:
        before = source(name)
        if before is None or before.op_type not in _INTEGERS:
            return False
        name = before.input[0]
    return True


def _is_dequantized(node: onnx.NodeProto | None) -> bool:
    return node is not None and node.op_type == "DequantizeLinear"


def fixed_ranges(model: onnx.ModelProto) -> Ranges:
    """One range for every tensor: a net's time does not depend on it."""
    names = {name for node in model.graph.node if node.op_type in WEIGHTED for name in (*node.input, *node.output)}
    return dict.fromkeys(names, FIXED_RANGE)


def quantized(model: onnx.ModelProto, ranges: Ranges, scheme: Scheme, nodes: Sequence[str]) -> onnx.ModelProto:
    """A copy of ``model`` in which the products of these names multiply integers; everything else is as it was.

    Args:
        model: float32, its nodes named apart.
        ranges: of the inputs of these nodes, and of the outputs where the scheme says so.
        scheme: how.
        nodes: some of `quantizable`.

    Raises:
        ExportError: if there is nothing to quantise.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod as Method
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    if not nodes:
        raise ExportError(f"nothing of the net can be quantised: no {', '.join(WEIGHTED)} with constant weights is left")
    apart, sources = _with_own_inputs(onnx.shape_inference.infer_shapes(model), frozenset(nodes))
    wanted = _wanted(apart, scheme, frozenset(nodes))
    data = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, low, high in _ends(wanted, ranges, sources, _rectified(apart))
    }
    options = {
        "ActivationSymmetric": scheme.activations == "int8",
        "WeightSymmetric": True,
        "AddQDQPairToWeight": not scheme.integer_weights,
        "QuantizeBias": scheme.integer_biases,
    }

    class Quantizer(QDQQuantizer):  # type: ignore[misc]  # comes without types
        """Quantises no activation but those that are wanted."""

        def quantize_activation_tensor(self, tensor_name: str) -> None:
            if tensor_name in wanted:
                super().quantize_activation_tensor(tensor_name)

    activations = QuantType.QInt8 if scheme.activations == "int8" else QuantType.QUInt8
    ends = TensorsData(Method.MinMax, data)
    with hushed():
        quantizer = Quantizer(apart, True, False, QuantType.QInt8, activations, ends, list(nodes), [], list(WEIGHTED), options)
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    result: onnx.ModelProto = quantizer.model.model
    _join_inputs(result, sources)
    result.producer_name, result.producer_version = model.producer_name, model.producer_version
    onnx.checker.check_model(result)
    return result


def _wanted(model: onnx.ModelProto, scheme: Scheme, nodes: frozenset[str]) -> frozenset[str]:
    """Activations that are quantised: what the nodes read, and what they give where the scheme says so."""
    last = {value.name for value in model.graph.output}
    mine = [node for node in model.graph.node if node.name in nodes]
    read = {node.input[0] for node in mine}
    given = {name for node in mine if node.op_type in scheme.outputs for name in node.output if name not in last}
    return frozenset(read | given)


def _ends(
    wanted: frozenset[str], ranges: Ranges, sources: Mapping[str, str], rectified: frozenset[str]
) -> Iterator[tuple[str, float, float]]:
    for name in sorted(wanted):
        low, high = ranges[sources.get(name, name)]
        yield name, 0.0 if name in rectified else low, max(high, 0.0) if name in rectified else high


def _rectified(model: onnx.ModelProto) -> frozenset[str]:
    """Tensors that ReLUs alone read: negative values may become zero before, so that no integers are spent on them."""
    readers: dict[str, set[str]] = {value.name: {"output"} for value in model.graph.output}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, set()).add(node.op_type)
    return frozenset(name for name, kinds in readers.items() if kinds == {"Relu"})


def _with_own_inputs(model: onnx.ModelProto, nodes: frozenset[str]) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Give the nodes copies of tensors that others read too; also says what each copy is of."""
    import onnx

    inner = model.graph
    others = {name for node in inner.node if node.name not in nodes for name in node.input}
    others |= {value.name for value in inner.output}
    kinds = {value.name: value for value in (*inner.value_info, *inner.input)}
    sources: dict[str, str] = {}
    order: list[onnx.NodeProto] = []
    for node in inner.node:
        if node.name in nodes and node.input[0] in others:
            source = node.input[0]
            alias = f"{source}.to_int8"
            if alias not in sources:
                sources[alias] = source
                order.append(onnx.helper.make_node("Identity", [source], [alias], name=alias))
                if source in kinds:
                    value = onnx.ValueInfoProto()
                    value.CopyFrom(kinds[source])
                    value.name = alias
                    inner.value_info.append(value)
            node.input[0] = alias
        order.append(node)
    copies = []
    for node in order:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copies.append(copy)
    del inner.node[:]
    inner.node.extend(copies)
    return model, sources


def _join_inputs(model: onnx.ModelProto, sources: Mapping[str, str]) -> None:
    """Let what reads a copy read the tensor itself."""
    inner = model.graph
    left = [node for node in inner.node if not (node.op_type == "Identity" and node.output[0] in sources)]
    for node in left:
        for position, name in enumerate(node.input):
            node.input[position] = sources.get(name, name)
    values = [value for value in inner.value_info if value.name not in sources]
    for group, kept in ((inner.node, left), (inner.value_info, values)):
        copies = [type(each)() for each in kept]
        for copy, each in zip(copies, kept, strict=True):
            copy.CopyFrom(each)
        del group[:]
        group.extend(copies)
