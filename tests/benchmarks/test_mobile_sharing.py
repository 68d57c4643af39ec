"""The study of the mobile supernet's training: what its arms change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.mobile_sharing import ARMS, LIMIT_MACS, SPACE, TASK, branches_of, drawn_by, judged, kernels_apart, norms_apart
from edgenas.costs import cost_models
from edgenas.supernets import build_supernet
from edgenas.supernets.pvt_mobile_net import BRANCH

INVERTED, START = {"start": 0, "expand": 1, "mid": 3}, {"start": 3, "expand": 1, "mid": 0}


@pytest.fixture
def supernet() -> Any:
    torch.manual_seed(0)
    return build_supernet(SPACE, TASK)


def row_with(kernels: dict[str, int]) -> tuple[int, ...]:
    """The smallest net with other kernels in its last block."""
    arch = SPACE.to_json(SPACE.extreme(largest=False)[0])
    arch["stages"][-1]["blocks"][-1]["kernels"] = kernels
    return tuple(int(gene) for gene in SPACE.from_json(arch)[0])


def narrowing(supernet: Any, kernels: dict[str, int]) -> torch.Tensor:
    weight: torch.Tensor = supernet.slices(row_with(kernels))["stages.2.blocks.0.pw_proj.conv.weight"]
    return weight


def test_kernels_apart_share_no_weight_and_the_net_that_is_extracted_computes_the_same(supernet: Any) -> None:
    assert torch.equal(narrowing(supernet, START), narrowing(supernet, INVERTED))
    kernels_apart(supernet)
    assert not torch.equal(narrowing(supernet, START), narrowing(supernet, INVERTED))
    images_NCHW = torch.randn(2, 3, 32, 32)
    supernet.eval()
    torch.testing.assert_close(supernet(images_NCHW, row_with(START)), supernet.extract(row_with(START))(images_NCHW))


def test_branches_begin_with_the_gain_that_is_asked_for(supernet: Any) -> None:
    norm = supernet.get_submodule("stages.1.blocks.0.conv.pw_proj.bn")
    assert norm.weight.detach().unique().tolist() == pytest.approx([BRANCH])
    branches_of(1.0, supernet)
    assert norm.weight.detach().unique().tolist() == [1.0]


def test_a_limited_arm_draws_and_judges_nothing_above_the_limit() -> None:
    draw = drawn_by(ARMS["limited"])
    drawn = [genes for step in range(20) for genes in draw(np.random.default_rng(step), step)]
    macs = cost_models(SPACE, TASK)["macs"]
    assert macs(np.array([*drawn, *judged().values()], dtype=np.int16)).max() <= LIMIT_MACS
    whole = drawn_by(ARMS["whole space"])
    assert any(macs(np.array(whole(np.random.default_rng(step), step), dtype=np.int16)).max() > LIMIT_MACS for step in range(20))


def test_norms_apart_are_of_one_resolution_and_convolutions_of_both(supernet: Any) -> None:
    norms_apart(supernet)
    with torch.no_grad():
        supernet.get_submodule("higher.stem.bn").weight.fill_(2.0)
    column = SPACE.index["resolution_px"]
    lower, higher = ((*row_with(START)[:column], place, *row_with(START)[column + 1 :]) for place in (0, 1))
    slices = [supernet.slices(genes) for genes in (lower, higher)]
    assert [float(weights["stem.bn.weight"].detach().max()) for weights in slices] == [1.0, 2.0]
    assert torch.equal(slices[0]["stem.conv.weight"], slices[1]["stem.conv.weight"])
