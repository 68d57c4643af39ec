"""How to teach, by a short probe of one student: labels alone against lessons of the teacher, and whether to mirror images."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgenas.costs import cost_models
from edgenas.data.images import Images
from edgenas.project.net_facts import images_for
from edgenas.project.opening import Project
from edgenas.project.training_settings import TrainSettings
from edgenas.project.trainings.plain_nets import PlainNet, plain_job
from edgenas.project.trainings.teaching import TEACHING, probed_teaching
from edgenas.records import Arch, TeachingProbe
from edgenas.runs import Note, Record, sha256_json
from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.designed import hand_designed
from edgenas.stats import wilson
from edgenas.training.checkpoints import differences
from edgenas.training.evaluation import predict
from edgenas.training.fitting import TrainingJob
from edgenas.training.folder import STATE, has_weights, seconds_of, weights_sha256
from edgenas.training.lessons import LESSONS, TEMPERATURE, Arm, Lesson, choose, guesses_no_better, points
from edgenas.training.probing import clear, many, probe, shortened, told
from edgenas.training.ranks import current
from edgenas.training.teacher import remembering


def choose_teaching(project: Project, images: Images, teacher: nn.Module | None, device: str, *, force: bool) -> Iterator[Record]:
    """Find the weight and the temperature, and whether to mirror images, where they are ``auto`` and not known for this teacher.

    What was found with other settings is found again, unless the supernet that it taught is there or under way, and stays.

    Args:
        project: with settings and run folder.
        images: decoded.
        teacher: None where labels alone teach.
        device: where to compute.
        force: the supernet is trained anew.
    """
    train = project.settings.train
    images_NCHW, labels_N = images.arrays("select")
    right_N, poor = np.zeros(len(labels_N), dtype=np.bool_), None
    if teacher is not None:
        right_N = current().first(predict(teacher.to(device), images_NCHW).argmax(axis=1) == labels_N)
        poor = guesses_no_better(wilson(int(right_N.sum()), len(right_N)), labels_N, images.class_names)
    if poor is not None and not isinstance(train.kd_weight, str) and train.kd_weight > 0:
        yield Note(f"{poor}: it teaches nothing; take another with --teacher, or train.kd_weight = 0", is_warning=True)
    if not isinstance(train.kd_weight, str) and not isinstance(train.flip, str):
        return
    prober = Prober(project, images, remembering(teacher), device)
    probed = probed_teaching(project)
    if probed is not None and answers(probed, train):
        changes = prober.changes_since(probed)
        if not changes or (not force and _has_begun(project.run.supernet)):
            yield _kept(probed, train, changes)
            return
        yield Note(f"teaching: it was found with other settings, and is looked for again: {'; '.join(changes)}")
    yield from _find(prober, right_N, poor)


def lessons_ahead(prober: Prober) -> list[Lesson]:
    """What `choose_teaching` would try; nothing where settings or an earlier probe answer.

    A mirrored lesson of the teacher stands for that of whichever lesson will be chosen.
    """
    project, train = prober.project, prober.project.settings.train
    probed = probed_teaching(project)
    if probed is not None and answers(probed, train) and (not prober.changes_since(probed) or _has_begun(project.run.supernet)):
        return []
    lessons = list(LESSONS)
    if not isinstance(train.kd_weight, str):
        lessons = [_as_asked(train)] if isinstance(train.flip, str) else []
    return [*lessons, replace(lessons[-1], flip=True)] if isinstance(train.flip, str) else lessons


def _as_asked(train: TrainSettings) -> Lesson:
    """The lesson of a weight that is set."""
    return Lesson(float(train.kd_weight), TEMPERATURE if isinstance(train.temperature, str) else float(train.temperature))


def _has_begun(supernet: Path) -> bool:
    """Whether the supernet is there or under way."""
    return has_weights(supernet) or (supernet / STATE).is_file()


def _kept(probed: TeachingProbe, train: TrainSettings, changes: Sequence[str]) -> Note:
    """What an earlier probe found, and how its settings differ from today's."""
    words = probed.words
    if not isinstance(train.kd_weight, str):
        words = f"weight {train.kd_weight:g} as asked; flip {'yes' if probed.flip else 'no'} by an earlier probe"
    if not changes:
        return Note(f"teaching: {words}")
    text = f"teaching: {words}; found with other settings: {'; '.join(changes)} (--force looks for it again)"
    return Note(text, is_warning=True)


def _find(prober: Prober, right_N: NDArray[np.bool_], poor: str | None) -> Iterator[Record]:
    """Probe and keep the answer.

    Args:
        prober: with the teacher.
        right_N: images of select that the teacher gets right.
        poor: in words, that it only guesses; None if it does not, or there is none.
    """
    train = prober.project.settings.train
    arms: list[Arm] = []
    if not isinstance(train.kd_weight, str):
        chosen = _as_asked(train)
        words = f"weight {chosen.kd_weight:g} as asked"
    elif poor is not None:
        chosen, words = Lesson(0.0, TEMPERATURE), f"{poor}: nets learn from labels alone (train.kd_weight 0)"
    else:
        arms = yield from prober.arms(LESSONS)
        chosen, words = choose(arms, right_N)
    yield Note(f"teaching: {words}", is_warning=chosen.kd_weight == 0 and prober.teacher is not None)
    flip = train.flip is True
    if isinstance(train.flip, str):
        plain = next((arm for arm in arms if arm.lesson == chosen), None)
        if plain is None:
            (plain,) = yield from prober.arms([chosen])
            arms.append(plain)
        (mirrored,) = yield from prober.arms([replace(chosen, flip=True)])
        arms.append(mirrored)
        flip = mirrored.top1 >= plain.top1
        shown = f"the student gets {points(mirrored.top1)} % of select with mirrored images, {points(plain.top1)} % without"
        yield Note(f"flip: {'yes' if flip else 'no'}, {shown} (train.flip)")
        words += f"; flip {'yes' if flip else 'no'}: {shown}"
    prober.write(chosen, flip, words, arms)


def answers(probed: TeachingProbe, train: TrainSettings) -> bool:
    """Whether an earlier probe was asked for all that is ``auto`` now; what was set then it did not find out."""
    return not any(isinstance(getattr(train, name), str) for name in probed.settled)


def student_of(space: SearchSpace, task: Task) -> Arch:
    """The hand-designed net of middling MACs, which stands for those that will be searched."""
    nets = hand_designed(space)
    rows = np.concatenate([space.from_json(arch) for arch in nets])
    order = np.argsort(cost_models(space, task).macs(rows), kind="stable")
    return nets[int(order[len(order) // 2])]


@dataclass(frozen=True, slots=True)
class Prober:
    """Trains a student shortly, one lesson at a time; what an interrupted probe has done is not done again."""

    project: Project
    images: Images
    teacher: nn.Module | None
    device: str

    @property
    def folder(self) -> Path:
        """Where the students are, until the answer is written."""
        return self.project.run.teacher / "teaching"

    def arms(self, lessons: Sequence[Lesson]) -> Generator[Record, None, list[Arm]]:
        """What a student learns from each lesson, told before."""
        arch = student_of(self.project.space, self.images.task)
        jobs = [self.job(arch, lesson) for lesson in lessons]
        yield told(f"trying {', '.join(map(str, lessons))}: {many(jobs[0].loop.epochs, 'epoch')} each", jobs)
        images_NCHW, labels_N = images_for(self.project.space, self.images, arch).arrays("select")
        arms = []
        for job, lesson in zip(jobs, lessons, strict=True):
            student = yield from probe(job)
            right_N = current().first(predict(student, images_NCHW).argmax(axis=1) == labels_N)  # all ranks choose alike
            arms.append(Arm(lesson, right_N, job.loop.epochs, seconds_of(job.folder)))
        return arms

    @property
    def identity(self) -> dict[str, Any]:
        """Everything but the teacher that the answer depends on, JSON-ready: the data, the student and how it is trained."""
        job = self.job(student_of(self.project.space, self.images.task), LESSONS[0], split=None)
        return {**job.identity, "probe_steps": self.project.settings.teacher.probe_steps}

    def changes_since(self, probed: TeachingProbe) -> list[str]:
        """How an earlier probe differs from the one that would be made, a line each."""
        if probed.identity is None:  # of an earlier edgenas
            return ["it does not say with which"]
        return differences(probed.identity, self.identity)

    def job(self, arch: Arch, lesson: Lesson, *, split: str | None = "select") -> TrainingJob:
        """The short training of a student in one lesson."""
        train = self.project.settings.train
        job = plain_job(
            self.project,
            self.images,
            PlainNet(arch, kind="student"),
            label=f"trying {lesson}",
            folder=self.folder / sha256_json(asdict(lesson))[:16],
            epochs=train.epochs,
            learning_rate=train.learning_rate,
            teacher=self.teacher if lesson.kd_weight else None,
            device=self.device,
            seed=train.seed,
            split=split,
        )
        objective = replace(job.objective, kd_weight=lesson.kd_weight, temperature=lesson.temperature)
        batches = replace(job.batches, flip=lesson.flip)
        return shortened(replace(job, objective=objective, batches=batches, cutmix=0.0), self.project.settings.teacher.probe_steps)

    def write(self, lesson: Lesson, flip: bool, words: str, arms: Sequence[Arm]) -> None:
        """Keep the answer in the run's folder, for this teacher."""
        train = self.project.settings.train
        probed = TeachingProbe(
            words=words,
            rows=tuple(arm.row for arm in arms),
            teacher_sha256=weights_sha256(self.project.run.teacher),
            identity=self.identity,
            settled=tuple(name for name in ("kd_weight", "flip") if not isinstance(getattr(train, name), str)),
            kd_weight=lesson.kd_weight,
            temperature=lesson.temperature,
            flip=flip,
        )
        probed.write(self.project.run.teacher / TEACHING)
        clear(self.folder)
