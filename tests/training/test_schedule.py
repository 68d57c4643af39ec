from __future__ import annotations

import math

import pytest
import torch

from edgenas.training.schedule import Schedule, after_plateaus, cooldown_epochs, decay_is_due, is_rising, is_spent

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


def test_a_plateau_is_what_pytorchs_own_scheduler_makes_of_the_accuracies() -> None:
    history = [0.1, 0.3, 0.2, 0.3, 0.3, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=3e-4)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=2, min_lr=5e-6)
    for length in range(1, len(history) + 1):
        theirs.step(history[length - 1])
        ours = after_plateaus(3e-4, history[:length], factor=0.5, patience=2, lowest=5e-6)
        assert ours == optimizer.param_groups[0]["lr"]
    assert ours < 3e-4 / 4
    assert after_plateaus(3e-4, [0.5] * 100, factor=0.5, patience=2, lowest=5e-6) == 5e-6
    assert after_plateaus(3e-4, [0.01 * i for i in range(50)], factor=0.5, patience=2, lowest=5e-6) == 3e-4


def test_the_rate_of_a_plateau_follows_the_history_after_a_warm_up() -> None:
    schedule = Schedule("plateau", 1.0, 0.1, 1, factor=0.5, patience=0)
    rates = [schedule(step, epochs=10, steps_per_epoch=2, history=[0.5, 0.5]) for step in range(4)]
    assert rates == [1 / 3, 2 / 3, 0.5, 0.5]


@pytest.mark.parametrize(
    ("history", "spent"),
    [([], False), ([0.5, 0.4], False), ([0.5, 0.4, 0.5], True), ([0.5, 0.4, 0.51], False), ([0.1, 0.2, 0.3], False)],
)
def test_patience_is_spent_when_nothing_better_came(history: list[float], spent: bool) -> None:
    assert is_spent(history, 2) == spent
