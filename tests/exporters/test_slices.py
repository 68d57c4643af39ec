"""The rule for two Slices is asked at Slices only, and makes what it made."""

from __future__ import annotations

import contextlib
from typing import Any

import onnx
import pytest
from edgenas.exporters import onnx as exporter
from edgenas.exporters._slices import split_asked_at_slices
from onnxscript.optimizer import optimize
from onnxscript.rewriter.rules.common import slice_split_rule as rule
from torch import nn

HALVES = """<ir_version: 9, opset_import: ["" : 20]>
halves (float[2, 6] image) => (float[2, 3] logits)
<int64[1] zero = {0}, int64[1] half = {3}, int64[1] all = {6}, int64[1] last = {1}> {
  right = Slice(image, half, all, last)
  left = Slice(image, zero, half, last)
  logits = Mul(left, right)
}"""


def test_two_slices_become_the_same_split() -> None:
    as_ever = optimize(onnx.parser.parse_model(HALVES))
    with split_asked_at_slices():
        quick = optimize(onnx.parser.parse_model(HALVES))
    assert [node.op_type for node in quick.graph.node] == ["Split", "Mul"]
    assert quick.SerializeToString(deterministic=True) == as_ever.SerializeToString(deterministic=True)


@pytest.mark.usefixtures("traced_anew")
def test_a_trace_asks_the_rule_at_slices_only_and_leaves_it_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def look(each: object, model: object, graph: object, node: Any, **_: object) -> None:
        if each is rule:
            asked.append(node.op_type)

    monkeypatch.setattr(type(rule), "try_rewrite", look)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU())
    exporter.export_graph(net, (4,), opset=20)
    assert asked == []
    monkeypatch.setattr(exporter, "split_asked_at_slices", contextlib.nullcontext)
    exporter.export_graph(net, (4,), opset=20)
    assert {"Gemm", "Relu"} <= set(asked)
