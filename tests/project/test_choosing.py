"""Which space is taken: the rule on tables of numbers, what fits on devices whose nets cost what a formula says."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.costs import cost_models, decompose, sum_of_components
from edgenas.costs.autoformer import count_macs
from edgenas.costs.pvt_mobile import count_macs as count_mobile_macs
from edgenas.data.arrays import ArrayImages
from edgenas.latency import Target
from edgenas.latency.nets import components_of
from edgenas.portable.memory import Forgetful
from edgenas.project.choosing.fitting import estimated_ms
from edgenas.project.choosing.looking import LookContext, look_at
from edgenas.project.choosing.rule import choose, ranked, set_aside
from edgenas.project.choosing.sides import sides_for, sides_of, stored_px
from edgenas.records import LookedNet, LookedSpace, TrainingPace
from edgenas.runs import Note
from edgenas.spaces import SPACES, SearchSpace, Task, get_space
from tests.latency.toy import ToyNet, ToyRuntime, true_ms


def row(space: str, **changes: Any) -> LookedSpace:
    """A space of which a million nets fit, the largest with 100 MMACs."""
    net = LookedNet(image_px=224, params=10**6, macs=10**7, latency_ms=1.0)
    usual = LookedSpace(
        space=space,
        purpose="",
        image_px=224,
        num_subnets=10**7,
        needs_images=0,
        nets={"smallest": net},
        least_ms=1.0,
        share=0.1,
        num_fitting=1e6,
        best_macs=100_000_000,
        training=TrainingPace(quick_s=900.0, quick_epochs=10, full_s=3600.0, full_epochs=40),
    )
    return replace(usual, **changes)


def without(space: str, least_ms: float, image_px: int = 224) -> LookedSpace:
    """A space of which nothing fits."""
    return row(space, image_px=image_px, least_ms=least_ms, share=0.0, num_fitting=0.0, best_macs=0, training=None)


def days(number: float) -> TrainingPace:
    return TrainingPace(quick_s=number * 21_600, quick_epochs=10, full_s=number * 86_400, full_epochs=40)


@pytest.mark.parametrize(
    ("rows", "taken", "reason"),
    [
        ((without("slow", 21.09), row("fast", best_macs=10)), "fast", "nothing fits: its smallest net takes 21.1 ms at 224 px"),
        (
            (row("plain", needs_images=100_000, best_macs=10**9), row("pyramid")),
            "pyramid",
            "100,000 training images are asked for, there are 500",
        ),
        ((row("few", num_fitting=25, best_macs=10**9), row("many")), "many", "25 nets fit, a search wants 100"),
        (
            (row("long", best_macs=10**9, training=days(3)), row("short")),
            "short",
            "its supernet trains for about 72 hours, more than 24",
        ),
        (
            (row("small", best_macs=50_000_000, share=1.0), row("large")),
            "large",
            "its largest net that fits has 50 MMACs, that of large 100 MMACs",
        ),
        (
            (row("corner", best_macs=120_000_000, share=1e-9), row("middle")),
            "middle",
            "its largest net is about equal to that of middle, but 1e-7 % of its nets fit, there 10.0 %",
        ),
        (
            (row("larger", best_macs=10**9), row("measured", is_ahead=True)),
            "measured",
            "nets of measured were ahead on images as small as these",
        ),
    ],
)
def test_the_rule_goes_step_by_step_and_names_the_step(rows: tuple[LookedSpace, ...], taken: str, reason: str) -> None:
    for order in (rows, rows[::-1]):
        chosen = choose(order, 500, 5.0)
        assert chosen is not None
        assert chosen.space == taken
        assert list(set_aside(order, 500).values()) == [reason]


def test_what_was_measured_ahead_comes_before_macs_but_not_before_what_a_search_needs() -> None:
    larger, ahead = row("larger", best_macs=10**9), row("measured", is_ahead=True)
    chosen = choose((larger, ahead), 500, 5.0)
    assert chosen is not None
    assert "its chosen nets were measured ahead of others on images as small as these" in chosen.words
    assert chosen.words.endswith("the largest with 100 MMACs, 1 GMACs in another space")
    assert ranked((larger, replace(ahead, num_fitting=25)), 500)[0] is larger
    assert ranked((larger, replace(ahead, training=days(3))), 500)[0] is larger


def test_enough_images_let_plain_transformers_take_part() -> None:
    rows = (row("plain", needs_images=100_000, best_macs=10**9), row("pyramid"))
    assert [each.space for each in ranked(rows, 100_000)] == ["plain", "pyramid"]


def test_of_one_space_the_side_with_the_larger_net_is_taken_of_equal_ones_that_of_which_more_fits() -> None:
    sides = (row("a", image_px=256, share=0.01), row("a", image_px=192, share=0.2), row("a", image_px=96, best_macs=10**7))
    chosen = choose(sides, 500, 5.0)
    assert chosen is not None
    assert (chosen.image_px, set_aside(sides, 500)) == (192, {})


def test_a_space_with_a_reservation_is_taken_where_there_is_no_other_and_says_which() -> None:
    chosen = choose((row("few", num_fitting=25), without("none", 9.0)), 500, 5.0)
    assert chosen is not None
    assert "reservation" in chosen.words
    assert "25 nets fit, a search wants 100" in chosen.words


def test_a_limit_that_keeps_nothing_out_is_told() -> None:
    nets = {name: replace(row("a").nets["smallest"], latency_ms=ms) for name, ms in (("smallest", 0.1), ("largest", 0.45))}
    chosen = choose((row("a", share=1.0, num_fitting=1e7, nets=nets),), 500, 5.0)
    assert chosen is not None
    assert chosen.words.startswith("a at 224 px: all 1.0e7 nets fit into 5 ms, the slowest that was timed takes 0.45 ms, ")


def test_nothing_is_taken_where_nothing_fits() -> None:
    rows = (without("a", 9.0), without("b", 7.0, 128))
    assert choose(rows, 500, 5.0) is None
    assert choose((), 500, 5.0) is None
    assert [each.space for each in ranked(rows, 500)] == ["b", "a"]
    assert set(set_aside(rows, 500)) == {"a", "b"}


def test_latency_is_told_by_multiply_accumulates_and_the_number_of_components() -> None:
    task = Task(10, 3, 32)
    rows_AG = NANO.sample(64, np.random.default_rng(0))
    macs_A = cost_models(NANO, task).macs(rows_AG)
    true_A = np.array([macs / 1e6 + 0.02 * len(components_of(NANO, row, task)) for row, macs in zip(rows_AG, macs_A, strict=True)])
    few = (int(macs_A.argmin()), int(macs_A.argmax()))
    model = estimated_ms(NANO, task, [(rows_AG[row], float(true_A[row])) for row in few])
    np.testing.assert_allclose(model(rows_AG), true_A, rtol=1e-6)
    alone = estimated_ms(NANO, task, [(rows_AG[0], 2.0)])
    np.testing.assert_allclose(alone(rows_AG), 2.0 * macs_A / macs_A[0])


@pytest.mark.parametrize("limit_ms", [0.08, 0.12])
def test_nets_of_few_blocks_that_have_most_macs_within_a_limit_are_found(limit_ms: float) -> None:
    """A block costs what a million multiply-accumulates do, whatever its own: by MACs alone half as many would fit."""
    space, task = get_space("pvt-mobile-pico"), Task(10, 3, 24)

    def call_ms(chain: Sequence[Any]) -> float:
        return 0.01 * len(chain) + sum(count_mobile_macs(component) for component in chain) / 1e8

    (found,) = looked({"pico": (space, (24,))}, toy_look(ToyRuntime(), limit_ms, cost_ms=call_ms))
    rows_AG = space.sample(20_000, np.random.default_rng(1))
    components = sum_of_components("components", "", decompose(space, task), lambda _: 1.0)
    macs_A = cost_models(space, task).macs(rows_AG)
    within_A = macs_A[0.01 * components(rows_AG) + macs_A / 1e8 <= limit_ms]
    assert found.best_macs >= 0.98 * within_A.max()
    assert found.share == pytest.approx(len(within_A) / len(rows_AG), abs=0.02)


def test_sides_are_near_to_the_published_one_and_not_above_what_is_stored() -> None:
    assert sides_of(SPACES["pvt-covidx"], 1024) == (256, 224, 192, 160, 128)
    assert sides_of(SPACES["pvt-covidx"], 150) == (160, 128)
    assert sides_of(SPACES["pvt-nano"], 1024) == (64, 48, 32)
    assert sides_of(SPACES["pvt-nano"], 8) == (32,)
    assert sides_of(SPACES["pvt-covidx"], 28) == ()
    assert sides_of(SPACES["pvt-elastic"], 1024) == (256,)  # its nets choose their own
    assert sides_of(SPACES["pvt-elastic"], 28) == ()


def test_a_side_that_is_asked_for_is_the_only_one() -> None:
    some = {name: SPACES[name] for name in ("pvt-nano", "pvt-covidx", "pvt-elastic")}
    assert {name: sides for name, (_, sides) in sides_for(some, 1024, 144).items()} == {
        "pvt-covidx": (144,),
        "pvt-elastic": (144,),
    }
    assert sides_for({"pvt-nano": SPACES["pvt-nano"]}, 1024, 200)["pvt-nano"][1] == (200,)  # by hand


def test_what_images_have_stored_is_the_median_of_their_shorter_sides() -> None:
    pixels = np.zeros((9, 20, 30), dtype=np.uint8)
    source = ArrayImages("toy", ("a",), tuple(map(str, range(9))), pixels, np.zeros(9, dtype=np.int64))
    assert stored_px(source) == 20


@dataclass
class ToyShop:
    """A workshop of a toy runtime, whose nets cost what a formula says."""

    runtime: ToyRuntime
    cost_ms: Callable[[Sequence[Any]], float]

    def prepare_chains(self, chains: Sequence[Any]) -> Iterator[Any]:
        return iter(())

    def target(self, threads: int | None) -> Target:
        return self.runtime.target()

    def build(self, chain: Sequence[Any]) -> Any:
        net = ToyNet(tuple(chain))
        net.ms = self.cost_ms(chain)
        return net


def plain_ms(chain: Sequence[Any]) -> float:
    """As the toy runtime's nets cost, whatever their MACs."""
    return sum(map(true_ms, chain))


def fair_ms(chain: Sequence[Any]) -> float:
    """A call for every component, and the more MACs a second the wider it is."""
    return float(sum(0.02 + count_macs(component) / 2e6 / component.embed_dim**0.5 for component in chain))


@dataclass
class Kept:
    """A memory that can be made to end, as a kill does."""

    found: dict[str, Any] = field(default_factory=dict)
    most: int = 10**9

    def recall(self, key: str) -> Any | None:
        return self.found.get(key)

    def record(self, key: str, value: Any) -> None:
        if len(self.found) == self.most:
            raise KeyboardInterrupt
        self.found[key] = value


def toy_look(
    runtime: ToyRuntime,
    limit_ms: float,
    memory: Any = None,
    num_images: int = 10**6,
    images_px: int = 256,
    cost_ms: Callable[[Sequence[Any]], float] = plain_ms,
    **changes: Any,
) -> LookContext:
    @contextmanager
    def shop(space: SearchSpace, task: Task) -> Iterator[Any]:
        yield ToyShop(runtime, cost_ms)

    def pace(space: SearchSpace, task: Task) -> Generator[None, None, TrainingPace]:
        yield
        return TrainingPace(quick_s=1.0, quick_epochs=10, full_s=4.0, full_epochs=40)

    return LookContext(limit_ms, 10, num_images, images_px, shop, None, pace, Forgetful() if memory is None else memory, **changes)


def looked(spaces: Mapping[str, tuple[SearchSpace, Sequence[int]]], look: LookContext) -> list[LookedSpace]:
    work = look_at(spaces, look)
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: list[LookedSpace] = end.value
            return found


def true_A(space: SearchSpace, side: int, cost_ms: Callable[[Sequence[Any]], float] = plain_ms) -> NDArray[np.float64]:
    task = Task(10, 3, side)
    return np.array([cost_ms(components_of(space, genes_G, task)) for genes_G in space.enumerate()])


NANO = SPACES["autoformer-nano"]  # 774 nets
PINNED = get_space("pvt-nano[pool_size=2,depths[0]=1,depths[1]=1,depths[3]=1,mlp_ratios[0]=2,mlp_ratios[1]=2]")


@pytest.mark.parametrize("quantile", [0.02, 0.3, 0.9])
def test_the_share_that_fits_is_about_that_of_all_nets(quantile: float) -> None:
    true_ms_A = true_A(NANO, 32, fair_ms)
    limit_ms = float(np.quantile(true_ms_A, quantile))
    (found,) = looked({"nano": (NANO, (32,))}, toy_look(ToyRuntime(), limit_ms, cost_ms=fair_ms))
    true_best = float(cost_models(NANO, Task(10, 3, 32))["macs"](NANO.enumerate()[true_ms_A <= limit_ms]).max())
    assert found.share == pytest.approx((true_ms_A <= limit_ms).mean(), abs=0.11)
    assert found.best_macs == pytest.approx(true_best, rel=0.25)
    assert found.nets["smallest"].latency_ms == pytest.approx(true_ms_A.min(), rel=1e-4)
    assert found.training is not None


def test_a_space_is_looked_at_from_the_largest_side_down_to_one_that_fits() -> None:
    limit_ms = float(true_A(PINNED, 48).min())
    rows = looked({"part": (PINNED, (64, 48, 32))}, toy_look(ToyRuntime(), limit_ms))
    assert [(each.image_px, each.fits) for each in rows] == [(64, False), (48, True), (32, True)]
    rows = looked({"part": (PINNED, (64, 48, 32))}, toy_look(ToyRuntime(), limit_ms / 100))
    assert [(each.image_px, each.fits) for each in rows] == [(64, False), (32, False)]  # in between it is hopeless


def test_spaces_that_ask_for_more_images_come_last_and_are_not_trained() -> None:
    plain = replace(NANO, needs_images=1000)
    rows = looked({"plain": (plain, (32,)), "part": (PINNED, (32,))}, toy_look(ToyRuntime(), 1e3, num_images=999))
    assert [each.space for each in rows] == [PINNED.name, plain.name]
    assert [each.training is None for each in rows] == [False, True]


def test_nets_measured_ahead_count_for_images_as_small_as_those_only() -> None:
    spaces = {"part": (replace(PINNED, ahead_px=32), (32,))}
    for images_px, is_ahead in ((28, True), (32, True), (33, None)):
        (row_of,) = looked(spaces, toy_look(ToyRuntime(), 1e3, images_px=images_px))
        assert row_of.is_ahead is is_ahead
        assert ("is_ahead" in row_of.as_json()) is bool(is_ahead)


def test_nets_measured_ahead_on_many_images_do_not_count_for_few() -> None:
    spaces = {"part": (replace(PINNED, ahead_px=32, ahead_images=1000), (32,))}
    for num_images, is_ahead in ((999, None), (1000, True)):
        (row_of,) = looked(spaces, toy_look(ToyRuntime(), 1e3, images_px=32, num_images=num_images))
        assert row_of.is_ahead is is_ahead


def test_a_look_that_was_killed_times_only_what_is_missing() -> None:
    spaces = {"nano": (NANO, (32,)), "part": (PINNED, (32,))}
    first, memory = ToyRuntime(), Kept(most=2)
    with pytest.raises(KeyboardInterrupt):
        looked(spaces, toy_look(first, 1.0, memory))
    memory.most = 10**9
    second, whole = ToyRuntime(), ToyRuntime()
    rows = looked(spaces, toy_look(second, 1.0, memory))
    assert rows == looked(spaces, toy_look(whole, 1.0))
    assert 0 < len(second.loads) < len(whole.loads)
    third = ToyRuntime()
    assert looked(spaces, toy_look(third, 1.0, memory)) == rows
    assert third.loads == []


def test_one_call_of_a_slow_net_is_no_measurement_for_a_looser_limit() -> None:
    least_ms, memory, runtime = float(true_A(NANO, 32).min()), Kept(), ToyRuntime()
    (found,) = looked({"nano": (NANO, (32,))}, toy_look(runtime, least_ms / 10, memory))
    assert not found.fits
    assert len(runtime.loads) == 1
    (found,) = looked({"nano": (NANO, (32,))}, toy_look(runtime, least_ms * 2, memory))
    assert found.fits
    assert len(runtime.loads) > 2


def test_spaces_that_would_not_be_taken_and_that_there_is_no_time_for_are_named() -> None:
    plain = replace(NANO, needs_images=1000)
    spaces = {"plain": (plain, (32,)), "part": (PINNED, (32,))}
    look = toy_look(ToyRuntime(), 1.0, num_images=999, budget_s=-1.0)
    assert [each.space for each in looked(spaces, look)] == [PINNED.name]
    notes = [each for each in look_at(spaces, look) if isinstance(each, Note)]
    assert [note.text for note in notes] == [
        "for want of time not looked at, as they ask for more images: autoformer-nano; `edgenas plan --spaces` goes on"
    ]
