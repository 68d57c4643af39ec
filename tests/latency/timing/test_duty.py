from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.errors import LatencyTableError
from edgenas.latency import MeasuringSettings, ProfileResult, Target, profile
from edgenas.latency.timing.duty import Duty, Soaked, fps_of, soak
from edgenas.latency.timing.sessions import Session, time_nets
from edgenas.latency.timing.target import TimingSettings
from edgenas.runs import Note, Progress
from edgenas.spaces.pvt import PVT_NANO, BlockSpec
from tests.latency.toy import ToyNet, ToyRuntime, build

TASK = PVT_NANO.default_task
NET = ToyNet((BlockSpec(8, 8, 1, 8, "pool", 2, 16, relu=True),) * 3)
FEW: dict[str, Any] = {"calibration_nets": 4, "validation_nets": 2, "timing": TimingSettings(visits=2)}


def target_of(runtime: ToyRuntime, **changes: Any) -> Target:
    return runtime.target(sleep=lambda seconds: runtime.clock.spend(seconds * 1e3), **changes)


def profiled(runtime: ToyRuntime, target: Target, **changes: Any) -> tuple[ProfileResult, list[str]]:
    settings = MeasuringSettings(**FEW, **changes)
    records = list(profile(PVT_NANO, TASK, target, build, settings=settings, rng=np.random.default_rng(0)))
    assert isinstance(records[-1], ProfileResult)
    return records[-1], [record.text for record in records if isinstance(record, Note)]


@pytest.mark.parametrize("fps", [None, 30.0, 29.97, 0.5, 10_000.0])
@pytest.mark.parametrize("soak_seconds", [0.0, 60.0])
def test_a_scope_tells_its_pace(fps: float | None, soak_seconds: float) -> None:
    for base in ("end_to_end", "trtexec"):
        scope = Duty(fps, soak_seconds).scope(base)
        assert fps_of(scope) == fps
        assert scope.startswith(base)
        assert scope.endswith("_settled") == (soak_seconds > 0)
    assert Duty().scope() == "end_to_end"


def test_calls_start_at_the_camera_s_pace() -> None:
    runtime = ToyRuntime()
    starts: list[int] = []
    load = runtime.load

    def watched(source: Any, **options: Any) -> Any:
        runner = load(source, **options)

        class Watched:
            info, compute_ms, close = runner.info, runner.compute_ms, runner.close

            def __call__(self, images: Any) -> Any:
                starts.append(runtime.clock())
                return runner(images)

        return Watched()

    runtime.load = watched  # type: ignore[assignment]
    settings = TimingSettings(visits=2, runs=4)
    *_, session = time_nets(target_of(runtime, fps=20.0), [NET], NET, settings, rng=np.random.default_rng(0))  # type: ignore[list-item, arg-type]
    assert isinstance(session, Session)
    assert session.num_runs == 4
    gaps_ms = np.diff(starts[-6:]) / 1e6  # the last visit: two to warm up, four timed
    np.testing.assert_allclose(gaps_ms, 50.0, atol=1e-3)
    np.testing.assert_allclose(session.timings[0].samples_VR, NET.ms, atol=1e-4)


def test_tables_of_different_duties_do_not_mix(tmp_path: Path) -> None:
    runtime = ToyRuntime()
    paced, _ = profiled(runtime, target_of(runtime, fps=30.0), fps=30.0)
    plain, _ = profiled(ToyRuntime(), target_of(ToyRuntime()))
    assert paced.table.context.scope == "end_to_end_30fps"
    assert paced.table.save(tmp_path) != plain.table.save(tmp_path)
    with pytest.raises(LatencyTableError) as caught:
        plain.table.require_matches(space=PVT_NANO, task=TASK, scope=paced.table.context.scope)
    assert caught.value.problems == ("scope: measured on end_to_end, asked for end_to_end_30fps",)


def test_a_pace_that_cannot_be_kept_is_said() -> None:
    runtime = ToyRuntime()
    _, notes = profiled(runtime, target_of(runtime, fps=5000.0), fps=5000.0)
    assert any("too long for 5000 frames a second" in note for note in notes)


def hot(runtime: ToyRuntime, *, until_s: float, factor: float) -> None:
    """Slower by ``factor`` from a moment on."""
    spend = runtime.clock.spend
    runtime.clock.spend = lambda ms: spend(ms * (factor if runtime.clock.now > until_s * 1e9 else 1.0))  # type: ignore[method-assign]


def test_a_soak_finds_the_settled_speed_and_what_follows_is_timed_at_it() -> None:
    runtime = ToyRuntime()
    hot(runtime, until_s=20.0, factor=1.25)
    result, notes = profiled(runtime, target_of(runtime), soak_seconds=60.0)
    cold, _ = profiled(ToyRuntime(), target_of(ToyRuntime()))
    soaked = result.table.context.details["soak"]
    assert soaked["slowdown"] == pytest.approx(1.25, rel=1e-3)
    assert soaked["settled"]
    assert result.table.context.scope == "end_to_end_settled"
    assert result.table.reference.level_ms == pytest.approx(1.25 * cold.table.reference.level_ms, rel=1e-3)
    assert any("1.25 times the time" in note for note in notes)


def test_a_device_that_has_not_settled_is_named() -> None:
    runtime = ToyRuntime()
    hot(runtime, until_s=54.5, factor=1.5)
    *steps, soaked = soak(target_of(runtime), NET, 60.0)  # type: ignore[arg-type]
    assert isinstance(soaked, Soaked)
    assert not soaked.settled
    assert "has not settled yet" in str(soaked)
    assert all(isinstance(step, Progress) and step.total == 60 for step in steps)
    assert Soaked.from_json(soaked.as_json()) == soaked
