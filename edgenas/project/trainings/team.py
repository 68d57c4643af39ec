"""Teachers of a run that are no single net trained here: files and nets of others, several at once, inputs of their own.

The folder of the run's teacher then holds a file of weights without tensors that says who teaches, with the hash of every
member's weights; members that are trained here have folders in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from edgenas.data.images import Images
from edgenas.data.preprocess import Preprocess
from edgenas.errors import CheckpointError, ConfigError
from edgenas.percents import percent
from edgenas.project.net_facts import facts_of
from edgenas.project.opening import Project
from edgenas.project.training_settings import AUTO, TeacherSettings
from edgenas.project.trainings.inputs import differs, given_normalisation
from edgenas.project.trainings.outsiders import Outsider, Reads, is_outside, open_outsider, same_classes
from edgenas.project.trainings.teacher import TeacherNet, teacher_facts, teacher_job, teacher_net
from edgenas.records import CheckpointFacts, MemberFacts
from edgenas.runs import Note, Record
from edgenas.spaces import SearchSpace, Task
from edgenas.training.agreement import Agreement, agreement, require_agreement, require_no_better
from edgenas.training.checkpoints import differences, load_weights, save_weights
from edgenas.training.curves import training_picture
from edgenas.training.evaluation import predict
from edgenas.training.fitting import TrainingJob, changes_since, fit, keep
from edgenas.training.folder import WEIGHTS, weights_sha256
from edgenas.training.outside import AtItsInput, SeveralTeachers


def is_team(settings: TeacherSettings, given: Preprocess) -> bool:
    """Whether the teacher is more than one net that reads and answers as its students do, whose images come as ``given``."""
    has_input = settings.image_px is not None or bool(settings.mean) or bool(settings.std) or bool(settings.classes)
    if settings.name != AUTO and len(settings.names) == 1 and not has_input:
        has_input = differs(given_normalisation(settings.names[0], settings.checkpoint), given)
    return len(settings.names) > 1 or has_input or any(map(is_outside, settings.names))


def title_of(names: Sequence[str]) -> str:
    """Several teachers as one name."""
    return " + ".join(names)


@dataclass(frozen=True, slots=True)
class Member:
    """One who teaches.

    Attributes:
        net: its name, and the file of its weights where it was given one.
        weight: in the mean of all.
        folder: of its training; not used by a net of others.
    """

    net: TeacherNet
    weight: float
    folder: Path

    @property
    def is_outside(self) -> bool:
        """Whether it is a net of others, which is never trained here."""
        return is_outside(self.net.name)


def members_of(project: Project) -> list[Member]:
    """Those that the settings name.

    Raises:
        ConfigError: if a checkpoint does not say whose weights it holds, or is that of none of them.
    """
    settings = project.settings.teacher
    weights = settings.weights or (1.0,) * len(settings.names)
    given = {} if settings.checkpoint is None else _checkpoint(settings)
    return [
        Member(TeacherNet(name, given.get(name)), weight, project.run.teacher / f"member-{number}")
        for number, (name, weight) in enumerate(zip(settings.names, weights, strict=True), 1)
    ]


def _checkpoint(settings: TeacherSettings) -> dict[str, str]:
    text = settings.checkpoint or ""
    own = [name for name in settings.names if not is_outside(name)]
    name, equals, file = text.partition("=")
    if not equals and len(own) == 1:
        return {own[0]: text}
    if name not in own:
        hint = f"write NAME=FILE, where NAME is one of {', '.join(own) or 'those that are trained here (none is)'}"
        raise ConfigError(f"teacher.checkpoint {text} does not say whose weights it holds", hint=hint)
    return {name: file}


def try_team(project: Project, images: Images) -> None:
    """Find out before anything is trained whether every teacher can be opened.

    Raises:
        CheckpointError, UsageError, ConfigError: if one cannot.
    """
    for member in members_of(project):
        _open(project, images, member)


def _open(project: Project, images: Images, member: Member) -> tuple[nn.Module, MemberFacts]:
    """A member as it is before a training here, with what is said of it."""
    settings = project.settings.teacher
    if member.is_outside:
        said = Reads(settings.image_px, settings.mean, settings.std, settings.classes)
        outsider = open_outsider(member.net.name, said, images)
        return _adapted(outsider, images), _facts(member, outsider)
    image_px = settings.image_px if settings.image_px is not None else images.task.image_px
    task = Task(images.task.num_classes, images.task.in_channels, image_px)
    net = teacher_net(project.space, task, member.net.name, member.net.checkpoint)
    given = images.preprocess
    known = given_normalisation(member.net.name, member.net.checkpoint)
    mean, std = (given.mean, given.std) if known is None else (known.mean, known.std)
    columns = None
    if settings.classes and member.net.checkpoint is not None:
        columns = same_classes(settings.classes, images.class_names, "teacher.classes")
    outsider = Outsider(net, None, image_px, settings.mean or mean, settings.std or std, columns)
    return _adapted(outsider, images), _facts(member, outsider)


def _adapted(outsider: Outsider, images: Images) -> nn.Module:
    given = images.preprocess
    return AtItsInput(
        outsider.net,
        image_px=outsider.image_px,
        own=(outsider.mean, outsider.std),
        given=(given.mean, given.std),
        columns=outsider.columns,
    ).eval()


def _facts(member: Member, outsider: Outsider) -> MemberFacts:
    return MemberFacts(
        name=member.net.name,
        checkpoint=member.net.checkpoint,
        sha256=outsider.sha256,
        weight=member.weight,
        image_px=outsider.image_px,
        mean=tuple(outsider.mean),
        std=tuple(outsider.std),
        columns=None if outsider.columns is None else tuple(outsider.columns),
    )


def _job(project: Project, images: Images, member: Member, facts: MemberFacts, device: str, *, anew: bool) -> TrainingJob:
    """The training of a member, with the input that it will have."""
    job = teacher_job(
        project,
        images,
        device,
        member.net,
        anew=anew,
        folder=member.folder,
        label=f"teacher {member.net.name}",
        image_px=facts.image_px,
        around=lambda net: _adapted(Outsider(net, None, facts.image_px, facts.mean, facts.std, facts.columns), images),
    )
    columns = {} if facts.columns is None else {"columns": facts.columns}
    reads = {"image_px": facts.image_px, "mean": facts.mean, "std": facts.std, **columns}
    return replace(job, facts={**job.facts, "input": reads})


def judge_given(project: Project, images: Images, device: str) -> Iterator[Note]:
    """Ask those that were not trained here about select, before anything is written.

    Raises:
        CheckpointError: if one means other classes by its outputs, or is no better than chance.
    """
    settings = project.settings.teacher
    if AUTO in settings.names or not settings.check:
        return
    for member in members_of(project):
        if not member.is_outside and member.net.checkpoint is None:
            continue
        net, facts = _open(project, images, member)
        agreed = _asked(net, images, device)
        of = "" if member.net.checkpoint is None else f" with the weights of {member.net.checkpoint}"
        who, outputs = f"teacher {member.net.name}{of}", settings.classes or images.class_names
        known = given_normalisation(member.net.name, member.net.checkpoint)
        if differs(known, images.preprocess) and not (settings.mean or settings.std):
            assert isinstance(net, AtItsInput)
            given = images.preprocess
            reads = replace(facts, mean=given.mean, std=given.std)
            other = _asked(
                _adapted(Outsider(net.net, None, reads.image_px, reads.mean, reads.std, reads.columns), images), images, device
            )
            require_no_better(agreed, other, who, (reads.mean, reads.std), outputs, images.class_names)
        warning = require_agreement(agreed, who, outputs, images.class_names)
        if warning is not None:
            yield Note(warning, is_warning=True)


def _asked(net: nn.Module, images: Images, device: str) -> Agreement:
    """How a net's answers on select go together with the labels."""
    images_NCHW, labels_N = images.arrays("select")
    return agreement(predict(net.to(device), images_NCHW).argmax(axis=1), labels_N, len(images.class_names))


def fit_team(project: Project, images: Images, device: str, *, asked: Sequence[str], force: bool) -> Iterator[Record]:
    """Train those that are to be trained here, and write down who teaches; what is there is kept.

    Args:
        project: with settings and run folder.
        images: decoded.
        device: where to compute.
        asked: names given on the command line; none keeps what is there.
        force: replace what is there.

    Raises:
        CheckpointError: if the run's teacher is another than was asked for.
    """
    members, teacher = members_of(project), teacher_facts(project.run.teacher, forgive=force)
    opened = [_open(project, images, member)[1] for member in members]
    jobs = [
        None if member.is_outside else _job(project, images, member, facts, device, anew=force)
        for member, facts in zip(members, opened, strict=True)
    ]
    if teacher is not None and not force:
        if asked and teacher.teacher != title_of(asked):
            raise CheckpointError(f"the run's teacher is {teacher.teacher}, not {title_of(asked)}", hint="--force replaces it")
        plain = load_weights(project.run.teacher / WEIGHTS)[1]
        changes = differences(plain, _expected(project.space, images, members, opened))
        for job in jobs:
            changes += (changes_since(job) or []) if job is not None else []
        yield from keep("teacher", project.run.teacher, changes)
        return
    for member, job in zip(members, jobs, strict=True):
        if job is None:
            yield Note(f"teacher: {member.net.name} is not trained here")
        elif member.net.checkpoint is not None:
            save_weights(member.folder / WEIGHTS, job.build(), job.identity)
            yield Note(f"teacher: {member.net.name} with the weights of {member.net.checkpoint}")
            known = given_normalisation(member.net.name, member.net.checkpoint)
            if differs(known, images.preprocess) and not (project.settings.teacher.mean or project.settings.teacher.std):
                assert known is not None
                yield Note(
                    f"teacher: {member.net.name} reads images of {known.words}, as timm says that its weights were trained with"
                )
        elif changes_since(job) != [] or force:
            yield from fit(job)
            yield training_picture(job.label, job.folder)
    save_weights(project.run.teacher / WEIGHTS, nn.Module(), _expected(project.space, images, members, opened))
    if len(members) > 1:
        yield Note(f"teacher: the mean of {len(members)} nets' log-probabilities, {_shares(members)}")


def _shares(members: Sequence[Member]) -> str:
    total = sum(member.weight for member in members)
    return ", ".join(f"{member.net.name} {percent(member.weight / total)}" for member in members)


def _expected(space: SearchSpace, images: Images, members: Sequence[Member], opened: Sequence[MemberFacts]) -> dict[str, Any]:
    """What the run's teacher says of itself."""
    names = [member.net.name for member in members]
    rows = [
        (facts if member.is_outside else replace(facts, sha256=weights_sha256(member.folder))).as_json()
        for member, facts in zip(members, opened, strict=True)
    ]
    return facts_of(space, images, "teacher", teacher=title_of(names), members=rows)


def load_team(project: Project, images: Images, facts: CheckpointFacts) -> nn.Module:
    """The teachers of a run as they were written down, in eval mode, on the CPU.

    Raises:
        CheckpointError: if a net is not there any more, or is another than then.
    """
    nets, weights = [], []
    for number, row in enumerate(facts.members or (), 1):
        folder = project.run.teacher / f"member-{number}"
        net, sha256 = _load(project.space, images, row, folder)
        if sha256 != row.sha256:
            raise CheckpointError(
                f"{row.name} is another net than when it began to teach", hint="`edgenas train --force` begins anew"
            )
        nets.append(net)
        weights.append(row.weight)
    return nets[0] if len(nets) == 1 else SeveralTeachers(nets, weights).eval()


def _load(space: SearchSpace, images: Images, row: MemberFacts, folder: Path) -> tuple[nn.Module, str | None]:
    if is_outside(row.name):
        outsider = open_outsider(row.name, Reads(row.image_px, row.mean, row.std), images)
        return _adapted(replace(outsider, columns=row.columns), images), outsider.sha256
    task = Task(images.task.num_classes, images.task.in_channels, row.image_px)
    own = teacher_net(space, task, row.name)
    net = _adapted(Outsider(own, None, row.image_px, row.mean, row.std, row.columns), images)
    load_weights(folder / WEIGHTS, net)
    return net.eval(), weights_sha256(folder)


def stand_in_team(project: Project, images: Images) -> nn.Module:
    """Nets like the teachers of the settings, which take as long."""
    nets = [_open(project, images, member)[0] for member in members_of(project)]
    return nets[0] if len(nets) == 1 else SeveralTeachers(nets).eval()


def team_ahead(project: Project, images: Images, device: str) -> Mapping[str, TrainingJob]:
    """The trainings of members that `train` will make, by the member's name."""
    jobs = {}
    for member in members_of(project):
        if not member.is_outside and member.net.checkpoint is None:
            facts = _open(project, images, member)[1]
            jobs[member.net.name] = _job(project, images, member, facts, device, anew=False)
    return jobs
