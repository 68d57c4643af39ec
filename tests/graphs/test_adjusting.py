"""Logits moved by constants: in a bias that nothing else reads, or by an addition behind everything."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edgenas.graphs.adjusting import with_added_logits
from edgenas.graphs.half import emulate_half, to_half
from tests.graphs.graphs import graph_of, node, refer, run

ADDED_K = np.array([0, 0.25, 0], dtype=np.float32)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 4)).astype(np.float32)
WEIGHTS: dict[str, NDArray[Any]] = {
    "w": RNG.standard_normal((4, 3)).astype(np.float32),
    "b": RNG.standard_normal(3).astype(np.float32),
    "half": np.array([0.5], dtype=np.float32),
}
GEMM = node("Gemm", ["image", "w", "b"], ["logits"])
FIRST, SECOND = node("Gemm", ["image", "w", "b"], ["first"]), node("MatMul", ["image", "w"], ["second"])
SUM = node("Add", ["first", "second"], ["sum"])
WITHIN = {
    "gemm": [GEMM],
    "product and bias": [SECOND, node("Add", ["second", "b"], ["logits"])],
    "bias before the product": [SECOND, node("Add", ["b", "second"], ["logits"])],
}
BEHIND = {
    "bias that is read twice": [
        FIRST,
        SECOND,
        node("Add", ["second", "b"], ["other"]),
        node("Add", ["first", "other"], ["logits"]),
    ],
    "shared bias": [FIRST, node("Add", ["first", "b"], ["logits"])],
    "no bias": [node("Gemm", ["image", "w"], ["logits"])],
    "scaled bias": [node("Gemm", ["image", "w", "b"], ["logits"], beta=2.0)],
    "mean of two members": [FIRST, SECOND, SUM, node("Mul", ["sum", "half"], ["logits"])],
    "logits that are read inside": [SECOND, node("Add", ["second", "b"], ["logits"]), node("Relu", ["logits"], ["unread"])],
}


def made(nodes: list[onnx.NodeProto], rows: int | str = "batch") -> onnx.ModelProto:
    """A net of three classes."""
    read = {name for each in nodes for name in each.input}
    weights = {name: value for name, value in WEIGHTS.items() if name in read}
    return graph_of(nodes, weights, image=(rows, 4), logits=(rows, 3))


@pytest.mark.parametrize("rows", ["batch", 5])
@pytest.mark.parametrize("name", [*WITHIN, *BEHIND])
def test_one_class_gets_what_is_added_and_the_others_nothing(name: str, rows: int | str) -> None:
    plain = made((WITHIN | BEHIND)[name], rows)
    before = plain.SerializeToString()
    moved = with_added_logits(plain, ADDED_K)
    assert plain.SerializeToString() == before
    for ask in (run, refer):
        np.testing.assert_allclose(ask(moved, X), ask(plain, X) + ADDED_K, atol=1e-6)
    onnx.shape_inference.infer_shapes(moved, strict_mode=True)
    assert moved.graph.output == plain.graph.output
    assert len(moved.graph.node) - len(plain.graph.node) == (name in BEHIND)


def test_what_is_added_behind_is_exact() -> None:
    plain = made(BEHIND["no bias"])
    np.testing.assert_array_equal(run(with_added_logits(plain, ADDED_K), X), run(plain, X) + ADDED_K)


@pytest.mark.parametrize("name", ["gemm", "mean of two members"])
def test_a_typed_graph_gives_float32_and_its_emulation_the_same(name: str) -> None:
    plain = made((WITHIN | BEHIND)[name])
    typed, emulated = to_half(plain).model, emulate_half(plain)
    moved, emulation = with_added_logits(typed, ADDED_K), with_added_logits(emulated, ADDED_K)
    assert moved.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    np.testing.assert_allclose(refer(moved, X), refer(typed, X) + ADDED_K, atol=1e-6)
    np.testing.assert_allclose(run(emulation, X), run(emulated, X) + ADDED_K, atol=1e-6)
