"""The emulated half precision, checked against onnx's reference evaluator on the real typed graph, one operator kind at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from edgenas.exporters.onnx import export_graph
from numpy.typing import NDArray
from onnx import helper

from edgenas.graphs.half import emulate_half, to_half
from edgenas.graphs.precisions import Reduced
from edgenas.graphs.steps import REST, WAYS, way_of
from edgenas.testing.exporters import INPUT_SHAPE, images, tiny_net
from tests.graphs.graphs import graph_of, node, refer, run

RNG = np.random.default_rng(0)
SHAPE = (2, 3, 8, 8)  # image and what the operator under test reads


def noise(*shape: int) -> NDArray[np.float32]:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


# operator: its further inputs, its attributes, the opset it needs
CASES: dict[str, tuple[Sequence[NDArray[Any]], dict[str, Any], int]] = {
    "MatMul": ([noise(8, 8)], {}, 20),
    "Conv": ([noise(4, 3, 3, 3), noise(4)], {"pads": [1, 1, 1, 1]}, 20),
    "ConvTranspose": ([noise(3, 4, 2, 2)], {"strides": [2, 2]}, 20),
    "Einsum": ([noise(3, 5)], {"equation": "bchw,cd->bdhw"}, 20),
    **{name: ([noise(8)], {}, 20) for name in ("Add", "Sub", "Mul", "Div", "Max", "Min")},
    "PRelu": ([noise(3, 1, 1)], {}, 20),
    "Pow": ([np.array(2, np.float32)], {}, 20),
    **{
        name: ([], {}, 20)
        for name in (
            *("Neg", "Abs", "Exp", "Erf", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Elu", "Selu", "Celu", "LeakyRelu"),
            *(
                "Softsign",
                "Floor",
                "Ceil",
                "Round",
                "Sign",
                "Relu",
                "Identity",
                "ThresholdedRelu",
                "Reciprocal",
                "Softplus",
                "Mish",
            ),
            *("GlobalMaxPool", "GlobalAveragePool", "LogSoftmax", "Gelu"),
        )
    },
    "Swish": ([], {}, 24),
    "Softmax": ([], {"axis": -1}, 20),
    "Reshape": ([ints(0, -1)], {}, 20),
    "Transpose": ([], {"perm": [0, 2, 3, 1]}, 20),
    "Slice": ([ints(1), ints(5), ints(2)], {}, 20),
    "Squeeze": ([], {}, 20),
    "Unsqueeze": ([ints(1)], {}, 20),
    "Flatten": ([], {}, 20),
    "Concat": ([noise(2, 3, 8, 8)], {"axis": 1}, 20),
    "Gather": ([ints(2, 0)], {"axis": 1}, 20),
    "Expand": ([ints(2, 2, 3, 8, 8)], {}, 20),
    "Tile": ([ints(1, 1, 1, 2)], {}, 20),
    "Pad": ([ints(0, 0, 1, 1, 0, 0, 1, 1)], {}, 20),
    "DepthToSpace": ([], {"blocksize": 2}, 20),
    "SpaceToDepth": ([], {"blocksize": 2}, 20),
    "Clip": ([np.array(-0.7, np.float32), np.array(0.3, np.float32)], {}, 20),
    "MaxPool": ([], {"kernel_shape": [2, 2], "strides": [2, 2]}, 20),
    "AveragePool": ([], {"kernel_shape": [2, 2], "strides": [2, 2]}, 20),
    "LayerNormalization": ([noise(8), noise(8)], {}, 20),
    "InstanceNormalization": ([noise(3), noise(3)], {}, 20),
    "RMSNormalization": ([noise(8)], {}, 23),
    **{
        name: ([ints(-1)], {"keepdims": 1}, 20)
        for name in (
            "ReduceMean",
            "ReduceSum",
            "ReduceL1",
            "ReduceL2",
            "ReduceSumSquare",
            "ReduceLogSumExp",
            "ReduceMax",
            "ReduceMin",
        )
    },
    "Attention": ([noise(2, 3, 6, 8), noise(2, 3, 6, 8)], {}, 23),
}
SINGULAR = {"Exp", "Pow", "Mish", "Softplus", "Reciprocal", "Div"}  # whose errors grow with what they give


def case(op_type: str) -> onnx.ModelProto:
    """The operator between a multiplication and an addition, so that what it reads and gives is in half precision."""
    more, attributes, opset = CASES[op_type]
    names = [f"more.{i}" for i in range(len(more))]
    start = [node("Mul", ["image", "two"], ["start"], "first/Mul")]
    source = "start"
    if op_type == "DepthToSpace":
        start.append(node("Concat", ["start"] * 4, ["wide"], "first/Concat", axis=1))
        source = "wide"
    nodes = [*start, node(op_type, [source, *names], ["given"], f"tested/{op_type}", **attributes)]
    nodes += [node("Mul", ["given", "half"], ["scaled"], "last/Mul"), node("Add", ["scaled", "zero"], ["logits"], "last/Add")]
    weights = dict(zip(names, more, strict=True)) | {
        "two": np.array(2, np.float32),
        "half": np.array(0.5, np.float32),
        "zero": np.zeros(1, np.float32),
    }
    bare = helper.make_graph(nodes, "net", [], [])
    rank = len(refer(_model(bare, weights, opset), noise(*SHAPE)).shape)
    return graph_of(nodes, weights, image=SHAPE, logits=[f"d{i}" for i in range(rank)], opset=opset)


def _model(graph: onnx.GraphProto, weights: dict[str, NDArray[Any]], opset: int) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, list(SHAPE))
    logits = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, None)
    initializers = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    whole = helper.make_graph(graph.node, "net", [image], [logits], initializers)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


@pytest.mark.parametrize("op_type", CASES)
def test_the_emulation_answers_as_the_reference_does_in_half_precision(op_type: str) -> None:
    """Both differ by roundings of half precision alone: sums inside one operator are added in another order."""
    model = case(op_type)
    image = noise(*SHAPE) if op_type not in ("Reciprocal", "Div") else np.abs(noise(*SHAPE)) + 0.5
    typed = to_half(model)
    assert typed.notes["num_nodes_fp16"]
    expected, emulated = refer(typed.model, image), run(emulate_half(model), image)
    unit = np.spacing(np.abs(expected).astype(np.float16)).astype(np.float32)
    assert (np.abs(emulated - expected) <= 2 * np.maximum(unit, 2**-11 * (8 if op_type in SINGULAR else 1))).all()
    if op_type not in ("Floor", "Ceil", "Round", "Sign"):
        assert np.abs(emulated - run(model, image)).max() > 0  # it rounds at all


def test_every_operator_that_computes_or_moves_in_half_precision_is_checked_or_says_why_not() -> None:
    elsewhere = {
        "Gemm",
        "Cast",
        "Where",
        "Sqrt",
        "Log",
        "Split",
        "GatherElements",
        "GatherND",
        "Dropout",
        "QuantizeLinear",
        "DequantizeLinear",
    }
    reduced = {name for name, (way, _) in WAYS.items() if way in ("reduced", "moves", "opened")}
    assert reduced - set(CASES) == elsewhere


def test_what_is_not_known_stays_float32() -> None:
    assert way_of("GridSample")[0] == way_of("SomethingNew")[0] == REST[0] == "float32"


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_whole_net_answers_as_the_reference_does(precision: Reduced) -> None:
    model = export_graph(tiny_net(), INPUT_SHAPE, opset=22)
    expected = refer(to_half(model, precision=precision).model, images(1))
    emulated = run(emulate_half(model, precision=precision), images(1))
    exact = run(model, images(1))
    unit = 2.0**-11 if precision == "fp16" else 2.0**-8
    assert np.abs(emulated - expected).max() < unit
    assert 0 < np.abs(emulated - exact).max() < 8 * unit


def test_bfloat16_holds_what_float16_does_not() -> None:
    nodes = [
        node("Mul", ["image", "large"], ["a"], "a/Mul"),
        node("Mul", ["a", "small"], ["b"], "b/Mul"),
        node("Add", ["b", "zero"], ["logits"], "c/Add"),
    ]
    weights = {"large": np.array(60000, np.float32), "small": np.array(1 / 60000, np.float32), "zero": np.zeros(4, np.float32)}
    model = graph_of(nodes, weights)
    image = np.array([[1.5, 3, -2, 0.25]], np.float32)
    assert not np.isfinite(run(emulate_half(model), image)).all()
    rounded = run(emulate_half(model, precision="bf16"), image)
    np.testing.assert_allclose(rounded, image, rtol=2.0**-6)
    large = np.float32(60000).astype(ml_dtypes.bfloat16).astype(np.float32)
    first = (image * large).astype(ml_dtypes.bfloat16).astype(np.float32)
    small = np.float32(1 / 60000).astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(rounded, (first * small).astype(ml_dtypes.bfloat16).astype(np.float32))


def test_operators_without_bfloat16_in_their_opset_stay_float32() -> None:
    for opset, is_reduced in ((20, False), (22, True)):
        nodes = [
            node("Conv", ["image", "weight"], ["a"], "a/Conv"),
            node("Mul", ["a", "one"], ["b"], "b/Mul"),
            node("Add", ["b", "one"], ["logits"], "c/Add"),
        ]
        weights = {"weight": noise(3, 3, 1, 1), "one": np.ones(1, np.float32)}
        typed = to_half(graph_of(nodes, weights, image=SHAPE, logits=SHAPE, opset=opset), precision="bf16").model
        kinds = {v.name: v.type.tensor_type.elem_type for v in typed.graph.value_info}
        assert (kinds["a"] == onnx.TensorProto.BFLOAT16) == is_reduced
        assert kinds["b"] == onnx.TensorProto.BFLOAT16
