from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from edgenas.costs import CostModel, Factor, cost_models, decompose, sum_of_components
from edgenas.errors import LatencyTableError
from edgenas.spaces import get_space
from edgenas.spaces.pvt import BlockSpec


def test_counts_equal_the_published_networks_to_the_integer(fixture_json: Any) -> None:
    space = get_space("pvt-covidx")
    models = cost_models(space, space.default_task)
    rows = [
        (space.from_json(_covid_arch(row["cand"], json.loads(mlp_ratios))), row)
        for mlp_ratios, table in fixture_json("counts_covitpp.json").items()
        if mlp_ratios != "note"
        for row in table
    ]
    assert len(rows) == 30
    genes = np.concatenate([genes for genes, _ in rows])
    assert models["params"](genes).tolist() == [row["true_params"] for _, row in rows]
    assert models["reference_macs"](genes).tolist() == [row["conv_linear_matmul_macs"] for _, row in rows]


def _covid_arch(cand: list[int], mlp_ratios: list[int]) -> dict[str, Any]:
    return {"pool_size": cand[0], "depths": cand[1:5], "qkv_dims": cand[5:], "mlp_ratios": mlp_ratios}


def test_terms_hold_every_component_of_a_net() -> None:
    space = get_space("pvt-nano")
    terms = decompose(space, space.default_task)
    row = space.sample(1, np.random.default_rng(3))[0]
    blocks = [c for term in terms for c in term.cells[tuple(row[g] for g in term.genes)] if isinstance(c, BlockSpec)]
    assert len(blocks) == sum(space.to_json(row)["depths"])


def test_a_missing_entry_is_an_error_that_says_what_to_do() -> None:
    model = CostModel("latency_ms", "ms", (Factor((0,), np.array([1.0, np.nan])),))
    assert model(np.array([[0], [0]], dtype=np.int16)).tolist() == [1.0, 1.0]
    with pytest.raises(LatencyTableError, match=r"1 of 2 architectures.*edgenas profile"):
        model(np.array([[0], [1]], dtype=np.int16))


def test_calibration_is_affine_on_the_sum() -> None:
    space = get_space("pvt-nano")
    terms = decompose(space, space.default_task)
    row = space.extreme(largest=True)
    plain = sum_of_components("x", "ms", terms, lambda component: 1.0)
    scaled = sum_of_components("x", "ms", terms, lambda component: 1.0, scale=2.0, offset=0.5)
    assert scaled(row)[0] == 2 * plain(row)[0] + 0.5
