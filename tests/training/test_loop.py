from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgenas.training.checkpoints import TrainState, load_state, save_state
from edgenas.training.distillation import TrainingLoss
from edgenas.training.evaluation import net_accuracy, subnet_accuracies
from edgenas.training.loop import EpochRecord, Evaluate, LoopSettings, StepRecord, TrainingDivergedError, start, train
from edgenas.training.mixing import cutmix
from edgenas.training.sampling import Subnets, sandwich
from edgenas.training.step import Stepper
from tests.training.tiny import CPU, LARGEST, SMALLEST, SPACE, TinyBatches, tiny_images, tiny_net, tiny_supernet

SETTINGS = LoopSettings(epochs=3, learning_rate=2e-3, seed=7)


def subnets(rng: np.random.Generator, step: int) -> Subnets:
    return sandwich(SPACE, rng, 1)


def epochs_of(records: Iterable[StepRecord | EpochRecord]) -> list[EpochRecord]:
    return [record for record in records if isinstance(record, EpochRecord)]


def weights_of(state: TrainState) -> dict[str, bytes]:
    found = {**state.model.state_dict(), **{f"result.{k}": v for k, v in state.result.state_dict().items()}}
    return {name: tensor.numpy().tobytes() for name, tensor in found.items()}


def test_a_plain_net_learns_and_reports_select_accuracy() -> None:
    state = start(tiny_net(), replace(SETTINGS, epochs=12), CPU)
    records = epochs_of(
        train(state, TinyBatches(), TrainingLoss(), replace(SETTINGS, epochs=12), evaluate=net_accuracy(*tiny_images(30, 1)))
    )
    assert [record.epoch for record in records] == list(range(1, 13))
    assert records[-1].losses["loss"] < records[0].losses["loss"]
    assert records[-1].select["top1"] > 0.9
    assert records[-1].images_per_second > 0
    assert records[-1].elapsed_s >= sum(record.seconds for record in records)


def test_a_supernet_learns_at_both_ends() -> None:
    settings = replace(SETTINGS, epochs=7)
    state = start(tiny_supernet(), settings, CPU)
    evaluate = subnet_accuracies(*tiny_images(30, 1), {"smallest": SMALLEST, "largest": LARGEST})
    *_, last = epochs_of(train(state, TinyBatches(), TrainingLoss(), settings, subnets=subnets, evaluate=evaluate))
    assert set(last.select) == {"smallest", "largest"}
    assert min(last.select.values()) > 0.9


def test_every_step_is_reported() -> None:
    steps = [
        r for r in train(start(tiny_net(), SETTINGS, CPU), TinyBatches(), TrainingLoss(), SETTINGS) if isinstance(r, StepRecord)
    ]
    assert [record.step for record in steps] == list(range(1, 10))
    assert {record.num_steps for record in steps} == {9}


def test_the_same_seed_gives_the_same_weights() -> None:
    states = [start(tiny_net(), SETTINGS, CPU) for _ in range(2)]
    for state in states:
        torch.manual_seed(int(torch.randint(1000, ())))
        list(train(state, TinyBatches(), TrainingLoss(), SETTINGS))
    assert weights_of(states[0]) == weights_of(states[1])


def taught(state: TrainState) -> Iterator[StepRecord | EpochRecord]:
    settings = replace(SETTINGS, epochs=2)
    return train(state, TinyBatches(), TrainingLoss(), settings, teacher=tiny_net(seed=3), subnets=subnets, mix=cutmix(3, 0.5))


def fresh(seed: int = 0) -> TrainState:
    return start(tiny_supernet(seed), replace(SETTINGS, epochs=2), CPU)


@pytest.fixture(scope="module")
def whole() -> TrainState:
    state = fresh()
    list(taught(state))
    return state


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(1, marks=pytest.mark.slow, id="after a step"),
        pytest.param(3, id="before an epoch's end"),
        pytest.param(4, id="at an epoch's end"),
        pytest.param(6, marks=pytest.mark.slow, id="later"),
    ],
)
def test_a_run_continued_from_any_record_ends_with_the_same_bits(tmp_path: Path, whole: TrainState, stop: int) -> None:
    first, again = fresh(), fresh(seed=9)
    list(itertools.islice(taught(first), stop))
    save_state(tmp_path / "state.safetensors", first, {"seed": 7})
    load_state(tmp_path / "state.safetensors", again, {"seed": 7})
    list(taught(again))
    assert weights_of(again) == weights_of(whole)
    assert (again.epoch, again.step) == (whole.epoch, whole.step) == (2, 6)


def test_teacher_and_student_see_the_same_pasted_images() -> None:
    seen: dict[str, list[torch.Tensor]] = {"teacher": [], "student": []}
    nets = {"teacher": tiny_net(seed=3), "student": tiny_net()}
    for name, net in nets.items():
        net.register_forward_pre_hook(lambda _, inputs, name=name: seen[name].append(inputs[0].clone()))
    settings, mix = replace(SETTINGS, epochs=1, ema_decay=None), cutmix(3, 0.5)
    list(train(start(nets["student"], settings, CPU), TinyBatches(), TrainingLoss(), settings, teacher=nets["teacher"], mix=mix))
    assert len(seen["teacher"]) == 3
    assert all(torch.equal(a, b) for a, b in zip(seen["teacher"], seen["student"], strict=True))
    whole = [images_NCHW for images_NCHW, _ in TinyBatches()(0)]
    assert not any(torch.equal(a, b) for a, b in zip(seen["student"], whole, strict=True))


def test_the_teacher_is_in_eval_mode_and_unchanged() -> None:
    teacher = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(768), nn.Dropout(0.5), nn.Linear(768, 3)).train()
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    record, *_ = epochs_of(train(start(tiny_net(), SETTINGS, CPU), TinyBatches(), TrainingLoss(), SETTINGS, teacher=teacher))
    assert not teacher.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert record.losses["kd_loss"] > 0


def test_in_place_distillation_needs_no_teacher() -> None:
    record, *_ = epochs_of(
        train(start(tiny_supernet(), SETTINGS, CPU), TinyBatches(), TrainingLoss(), SETTINGS, subnets=subnets, in_place=True)
    )
    assert record.losses["kd_loss"] > 0


def test_a_loss_that_is_not_a_number_says_what_to_do_and_spoils_nothing() -> None:
    state = start(tiny_net(), SETTINGS, CPU)
    before = weights_of(state)
    with pytest.raises(
        TrainingDivergedError, match=r"the loss became nan in epoch 1, step 1, at learning rate .*lower the learning rate"
    ):
        list(train(state, TinyBatches(poison=True), TrainingLoss(), SETTINGS))
    assert weights_of(state) == before


def test_select_is_read_when_due_and_at_the_end_in_eval_mode_only() -> None:
    modes: list[bool] = []

    def evaluate(model: nn.Module) -> Mapping[str, float]:
        modes.append(model.training)
        return {"top1": 0.5}

    settings = replace(SETTINGS, epochs=5, ema_decay=None)
    state = start(tiny_net(), settings, CPU)
    records = epochs_of(train(state, TinyBatches(), TrainingLoss(), settings, evaluate=evaluate, evaluate_every=2))
    assert [bool(record.select) for record in records] == [False, True, False, True, True]
    assert modes == [False] * 3


def test_norms_and_biases_are_not_decayed() -> None:
    state = start(tiny_net(), SETTINGS, CPU)
    decayed, free = state.optimizer.param_groups
    assert free["weight_decay"] == 0
    assert decayed["weight_decay"] > 0
    assert all(parameter.ndim < 2 for parameter in free["params"])
    assert all(parameter.ndim >= 2 for parameter in decayed["params"])


def test_the_result_is_the_moving_average() -> None:
    state = start(tiny_net(), SETTINGS, CPU)
    list(train(state, TinyBatches(), TrainingLoss(), SETTINGS))
    assert state.result is not state.model
    assert any(not torch.equal(a, b) for a, b in zip(state.result.parameters(), state.model.parameters(), strict=True))


def test_a_time_budget_lays_out_fewer_epochs() -> None:
    settings = replace(SETTINGS, epochs=500, max_seconds=0.5)
    state = start(tiny_net(), settings, CPU)
    *_, last = epochs_of(train(state, TinyBatches(), TrainingLoss(), settings))
    assert last.epoch == last.epochs == state.epochs < 500


def scripted(*scores: float) -> Evaluate:
    """An evaluation that gives these accuracies, one after the other, the last for ever."""
    left = list(scores)
    return lambda model: {"top1": left.pop(0) if len(left) > 1 else left[0]}


def test_wsd_ends_early_on_a_plateau_of_select() -> None:
    settings = replace(SETTINGS, epochs=40, schedule="wsd", end_early=True)
    state = start(tiny_net(), settings, CPU)
    records = epochs_of(train(state, TinyBatches(), TrainingLoss(), settings, evaluate=scripted(0.5, 0.6, 0.7, 0.7)))
    assert state.decay_from == 11  # 3 that rose, 8 (a fifth of 40) that did not
    assert records[-1].epoch == records[-1].epochs == state.epochs == 16
    rates = [record.learning_rate for record in records]
    assert rates[4] == rates[10] == settings.learning_rate
    assert rates[11:] == sorted(rates[11:], reverse=True)
    assert math.isclose(rates[-1], settings.final_learning_rate)


def test_wsd_goes_on_within_its_budget_while_select_rises() -> None:
    settings = replace(SETTINGS, epochs=2, schedule="wsd", max_seconds=2.0)
    rising = itertools.count(1)
    state = start(tiny_net(), settings, CPU)
    records = epochs_of(train(state, TinyBatches(), TrainingLoss(), settings, evaluate=lambda model: {"top1": next(rising) / 1e6}))
    last, longest_s = records[-1], max(record.seconds + record.evaluation_s for record in records)
    assert last.epoch == last.epochs >= 2
    assert last.epochs > 2 or longest_s > 0.5  # a machine that is busy has time for few
    assert last.elapsed_s < 2.0 + 2 * longest_s


def test_wsd_falls_for_one_epoch_where_its_time_is_spent_already() -> None:
    settings = replace(SETTINGS, epochs=2, schedule="wsd", max_seconds=1e-6)
    steps = list(train(start(tiny_net(), settings, CPU), TinyBatches(), TrainingLoss(), settings, evaluate=scripted(0.5, 0.6)))
    assert [(record.epoch, record.epochs) for record in epochs_of(steps)] == [(1, 2), (2, 2)]
    rates = [record.learning_rate for record in steps if isinstance(record, StepRecord) and record.epoch == 2]
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == len(rates)
    assert math.isclose(rates[-1], settings.final_learning_rate)


def test_wsd_without_a_budget_spends_the_epochs_it_was_laid_out_for() -> None:
    settings = replace(SETTINGS, epochs=9, schedule="wsd")
    state = start(tiny_net(), settings, CPU)
    *_, last = epochs_of(train(state, TinyBatches(), TrainingLoss(), settings, evaluate=scripted(0.5)))
    assert (state.decay_from, last.epoch, last.epochs) == (6, 9, 9)


def test_the_best_epoch_is_kept_also_by_a_run_that_was_interrupted(tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=4, keep_best=True)
    seen: list[dict[str, bytes]] = []

    def run(state: TrainState, scores: Sequence[float], stop: int | None = None) -> None:
        evaluate = scripted(*scores)
        for record in itertools.islice(train(state, TinyBatches(), TrainingLoss(), settings, evaluate=evaluate), stop):
            if isinstance(record, EpochRecord):
                seen.append(weights_of(state))

    whole = start(tiny_net(), settings, CPU)
    run(whole, (0.5, 0.8, 0.6, 0.7))
    kept = {name: value for name, value in weights_of(whole).items() if name.startswith("result.")}
    assert kept.items() <= seen[1].items()
    assert not kept.items() <= seen[3].items()
    first, again = start(tiny_net(), settings, CPU), start(tiny_net(seed=9), settings, CPU)
    run(first, (0.5, 0.8, 0.6, 0.7), stop=9)  # steps and records of two epochs, and a step
    save_state(tmp_path / "state.safetensors", first, {"seed": 7})
    load_state(tmp_path / "state.safetensors", again, {"seed": 7})
    run(again, (0.6, 0.7))
    assert weights_of(again) == weights_of(whole)


def falling(value: float = 0.5) -> Evaluate:
    """Accuracies that never rise."""
    return lambda model: {"top1": value}


@pytest.mark.parametrize(("weights", "in_place"), [(None, False), ([0.2, 1.0, 5.0], True)])
def test_a_batch_in_parts_gives_the_gradients_of_the_whole(weights: list[float] | None, in_place: bool) -> None:
    def trained(accumulate: int) -> torch.Tensor:
        settings = replace(SETTINGS, epochs=1, accumulate=accumulate, ema_decay=None)
        objective = TrainingLoss(smoothing=0.1, kd_weight=0.4, class_weights_C=None if weights is None else torch.tensor(weights))
        state = start(tiny_supernet().double(), settings, CPU)
        teacher = tiny_net(LARGEST, seed=5).double()
        batches = ((images.double(), labels) for images, labels in TinyBatches()(0))
        step = Stepper(objective, 7, 1.0, teacher, subnets, in_place, CPU, None, accumulate=accumulate)
        for images_NCHW, labels_N in batches:
            step(state, images_NCHW, labels_N, 1e-3)
        return torch.cat([value.detach().flatten() for value in state.model.parameters()])

    def subnets(rng: np.random.Generator, step: int) -> Subnets:
        return [LARGEST, SMALLEST]

    whole, parts = trained(1), trained(3)
    assert (whole - parts).abs().max().item() < 1e-12


def test_training_stops_when_its_patience_is_spent() -> None:
    settings = replace(SETTINGS, epochs=9, stop_patience=2)
    state = start(tiny_net(), settings, CPU)
    records = list(train(state, TinyBatches(), TrainingLoss(), settings, evaluate=falling()))
    assert [record.epoch for record in records if isinstance(record, EpochRecord)] == [1, 2, 3]
    assert state.epochs == 3


def test_a_plateau_lowers_the_rate_also_of_a_run_that_was_interrupted(tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=5, schedule="plateau", plateau_factor=0.5, plateau_patience=0, warmup_epochs=0.0)
    whole, rates = start(tiny_net(), settings, CPU), []
    for record in train(whole, TinyBatches(), TrainingLoss(), settings, evaluate=falling()):
        if isinstance(record, EpochRecord):
            rates.append(record.learning_rate)
    assert rates == pytest.approx([2e-3, 2e-3, 1e-3, 5e-4, 2.5e-4])
    first = start(tiny_net(), settings, CPU)
    for record in train(first, TinyBatches(), TrainingLoss(), settings, evaluate=falling()):
        if isinstance(record, EpochRecord) and record.epoch == 3:
            save_state(tmp_path / "state", first, {})
            break
    resumed = start(tiny_net(), settings, CPU)
    load_state(tmp_path / "state", resumed, {})
    list(train(resumed, TinyBatches(), TrainingLoss(), settings, evaluate=falling()))
    for value, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(value, other)


@pytest.mark.parametrize("changes", [{"amp_dtype": "bf16"}, {"channels_last": True}])
def test_other_number_formats_and_layouts_learn_on_a_cpu(changes: dict[str, object]) -> None:
    settings = replace(SETTINGS, epochs=2, **changes)  # type: ignore[arg-type]
    records = list(train(start(tiny_net(), settings, CPU), TinyBatches(), TrainingLoss(), settings))
    losses = [record.losses["loss"] for record in records if isinstance(record, EpochRecord)]
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < losses[0]


def test_a_run_that_fits_its_budget_ignores_it() -> None:
    settings = replace(SETTINGS, max_seconds=1000.0)
    states = [start(tiny_net(), SETTINGS, CPU) for _ in range(2)]
    for state, chosen in zip(states, (SETTINGS, settings), strict=True):
        list(train(state, TinyBatches(), TrainingLoss(), chosen))
    assert weights_of(states[0]) == weights_of(states[1])


@pytest.mark.gpu
def test_mixed_precision_trains_on_a_gpu() -> None:
    settings = replace(SETTINGS, epochs=12)
    state = start(tiny_supernet(), settings, torch.device("cuda"))
    evaluate = subnet_accuracies(*tiny_images(30, 1), {"smallest": SMALLEST, "largest": LARGEST})
    teacher = tiny_net(LARGEST, seed=3)
    *_, last = epochs_of(
        train(state, TinyBatches(), TrainingLoss(kd_weight=0.1), settings, teacher=teacher, subnets=subnets, evaluate=evaluate)
    )
    assert min(last.select.values()) > 0.9
