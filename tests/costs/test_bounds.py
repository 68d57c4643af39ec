from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenas.costs import CostModel, Factor
from edgenas.spaces import SearchSpace
from tests.costs.bounds import exact_bounds
from tests.spaces.reference import spaces


@settings(max_examples=50)
@given(data=st.data(), space=spaces().filter(lambda space: space.cardinality < 5000))
def test_eliminating_genes_finds_what_looking_at_every_row_finds(data: st.DataObject, space: SearchSpace) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    factors = []
    for _ in range(data.draw(st.integers(1, 6))):
        genes = tuple(data.draw(st.lists(st.integers(0, space.num_genes - 1), unique=True, max_size=3)))
        shape = [len(space.choices[gene].options) + (space.choices[gene].active_when is not None) for gene in genes]
        factors.append(Factor(genes, rng.integers(-100, 100, shape).astype(float)))
    model = CostModel("cost", "ms", tuple(factors), scale=2.0, offset=1.0)
    costs = model(space.enumerate())
    assert exact_bounds(space, model) == pytest.approx((costs.min(), costs.max()))
