"""Memory of nets against what built nets of every family really write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from edgenas.costs import FAMILIES, cost_models
from edgenas.costs.memory import MemoryCost
from edgenas.search import UpperLimit, cost_of
from edgenas.search.feasible_set import bands, feasible_set
from edgenas.spaces import SearchSpace, Task, get_space
from edgenas.spaces.families import family
from edgenas.supernets import build_net

NANO = ("pvt-nano", "pvt-elastic-nano", "pvt-mobile-nano", "autoformer-nano", "vitas-nano", "pit-nano")
OTHERS = (("pvt-covidx", 256), ("pit-ti", 224), ("autoformer-nano", 64), ("pvt-elastic-nano", 48), ("pvt-mobile-star", 32))


class Scores(TorchFunctionMode):
    """Remembers how many numbers the largest scores of an attention are, fused or not."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.nn.functional.scaled_dot_product_attention:
            queries_NhLd, keys_NhMd = args[:2]
            self.largest = max(self.largest, queries_NhLd.shape[1] * queries_NhLd.shape[2] * keys_NhMd.shape[2])
        elif func is torch.Tensor.softmax:
            self.largest = max(self.largest, result.numel())
        return result


def written(space: SearchSpace, task: Task, row_G: np.ndarray) -> tuple[int, int]:
    """Parameters of a built net, and numbers in the largest tensor of a forward pass: image, layers' outputs, scores."""
    net = build_net(space, task, tuple(int(gene) for gene in row_G)).eval()
    sizes: list[int] = []
    for module in net.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda _, __, output: sizes.append(output.numel()))
    side = family(space).lower(space, row_G, task).task.image_px
    with torch.no_grad(), Scores() as scores:
        net(torch.zeros(1, task.in_channels, side, side))
    return sum(p.numel() for p in net.parameters()), max(*sizes, scores.largest, task.in_channels * side**2)


@pytest.mark.parametrize(
    ("name", "image_px"),
    [*((name, None) for name in NANO), *(pytest.param(*other, marks=pytest.mark.slow) for other in OTHERS)],
)
def test_memory_is_what_a_built_net_holds(name: str, image_px: int | None) -> None:
    space = get_space(name)
    task = space.default_task if image_px is None else Task(3, 1, image_px)
    rows_AG = np.concatenate([space.sample(6, np.random.default_rng(2)), space.corners(largest=False), space.corners(largest=True)])
    cost = cost_of("memory_mb", space, task)
    assert isinstance(cost, MemoryCost)
    counted = [written(space, task, row_G) for row_G in rows_AG]
    assert cost.activation(rows_AG).tolist() == [largest for _, largest in counted]
    expected = [4 * (params + largest) / 1e6 for params, largest in counted]
    assert cost(rows_AG) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_what_is_no_component_of_a_family_has_no_largest_tensor(name: str) -> None:
    with pytest.raises(TypeError, match="no component"):
        FAMILIES[name].largest_tensor("block")


def test_one_row_costs_what_it_costs_among_many() -> None:
    space = get_space("vitas-384")
    cost = cost_of("memory_mb", space, space.default_task)
    rows_AG = space.sample(20_000, np.random.default_rng(0))
    together = cost(rows_AG)
    assert [float(cost(rows_AG[number][None])[0]) for number in (0, 8191, 8192, 19_999)] == together[
        [0, 8191, 8192, 19_999]
    ].tolist()
    assert (together == cost(np.ascontiguousarray(rows_AG))).all()


@pytest.mark.parametrize("name", ["pvt-nano", "autoformer-nano", "vitas-nano", "pit-nano"])
def test_what_a_limit_on_memory_needs_holds_in_every_net_that_keeps_it(name: str) -> None:
    space = get_space(name)
    cost = cost_of("memory_mb", space, space.default_task)
    rows_AG = space.enumerate()
    mb_A = cost(rows_AG)
    params = cost_models(space, space.default_task)["params"](rows_AG)
    for share in (0.01, 0.3):
        limit = UpperLimit("memory_mb", float(np.quantile(mb_A, share)), cost)
        (band,) = bands([limit])
        kept_A = band.model(rows_AG) <= band.high
        assert not (~kept_A & (mb_A <= limit.limit)).any()
        assert (band.model(rows_AG) >= params).all()
        left = feasible_set(space, [limit])
        assert left is not None
        drawn_AG = left.draw(500, np.random.default_rng(0))
        assert len(drawn_AG) == 500
        assert limit.violation(drawn_AG).sum() == 0
        share_left = left.share(np.random.default_rng(1))
        assert share_left.low <= (mb_A <= limit.limit).mean() <= share_left.high
