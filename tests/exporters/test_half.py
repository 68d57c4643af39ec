"""Typed float16 graphs and their emulation in float32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from edgenas.exporters.onnx import export_graph
from edgenas.exporters.onnxruntime import OnnxRuntimeCpu
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgenas.errors import ExportError
from edgenas.graphs import half as halving
from edgenas.testing.exporters import INPUT_SHAPE, images, tiny_net


def graph_of(nodes: Sequence[Any], weights: dict[str, NDArray[np.float32]], *, width: int = 4) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, width])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, width])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model: onnx.ModelProto, image: NDArray[np.float32], folder: Path) -> NDArray[np.float32]:
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    runner = OnnxRuntimeCpu().load(path)
    logits = runner(image)
    runner.close()
    return logits


def types(model: onnx.ModelProto) -> dict[str, int]:
    return {value.name: value.type.tensor_type.elem_type for value in (*model.graph.value_info, *model.graph.output)}


def doubling(factor: float) -> onnx.ModelProto:
    """Multiplies by ``factor`` and divides by it again; the last operator stays float32."""
    nodes = [
        helper.make_node("Mul", ["image", "factor"], ["large"]),
        helper.make_node("Mul", ["large", "inverse"], ["small"]),
        helper.make_node("Add", ["small", "zero"], ["logits"]),
    ]
    scale = np.array([factor], dtype=np.float32)
    return graph_of(nodes, {"factor": scale, "inverse": 1 / scale, "zero": np.zeros(1, dtype=np.float32)})


@pytest.fixture(scope="module")
def exported() -> onnx.ModelProto:
    return export_graph(tiny_net(), INPUT_SHAPE)


def test_layer_norm_softmax_mean_and_logits_stay_float32(exported: onnx.ModelProto) -> None:
    half = halving.to_half(exported).model
    kinds = types(half)
    for node in half.graph.node:
        if node.op_type in ("LayerNormalization", "Softmax", "ReduceMean"):
            assert kinds[node.output[0]] == TensorProto.FLOAT
        if node.op_type in ("MatMul", "Conv"):
            assert kinds[node.output[0]] == TensorProto.FLOAT16
    assert kinds["logits"] == TensorProto.FLOAT
    assert half.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_every_operator_gets_one_float_type(exported: onnx.ModelProto) -> None:
    half = halving.to_half(exported).model
    kinds = types(half) | {t.name: t.data_type for t in half.graph.initializer} | {"image": TensorProto.FLOAT}
    floats = {TensorProto.FLOAT, TensorProto.FLOAT16}
    for node in half.graph.node:
        if node.op_type != "Cast":
            assert len({kinds[name] for name in (*node.input, *node.output)} & floats) == 1, node.op_type


def test_the_source_graph_is_left_as_it_is(exported: onnx.ModelProto) -> None:
    before = exported.SerializeToString(deterministic=True)
    halving.to_half(exported)
    halving.emulate_half(exported)
    assert exported.SerializeToString(deterministic=True) == before


def test_weights_outside_the_range_are_all_named() -> None:
    nodes = [
        helper.make_node("Mul", ["image", "huge"], ["a"]),
        helper.make_node("Add", ["a", "deep"], ["b"]),
        helper.make_node("Add", ["b", "zero"], ["logits"]),
    ]
    weights = {"huge": np.full(4, 7e4, np.float32), "deep": np.full(4, -1e9, np.float32), "zero": np.zeros(4, np.float32)}
    with pytest.raises(ExportError, match=r"±65504.*huge.* holds 70000; deep.* holds -1e\+09"):
        halving.to_half(graph_of(nodes, weights))


def test_infinite_masks_are_allowed() -> None:
    nodes = [
        helper.make_node("Add", ["image", "mask"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["share"]),
        helper.make_node("Add", ["share", "zero"], ["logits"]),
    ]
    mask = np.array([0, -np.inf, 0, 0], np.float32)
    model = graph_of(nodes, {"mask": mask, "zero": np.zeros(4, np.float32)})
    assert halving.is_half(halving.to_half(model).model)


def test_graphs_inside_an_operator_stay_float32_and_read_float32() -> None:
    def branch(factor: str) -> onnx.GraphProto:
        nodes = [helper.make_node("Mul", ["doubled", factor], [f"by.{factor}"], name=f"mul.{factor}")]
        return helper.make_graph(nodes, factor, [], [helper.make_tensor_value_info(f"by.{factor}", TensorProto.FLOAT, [1, 4])])

    nodes = [
        helper.make_node("Mul", ["image", "two"], ["doubled"], name="double"),
        helper.make_node("If", ["yes"], ["chosen"], name="choice", then_branch=branch("two"), else_branch=branch("one")),
        helper.make_node("Add", ["chosen", "one"], ["logits"], name="last"),
    ]
    model = graph_of(nodes, {"two": np.full(1, 2, np.float32), "one": np.ones(1, np.float32)})
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    image = np.array([[1, 2, 3, 4]], np.float32)
    for graph in (halving.to_half(model).model, halving.emulate_half(model)):
        np.testing.assert_array_equal(ReferenceEvaluator(graph).run(None, {"image": image})[0], 4 * image + 1)


def test_an_overflow_shows_in_the_emulation_but_not_in_float32(tmp_path: Path) -> None:
    image = np.array([[1.0, 2.0, -2.0, 0.5]], np.float32)
    model = doubling(5e4)
    np.testing.assert_allclose(run(model, image, tmp_path), image, rtol=1e-6)
    emulated = run(halving.emulate_half(model), image, tmp_path)
    assert not np.isfinite(emulated[0, 1:3]).any()
    assert np.isfinite(emulated[0, [0, 3]]).all()


def test_an_underflow_shows_in_the_emulation(tmp_path: Path) -> None:
    image = np.full((1, 4), 1e-3, np.float32)
    emulated = run(halving.emulate_half(doubling(2.0**-15)), image, tmp_path)
    assert np.abs(emulated - image).max() > 1e-5


def test_the_emulation_rounds_as_numpy_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 4)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["image", "weight"], ["product"]),
        helper.make_node("Mul", ["product", "product"], ["square"]),
        helper.make_node("Add", ["square", "zero"], ["logits"]),
    ]
    image = rng.standard_normal((1, 4)).astype(np.float32)
    emulated = run(halving.emulate_half(graph_of(nodes, {"weight": weight, "zero": np.zeros(4, np.float32)})), image, tmp_path)
    product = (image.astype(np.float16).astype(np.float32) @ weight.astype(np.float16).astype(np.float32)).astype(np.float16)
    square = (product.astype(np.float32) ** 2).astype(np.float16)
    np.testing.assert_array_equal(emulated, square.astype(np.float32))


def test_the_emulation_stores_and_computes_float32(exported: onnx.ModelProto) -> None:
    emulated = halving.emulate_half(exported)
    assert not halving.is_half(emulated)
    kinds = types(emulated)
    half = {name for name, kind in kinds.items() if kind == TensorProto.FLOAT16}
    assert half
    assert all(node.op_type == "Cast" for node in emulated.graph.node if half & {*node.input, *node.output})


def test_the_emulation_is_close_to_the_net(exported: onnx.ModelProto, tmp_path: Path) -> None:
    x = images(1)
    exact = run(exported, x, tmp_path)
    emulated = run(halving.emulate_half(exported), x, tmp_path)
    assert 0 < np.abs(exact - emulated).max() < 1e-2


def test_weights_that_vanish_are_counted() -> None:
    notes = halving.to_half(doubling(1e9 / 65536)).notes
    assert notes["num_weights_underflowed"] == 0
    model = graph_of(
        [helper.make_node("Mul", ["image", "tiny"], ["a"]), helper.make_node("Add", ["a", "zero"], ["logits"])],
        {"tiny": np.full(4, 1e-9, np.float32), "zero": np.zeros(4, np.float32)},
    )
    assert halving.to_half(model).notes["num_weights_underflowed"] == 4
