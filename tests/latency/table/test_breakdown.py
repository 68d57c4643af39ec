from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgenas.errors import LatencyTableError
from edgenas.latency.nets.plan import components_of
from edgenas.latency.table.breakdown import break_down, kind_of, stages_of, typical_nets
from edgenas.spaces import get_space
from tests.latency.tables import nano, toy_table
from tests.latency.toy import true_ms


@pytest.mark.parametrize("name", ["pvt-nano", "autoformer-nano"])
def test_parts_add_up_to_the_predicted_net(name: str) -> None:
    table, space = toy_table(space=name), get_space(name)
    for genes_G in space.sample(20, np.random.default_rng(0)):
        net = break_down(table, space, genes_G, "x")
        assert net.predicted_ms == pytest.approx(float(table.to_cost_model(space, table.task)(genes_G[None])[0]))
        assert sum(part.ms for part in net.parts) == pytest.approx(net.predicted_ms)
        assert sum(part.share for part in net.parts) == pytest.approx(1.0)
        assert sum(part.num for part in net.parts if part.kind != "call") == len(components_of(space, genes_G, table.task))
        assert net.upper_ms >= net.predicted_ms
        assert net.arch == space.to_json(genes_G)


def test_blocks_are_in_their_stages_and_cost_what_they_do() -> None:
    table = toy_table(noise=0.0)
    genes_G = nano().extreme(largest=True)[0]
    net = break_down(table, nano(), genes_G, "largest")
    blocks = {part.stage: part for part in net.parts if part.kind == "block"}
    assert {stage: part.num for stage, part in blocks.items()} == {1: 2, 2: 2, 3: 3, 4: 2}
    chain = components_of(nano(), genes_G, table.task)
    for stage, part in blocks.items():
        truth = sum(true_ms(c) for c, s in zip(chain, stages_of(chain), strict=True) if s == stage and kind_of(c) == "block")
        assert part.ms == pytest.approx(truth, rel=0.02)


def test_what_was_only_timed_together_is_not_divided() -> None:
    net = break_down(toy_table(), nano(), nano().extreme(largest=False)[0], "smallest")
    (frame,) = [part for part in net.parts if part.kind == "frame"]
    assert (frame.stage, frame.num) == (None, 9)
    assert {part.kind for part in net.parts} == {"frame", "block", "call"}
    other = get_space("autoformer-nano")
    apart = break_down(toy_table(space=other.name), other, other.extreme(largest=False)[0], "smallest")
    assert {part.kind for part in apart.parts} == {"embed", "block", "head", "call"}


def test_stages_end_where_tokens_become_fewer_or_wider() -> None:
    chain = components_of(nano(), nano().extreme(largest=False)[0], nano().default_task)
    assert stages_of(chain) == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4]
    assert [kind_of(component) for component in chain[:3]] == ["patch embed", "block", "stage norm"]


@pytest.mark.parametrize("name", ["pvt-nano", "pvt-covidx", "autoformer-nano"])
def test_the_typical_nets_are_the_ends_and_the_middle(name: str) -> None:
    table, space = toy_table(space=name), get_space(name)
    typical = typical_nets(table, space, np.random.default_rng(0))
    model = table.to_cost_model(space, table.task)
    small, middle, large = (float(model(typical[end][None])[0]) for end in ("smallest", "median", "largest"))
    values_A = model(space.enumerate())
    assert (small, large) == (values_A.min(), values_A.max())
    assert middle == pytest.approx(np.median(values_A), rel=0.01)


def test_a_missing_entry_is_said() -> None:
    table = toy_table()
    lacking = replace(table, entries=table.entries[:1])
    with pytest.raises(LatencyTableError, match="lacks their entries"):
        break_down(lacking, nano(), nano().extreme(largest=True)[0], "largest")
