"""Nets that are timed in int8: the integers that ship, or a refusal by name."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edgenas.deploy.plugins import get_runtime
from edgenas.errors import LatencyTableError
from edgenas.graphs.quantizing import int8_products
from edgenas.latency.measuring.workshop import Workshop
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


def test_kits_carry_no_int8(tmp_path: Path) -> None:
    with pytest.raises(LatencyTableError, match="kits time nets in fp32 and fp16, not in int8"):
        workshop(tmp_path, "onnxruntime-cpu").graph([])
