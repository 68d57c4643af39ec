"""The tables that come with edgenas."""

from __future__ import annotations

import re

import numpy as np
import pytest

from edgenas.latency import LatencyTable, named_table, shipped_tables
from edgenas.latency.table.check import check_table
from edgenas.spaces import get_space

SHIPPED = sorted(shipped_tables())


def test_a_table_of_a_cpu_is_shipped() -> None:
    kinds = {LatencyTable.load(named_table(name)).context.device_kind for name in SHIPPED}
    assert "cpu" in kinds


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_table_is_sound_proven_and_goes_by_its_name(name: str) -> None:
    path = named_table(name)
    table = LatencyTable.load(path)
    space = get_space(table.space)
    assert path.name == table.file_name
    assert [check.verdict for check in check_table(table, space)] == ["passed"] * 4
    assert table.validation.num_subnets >= 10
    assert table.validation.mape <= max(0.03, 1.2 * table.validation.noise_floor_mape)
    assert len(table.promise.bounds()) == 4
    genes_AG = space.sample(200, np.random.default_rng(0))
    predicted = table.to_cost_model(space, table.task)(genes_AG)
    assert (predicted > 0).all()
    assert (table.upper(space, table.task)(genes_AG) >= predicted).all()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_table_holds_no_path_of_the_machine_it_was_made_on(name: str) -> None:
    assert re.search(r'"/|/(home|tmp|root|work)/', named_table(name).read_text()) is None
