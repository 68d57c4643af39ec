"""The ways in which one net is trained to the end; the split select decides which weights are kept."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgenas.data.images import Images, decode
from edgenas.percents import percent
from edgenas.project.net_facts import genes_of, images_for
from edgenas.project.nets import scratch_epochs as fresh_epochs
from edgenas.project.opening import Project
from edgenas.project.settings import ProjectSettings
from edgenas.project.trainings.loaded_teacher import load_teacher
from edgenas.project.trainings.plain_nets import Build, PlainNet, plain_job
from edgenas.project.trainings.starts import GivenWeights
from edgenas.project.trainings.teaching import teaching_of
from edgenas.records import Arch, TrainedWay
from edgenas.runs import Note, Record, atomic_path, sha256_json
from edgenas.search import SensitivityFloor
from edgenas.search.proof_scores import log_likelihoods
from edgenas.spaces import SearchSpace
from edgenas.stats import Proportion, wilson
from edgenas.supernets.ensemble import build_ensemble
from edgenas.training.checkpoints import load_weights
from edgenas.training.evaluation import predict
from edgenas.training.fitting import TrainingJob, changes_since, fit, holds_other_work
from edgenas.training.folder import LOG, PART, STATE, WEIGHTS, has_weights, seconds_of, weights_sha256
from edgenas.training.ranks import current
from edgenas.training.teacher import remembering
from edgenas.training.ways import Way, fresh_ways

_COMPILE: Mapping[str | bool, bool | Literal["auto"]] = {"off": False, "on": True, "auto": "auto"}


@dataclass(frozen=True, slots=True)
class Bench:
    """What every training of a `retrain` shares.

    Attributes:
        teacher: None where labels alone teach.
        teachings: ``teacher`` and ``labels``, whichever are tried for every net.
        force: train again what is there.
        given: weights that nets may start from as well.
        floors: on sensitivities, of the search; nets that are trained to the end are held to them.
        aside: where nets are trained of which the folder that `retrain` keeps them in holds a training of other settings, which
            stays; None trains them anew in its place.
    """

    project: Project
    images: Images
    device: str
    teacher: nn.Module | None
    teachings: tuple[str, ...]
    force: bool
    floors: tuple[SensitivityFloor, ...] = ()
    given: GivenWeights | None = None
    aside: Path | None = None

    @classmethod
    def open(cls, project: Project, images: Images, device: str, *, force: bool) -> Bench:
        """With the teacher, if any net is to learn from one.

        Raises:
            MissingInputError: if it was never trained.
            CheckpointError: if it belongs to another project, or given weights cannot be read.
        """
        teachings = teachings_of(project, baseline=project.settings.retrain.baseline)
        teacher = remembering(load_teacher(project, images) if "teacher" in teachings else None)
        return cls(project, images, device, teacher, teachings, force, given=GivenWeights.of(project, device))


def teachings_of(project: Project, *, baseline: bool) -> tuple[str, ...]:
    """``teacher`` and ``labels``, whichever `retrain` tries for every net, with a ``baseline`` beside the winner or without."""
    asked = project.settings.retrain.teaching
    if asked == "auto" and project.settings.retrain.init is not None and not has_weights(project.run.teacher):
        return ("labels",)  # what is given needs neither teacher nor supernet here
    if teaching_of(project)[0] == 0:
        return ("labels",)
    if asked != "auto":
        return (asked,)
    return ("teacher", "labels") if baseline else ("teacher",)


@dataclass(frozen=True, slots=True)
class Net:
    """A net to be trained.

    Attributes:
        name: of its kind, on the progress bar and in the checkpoint.
        folder: for its trainings.
        arch: readable; None for a net of no space.
        images: as it reads them.
        build: makes a net of no space.
        facts: more that its checkpoints say.
        title: on the progress bar, where the name does not tell it from others.
        num_members: that answer together.
    """

    name: str
    folder: Path
    arch: Arch | None
    images: Images
    build: Build | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    title: str | None = None
    num_members: int = 1

    @classmethod
    def of_arch(cls, bench: Bench, name: str, folder: Path, arch: Arch, *, title: str | None = None, **facts: Any) -> Net:
        """A net of the project's space."""
        return cls(name, folder, arch, images_for(bench.project.space, bench.images, arch), facts=facts, title=title)

    @property
    def label(self) -> str:
        """What the progress bar and notes call it."""
        return self.title or self.name

    def is_same(self, other: Net) -> bool:
        """Whether both are one net of a space."""
        return self.arch is not None and (self.arch, self.num_members) == (other.arch, other.num_members)

    def bare(self, space: SearchSpace) -> nn.Module:
        """With weights that are to be loaded."""
        if self.arch is None:
            assert self.build is not None
            return self.build()
        return build_ensemble(space, self.images.task, genes_of(space, self.arch), self.num_members)


def short_name(arch: Arch) -> str:
    """An architecture's name for a folder, so that its trainings are found again under another limit."""
    return sha256_json(dict(arch))[:12]


@dataclass(frozen=True, slots=True)
class Try:
    """A net that was trained in one way.

    Attributes:
        folder: with its weights and log.
        seconds: that its training took; None where its log is gone.
        select_top1: with its interval.
        select_log_likelihood: mean over the images of select, in nats.
        low_floors: floors on sensitivities that it misses on confirm.
    """

    net: Net
    way: Way
    folder: Path
    seconds: float | None
    select_top1: Proportion
    select_log_likelihood: float
    low_floors: tuple[str, ...] = ()

    @property
    def trained_way(self) -> TrainedWay:
        """One of the contract's ``starts``."""
        return TrainedWay(
            weights=self.way.weights,
            teaching=self.way.teaching,
            epochs=self.way.epochs,
            seconds=self.seconds,
            select_top1=self.select_top1,
            learning_rate=self.way.chosen_rate,
            low_floors=self.low_floors,
        )

    def load(self, space: SearchSpace) -> nn.Module:
        """The trained net in eval mode, on the CPU."""
        return _load(space, self.net, self.folder)


def _load(space: SearchSpace, net: Net, folder: Path) -> nn.Module:
    model = net.bare(space)
    load_weights(folder / WEIGHTS, model)
    return model.eval()


def ways_of(project: Project, teachings: Sequence[str], *, scratch_epochs: int | None = None) -> tuple[Way, ...]:
    """The ways of a net of the space; with ``scratch_epochs`` those of a hand-designed one, which may always start afresh."""
    settings = project.settings.retrain
    ways: list[Way] = []
    for teaching in teachings:
        if _inherits(project):
            ways.append(Way("finetuned", teaching, settings.epochs, settings.learning_rate))
        if settings.init is not None:
            ways.append(Way("given", teaching, settings.epochs, settings.learning_rate))
        if settings.start in ("auto", "scratch") or scratch_epochs is not None:
            epochs = fresh_epochs(project) if scratch_epochs is None else scratch_epochs
            ways += fresh_ways(teaching, epochs, fresh_rates(project.settings))
    return tuple(ways)


def fresh_rates(settings: ProjectSettings) -> tuple[float, ...]:
    """Learning rates that fresh weights are tried with: the supernet's where nothing else is asked for."""
    return settings.retrain.scratch_learning_rates or (settings.train.learning_rate,)


def _inherits(project: Project) -> bool:
    """Whether nets start from the supernet's weights: without a supernet only where nothing else is given."""
    settings = project.settings.retrain
    if settings.start == "auto":
        return settings.init is None or has_weights(project.run.supernet)
    return settings.start == "inherited"


def fit_all(
    bench: Bench, net: Net, ways: Sequence[Way], *, says_kept: bool = True, seed: int | None = None
) -> Generator[Record, None, list[Try]]:
    """Train a net in every way, in order; what was trained like this already is kept, and ``says_kept`` says so.

    ``seed`` is that of the settings where none is given.
    """
    yield from decode(net.images, "select")
    kept = 0
    tries = []
    for way in ways:
        job = job_of(bench, net, way, seed=seed)
        changes = changes_since(job)
        if changes == [] and not bench.force:
            kept += 1
        else:
            if changes:
                yield Note(f"{net.label}: is trained again: {way}: {'; '.join(changes)}")
            if way.weights == "given" and net.arch is not None:
                job = yield from _begun(bench, net, way, seed, job.folder)
            yield from fit(job)
        tries.append(judged(bench, net, way, job.folder))
    if kept == len(ways) and says_kept:
        yield Note(f"{net.label}: already trained (--force trains it again)")
    return tries


def _begun(bench: Bench, net: Net, way: Way, seed: int | None, folder: Path) -> Generator[Record, None, TrainingJob]:
    """The training in a folder of a net from given weights, once it is said what of these is taken."""
    assert bench.given is not None
    assert net.arch is not None
    space, own = bench.project.space, bench.project.settings.retrain.seed if seed is None else seed
    given = bench.given.begun(space, net.images, genes_of(space, net.arch), folder, own)
    assert given.init is not None
    yield from (Note(f"{net.label}: {given.weights.source}: {note}") for note in given.init.notes)
    return replace(job_of(replace(bench, given=given), net, way, seed=seed), folder=folder)


def is_trained(bench: Bench, net: Net, way: Way) -> bool:
    """Whether `fit_all` would find a net trained in this way."""
    return not bench.force and changes_since(job_of(bench, net, way, split=None)) == []


def job_of(bench: Bench, net: Net, way: Way, *, split: str | None = "select", seed: int | None = None) -> TrainingJob:
    """The training of a net in one way; without a ``split`` to be judged on no image is read before it begins.

    ``seed`` is that of the settings where none is given.
    """
    what = net.arch if net.arch is not None else net.build
    assert what is not None
    given = bench.given if way.weights == "given" and net.arch is not None else None
    job = plain_job(
        bench.project,
        bench.images if net.arch is not None else net.images,
        PlainNet(what, way.weights, given, kind=net.name, facts=net.facts),
        label=f"{net.label} ({way})",
        folder=net.folder / way.name,
        epochs=way.epochs,
        learning_rate=way.learning_rate,
        teacher=bench.teacher if way.teaching == "teacher" else None,
        device=bench.device,
        split=split,
        seed=seed,
    )
    settings = bench.project.settings
    loop = replace(job.loop, compile=_COMPILE[settings.retrain.compile])
    return _aside(bench, replace(job, loop=loop, tensorboard=settings.train.tensorboard))


def _aside(bench: Bench, job: TrainingJob) -> TrainingJob:
    """The job in a folder of its own where it would take the place of a training that `retrain` keeps."""
    kept = bench.project.run.retrain / "tries"
    if bench.aside is None or not job.folder.is_relative_to(kept) or not holds_other_work(job):
        return job
    return replace(job, folder=bench.aside / job.folder.relative_to(kept))


def judged(bench: Bench, net: Net, way: Way, folder: Path) -> Try:
    """What the weights in a folder answer on select."""
    images_NCHW, labels_N = net.images.arrays("select")
    p_NC = predict(_load(bench.project.space, net, folder).to(bench.device), images_NCHW)
    num_right = int((p_NC.argmax(axis=1) == labels_N).sum())
    likelihood = float(log_likelihoods(p_NC, labels_N).mean())
    num_right, likelihood = current().first((num_right, likelihood))  # all ranks choose alike
    return Try(net, way, folder, seconds_of(folder), wilson(num_right, len(labels_N)), likelihood)


def right_on(model: nn.Module, images: Images, *splits: str) -> NDArray[np.bool_]:
    """Which images of some splits, one after the other, a net gets right by its argmax."""
    right = []
    for split in splits:
        images_NCHW, labels_N = images.arrays(split)
        right.append(predict(model, images_NCHW).argmax(axis=1) == labels_N)
    return np.concatenate(right)


def best_of(tries: Sequence[Try]) -> Try:
    """The best on select of those that miss fewest floors.

    The most accurate one says in which way, of equally accurate ones one with fresh weights: the search chose its nets by what
    inherited weights answer on these images, which flatters them. Among several nets that were trained in that way the
    log-likelihood decides, which tells nets apart on fewer images. Of equal ones it is the first.
    """
    accurate = min(tries, key=lambda each: (len(each.low_floors), -each.select_top1.value, each.way.weights == "finetuned"))
    rivals = [each for each in tries if each.way == accurate.way and len(each.low_floors) == len(accurate.low_floors)]
    return max(rivals, key=lambda each: each.select_log_likelihood)


def adopt(chosen: Try, folder: Path) -> None:
    """Put the weights and the log of a try where its net is looked for.

    Raises:
        RunFolderError: if they cannot be written.
    """
    if weights_sha256(folder) != weights_sha256(chosen.folder):
        for name in (name for name in (LOG, WEIGHTS) if (chosen.folder / name).is_file()):
            with atomic_path(folder / name) as temporary:
                shutil.copyfile(chosen.folder / name, temporary)
    for name in (STATE, PART):  # of an earlier edgenas, which trained there
        (folder / name).unlink(missing_ok=True)


def ranker_words(tries: Sequence[Try]) -> Iterator[str]:
    """That fresh weights beat inherited ones, if both were tried and they did."""
    finetuned, scratch = ([each for each in tries if each.way.weights == start] for start in ("finetuned", "scratch"))
    if not finetuned or not scratch:
        return
    inherited, fresh = best_of(finetuned), best_of(scratch)
    if fresh.select_top1.value > inherited.select_top1.value:
        yield (f"fresh weights ({_after(fresh)}) beat inherited ones ({_after(inherited)}): shared weights are only a ranker here")


def final_words(best: Try, tries: Sequence[Try]) -> Iterator[str]:
    """That trained to the end another final of the search is better than its winner, the first of them, if it is."""
    if best.net.arch == tries[0].net.arch:
        return
    winner = best_of([each for each in tries if each.net.arch == tries[0].net.arch])
    if len(best.low_floors) < len(winner.low_floors):
        why = f"the winner misses {', '.join(winner.low_floors)} on confirm"
    elif best.way != winner.way:
        why = "it is the more accurate one"
    else:
        why = f"log-likelihoods there are {best.select_log_likelihood:.3f} and {winner.select_log_likelihood:.3f}"
    yield f"the search's winner ({_after(winner)}) is overtaken by another net that its proof ranks high ({_after(best)}): {why}"


def _after(each: Try) -> str:
    return f"{percent(each.select_top1.value)} on select after {each.way.epochs} epoch{'' if each.way.epochs == 1 else 's'}"
