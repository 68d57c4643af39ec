"""Nets that are timed in reduced precisions: the integers that ship, or a refusal by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgenas.deploy.plugins import get_runtime
from edgenas.errors import LatencyTableError
from edgenas.graphs.quantizing import int8_products
from edgenas.latency.kit.nets import Store
from edgenas.latency.kit.script_base import Weights
from edgenas.latency.measuring.workshop import Workshop
from edgenas.latency.nets import INLINE_BYTES
from edgenas.latency.nets.plan import reference_net
from edgenas.spaces import Task, get_space

SPACE = get_space("pvt-nano[depths[2]=1,depths[3]=1,mlp_ratios[3]=2,pool_size=2]")


def workshop(folder: Path, runtime: str) -> Workshop:
    """Of a tiny space in int8."""
    return Workshop(SPACE, Task(3), get_runtime(runtime), "int8", 1, opset=18, cache=folder / "cache", scratch=folder)


def test_composed_nets_hold_the_integers_that_ship(tmp_path: Path) -> None:
    shop = workshop(tmp_path, "onnxruntime-cpu")
    chain = reference_net(SPACE, Task(3))
    list(shop.prepare_chains([chain]))
    path = shop.build(chain)
    assert isinstance(path, Path)
    integer, num = int8_products(onnx.load(path))
    assert integer == num > 5
    runner = shop.target(1).load(path)
    assert (runner.info.precision, runner.info.details["float_products"]) == ("int8", 0)
    runner.close()


def test_a_runtime_whose_int8_is_not_made_of_parts_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(LatencyTableError, match="nets are timed in int8 by onnxruntime-cpu alone"):
        workshop(tmp_path, "openvino-cpu").target(1)


def test_a_kit_is_refused_in_a_precision_that_its_nets_would_not_have(tmp_path: Path) -> None:
    runtime = get_runtime("tensorrt")
    shop = Workshop(SPACE, Task(3), runtime, "bf16", 1, opset=18, cache=tmp_path / "cache", scratch=tmp_path)
    with pytest.raises(LatencyTableError, match="kits time nets in fp32, fp16 and int8, not in bf16"):
        shop.graph([])
    with pytest.raises(LatencyTableError, match="nets are timed in int8 by onnxruntime-cpu alone"):
        workshop(tmp_path, "tensorrt").graph([])


def test_a_kit_holds_no_integer_weight_but_those_that_the_device_draws(tmp_path: Path) -> None:
    shop = workshop(tmp_path, "onnxruntime-cpu")
    chain = reference_net(SPACE, Task(3))
    list(shop.prepare_chains([chain]))
    graph, store = shop.graph(chain), Store()
    integers = [tensor for tensor in graph.graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in integers if np.prod(tensor.dims) >= INLINE_BYTES}
    parts = store.take_apart(graph)
    drawn = [num for _, kind, _, num in parts.tensors if kind == "i1"]
    assert sorted(drawn) == sorted(sizes.values())
    assert len(drawn) > 3
    integers_there = Weights(store.num_weights).bytes_of("i1", 0, store.num_weights)
    assert (min(integers_there), max(integers_there)) >= (25, 100)
    assert max(integers_there) <= 127
