"""Training rivals one after the other, each with what the searched net has had, within a budget of minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from torch import Tensor, nn

from edgenas.costs import cost_models
from edgenas.latency import Memory
from edgenas.project.comparing.contenders import Contender, Ours
from edgenas.project.comparing.rivals import Rival, of_space, trained, ways_for
from edgenas.project.nets import supernet_epochs
from edgenas.project.retraining.baselines import BaselineLimits, find_best, is_found, within
from edgenas.project.retraining.equal_cnn import find_cnn
from edgenas.project.retraining.ways import Bench, Net, adopt, best_of, fit_all, is_trained, job_of, short_name, ways_of
from edgenas.records import Estimate, LeftOut
from edgenas.runs import Note, Progress, Record
from edgenas.runs.durations import duration
from edgenas.supernets.resize import resized
from edgenas.training.folder import seconds_of
from edgenas.training.pace import sum_of, time_job
from edgenas.training.teacher import remembering
from edgenas.training.ways import Way

LOOK_S = 0.5  # of timed steps, of every rival, so that it can be said how long all take
PACE_S = 2.0  # of timed steps, of every rival that is to have the same time
NETS = "nets"  # folder of the weights that are compared, in that of `compare`
TRIES = "tries"  # folder of what is trained for it, likewise
OVER = "the budget was spent before it was trained; the same command goes on"
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Clock:
    """Until when there may be trained.

    Attributes:
        ends_s: on the monotonic clock; None for no end.
    """

    ends_s: float | None

    @classmethod
    def of(cls, minutes: float | None) -> Clock:
        """One that starts now."""
        return cls(None if minutes is None else time.monotonic() + 60 * minutes)

    @property
    def is_over(self) -> bool:
        """Whether the time is spent."""
        return self.ends_s is not None and time.monotonic() > self.ends_s


@dataclass(frozen=True, slots=True)
class EqualEffort:
    """What every rival gets.

    Attributes:
        equal: ``epochs`` or ``time``.
        epochs: that the searched net's weights have seen.
        seconds: that these took; None where no log says.
        clock: after which nothing is trained.
        memory: keeps how many epochs are the same time, so that the same command finds them again.
    """

    equal: str
    epochs: int
    seconds: float | None
    clock: Clock
    memory: Memory


def as_ours(bench: Bench, ours: Ours) -> Bench:
    """The bench on which rivals are tried in the teachings, and at the learning rates, that the searched net was tried in.

    What `retrain` has trained is kept; what it trained otherwise is trained beside timm's nets.
    """
    settings = bench.project.settings
    retrain = replace(settings.retrain, scratch_learning_rates=ours.rates)
    project = replace(bench.project, settings=replace(settings, retrain=retrain))
    aside = project.run.compare / TRIES
    return replace(bench, project=project, teachings=ours.teachings or bench.teachings, aside=aside)


class _AtOwnSide(nn.Module):
    """A teacher that is shown images of another side than it reads."""

    def __init__(self, teacher: nn.Module, image_px: int) -> None:
        super().__init__()
        self.teacher, self.image_px = teacher, image_px

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits_NC: Tensor = self.teacher(resized(images_NCHW, self.image_px))
        return logits_NC


def bench_for(bench: Bench, rival: Rival) -> Bench:
    """The bench of a rival that may read images of another side: the teacher then sees them at its own."""
    own_px, rival_px = bench.images.preprocess.image_px, rival.net.images.preprocess.image_px
    if bench.teacher is None or own_px == rival_px:
        return bench
    return replace(bench, teacher=remembering(_AtOwnSide(bench.teacher, own_px)))


def train_rival(bench: Bench, rival: Rival, effort: EqualEffort) -> Generator[Record, None, Contender | LeftOut]:
    """A net of timm in every teaching, the best on select kept."""
    own = bench_for(bench, rival)
    ways = ways_for(bench.project.settings, rival.facts, bench.teachings, effort.epochs)
    ways = yield from budgeted(own, rival.net, ways, effort)
    tries = yield from stopped_by(effort.clock, fit_all(own, rival.net, ways), lambda: all_trained(own, rival.net, ways))
    if tries is None:
        return LeftOut(name=rival.name, reason=OVER)
    best = best_of(tries)
    folder = bench.project.run.compare / NETS / rival.net.folder.name
    adopt(best, folder)
    return trained(bench, rival, tries, best, folder)


def expected(bench: Bench, rivals: Sequence[Rival], effort: EqualEffort) -> Generator[Record, None, None]:
    """Say how long the nets of timm that are not trained yet will take, by a few timed steps of each."""
    each_s: list[Estimate] = []
    num_left = 0
    for rival in rivals:
        own = bench_for(bench, rival)
        ways = yield from budgeted(
            own, rival.net, ways_for(own.project.settings, rival.facts, own.teachings, effort.epochs), effort
        )
        left = [way for way in ways if not is_trained(own, rival.net, way)]
        num_left += bool(left)
        for way in left:
            each_s.append((yield from time_job(job_of(own, rival.net, way), seconds=LOOK_S)).estimate)
    if each_s:
        total = sum_of(each_s)
        nets = f"{num_left} net{'' if num_left == 1 else 's'} of timm"
        spread = f"{duration(total.low)} to {duration(total.high)}"
        yield Note(
            f"training {nets} will take about {duration(total.value)} here ({spread}), estimated from a few timed steps of each"
        )


def all_trained(bench: Bench, net: Net, ways: Sequence[Way]) -> bool:
    """Whether nothing of a net is left to be trained."""
    return all(is_trained(bench, net, way) for way in ways)


def budgeted(bench: Bench, net: Net, ways: Sequence[Way], effort: EqualEffort) -> Generator[Record, None, tuple[Way, ...]]:
    """Ways of as many epochs as they are, or of as many as take the time here, by a few timed steps of each."""
    if effort.equal == "epochs" or effort.seconds is None:
        return tuple(ways)
    timed = []
    for way in ways:
        key = f"epochs {net.folder.name} {way.name} {effort.seconds:.3f}"
        epochs = effort.memory.recall(key)
        if epochs is None:
            pace = yield from time_job(job_of(bench, net, way), seconds=PACE_S)
            epoch_s = float(np.median(pace.laps)) * pace.job.batches.num_batches
            epochs = max(1, int(effort.seconds / epoch_s))
            effort.memory.record(key, epochs)
            text = f"{epochs} epochs ({way}) take as long as the searched net's {effort.epochs} ({effort.seconds:.0f} s)"
            yield Note(f"{net.label}: {text}")
        timed.append(replace(way, epochs=int(epochs)))
    return tuple(timed)


def stopped_by(
    clock: Clock, work: Generator[Record, None, Result], is_done: Callable[[], bool]
) -> Generator[Record, None, Result | None]:
    """What a training gives; None where the clock ends it, with its state saved.

    Args:
        clock: that ends it.
        work: saves its state when it is closed.
        is_done: whether there is nothing to train any more, which is looked at however late it is.
    """
    if clock.is_over and not is_done():
        work.close()
        return None
    try:
        while True:
            record = next(work)
            yield record
            if clock.is_over and isinstance(record, Progress) and not is_done():
                work.close()
                return None
    except StopIteration as stop:
        result: Result = stop.value
        return result


def train_hand(
    bench: Bench, ours: Ours, limits: BaselineLimits, effort: EqualEffort
) -> Generator[Record, None, Contender | LeftOut]:
    """The best hand-designed net under the limits, raced and trained as `retrain --baseline` does.

    Where time is to be equal they get the epochs that one of middling work is trained for in it.
    """
    space = bench.project.space
    archs, fits = within(space, limits)
    if not fits:
        return LeftOut(name="hand", reason=f"no hand-designed net meets {limits}")
    macs = cost_models(space, bench.images.task).macs
    middling = sorted(archs, key=lambda arch: float(macs(space.from_json(arch))[0]))[len(archs) // 2]
    timed = Net.of_arch(bench, "hand", bench.project.run.compare / TRIES / f"hand-{short_name(middling)}", middling)
    ways = [way for way in ways_of(bench.project, bench.teachings, scratch_epochs=ours.epochs) if way.weights == "scratch"]
    (way,) = yield from budgeted(bench, timed, ways[:1], effort)
    bench = _finetuning(bench, _finetune_epochs(bench, ours, way, effort))
    outcome = yield from stopped_by(
        effort.clock, find_best(bench, archs, way.epochs, ours.epoch_s), lambda: is_found(bench, archs, way.epochs)
    )
    if outcome is None:
        return LeftOut(name="hand", reason=OVER)
    best = best_of(outcome[1])
    folder = bench.project.run.compare / NETS / "hand"
    adopt(best, folder)
    return of_space(bench, "hand", [each for each in outcome[1] if each.net.arch == best.net.arch], best, folder)


def _finetune_epochs(bench: Bench, ours: Ours, scratch: Way, effort: EqualEffort) -> int:
    """Epochs of weights that are inherited: with those of the supernet they come to what fresh ones get."""
    if effort.equal == "epochs" or effort.seconds is None:
        return max(1, ours.epochs - supernet_epochs(bench.project))
    inherited_s = min(seconds_of(bench.project.run.supernet) or 0.0, effort.seconds)
    return max(1, round(scratch.epochs * (1 - inherited_s / effort.seconds)))


def _finetuning(bench: Bench, epochs: int) -> Bench:
    """The bench with so many epochs for weights that are inherited, whatever the settings of this call say."""
    settings = bench.project.settings
    retrain = replace(settings.retrain, epochs=epochs)
    return replace(bench, project=replace(bench.project, settings=replace(settings, retrain=retrain)))


def train_cnn(
    bench: Bench, ours: Ours, limits: BaselineLimits, effort: EqualEffort, memory: Memory
) -> Generator[Record, None, Contender | LeftOut]:
    """The widest plain CNN within the limit, from fresh weights, as `retrain --baseline` has it."""
    equal = yield from find_cnn(bench, limits, ours.net(bench.project.run), memory=memory)
    if equal is None:
        return LeftOut(name="cnn", reason="none of equal latency could be measured")
    net, width = equal
    ways = [way for way in ways_of(bench.project, bench.teachings, scratch_epochs=ours.epochs) if way.weights == "scratch"]
    ways = list((yield from budgeted(bench, net, ways, effort)))
    tries = yield from stopped_by(effort.clock, fit_all(bench, net, ways), lambda: all_trained(bench, net, ways))
    if tries is None:
        return LeftOut(name="cnn", reason=OVER)
    best = best_of(tries)
    folder = bench.project.run.compare / NETS / f"cnn-{width}"
    adopt(best, folder)
    return replace(of_space(bench, "cnn", tries, best, folder), notes=(f"{width} channels",))
