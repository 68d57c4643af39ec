"""Nets of a kit are the composed nets, which have the operators of those that ship, but for the values of their weights."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from edgenas.exporters.onnx import OnnxExporter, export_graph
from edgenas.exporters.onnxruntime import OnnxRuntimeCpu
from onnx import numpy_helper
from torch import nn

from edgenas.latency import ComponentGraphs
from edgenas.latency.kit.nets import INLINE_BYTES, Parts, Store
from edgenas.latency.kit.pack import _graphs
from edgenas.latency.kit.script_base import Kit, Weights, unpacked
from edgenas.supernets.pvt_net import build_component
from tests.latency.nets.test_compose import BLOCK, LATER, SPEC

CHAIN = (*SPEC.components[:1], BLOCK, BLOCK, *SPEC.components[3:5], LATER, LATER, *SPEC.components[6:])


def drawn_chain(components: Sequence[Any]) -> nn.Sequential:
    """Weights as components are traced with."""
    chain = nn.Sequential(*[build_component(component) for component in components]).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in (*chain.parameters(), *(b for n, b in chain.named_buffers() if n.endswith(("running_mean", "running_var")))):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.04 + 0.01)
    return chain


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    graphs = ComponentGraphs(lambda links: export_graph(drawn_chain(links), (3, 32, 32)), tmp_path_factory.mktemp("graphs"))
    graphs.prepare(tuple(dict.fromkeys(CHAIN)), always=SPEC.components)
    return graphs.net(CHAIN)


def put_together(parts: Parts, store: Store) -> onnx.ModelProto:
    """What the device loads, by the code that runs there."""
    kit = Kit.__new__(Kit)
    kit.plan = {"nets": ["net"]}
    kit._weights, kit._constants = Weights(store.num_weights), bytes(store.constants)
    head, _, kit._pieces = unpacked(_graphs({"net": parts}, store.pieces)).partition(b"\n")
    kit._graphs = json.loads(head)
    data = kit.model(0)
    assert 0 < kit.num_bytes(0) < len(data)
    return onnx.load_model_from_string(data)


def logits(model: onnx.ModelProto, path: Path) -> np.ndarray[Any, Any]:
    path.write_bytes(model.SerializeToString())
    runner = OnnxRuntimeCpu().load(path, threads=1)
    try:
        return runner(np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32))
    finally:
        runner.close()


def test_a_net_of_a_kit_is_the_composed_net_with_other_weights(composed: onnx.ModelProto, tmp_path: Path) -> None:
    store = Store()
    found = put_together(store.take_apart(copy.deepcopy(composed)), store)
    onnx.checker.check_model(found, full_check=True)
    assert len(store.pieces) == len(CHAIN) + 1
    assert found.ir_version == composed.ir_version
    assert list(found.graph.node) == list(composed.graph.node)
    assert list(found.graph.value_info) == list(composed.graph.value_info)
    assert (list(found.graph.input), list(found.graph.output)) == (list(composed.graph.input), list(composed.graph.output))
    mine, theirs = ({tensor.name: tensor for tensor in model.graph.initializer} for model in (found, composed))
    assert mine.keys() == theirs.keys()
    changed = {name for name in mine if mine[name] != theirs[name]}
    assert len(changed) > 10
    for name in changed:
        value = numpy_helper.to_array(mine[name])
        assert (value.dtype, value.shape) == ((own := numpy_helper.to_array(theirs[name])).dtype, own.shape)
        assert 0.01 <= value.min() <= value.max() < 0.05 + 1e-6
        assert 0.01 <= own.min() <= own.max() < 0.05 + 1e-6
    # with the kit's weights the composed net answers the same, bit by bit
    same = copy.deepcopy(composed)
    for tensor in same.graph.initializer:
        tensor.CopyFrom(mine[tensor.name])
    np.testing.assert_array_equal(logits(found, tmp_path / "kit.onnx"), logits(same, tmp_path / "composed.onnx"))


def test_nets_share_the_pieces_that_they_have_in_common(composed: onnx.ModelProto) -> None:
    store = Store()
    first = store.take_apart(copy.deepcopy(composed))
    num = len(store.pieces)
    assert store.take_apart(copy.deepcopy(composed)) == first
    other = copy.deepcopy(composed)
    next(node for node in other.graph.node if node.name.startswith("3.")).name += "_other"
    assert set(store.take_apart(other).pieces) ^ set(first.pieces) <= set(store.pieces)
    assert len(store.pieces) == num + 1


def test_half_precision_nets_are_those_that_ship(composed: onnx.ModelProto) -> None:
    typed = onnx.load_model_from_string(OnnxExporter().in_precision(composed.SerializeToString(), "fp16"))
    store = Store()
    parts = store.take_apart(copy.deepcopy(typed))
    assert {kind for _, kind, _, _ in parts.tensors} >= {"f2"}
    found = put_together(parts, store)
    onnx.checker.check_model(found, full_check=True)
    assert list(found.graph.node) == list(typed.graph.node)
    types = ({tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in m.graph.initializer} for m in (found, typed))
    assert next(types) == next(types)


def test_what_is_no_weight_stays_and_every_use_has_its_own_memory() -> None:
    store = Store()
    average = np.kron(np.eye(16, dtype=np.float32), np.full((4, 4), 0.02, dtype=np.float32))
    dense = np.full((32, 32), 0.02, dtype=np.float32)
    weight = np.random.default_rng(0).uniform(0.01, 0.05, (32, 32)).astype(np.float32)
    indices = np.arange(400, dtype=np.int64)
    values = {"a": average, "b": average, "c": dense, "d": weight, "e": weight, "f": indices, "g": np.ones(3, dtype=np.float32)}
    graph = onnx.helper.make_graph(
        [],
        "net",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 4])],
        [],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    for _ in range(2):  # a second net finds the constants of the first
        parts = store.take_apart(onnx.helper.make_model(copy.deepcopy(graph)))
        assert [kind for _, kind, _, _ in parts.tensors] == ["constant", "constant", "constant", "f4", "f4", "constant"]
        assert len({(kind, start) for _, kind, start, _ in parts.tensors}) == 6
        assert len(store.constants) == 2 * average.nbytes + dense.nbytes + indices.nbytes
        assert store.num_weights == 2 * weight.size
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in put_together(parts, store).graph.initializer}
    assert len(parts.pieces) == 1
    for name in "abcfg":
        np.testing.assert_array_equal(found[name], values[name])
    assert not (found["d"] == found["e"]).all()
    assert values["g"].nbytes < INLINE_BYTES
    assert parts.input_shape == (1, 4)
