"""Which teacher a run gets: the one that is asked for, or with ``auto`` the best on select of a few that are tried on labels."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.data.images import Images
from edgenas.errors import CheckpointError, ConfigError
from edgenas.percents import percent
from edgenas.project.opening import SMALL_PX, Project
from edgenas.project.training_settings import AUTO, TeacherSettings
from edgenas.project.trainings.teacher import TeacherNet, started_from, teacher_facts, teacher_job, teacher_net
from edgenas.project.trainings.team import fit_team, is_team, judge_given, try_team
from edgenas.records import CheckpointFacts, TeacherChoice, TeacherProbe, TriedTeacher
from edgenas.runs import Note, Record, RunFolder, sha256_file, write_text
from edgenas.stats import accuracy
from edgenas.training.agreement import agreement, require_agreement
from edgenas.training.checkpoints import save_weights
from edgenas.training.curves import training_picture
from edgenas.training.evaluation import predict
from edgenas.training.fitting import TrainingJob, changes_since, fit, keep
from edgenas.training.folder import STATE, WEIGHTS, has_weights, seconds_of
from edgenas.training.headers import facts_in
from edgenas.training.probing import clear, many, probe, shortened, told
from edgenas.training.ranks import current
from edgenas.training.teacher import CNN, SELF

FORCED = "forced"  # in the supernet's folder: a `train --force` began then; a teacher that is newer is its work
PROBE = "probe.json"
SMALL = (CNN, "timm:test_resnet", "timm:resnet10t", SELF)
LARGE = (CNN, "timm:resnet10t", "timm:mobilenetv3_small_100", SELF)  # from 65 px on


def given_checkpoint(settings: TeacherSettings) -> TeacherNet | None:
    """The net of ``NAME=FILE`` that takes part in the choice; None without one.

    Raises:
        ConfigError: if it names no net.
    """
    text = settings.checkpoint
    if text is None:
        return None
    name, equals, file = text.partition("=")
    if not equals or not file:
        hint = "write NAME=FILE, e.g. timm:resnet18=weights.pth, to let it take part, or name it: --teacher timm:NAME"
        raise ConfigError(f"teacher.checkpoint {text} does not say whose weights it holds", hint=hint)
    return TeacherNet(name, file)


def candidates_of(settings: TeacherSettings, image_px: int) -> tuple[TeacherNet, ...]:
    """What ``auto`` tries: those of ``teacher.candidates``, by default by the images' size, and a given checkpoint's net."""
    names = settings.candidates or (SMALL if image_px <= SMALL_PX else LARGE)
    given = given_checkpoint(settings)
    return (*(TeacherNet(name) for name in dict.fromkeys(names)), *(() if given is None else (given,)))


def try_checkpoint(project: Project, images: Images, *, force: bool) -> None:
    """Find out before anything is trained whether a given checkpoint can be the teacher's.

    Raises:
        ConfigError: if with ``auto`` it does not say whose weights it holds.
        CheckpointError, UsageError: if it does not fit, or its net does not exist.
    """
    settings = project.settings.teacher
    if is_team(settings, images.preprocess) and (force or teacher_facts(project.run.teacher) is None):
        try_team(project, images)
        return
    if settings.init is not None and (force or teacher_facts(project.run.teacher) is None):
        image_px = settings.image_px if settings.image_px is not None else images.task.image_px
        started_from(settings.names[0], Path(settings.init), replace(images.task, image_px=image_px))
    if settings.checkpoint is None or (not force and teacher_facts(project.run.teacher) is not None):
        return
    net = (
        given_checkpoint(project.settings.teacher) if settings.name == AUTO else TeacherNet(settings.names[0], settings.checkpoint)
    )
    assert net is not None
    teacher_net(project.space, images.task, net.name, net.checkpoint)


def fit_teacher(
    project: Project, images: Images, device: str, *, asked: str | Sequence[str] | None, force: bool, whole: bool
) -> Iterator[Record]:
    """Train the teacher, or keep a checkpoint's or an earlier one.

    Args:
        asked: the name given on the command line, or names.
        force: replace what is there.
        whole: the supernet follows.
    """
    facts = teacher_facts(project.run.teacher, forgive=force)
    if facts is None or force:
        yield from judge_given(project, images, device)
    asked = asked[0] if isinstance(asked, Sequence) and not isinstance(asked, str) and len(asked) == 1 else asked
    if is_team(project.settings.teacher, images.preprocess):
        yield from _fit_team(project, images, device, asked=asked, force=force, whole=whole)
        return
    if facts is not None and facts.members is not None and not force:
        if asked not in (None, AUTO):
            raise CheckpointError(f"the run's teacher is {facts.teacher}, not {asked}", hint="--force replaces it")
        name = project.settings.teacher.names[0]
        others = [] if name == AUTO else [f"teacher is {facts.teacher} there, {name} here"]
        yield from keep("teacher", project.run.teacher, others)
        return
    net = _settled(project, facts)
    changes = None if net is None else changes_since(teacher_job(project, images, device, net, anew=force))
    if facts is not None and changes is not None and not force:
        if asked not in (None, AUTO, facts.teacher):
            raise CheckpointError(f"the run's teacher is {facts.teacher}, not {asked}", hint="--force replaces it")
        yield from keep("teacher", project.run.teacher, [*changes, *_left_out(project, net)])
        return
    if force and whole:
        if changes == [] and _is_done(project.run):
            yield Note("teacher: this --force has trained it already, it goes on with the supernet")
            return
        write_text(project.run.supernet / FORCED, "")
    if project.settings.teacher.name == AUTO and (net is None or force):
        net = yield from _choose(project, images, device)
    elif net is not None and (left_out := _left_out(project, net)):
        text = f"teacher: a training of {net.name} is unfinished and goes on, {'; '.join(left_out)} (--force chooses again)"
        yield Note(text, is_warning=True)
    assert net is not None
    yield from _fit_one(teacher_job(project, images, device, net, anew=force), net)


def _fit_one(job: TrainingJob, net: TeacherNet) -> Iterator[Record]:
    """Train the net that teaches, or keep the weights that it was given."""
    if net.checkpoint is not None:
        save_weights(job.folder / WEIGHTS, job.build(), job.identity)
        yield Note(f"teacher: {net.name} with the weights of {net.checkpoint}")
        return
    yield from fit(job)
    yield training_picture(job.label, job.folder)


def _fit_team(
    project: Project, images: Images, device: str, *, asked: str | Sequence[str] | None, force: bool, whole: bool
) -> Iterator[Record]:
    """As `fit_teacher`, for teachers of others or several."""
    if force and whole:
        if _is_done(project.run):
            yield Note("teacher: this --force has it already, it goes on with the supernet")
            return
        write_text(project.run.supernet / FORCED, "")
    names = () if asked is None else (asked,) if isinstance(asked, str) else tuple(asked)
    yield from fit_team(project, images, device, asked=names, force=force)


def _settled(project: Project, facts: CheckpointFacts | None) -> TeacherNet | None:
    """The net that is asked for; with ``auto`` the one that is there already or that an interrupted training is of, or None."""
    settings = project.settings.teacher
    if settings.name != AUTO:
        return TeacherNet(settings.names[0], settings.checkpoint)
    state = project.run.teacher / STATE
    facts = facts if facts is not None else CheckpointFacts.said_by(state, facts_in(state))
    return TeacherNet(facts.teacher, facts.checkpoint) if facts.teacher is not None else None


def _left_out(project: Project, net: TeacherNet | None) -> list[str]:
    """In words, that a given checkpoint had no part in the choice of the net that teaches; empty if it had, or none is given."""
    given = project.settings.teacher.checkpoint
    if given is None or net is None or project.settings.teacher.name != AUTO:
        return []  # where the net is named, its training says which checkpoint it has
    if net.checkpoint is not None and given in (net.checkpoint, f"{net.name}={net.checkpoint}"):
        return []
    path = project.run.teacher / PROBE
    if path.is_file():
        name, _, file = given.partition("=")
        nets = TeacherProbe.read(path).identity.get("nets", [])
        sha256 = sha256_file(Path(file)) if Path(file).is_file() else None
        if any(each[0] == name and each[2] == sha256 for each in nets if each[1] is not None):
            return []
    return [f"checkpoint {given} took no part in its choice"]


def likely_teacher(project: Project) -> TeacherNet:
    """The net that teaches, or before ``auto`` has chosen the one that it tries first."""
    return _settled(project, teacher_facts(project.run.teacher)) or TeacherNet(CNN)


def _is_done(run: RunFolder) -> bool:
    """Whether a `train --force` that was interrupted had its teacher."""
    begun = run.supernet / FORCED
    return begun.is_file() and has_weights(run.teacher) and (run.teacher / WEIGHTS).stat().st_mtime_ns > begun.stat().st_mtime_ns


def _choose(project: Project, images: Images, device: str) -> Generator[Record, None, TeacherNet]:
    """Try every candidate on labels, shortly; the best on select. What an earlier probe of the same found is taken."""
    earlier = _earlier_choice(project, images)
    if earlier is not None:
        yield Note(f"teacher: {earlier.name}, chosen by an earlier probe")
        return earlier
    nets, jobs = candidates_of(project.settings.teacher, images.task.image_px), _jobs(project, images, device)
    if jobs:
        epochs = max(job.loop.epochs for job in jobs.values())
        yield told(f"trying {many(len(nets), 'teacher')}, {many(epochs, 'epoch')} each", list(jobs.values()))
    tried = []
    for net in nets:
        trained = (
            (yield from probe(jobs[net]))
            if net in jobs
            else teacher_net(project.space, images.task, net.name, net.checkpoint).to(device)
        )
        images_NCHW, labels_N = images.arrays("select")
        answered_N = predict(trained.eval(), images_NCHW).argmax(axis=1)
        if net not in jobs and project.settings.teacher.check:
            _require_order(net, answered_N, labels_N, images.class_names)
        epochs, seconds = (jobs[net].loop.epochs, seconds_of(jobs[net].folder)) if net in jobs else (0, 0.0)
        row = TriedTeacher(
            name=net.name,
            checkpoint=net.checkpoint,
            params=sum(parameter.numel() for parameter in trained.parameters()),
            select_top1=accuracy(answered_N, labels_N),
            epochs=epochs,
            seconds=seconds,
        )
        tried.append(current().first(row))  # all ranks choose alike
    best = max(tried, key=lambda each: each.select_top1.value)
    shown = ", ".join(f"{each.name} {percent(each.select_top1.value)}" for each in tried)
    yield Note(f"teacher: {best.name} is the best on select ({shown})")
    chosen = TeacherChoice(name=best.name, checkpoint=best.checkpoint)
    probed = TeacherProbe(identity=_identity(project, images), rows=tuple(tried), chosen=chosen)
    probed.write(project.run.teacher / PROBE)
    clear(project.run.teacher / "probe")
    return TeacherNet(best.name, best.checkpoint)


def _require_order(net: TeacherNet, answered_N: NDArray[np.int64], labels_N: NDArray[np.int64], names: Sequence[str]) -> None:
    """Check that a given net means by its outputs the classes that they are taken for; one that knows little just loses.

    Raises:
        CheckpointError: with the order that was found.
    """
    agreed = agreement(answered_N, labels_N, len(names))
    if agreed.meant is None:
        return
    try:
        require_agreement(agreed, f"{net.name} with the weights of {net.checkpoint}", names, names)
    except CheckpointError as error:
        named = f"--teacher {net.name} --teacher-checkpoint {net.checkpoint} {error.hint}"
        raise CheckpointError(error.message, hint=named) from error


def _earlier_choice(project: Project, images: Images) -> TeacherNet | None:
    """The net that an earlier probe of the same chose; None without one."""
    path = project.run.teacher / PROBE
    kept = TeacherProbe.read(path) if path.is_file() else None
    if kept is None or kept.identity != _identity(project, images):
        return None
    return TeacherNet(kept.chosen.name, kept.chosen.checkpoint)


def _jobs(project: Project, images: Images, device: str) -> dict[TeacherNet, TrainingJob]:
    """The short trainings of all candidates that are not given trained."""
    folder, steps = project.run.teacher / "probe", project.settings.teacher.probe_steps
    jobs = {}
    for position, net in enumerate(candidates_of(project.settings.teacher, images.task.image_px)):
        if net.checkpoint is None:
            place, label = folder / str(position), f"trying {net.name}"
            jobs[net] = shortened(teacher_job(project, images, device, net, anew=True, folder=place, label=label), steps)
    return jobs


def teachers_ahead(project: Project, images: Images, device: str) -> list[TrainingJob]:
    """The short trainings by which `train` would choose a teacher; none where there is one, or it is settled."""
    if project.settings.teacher.name != AUTO or _settled(project, teacher_facts(project.run.teacher)) is not None:
        return []
    return [] if _earlier_choice(project, images) is not None else list(_jobs(project, images, device).values())


def _identity(project: Project, images: Images) -> dict[str, Any]:
    """Everything that the answer of a probe depends on, JSON-ready."""
    settings = project.settings
    nets = [
        [net.name, net.checkpoint, None if net.checkpoint is None else sha256_file(Path(net.checkpoint))]
        for net in candidates_of(project.settings.teacher, images.task.image_px)
    ]
    return {
        "space": project.space.name,
        "splits_sha256": images.splits.sha256,
        "image_px": images.task.image_px,
        "nets": nets,
        "probe_steps": settings.teacher.probe_steps,
        "learning_rate": settings.teacher.learning_rate,
        "batch_size": settings.teacher.batch_size,
        "augmentation": settings.teacher.augmentation,
        "balance": settings.train.balance,
        "seed": settings.train.seed,
    }


def teacher_probe(project: Project) -> TeacherProbe | None:
    """What the probe that chose the run's teacher found; None if no probe did."""
    path, facts = project.run.teacher / PROBE, teacher_facts(project.run.teacher)
    if project.settings.teacher.name != AUTO or not path.is_file():
        return None
    kept = TeacherProbe.read(path)
    is_of_it = facts is not None and (kept.chosen.name, kept.chosen.checkpoint) == (facts.teacher, facts.checkpoint)
    return kept if is_of_it else None
