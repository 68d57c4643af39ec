"""Operators that belong together, by their names, and what they cost."""

from __future__ import annotations

import numpy as np
import pytest
from edgenas.exporters.onnx import export_graph

from edgenas.graphs.blocks import MAX_NAMELESS, block_names, blocks_of, node_macs
from edgenas.graphs.opening import named, opened
from edgenas.graphs.precisions import is_kept
from edgenas.testing.exporters import INPUT_SHAPE, tiny_net
from tests.graphs.blocks_net import net
from tests.graphs.graphs import graph_of, node


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("stages.0.blocks.1.mlp.fc1/MatMul", "stages.0.blocks.1"),
        ("stages.0.blocks.1/Add_2", "stages.0.blocks.1"),
        ("stages.0.downsample.proj/Conv", "stages.0.downsample"),
        ("stages.0/Reshape", None),
        ("patch_embed.proj/Conv", "patch_embed"),
        ("head/Gemm", "head"),
        ("blocks.10.attn/Attention/MatMul", "blocks.10"),
        ("/layers/layers.2/fc/MatMul", "/layers/layers.2"),
        ("MatMul_7", None),
    ],
)
def test_blocks_are_the_innermost_numbered_modules_and_lie_in_no_other(name: str, block: str | None) -> None:
    assert block_names([name, "stages.0.blocks.1.attn/Softmax"])[name] == block


def test_a_kept_block_is_no_other_whose_name_begins_alike() -> None:
    assert is_kept("blocks.1.attn/MatMul", "MatMul", ("blocks.1",))
    assert is_kept("blocks.1/Add", "Add", ("blocks.1",))
    assert not is_kept("blocks.10.attn/MatMul", "MatMul", ("blocks.1",))
    assert is_kept("blocks.10.attn/MatMul", "MatMul", ("MatMul",))
    assert not is_kept("blocks.10.attn/MatMul_2", "MatMul", ("blocks.10.attn/MatMul",))


def test_every_operator_is_kept_by_its_own_block_and_by_no_other() -> None:
    graph = opened(export_graph(tiny_net(), INPUT_SHAPE))
    names = {each.name for each in graph.graph.node}
    blocks = blocks_of(graph, names)
    for each in graph.graph.node:
        holding = [block.name for block in blocks if is_kept(each.name, each.op_type, block.kept)]
        assert len(holding) == 1, (each.name, holding)
    assert {part.name for block in blocks for part in block.parts} == names


def test_neighbours_without_a_module_are_blocks_of_a_few() -> None:
    nodes = [node("Neg", ["image" if i == 0 else f"v{i - 1}"], [f"v{i}"], f"Neg_{i}") for i in range(2 * MAX_NAMELESS + 1)]
    nodes.append(node("Abs", [f"v{2 * MAX_NAMELESS}"], ["logits"], "Abs_0"))
    graph = graph_of(nodes, {})
    blocks = blocks_of(graph, {each.name for each in nodes})
    assert [len(block.parts) for block in blocks] == [MAX_NAMELESS, MAX_NAMELESS, 2]
    assert blocks[0].name == "Neg_0 to Neg_15"
    assert blocks[0].kept == tuple(f"Neg_{i}" for i in range(MAX_NAMELESS))


def test_costs_are_those_of_the_products() -> None:
    nodes = [
        node("Conv", ["image", "kernel"], ["a"], "conv/Conv", group=2, pads=[1, 1, 1, 1]),
        node("Flatten", ["a"], ["b"], "Flatten"),
        node("Gemm", ["b", "dense"], ["c"], "fc/Gemm", transB=1),
        node("MatMul", ["c", "square"], ["logits"], "head/MatMul"),
    ]
    weights = {
        "kernel": np.zeros((6, 2, 3, 3), np.float32),
        "dense": np.zeros((5, 96), np.float32),
        "square": np.zeros((5, 3), np.float32),
    }
    graph = opened(graph_of(nodes, weights, image=["batch", 4, 4, 4], logits=["batch", 3]))
    assert node_macs(graph) == {"conv/Conv": 6 * 16 * 2 * 9, "fc/Gemm": 5 * 96, "head/MatMul": 15}


def test_attention_and_gelu_are_opened_under_their_own_names() -> None:
    names = [each.name for each in opened(net()).graph.node]
    assert {f"blocks.0.attn/Attention/{op}" for op in ("Mul", "Mul_1", "Transpose", "MatMul", "Softmax", "MatMul_1")} < set(names)
    assert {f"blocks.0.mlp.act/Gelu/{op}" for op in ("Div", "Erf", "Add", "Mul", "Mul_1")} < set(names)
    assert len(set(names)) == len(names)


def test_attention_that_is_more_than_its_three_factors_stays_whole() -> None:
    from onnx import helper

    for attributes in ({"is_causal": 1}, {"softcap": 2.0}):
        graph = net()
        for each in graph.graph.node:
            if each.op_type == "Attention":
                each.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        assert sum(each.op_type == "Attention" for each in opened(graph).graph.node) == 3


def test_nodes_without_a_name_get_one_each() -> None:
    graph = graph_of([node("Neg", ["image"], ["a"]), node("Neg", ["a"], ["logits"])], {})
    for each in graph.graph.node:
        each.ClearField("name")
    assert [each.name for each in named(graph).graph.node] == ["Neg_0", "Neg_1"]
    assert [each.name for each in graph.graph.node] == ["", ""]
