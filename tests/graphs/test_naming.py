"""Names of nodes: by module, unique, and the same in composed nets."""

from __future__ import annotations

from collections import Counter

import timm
import torch
from edgenas.exporters.onnx import export_graph
from torch import nn

from edgenas.graphs.naming import joined, module_of, numbered


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x_NC: torch.Tensor) -> torch.Tensor:
        return self.first(x_NC) @ self.second(self.first(x_NC)).mT * 2


def test_a_node_is_called_after_its_module_and_its_type() -> None:
    names = [
        node.name
        for node in export_graph(timm.create_model("pvt_v2_b0", num_classes=3, depths=(2, 1, 1, 1)), (3, 32, 32)).graph.node
    ]
    assert {"patch_embed.proj/Conv", "stages.0.blocks.1.mlp.fc1/MatMul", "stages.3.blocks.0.attn/Softmax", "ReduceMean"} < set(
        names
    )
    assert len(set(names)) == len(names)


def test_the_second_of_a_type_in_a_module_is_numbered() -> None:
    seen = Counter[str]()
    assert [numbered("a/Add", seen) for _ in range(3)] == ["a/Add", "a/Add_2", "a/Add_3"]
    graph = export_graph(nn.Sequential(Doubled()), (4, 4), batch_size=1).graph
    assert {"0.first/MatMul", "0/MatMul", "0/Mul"} <= {node.name for node in graph.node}
    assert all(module_of(node.name).startswith("0") for node in graph.node)


def test_what_no_module_holds_is_called_by_its_type() -> None:
    assert (joined("", "Add"), joined("head", "Gemm")) == ("Add", "head/Gemm")
    assert (module_of("Add"), module_of("stages.0/Add_2")) == ("", "stages.0")
