"""int8 graphs: what is quantised, what is not, and that ONNX Runtime runs it in integers."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from edgenas.exporters.onnxruntime import in_precision, live_products
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgenas.errors import ExportError
from edgenas.graphs import observing, quantizing
from edgenas.graphs.quantizing import ASYMMETRIC, SYMMETRIC, Scheme
from edgenas.records import CalibrationMethod
from edgenas.testing.exporters import images, tiny_onnx

NUM = 5  # products of the tiny net: patches, q, k and v together, two of the MLP, the logits


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    """The tiny transformer, its nodes named apart."""
    return quantizing.named(onnx.load_model_from_string(tiny_onnx()))


def answers(model: onnx.ModelProto, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of ONNX Runtime, image by image."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": images_NCHW[row : row + 1]})[0] for row in range(len(images_NCHW))])


def test_products_with_constant_weights_can_be_quantised_and_nothing_else(graph: onnx.ModelProto) -> None:
    weights = {tensor.name for tensor in graph.graph.initializer}
    kinds = {node.name: node for node in graph.graph.node}
    names = quantizing.quantizable(graph)
    assert len(names) == NUM
    assert all(kinds[name].op_type in ("Conv", "Gemm", "MatMul") and kinds[name].input[1] in weights for name in names)
    attention = [node.name for node in graph.graph.node if node.op_type == "MatMul" and node.input[1] not in weights]
    assert attention
    assert not set(attention) & set(names)


def test_nodes_are_left_out_by_the_start_of_their_name_and_by_their_type(graph: onnx.ModelProto) -> None:
    everything = quantizing.quantizable(graph)
    assert quantizing.quantizable(graph, (everything[0],)) == everything[1:]
    assert quantizing.quantizable(graph, observing.WEIGHTED) == ()


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_ranges_hold_what_the_images_give(graph: onnx.ModelProto, method: CalibrationMethod) -> None:
    x_NCHW = images(12)
    low, high = observing.measured_ranges(graph, x_NCHW, method)["image"]
    assert x_NCHW.min() * 1.001 <= low < 0 < high <= x_NCHW.max() * 1.001
    assert high - low > 0.5 * np.ptp(x_NCHW)
    if method == "minmax":
        assert (low, high) == (x_NCHW.min(), x_NCHW.max())


def test_ranges_refuse_what_is_not_a_number_and_no_images_at_all(graph: onnx.ModelProto) -> None:
    x_NCHW = images(9)
    x_NCHW[8, 0, 0, 0] = np.nan
    with pytest.raises(ExportError, match="not a number"):
        observing.measured_ranges(graph, x_NCHW)
    with pytest.raises(ExportError, match="there are none"):
        observing.measured_ranges(graph, x_NCHW[:0])


@pytest.mark.parametrize("scheme", [ASYMMETRIC, SYMMETRIC], ids=["asymmetric", "symmetric"])
def test_an_int8_graph_answers_nearly_the_same(graph: onnx.ModelProto, scheme: Scheme) -> None:
    x_NCHW = images(16)
    model = quantizing.quantized(graph, observing.measured_ranges(graph, x_NCHW), scheme, quantizing.quantizable(graph))
    assert quantizing.int8_products(model) == (NUM, NUM)
    difference = np.abs(answers(model, x_NCHW) - answers(graph, x_NCHW)).max()
    assert 0 < difference < 0.05


@pytest.mark.parametrize(("others", "lowest"), [((), 0.0), (("Neg",), -6.0)], ids=["relu alone", "another too"])
def test_no_integers_are_spent_on_what_relus_drop_where_nothing_else_reads_it(others: tuple[str, ...], lowest: float) -> None:
    readers = [helper.make_node(kind, ["products"], [kind.lower()], name=kind) for kind in ("Relu", *others)]
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Conv", ["image", "weights"], ["products"], name="conv"), *readers],
            "net",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 4, 4))],
            [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, (1, 2, 4, 4)) for node in readers],
            [numpy_helper.from_array(np.array([[1, 0, -2], [0, 3, -1]], dtype=np.float32).reshape(2, 3, 1, 1), "weights")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=10,
    )
    ranges = {"image": (-2.0, 2.0), "products": (-6.0, 4.0)}
    found = quantizing.quantized(model, ranges, ASYMMETRIC, ["conv"])
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in found.graph.initializer}
    (given,) = [node for node in found.graph.node if node.op_type == "QuantizeLinear" and "products" in node.input[0]]
    scale, zero = (float(constants[name]) for name in given.input[1:3])
    assert -zero * scale == pytest.approx(lowest, abs=scale / 2)
    assert (255 - zero) * scale == pytest.approx(4.0, abs=scale / 2)


def test_only_the_nodes_that_were_named_are_quantised(graph: onnx.ModelProto) -> None:
    names = quantizing.quantizable(graph)
    model = quantizing.quantized(graph, quantizing.fixed_ranges(graph), ASYMMETRIC, names[:1])
    assert quantizing.int8_products(model) == (1, NUM)


def test_symmetric_integers_have_no_zero_point(graph: onnx.ModelProto) -> None:
    model = quantizing.quantized(graph, quantizing.fixed_ranges(graph), SYMMETRIC, quantizing.quantizable(graph))
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    points = [tensors[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert points
    assert all(point.dtype == np.int8 and not point.any() for point in points)


def test_onnx_runtime_multiplies_integers(graph: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("optimized") / "optimized.onnx"
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    model = quantizing.quantized(graph, quantizing.fixed_ranges(graph), ASYMMETRIC, quantizing.quantizable(graph))
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert live_products(onnx.load(path)) == (NUM, 0)


def test_a_tensor_that_others_read_too_stays_float_for_them() -> None:
    model = residual_net()
    ranges = {"image": (-1.0, 1.0), "inner": (-1.0, 1.0), "product": (-1.0, 1.0)}
    found = quantizing.quantized(model, ranges, ASYMMETRIC, quantizing.quantizable(model))
    addition = next(node for node in found.graph.node if node.op_type == "Add")
    assert addition.input[0] == "inner"
    product = next(node for node in found.graph.node if node.op_type == "MatMul")
    assert product.input[0] != "inner"
    assert "Identity" not in {node.op_type for node in found.graph.node}


def test_a_net_without_products_is_refused() -> None:
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Relu", ["image"], ["logits"], name="relu")],
            "bare",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 4])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4])],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
    )
    assert quantizing.quantizable(model) == ()
    with pytest.raises(ExportError, match="nothing of the net can be quantised"):
        quantizing.quantized(model, {}, ASYMMETRIC, ())


def test_names_are_made_different_and_good_ones_stay() -> None:
    model = residual_net()
    model.graph.node[0].name = model.graph.node[1].name = "twice"
    model.graph.node[2].name = ""
    assert [node.name for node in quantizing.named(model).graph.node] == ["twice", "twice.1", "Add.2"]


def test_nets_that_are_only_timed_get_the_integers_that_ship() -> None:
    model = onnx.load_model_from_string(in_precision(tiny_onnx(), "int8"))
    assert quantizing.int8_products(model) == (NUM, NUM)
    data = model.SerializeToString()
    assert in_precision(data, "int8") == data


def residual_net() -> onnx.ModelProto:
    """A sum of a tensor and its product with a matrix."""
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32) * 0.5, "weight")
    nodes = [
        helper.make_node("Relu", ["image"], ["inner"], name="relu"),
        helper.make_node("MatMul", ["inner", "weight"], ["product"], name="product"),
        helper.make_node("Add", ["inner", "product"], ["logits"], name="sum"),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 4])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4])]
    return helper.make_model(
        helper.make_graph(nodes, "residual", inputs, outputs, [weight]), opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )
