from __future__ import annotations

import math

import pytest

from edgenas.training.schedule import Schedule, cooldown_epochs, decay_is_due, is_rising

COSINE = Schedule("cosine", 1.0, 0.1, 2)
WSD = Schedule("wsd", 1.0, 0.1, 2)


def rates(schedule: Schedule, decay_from: int | None = None) -> list[float]:
    return [schedule(step, epochs=10, steps_per_epoch=5, decay_from=decay_from) for step in range(50)]


def test_the_cosine_warms_up_and_falls_to_its_end() -> None:
    found = rates(COSINE)
    assert found[:10] == sorted(found[:10])
    assert max(found) == found[10] == 1.0
    assert found[10:] == sorted(found[10:], reverse=True)
    assert math.isclose(found[-1], 0.1)


def test_wsd_stays_until_its_decay_begins() -> None:
    assert set(rates(WSD)[10:]) == {1.0}
    found = rates(WSD, decay_from=7)
    assert set(found[10:36]) == {1.0}
    assert found[35:] == sorted(found[35:], reverse=True)
    assert math.isclose(found[-1], 0.1)


@pytest.mark.parametrize("stable", [1, 5, 7, 28, 70])
def test_the_decay_takes_its_share_of_the_run(stable: int) -> None:
    assert abs(cooldown_epochs(stable) / (stable + cooldown_epochs(stable)) - 0.3) < 0.21 / math.sqrt(stable)


def test_accuracies_rise_until_a_fifth_of_the_epochs_brought_nothing_better() -> None:
    rising = [0.1, 0.2, 0.3, 0.4]
    assert is_rising([*rising, *[0.4] * 7], 40)
    assert not is_rising([*rising, *[0.4] * 8], 40)
    assert is_rising([*rising, *[0.4] * 7, 0.41], 40)


@pytest.mark.parametrize(
    ("history", "epoch", "elapsed_s", "max_seconds", "due"),
    [
        ([0.1, 0.2, 0.3], 3, 3.0, None, False),
        ([0.1] * 6, 6, 6.0, None, True),  # plateau
        ([0.01 * i for i in range(7)], 7, 7.0, None, True),  # 7 and 3 are the 10
        ([0.01 * i for i in range(7)], 7, 7.0, 100.0, False),  # still rising, and time is left
        ([0.01 * i for i in range(50)], 50, 50.0, 70.0, True),  # no more than the decay fits
        ([0.1, 0.2, 0.3], 3, 9.0, 12.0, True),
    ],
)
def test_the_decay_is_due(history: list[float], epoch: int, elapsed_s: float, max_seconds: float | None, due: bool) -> None:
    found = decay_is_due(history, epoch=epoch, epochs=10, elapsed_s=elapsed_s, max_seconds=max_seconds, may_end_early=True)
    assert found == due
