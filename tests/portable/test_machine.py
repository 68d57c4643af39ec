from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgenas.portable import facts, machine
from edgenas.portable.machine import Look, Watch, look, summary

STILL = Look(
    seconds=10.0,
    own_s=1.0,
    busy_s=5.0,
    steal_s=0.0,
    load=0.5,
    governor="performance",
    frequencies_mhz=(2000.0,),
    throttles=0,
    gpu=None,
)


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A system of four cores whose files lie in a folder; this process may use cores 1 and 2."""
    monkeypatch.setattr(machine, "usable_cores", lambda: [1, 2])
    monkeypatch.setattr(facts, "STAT", tmp_path / "stat")
    monkeypatch.setattr(facts, "CPUS", tmp_path)
    monkeypatch.setattr(facts, "THERMAL", tmp_path / "thermal")
    return tmp_path


def write_stat(folder: Path, *rows: str) -> None:
    lines = ["cpu 9 9 9 9 9 9 9 9 9 9", *(f"cpu{core} {row}" for core, row in enumerate(rows)), "intr 5"]
    (folder / "stat").write_text("\n".join(lines), encoding="utf-8")


def test_only_the_cores_that_this_process_may_use_are_looked_at(two_cores: Path) -> None:
    write_stat(two_cores, "7000 0 0 0 0 0 0 0", "100 10 20 5000 77 3 4 6 0 0", "200 0 0 900 0 0 0 4 0 0", "8000 0 0 0 0 0 0 0")
    for core, (count, mhz) in {1: (3, 1_500_000), 2: (4, 2_500_000)}.items():
        folder = two_cores / f"cpu{core}"
        (folder / "cpufreq").mkdir(parents=True)
        (folder / "thermal_throttle").mkdir()
        (folder / "cpufreq" / "scaling_cur_freq").write_text(f"{mhz}\n")
        (folder / "cpufreq" / "scaling_governor").write_text("schedutil\n")
        (folder / "thermal_throttle" / "core_throttle_count").write_text(f"{count}\n")
    seen = look()
    ticks = 100.0
    assert (seen.busy_s, seen.steal_s) == (337 / ticks, 10 / ticks)
    assert (seen.governor, seen.frequencies_mhz, seen.throttles) == ("schedutil", (1500.0, 2500.0), 7)
    assert seen.gpu is None


def test_what_the_system_does_not_tell_is_unknown(two_cores: Path) -> None:
    seen = look()
    assert (seen.busy_s, seen.steal_s, seen.governor, seen.frequencies_mhz, seen.throttles) == (None, None, None, (), None)
    found = summary([seen, replace(seen, seconds=seen.seconds + 5)])
    names = ("other_cores", "other_cores_max", "steal_share", "governors", "frequency_min_mhz", "throttle_events")
    assert all(found[name] is None for name in names)
    assert found["num_cores"] == 2


def test_other_processes_are_what_was_busy_and_not_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: [0, 1])
    looks = [
        STILL,
        replace(STILL, seconds=11.0, own_s=1.8, busy_s=6.0, governor="powersave", frequencies_mhz=(900.0, 3000.0)),
        replace(STILL, seconds=12.0, own_s=2.4, busy_s=8.0, steal_s=0.2, throttles=3, load=2.5),
    ]
    found = summary(looks)
    assert found["seconds"] == 2.0
    assert found["own_cores"] == pytest.approx(0.7)
    assert found["other_cores"] == pytest.approx(0.8)
    assert found["other_cores_max"] == pytest.approx(1.4)
    assert found["steal_share"] == pytest.approx(0.05)
    assert (found["load_average_before"], found["load_average_after"]) == (0.5, 2.5)
    assert found["governors"] == ["performance", "powersave"]
    assert (found["frequency_min_mhz"], found["frequency_max_mhz"], found["throttle_events"]) == (900.0, 3000.0, 3)


def test_a_series_too_short_for_the_systems_clock_says_nothing_of_others() -> None:
    found = summary([STILL, replace(STILL, seconds=10.05, busy_s=5.04, own_s=1.02)])
    assert (found["other_cores"], found["steal_share"]) == (None, None)
    assert found["own_cores"] == pytest.approx(0.4)  # of this process the time is known to the nanosecond


def test_a_watch_does_not_look_at_every_visit() -> None:
    watch = Watch()
    for _ in range(50):
        watch.glance()
    assert len(watch.looks) == 1
    assert watch.end()["num_cores"] >= 1
    assert len(watch.looks) == 2


def test_a_gpus_readings_become_ranges_and_every_reason_that_was_seen() -> None:
    first = {"driver": "590.44", "sm_clock_mhz": 1980, "power_w": 80.0, "temperature_c": 50, "throttle_reasons": []}
    then = {"driver": "590.44", "sm_clock_mhz": 1100, "power_w": 95.0, "temperature_c": None, "throttle_reasons": ["power limit"]}
    found = summary([replace(STILL, gpu=first), replace(STILL, seconds=20.0, gpu=then)])["gpu"]
    assert found["sm_clock_mhz"] == {"min": 1100, "max": 1980}
    assert found["temperature_c"] == {"min": 50, "max": 50}
    assert (found["driver"], found["throttle_reasons"]) == ("590.44", ["power limit"])


def test_nothing_here_sets_clocks() -> None:
    for module in (facts, machine):
        assert "nvmlDeviceSet" not in Path(module.__file__).read_text(encoding="utf-8")
