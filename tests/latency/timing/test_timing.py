from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.latency import TimingSettings, measure_nets
from edgenas.latency.timing.measure import Measurements
from edgenas.latency.timing.sessions import Session, time_nets
from edgenas.latency.timing.target import stays_loaded
from edgenas.runs import Progress
from edgenas.spaces.pvt import BlockSpec
from tests.latency.toy import ToyNet, ToyRuntime, true_ms

NETS = [ToyNet((BlockSpec(8, 8, 1, width, "pool", 2, 16, relu=True),) * 3) for width in (8, 16, 32, 64, 128)]
COSTS = np.array([sum(map(true_ms, net.chain)) for net in NETS])


def session_of(runtime: ToyRuntime, settings: TimingSettings | None = None, seed: int = 0) -> Session:
    rng = np.random.default_rng(seed)
    *_, last = time_nets(runtime.target(), NETS, NETS[2], settings or TimingSettings(), rng=rng)  # type: ignore[arg-type]
    assert isinstance(last, Session)
    return last


def test_without_noise_every_statistic_is_the_truth() -> None:
    session = session_of(ToyRuntime())
    for timing, cost in zip(session.timings, COSTS, strict=True):
        assert timing.median_ms == pytest.approx(cost, abs=1e-5)
        assert timing.quantile_ms(0.99) == pytest.approx(cost, abs=1e-5)
        assert timing.relative == pytest.approx(cost / COSTS[2], rel=1e-4)
        assert timing.mad_ms == pytest.approx(0.0, abs=1e-5)


def test_comparisons_survive_slow_moments_better_than_medians() -> None:
    """A processor that is 1.5 times slower most of the time, in spells longer than a visit."""
    spells = np.random.default_rng(5).random(100_000) < 0.6
    session = session_of(ToyRuntime(noise=0.02, slow=lambda now: bool(spells[now // 150_000_000])))
    relative = np.array([timing.relative for timing in session.timings])
    medians = np.array([timing.median_ms for timing in session.timings])
    error = np.abs(relative / (COSTS / COSTS[2]) - 1).max()
    assert error < 0.10
    assert error < np.abs(medians / COSTS - 1).max()


def test_every_run_is_kept_and_all_nets_get_as_many() -> None:
    settings = TimingSettings(visits=4, runs=3, visit_ms=0.0)
    session = session_of(ToyRuntime(), settings)
    assert {timing.samples_VR.shape for timing in session.timings} == {(4, 3)}
    assert session.reference.num_runs >= 4 * 2 * 3


def test_one_runner_lives_at_a_time_where_threads_spin() -> None:
    runtime = ToyRuntime()
    session_of(runtime)
    assert (runtime.most_live, runtime.live) == (1, 0)


def test_runners_stay_loaded_on_a_gpu_and_are_freed() -> None:
    runtime = ToyRuntime(device_kind="cuda", compute=0.25)
    session = session_of(runtime)
    assert len(runtime.loads) == len(NETS) + 1
    assert runtime.live == 0
    assert session.timings[0].compute_V.tolist() == [0.25] * 6


def test_files_stay_loaded_only_without_spinning_threads(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"x")
    runtime = ToyRuntime()
    assert not stays_loaded(runtime.target(), [path])
    assert stays_loaded(runtime.target(threads=1), [path])
    assert stays_loaded(runtime.target(spinning=False), [path])


def test_progress_counts_every_visit_and_orders_follow_the_seed() -> None:
    first, again, other = (ToyRuntime() for _ in range(3))
    records = list(
        time_nets(first.target(), NETS, NETS[2], TimingSettings(visits=3), rng=np.random.default_rng(1))  # type: ignore[arg-type]
    )
    steps = [record for record in records if isinstance(record, Progress)]
    assert [step.done for step in steps] == list(range(1, 16))
    assert {step.total for step in steps} == {15}
    session_of(again, TimingSettings(visits=3), seed=1)
    session_of(other, TimingSettings(visits=3), seed=2)
    assert first.loads == again.loads
    assert first.loads != other.loads


def test_a_stopped_session_closes_its_runners() -> None:
    runtime = ToyRuntime(device_kind="cuda")
    records = time_nets(runtime.target(), NETS, NETS[2], TimingSettings(), rng=np.random.default_rng(0))  # type: ignore[arg-type]
    next(records)
    records.close()  # type: ignore[attr-defined]
    assert runtime.live == 0


def test_finalists_get_the_plain_distribution_of_calls() -> None:
    runtime = ToyRuntime(noise=0.1)
    *_, last = measure_nets(runtime.target(), NETS, rng=np.random.default_rng(0))  # type: ignore[arg-type]
    assert isinstance(last, Measurements)
    for net, cost in zip(last.nets, COSTS, strict=True):
        assert cost <= net.min_ms <= net.p50_ms <= net.p90_ms <= net.p95_ms <= net.p99_ms
        assert net.latency_ms == net.p50_ms == pytest.approx(cost * (1 + 0.1 * np.log(2)), rel=0.05)
    with pytest.raises(ValueError, match="no nets"):
        list(measure_nets(runtime.target(), [], rng=np.random.default_rng(0)))


def test_what_went_on_before_a_kill_is_not_forgotten() -> None:
    memory: dict[str, Any] = {}

    class Kept:
        def recall(self, key: str) -> Any:
            return memory.get(key)

        def record(self, key: str, value: Any) -> None:
            memory[key] = value

    def session() -> Session:
        rng = np.random.default_rng(0)
        *_, last = time_nets(ToyRuntime().target(), NETS, NETS[2], TimingSettings(visits=3), rng=rng, memory=Kept())
        assert isinstance(last, Session)
        return last

    session()
    memory["machine 0"] |= {"seconds": 100.0, "other_cores": 1.5}
    again = session()  # nothing is timed anew
    assert again.machine.seconds == 100.0
    assert again.seconds >= 100.0
    assert "machine 1" not in memory
    del memory["round 2 net 3"]
    later = session()
    assert (later.machine.seconds or 0.0) > 100.0
    assert later.machine.other_cores == 1.5  # the rest was too short to tell
    assert "machine 1" in memory
