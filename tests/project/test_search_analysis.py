"""What the nets of a search say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from edgenas.project.searching.analysis import Evaluated, ObjectiveValues, analyse, evaluated
from edgenas.records import CandidateRow, FrontAxis, SearchAnalysis
from edgenas.search import Candidate
from edgenas.stats import Proportion, sensitivities

NAMES = ("ill", "well")


def nets(
    num: int,
    *,
    num_images: int = 400,
    gain: float = 0.02,
    positive: bool = True,
    limit: float | None = None,
    drawn: Sequence[FrontAxis] = (),
) -> Evaluated:
    """Nets of which each costs 1 ms more and gets more images right; its one gene is its place, three a generation."""
    labels = np.arange(num_images) % 2
    candidates, rows = [], []
    for place in range(num):
        is_right = np.arange(num_images) < round(num_images * (0.5 + gain * place))
        decided = np.where(is_right, labels, 1 - labels)
        probabilities = np.eye(2, dtype=np.float16)[decided]
        candidates.append(
            Candidate((place % 8, place // 8), place // 3, "random", probabilities, float(is_right.mean()), -0.5, 0.0)
        )
        rows.append(
            CandidateRow(
                arch={"number": place},
                params=10,
                macs=100,
                latency_ms_predicted=1.0 + place,
                top1=float(is_right.mean()),
                sensitivity=sensitivities(decided, labels, NAMES),
                generation=place // 3,
                origin="random",
            )
        )
    cost, asked = "latency_ms_predicted", ("ill", 0) if positive else None
    return evaluated(candidates, rows, labels, ["first", "second"], cost=cost, limit=limit, positive=asked, drawn=drawn)


def test_everything_that_is_said_is_read_back() -> None:
    found = analyse(nets(32, gain=0.015), 0)
    assert SearchAnalysis.from_json(found.as_json()) == found
    assert found.front.objectives == ("latency_ms_predicted", "top1", "sensitivity[ill]")
    assert found.front.rows == tuple(range(32))
    assert {facts.metric for facts in found.importance} == {"top1", "sensitivity[ill]"}
    assert analyse(nets(32, gain=0.015), 0) == found


@pytest.mark.parametrize("x_large", [False, True])
@pytest.mark.parametrize("y_large", [False, True])
def test_the_front_that_is_drawn_is_that_of_the_objectives_that_were_asked_for(x_large: bool, y_large: bool) -> None:
    x, y = (3.0, 1.0, 2.0, 5.0, 4.0, 6.0, 2.0), (0.5, 0.2, 0.4, 0.9, 0.1, 0.6, 0.3)
    axes = (
        FrontAxis(name="params", maximize=x_large, values=x, upper=7.0),
        FrontAxis(name="sensitivity[well]", maximize=y_large, values=y, lower=0.1),
    )
    found = analyse(nets(7, drawn=axes), 0)
    assert SearchAnalysis.from_json(found.as_json()) == found
    assert found.front.axes == axes
    assert found.front.objectives == ("params", "sensitivity[well]")
    losses = np.stack([-np.array(x) if x_large else np.array(x), -np.array(y) if y_large else np.array(y)], axis=1)
    unbeaten = [
        place for place, mine in enumerate(losses) if not any((other <= mine).all() and (other < mine).any() for other in losses)
    ]
    assert found.front.drawn == tuple(sorted(unbeaten, key=lambda place: x[place]))
    assert set(found.front.rows) == set(unbeaten)
    assert found.hypervolume is not None
    assert found.hypervolume.reference == {"params": 1.0 if x_large else 7.0, "sensitivity[well]": 0.1 if y_large else 0.9}


def test_one_objective_is_drawn_with_what_it_is_paid_with_and_leaves_the_hypervolume_alone() -> None:
    axes = (
        FrontAxis(name="latency_ms", maximize=False, values=(1.0, 2.0, 3.0), is_asked=False),
        FrontAxis(name="sensitivity[well]", maximize=True, values=(0.5, 0.4, 0.6)),
    )
    found, plain = (analyse(nets(3, drawn=drawn), 0) for drawn in (axes, ()))
    assert (found.front.drawn, plain.front.drawn) == ((0, 2), (0, 1, 2))
    assert found.hypervolume == plain.hypervolume
    assert replace(found.front, axes=None, drawn=plain.front.drawn) == plain.front
    assert "axes" not in plain.front.as_json()


def test_a_net_that_breaks_a_limit_is_on_no_front() -> None:
    all_nets = nets(4)
    rows = [replace(row, rejected_by=("sensitivity[ill]",)) if place == 3 else row for place, row in enumerate(all_nets.rows)]
    found = analyse(replace(all_nets, rows=tuple(rows)), 0)
    assert found.front.rows == (0, 1, 2)
    assert {price.second for price in found.prices} == {1, 2}


def test_a_net_that_has_not_seen_all_images_is_left_out_and_lines_are_those_of_the_file() -> None:
    labels, all_nets = np.arange(400) % 2, nets(4)
    decided = [np.where(right_N, labels, 1 - labels) for right_N in all_nets.metrics["top1"]]
    seen = [np.eye(2, dtype=np.float16)[each] for each in decided]
    seen[1] = seen[1][:100]
    candidates = [Candidate((place, 0), place // 3, "random", p_NC, 0.5, -0.5, 0.0) for place, p_NC in enumerate(seen)]
    left = evaluated(candidates, all_nets.rows, labels, ["a", "b"], cost="macs", limit=None, positive=None)
    assert left.lines_A.tolist() == [0, 2, 3]
    found = analyse(replace(left, cost=replace(left.cost, values_A=np.arange(3.0))), 0)
    assert found.front.rows == found.front.drawn == (0, 2, 3)
    assert [(price.first, price.second) for price in found.prices] == [(0, 2), (2, 3), (0, 3)]
    assert found.hypervolume is not None
    assert [row.evaluated for row in found.hypervolume.rows] == [3, 4]


def test_the_hypervolume_never_falls_and_says_its_reference_point() -> None:
    facts = analyse(nets(9, limit=10.0), 0).hypervolume
    assert facts is not None
    assert facts.reference == {"latency_ms_predicted": 10.0, "top1": 0.5, "sensitivity[ill]": 0.5}
    assert facts.ideal["latency_ms_predicted"] == 1.0
    assert [(row.generation, row.evaluated) for row in facts.rows] == [(0, 3), (1, 6), (2, 9)]
    shares = [row.share for row in facts.rows]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] < 1


def test_a_limit_far_beyond_all_nets_is_no_reference_point() -> None:
    facts = analyse(nets(9, limit=100.0), 0).hypervolume
    assert facts is not None
    assert facts.reference["latency_ms_predicted"] == 9.0


def test_every_limited_cost_has_prices() -> None:
    found = nets(3, positive=False, gain=0.05)
    memory = ObjectiveValues("memory_mb", np.array([1.5, 2.5, 2.25]), False, 3.0)
    prices = analyse(replace(found, limited=(memory,)), 0).prices
    assert prices[:3] == analyse(found, 0).prices
    assert [(price.cost, price.start, price.extra) for price in prices[3:]] == [("memory_mb", 1.5, 0.75)]
    assert prices[3].words.startswith("+0.75 MB of memory buys +10.0 points of top-1 [")


def test_nets_that_are_all_alike_have_no_hypervolume_and_no_prices() -> None:
    found = analyse(nets(4, gain=0.0), 0)
    assert found.hypervolume is None
    assert found.prices == ()
    assert found.front.rows == (0,)
    assert found.front.words["top1"].startswith(
        "select is too small to tell nets apart: 400 images, one image = 0.25 points; 4 nets lie"
    )


def test_a_front_within_few_images_says_that_select_is_too_small() -> None:
    words = analyse(nets(5, num_images=60, gain=1 / 60, positive=False), 0).front.words
    assert words == {
        "top1": "select is too small to tell nets apart: 60 images, one image = 1.7 points; 5 nets lie on 5 levels, and the "
        "dearest net of the front is 4 images better than the cheapest (p = 0.12)."
    }
    assert analyse(nets(10, num_images=400, gain=0.02, positive=False), 0).front.words == {}


def test_prices_say_what_a_step_costs_and_buys() -> None:
    prices = analyse(nets(3, positive=False, gain=0.05), 0).prices
    assert [(price.first, price.second, price.extra) for price in prices] == [(0, 1, 1.0), (1, 2, 1.0), (0, 2, 2.0)]
    assert prices[0].words.startswith("+1 ms buys +5.0 points of top-1 [")
    assert prices[2].words.startswith("all along the front, +2 ms buys +10.0 points of top-1 [")
    assert not prices[0].words.endswith("or nothing")


def test_without_a_positive_class_nothing_is_said_of_one() -> None:
    found = analyse(nets(4, positive=False), 0)
    assert found.top is None
    assert {price.metric for price in found.prices} == {"top1"}


def test_the_top_nets_are_the_most_accurate_ones() -> None:
    found = analyse(nets(104, num_images=1200, gain=0.004), 0).top
    assert found is not None
    assert found.class_name == "ill"
    assert found.rows == tuple(range(103, 3, -1))


def test_genes_are_named_where_the_model_fits_and_not_where_it_does_not() -> None:
    few, fitted = (analyse(nets(num, gain=0.01, positive=False), 0).importance[0] for num in (10, 48))
    assert (few.rows, few.r2) == ((), None)
    assert few.words == "nothing is said of genes: 10 nets, fewer than 30"
    assert [row.gene for row in fitted.rows] == ["second", "first"]
    assert fitted.r2 is not None
    assert fitted.r2.low > 0.9


def test_a_model_that_does_not_fit_says_nothing_of_genes() -> None:
    all_nets = nets(60, positive=False)
    noise = np.random.default_rng(0).random((60, 400)) < 0.5
    facts = analyse(replace(all_nets, metrics={"top1": noise}), 0).importance[0]
    assert facts.rows == ()
    assert isinstance(facts.r2, Proportion)
    assert facts.words.startswith("nothing is said of genes: the model does not fit, r2 ")


def test_an_interval_beside_nothing_is_said_in_words() -> None:
    (price,) = analyse(nets(2, num_images=100, gain=0.01, positive=False), 0).prices
    assert price.gain.value == pytest.approx(0.01)
    assert price.words.endswith("], or nothing")
