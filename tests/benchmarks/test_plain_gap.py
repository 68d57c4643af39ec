"""The study of what keeps mobile nets behind a plain CNN: what its arms are, and what it shows of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.mobile_sharing import TASK
from benchmarks.plain_gap import ARMS, build, table
from edgenas.costs import cost_models
from edgenas.spaces import get_space
from edgenas.training.cnn import cnn_for, shape_of

FUSED = {"kernels": {"start": 0, "expand": 3, "mid": 0}, "attention": {"kind": "none", "num_heads": 0}}


def test_the_arms_that_others_begin_from_are_the_nets_of_the_comparison() -> None:
    assert shape_of(build(ARMS["CNN"]), TASK) == shape_of(cnn_for(TASK, 32), TASK)
    space = get_space("pvt-mobile-nano")
    widths, expansions = (16, 64, 96), ((), (3,), (2, 3, 3))
    stages = [
        {"embed_dim": width, "expansion": 2, "blocks": [FUSED | {"expansion": each} for each in inner]}
        for width, inner in zip(widths, expansions, strict=True)
    ]
    arch = {"resolution_px": 32, "stem_dim": 8, "stages": stages, "head": {"neck_dim": 256, "hidden_dim": 0}}
    models, row_AG = cost_models(space, TASK), space.from_json(arch)
    counts = (models["params"](row_AG)[0], models["macs"](row_AG)[0])
    assert shape_of(build(ARMS["searched"]), TASK) == counts


@pytest.mark.parametrize(("name", "gain"), [("searched", 0.2), ("searched, branches begin at 1", 1.0)])
def test_only_what_stands_beside_a_shortcut_begins_with_the_gain(name: str, gain: float) -> None:
    norms = [module for module in build(ARMS[name]).modules() if isinstance(module, nn.BatchNorm2d)]
    quiet = [norm for norm in norms if not torch.equal(norm.weight, torch.ones_like(norm.weight))]
    assert len(quiet) == (4 if gain < 1 else 0)
    assert all(norm.weight.tolist() == pytest.approx([gain] * len(norm.weight)) for norm in quiet)


def test_an_arm_is_compared_on_the_seeds_that_its_base_has_too(tmp_path: Path) -> None:
    lines = [
        {"arm": "CNN", "seed": 0, "wrong": [1, 2, 3]},
        {"arm": "CNN of bottlenecks", "seed": 0, "wrong": [*range(3, 56)]},
        {"arm": "CNN of bottlenecks", "seed": 1, "wrong": []},
    ]
    (tmp_path / "arms.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    cnn, other = table(tmp_path).splitlines()[2:]
    assert cnn.startswith("| CNN | 0.29 M | 24.5 M |  | 99.9 |")
    assert "| 98.9, 100.0 | CNN | -1.0 [" in other
