"""Whole nets are measured again until the machine runs as it did when it was profiled."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgenas.latency.measuring import Measured, whole
from edgenas.runs import Note
from tests.latency.tables import nano, toy_table
from tests.latency.toy import ToyRuntime, build

SPACE = nano()
ROWS = SPACE.sample(3, np.random.default_rng(3))


class Machine:
    """Runs 1.5 times slower until it has been waited for so often."""

    def __init__(self, waits: float, patch: pytest.MonkeyPatch) -> None:
        self.waits, self.waited = waits, 0
        self.runtime = ToyRuntime(slow=lambda now: self.waited < self.waits)
        patch.setattr(whole.time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.waited += 1

    def measure(self, **arguments: Any) -> tuple[list[Measured], list[str]]:
        """What was measured and what was warned of."""
        workshop: Any = SimpleNamespace(
            space=SPACE,
            task=SPACE.default_task,
            build=build,
            prepare_chains=lambda chains: (),
            target=lambda threads, fps=None: self.runtime.target(),
        )
        notes, run = [], whole.measure(workshop, ROWS, toy_table(), "measuring", 0, **arguments)
        while True:
            try:
                record = next(run)
            except StopIteration as end:
                return end.value, notes
            notes += [record.text] if isinstance(record, Note) else []


@pytest.mark.parametrize("waits", [0, 2, 5])
def test_a_machine_that_becomes_as_fast_again_is_waited_for(waits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(waits, monkeypatch)
    nets, notes = machine.measure()
    assert machine.waited == waits
    assert notes == []
    assert all(net.speed == pytest.approx(1.0, abs=0.02) for net in nets)


def test_of_one_that_stays_slow_times_are_given_at_the_profiled_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, _ = Machine(0, monkeypatch).measure()
    slow = Machine(np.inf, monkeypatch)
    nets, notes = slow.measure()
    assert slow.waited == whole.ATTEMPTS
    assert len(notes) == 1
    assert "runs at 0.6" in notes[0]
    assert [net.latency_ms for net in nets] == pytest.approx([net.latency_ms for net in quick], rel=0.02)


def test_one_attempt_is_no_reason_to_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    nets, notes = Machine(np.inf, monkeypatch).measure(attempts=1)
    assert notes == []
    assert all(net.speed == pytest.approx(1.5, abs=0.03) for net in nets)
