"""In which precision a graph computes, counted on graphs made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgenas.errors import PrecisionError
from edgenas.graphs import half
from edgenas.graphs.shares import FLOOR, shares_of
from edgenas.records import Precision

FLOAT, HALF, BF16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16


def graph_of(nodes: list[onnx.NodeProto], weights: dict[str, Any], *, shape: tuple[int, ...] = (1, 3, 4, 4)) -> onnx.ModelProto:
    return helper.make_model(
        helper.make_graph(
            nodes,
            "toy",
            [helper.make_tensor_value_info("image", FLOAT, shape)],
            [helper.make_tensor_value_info("logits", FLOAT, None)],
            [
                tensor if isinstance(tensor, onnx.TensorProto) else numpy_helper.from_array(tensor, name)
                for name, tensor in weights.items()
            ],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )


def zeros(*shape: int, kind: Any = np.float32) -> Any:
    return np.zeros(shape, kind)


def classifier() -> onnx.ModelProto:
    """A 2×2 convolution of 3 to 8 channels on 4×4 (2·2·8·12 = 384 MACs), a mean, and a product of 8 to 2 (16)."""
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["features"], name="conv", strides=[2, 2]),
        helper.make_node("ReduceMean", ["features", "axes"], ["pooled"], name="mean", keepdims=0),
        helper.make_node("Gemm", ["pooled", "head"], ["logits"], name="head", transB=1),
    ]
    return graph_of(nodes, {"kernel": zeros(8, 3, 2, 2), "axes": np.array([2, 3]), "head": zeros(2, 8)})


def test_multiply_accumulates_are_counted_by_hand() -> None:
    shares = shares_of(classifier(), "fp32")
    assert (dict(shares.macs), dict(shares.nodes), shares.head_macs) == ({"fp32": 384 + 16}, {"fp32": 3}, 16)
    assert shares.happened
    assert shares.rest == ()


def test_a_half_graph_says_what_stayed_single_and_why() -> None:
    shares = shares_of(half.to_half(classifier()).model, "fp16")
    assert dict(shares.macs) == {"fp16": 384, "fp32": 16}
    assert shares.happened
    assert shares.rest_words == "1 Gemm (gives the logits, 4.0 % of the work), 1 ReduceMean (sums of many values)"
    notes = shares.as_notes()
    assert notes["macs_share_fp16"] == 0.96
    assert notes["precision_share"] == "96.0 % of multiply-accumulates and 33.3 % of operators in fp16"


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_a_precision_that_did_not_happen_ends_with_exit_4(precision: Precision) -> None:
    with pytest.raises(PrecisionError, match=f"{precision} was asked for, but the graph does 0.0 % .* at least 50.0 %") as caught:
        shares_of(classifier(), precision).require()
    assert caught.value.exit_code == 4
    assert any("Conv" in problem for problem in caught.value.problems)


def test_fp32_is_not_proven_by_a_graph_with_half_in_it_or_without_floats() -> None:
    with pytest.raises(PrecisionError, match="fp32 was asked for"):
        shares_of(half.to_half(classifier()).model, "fp32").require()
    empty = graph_of([helper.make_node("Cast", ["image"], ["logits"], to=FLOAT)], {})
    assert not shares_of(empty, "fp32").happened
    assert not shares_of(empty, "fp16").happened


def test_the_floor_leaves_out_the_logits_alone() -> None:
    """Half of the inner work is enough, less is not; the head counts neither way."""
    halves = {True: 0, False: 0}
    for kept in halves:
        nodes = [
            helper.make_node("Conv", ["image", "kernel"], ["features"], name="first"),
            helper.make_node("Cast", ["features"], ["typed"], to=HALF),
            helper.make_node("Conv", ["typed", "second"], ["more"], name="second"),
            helper.make_node("Cast", ["more"], ["back"], to=FLOAT),
            helper.make_node("Flatten", ["back"], ["flat"], name="flat"),
            helper.make_node("MatMul", ["flat", "head"], ["logits"], name="head"),
        ]
        channels = 8 if kept else 3
        weights = {"kernel": zeros(channels, 3, 1, 1), "second": zeros(3, channels, 1, 1, kind=np.float16), "head": zeros(48, 900)}
        if kept:
            weights["kernel"] = zeros(8, 3, 1, 1)
            nodes.insert(1, helper.make_node("Conv", ["features", "third"], ["thirds"], name="third"))
            nodes[2].input[0] = "thirds"
            weights["third"] = zeros(8, 8, 1, 1)
        shares = shares_of(graph_of(nodes, weights), "fp16")
        inner = sum(shares.macs.values()) - shares.head_macs
        assert shares.head_macs == 48 * 900
        assert shares.happened == (shares.macs["fp16"] / inner >= FLOOR)
        halves[kept] = int(shares.happened)
    assert halves == {True: 0, False: 1}


def test_quantised_products_are_int8_and_what_is_not_says_so() -> None:
    scale, point = np.array(0.1, np.float32), np.array(0, np.int8)
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "scale", "point"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "point"], ["dq"]),
        helper.make_node("DequantizeLinear", ["kernel", "scale", "point"], ["weight"]),
        helper.make_node("Conv", ["dq", "weight"], ["features"], name="conv"),
        helper.make_node("Relu", ["features"], ["positive"], name="relu"),
        helper.make_node("Conv", ["positive", "single"], ["more"], name="left"),
        helper.make_node("Flatten", ["more"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"], name="head"),
    ]
    weights = {"scale": scale, "point": point, "kernel": zeros(8, 3, 1, 1, kind=np.int8)}
    shares = shares_of(graph_of(nodes, weights | {"single": zeros(1, 8, 1, 1), "head": zeros(16, 2)}), "int8")
    assert dict(shares.macs) == {"int8": 16 * 8 * 3, "fp32": 16 * 8 + 32}
    assert shares.happened
    assert "1 Conv (left in fp32, 23.5 % of the work)" in shares.rest_words
    assert "QuantizeLinear" not in shares.rest_words


def test_quantised_weights_alone_are_no_int8() -> None:
    weights = {"scale": np.array(0.1, np.float32), "point": np.array(0, np.int8), "kernel": zeros(8, 3, 1, 1, kind=np.int8)}
    nodes = [
        helper.make_node("DequantizeLinear", ["kernel", "scale", "point"], ["weight"]),
        helper.make_node("Conv", ["image", "weight"], ["logits"], name="conv"),
    ]
    assert not shares_of(graph_of(nodes, weights), "int8").happened


def test_attention_counts_both_products_by_its_own_type() -> None:
    """8 queries and 5 keys of 2 heads times 3 (240), and the weighted values of 2 heads times 4 (320)."""
    shapes = {"query": (1, 2, 8, 3), "key": (1, 2, 5, 3), "value": (1, 2, 5, 4)}
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Attention", [*shapes], ["out"], name="attention"),
                helper.make_node("Cast", ["out"], ["logits"], to=FLOAT),
            ],
            "toy",
            [helper.make_tensor_value_info(name, BF16, shape) for name, shape in shapes.items()],
            [helper.make_tensor_value_info("logits", FLOAT, (1, 2, 8, 4))],
            value_info=[helper.make_tensor_value_info("out", BF16, (1, 2, 8, 4))],
        ),
        opset_imports=[helper.make_opsetid("", 23)],
    )
    assert dict(shares_of(model, "bf16").macs) == {"bf16": 2 * 8 * 5 * 3 + 2 * 8 * 5 * 4}


def test_what_is_kept_on_purpose_is_named_so() -> None:
    shares = shares_of(classifier(), "fp16", kept=("conv",))
    assert "1 Conv (kept in a higher precision, 96.0 % of the work)" in shares.rest_words
