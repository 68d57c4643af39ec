"""What is shown, said and kept while a supernet is trained."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from edgenas.costs import cost_models
from edgenas.errors import MissingBackendError
from edgenas.records import LogRow
from edgenas.runs import Note, Progress
from edgenas.training.checkpoints import load_state
from edgenas.training.distillation import TrainingLoss
from edgenas.training.evaluation import subnet_accuracies, subnet_logits
from edgenas.training.events import require_tensorboard
from edgenas.training.fitting import fit
from edgenas.training.folder import LOG, STATE
from edgenas.training.loop import EpochRecord, LoopSettings, start, train
from edgenas.training.sampling import shown_subnets
from edgenas.training.step import TrainingDivergedError
from edgenas.training.watching import MEDIAN, MIN_IMAGES, RANDOM_SET, Watcher, watched_nets, watching
from tests.training.jobs import PoisonedBatches, tiny_job
from tests.training.tiny import CPU, LARGEST, SMALLEST, SPACE, TASK, TinyBatches, tiny_images, tiny_supernet

MACS = cost_models(SPACE, TASK)["macs"]
NAMES = ("red", "green", "blue")
PLENTY = 1e15


def test_the_median_has_median_macs_and_nets_are_drawn_once_by_the_seed() -> None:
    _, labels_N = tiny_images(300)
    nets = watched_nets(SPACE, MACS, labels_N, training_macs=PLENTY, seed=3)
    macs_A = MACS(SPACE.sample(2000, np.random.default_rng(1)))
    assert 0.45 < float((macs_A < MACS(np.array([nets.median], dtype=np.int16))[0]).mean()) < 0.55
    assert nets.judged == shown_subnets(SPACE, 3)
    again = watched_nets(SPACE, MACS, labels_N, training_macs=PLENTY, seed=3)
    assert (again.median, again.others) == (nets.median, nets.others)
    assert watched_nets(SPACE, MACS, labels_N, training_macs=PLENTY, seed=4).others != nets.others
    np.testing.assert_array_equal(nets.images_N, np.arange(300))


def test_few_images_of_every_class_are_shown_where_evaluation_would_take_too_long() -> None:
    _, labels_N = tiny_images(900)
    judged = float(MACS(np.array(list(shown_subnets(SPACE, 0).values()), dtype=np.int16)).sum())
    nets = watched_nets(SPACE, MACS, labels_N, training_macs=0.0, seed=0)
    assert len(nets.images_N) == MIN_IMAGES
    assert np.bincount(labels_N[nets.images_N]).min() >= MIN_IMAGES // 3
    some = watched_nets(SPACE, MACS, labels_N, training_macs=900 * judged * 2 / 0.15, seed=0)
    more = float(MACS(np.array([some.median, *some.others], dtype=np.int16)).sum())
    assert len(some.images_N) * more <= 900 * judged < (len(some.images_N) + 1) * more  # the other half of the share


@pytest.mark.parametrize("share", [0.02, 0.049, 0.2])
def test_evaluations_are_as_rare_as_keeps_them_within_their_share(share: float) -> None:
    _, labels_N = tiny_images(900)
    judged = 900 * float(MACS(np.array(list(shown_subnets(SPACE, 0).values()), dtype=np.int16)).sum())
    training_macs = judged / share / 3  # of forward passes alone
    nets = watched_nets(SPACE, MACS, labels_N, training_macs=training_macs, seed=0, every=None)
    assert nets.every == max(1, int(np.ceil(share / 0.05)))
    more = float(MACS(np.array([nets.median, *nets.others], dtype=np.int16)).sum()) * len(nets.images_N)
    assert len(nets.images_N) == MIN_IMAGES or judged + more <= 0.05 * nets.every * 3 * training_macs


def test_epochs_are_judged_as_before_and_other_nets_are_only_shown() -> None:
    images_NCHW, labels_N = tiny_images(60)
    supernet = tiny_supernet()
    nets = watched_nets(SPACE, MACS, labels_N, training_macs=PLENTY, seed=0)
    seen = watching(images_NCHW, labels_N, nets, NAMES)(supernet)
    assert seen.judged == subnet_accuracies(images_NCHW, labels_N, nets.judged)(supernet)
    assert seen.shown is not None
    rows = (nets.judged["random"], *nets.others)
    right_AN = np.stack([subnet_logits(supernet, images_NCHW, genes).argmax(axis=1) == labels_N for genes in rows])
    assert seen.shown.top1[RANDOM_SET] == pytest.approx(right_AN.mean())
    assert seen.shown.spread == pytest.approx(right_AN.mean(axis=1).std(ddof=1))
    median_N = subnet_logits(supernet, images_NCHW, nets.median).argmax(axis=1) == labels_N
    assert seen.shown.top1[MEDIAN] == pytest.approx(median_N.mean())
    assert set(seen.shown.sensitivity) == {"smallest", "random", "largest", MEDIAN, RANDOM_SET}
    for label, name in enumerate(NAMES):
        assert seen.shown.sensitivity[MEDIAN][name] == pytest.approx(median_N[labels_N == label].mean(), abs=1e-4)


def test_what_few_images_show_is_moved_by_the_judged_nets() -> None:
    images_NCHW, labels_N = tiny_images(600)
    images_NCHW[300:] = 0.0  # every net gives these one class
    nets = watched_nets(SPACE, MACS, labels_N, training_macs=0.0, seed=0)
    supernet = tiny_supernet()
    seen = watching(images_NCHW, labels_N, nets, NAMES)(supernet)
    right_N = subnet_logits(supernet, images_NCHW, nets.median).argmax(axis=1) == labels_N
    judged_AN = np.stack([subnet_logits(supernet, images_NCHW, g).argmax(axis=1) == labels_N for g in nets.judged.values()])
    moved = judged_AN.mean() - judged_AN[:, nets.images_N].mean()
    assert seen.shown is not None
    assert seen.shown.num_images == MIN_IMAGES
    assert seen.shown.top1[MEDIAN] == pytest.approx(right_N[nets.images_N].mean() + moved)


def test_the_loop_hands_on_what_was_shown_and_how_long_it_waited() -> None:
    settings = LoopSettings(epochs=1, learning_rate=1e-2)
    images_NCHW, labels_N = tiny_images(30)
    evaluate = watching(images_NCHW, labels_N, watched_nets(SPACE, MACS, labels_N, training_macs=PLENTY, seed=0), NAMES)
    state = start(tiny_supernet(), settings, CPU)
    records = list(train(state, TinyBatches(), TrainingLoss(), settings, subnets=lambda rng, step: [SMALLEST], evaluate=evaluate))
    last = records[-1]
    assert isinstance(last, EpochRecord)
    assert last.shown is not None
    assert set(last.select) == {"smallest", "random", "largest"}
    assert state.history == [sum(last.select.values()) / 3]
    assert 0 < last.waiting_s < last.seconds
    assert last.evaluation_s > 0


def test_a_largest_net_that_stays_behind_is_said_once() -> None:
    watcher = Watcher("supernet", 0)
    assert [watcher.behind(words) for words in ("x", None, "x", "x", "x")] == [None, None, None, "supernet: x", None]


def test_waiting_for_images_is_said_once_with_what_to_do() -> None:
    watcher = Watcher("supernet", 2)
    assert watcher.waiting(5.0, 6.0) is None  # too short to tell
    text = watcher.waiting(1.0, 6.0)
    assert text is not None
    assert text.startswith("supernet: 50.0 % of the time so far went into waiting for images (loaded by 2 processes)")
    assert "data.workers" in text
    assert "data.cache_mb" in text
    assert watcher.waiting(6.0, 6.0) is None
    assert Watcher("supernet", 0).waiting(1.0, 20.0) is None


def test_a_loss_that_is_not_a_number_names_its_subnets() -> None:
    supernet = tiny_supernet()
    settings = LoopSettings(epochs=1, learning_rate=1e-2)
    state = start(supernet, settings, CPU)
    with pytest.raises(TrainingDivergedError) as caught:
        list(train(state, TinyBatches(poison=True), TrainingLoss(), settings, subnets=lambda rng, step: [SMALLEST, LARGEST]))
    assert caught.value.subnets == (SMALLEST, LARGEST)


def test_a_training_that_diverges_keeps_its_last_good_state_and_goes_on_from_it(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    list(fit(tiny_job(whole)))
    folder = tmp_path / "hurt"
    job = tiny_job(folder, batches=PoisonedBatches(poisoned_step=4))
    with pytest.raises(TrainingDivergedError) as caught:
        list(fit(job))
    text = str(caught.value)
    assert "the loss became nan in epoch 2, step 5" in text
    assert f"subnet {SMALLEST}" in text
    assert "the same command goes on" in text
    state = start(job.build(), job.loop, CPU)
    load_state(folder / STATE, state, job.identity)
    assert state.step == 4
    assert state.is_finite
    list(fit(tiny_job(folder)))  # the images are mended
    assert (folder / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


def test_the_bar_shows_epoch_rate_and_parts_of_the_loss(tmp_path: Path) -> None:
    records = list(fit(tiny_job(tmp_path)))
    steps = [record for record in records if isinstance(record, Progress)]
    assert list(steps[0].fields)[:4] == ["epoch", "lr", "loss", "label"]
    assert steps[-1].fields["epoch"] == "2/2"
    assert not [record for record in records if isinstance(record, Note) and record.is_warning]
    rows = [LogRow.from_json(json.loads(line)) for line in (tmp_path / LOG).read_text().splitlines()]
    assert rows[-1].shown is not None
    assert rows[-1].learning_rate is not None


def events_of(folder: Path) -> dict[str, list[int]]:
    """Steps of every scalar."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "events"))
    events.Reload()
    return {name: [event.step for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


@pytest.mark.parametrize("stop", [2, 3, 4, 5])
def test_events_of_a_training_that_was_interrupted_have_every_step_once(
    tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.summary.writer import event_file_writer
    from tensorboard.summary.writer.event_file_writer import AtomicCounter

    monkeypatch.setattr("edgenas.training.events.EVERY", 1)
    monkeypatch.setattr(event_file_writer, "_global_uid", AtomicCounter(0))  # files of one second are read in this order
    job = tiny_job(tmp_path, tensorboard=True)
    records = fit(job)
    for _ in range(stop):
        next(records)
    records.close()  # keeps the state
    done = fit(job)
    for _ in range(2):  # goes on a little, unsaved, as if killed
        next(done)
    assert (tmp_path / STATE).is_file()
    copy = (tmp_path / STATE).read_bytes()
    done.close()
    (tmp_path / STATE).write_bytes(copy)
    list(fit(job))
    steps = events_of(tmp_path)
    assert steps["epoch/loss"] == [3, 6]
    assert steps["select/median"] == [3, 6]
    assert len(set(steps["step/loss"])) == len(steps["step/loss"]) >= 5


def test_without_tensorboard_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingBackendError, match=r"train.tensorboard needs TensorBoard.*edgenas\[tensorboard\]"):
        require_tensorboard()
