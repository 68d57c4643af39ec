"""The weight and the temperature of the distillation, from a short probe: one student, labels alone against several teachings."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgenas.costs import cost_models
from edgenas.recipes.nets import images_for, weights_sha256
from edgenas.recipes.plain_nets import plain_job
from edgenas.recipes.probing import clear, probe, shortened, told
from edgenas.recipes.project import Images, Project
from edgenas.recipes.teacher_choice import guesses_no_better
from edgenas.recipes.teaching import KIND, TEACHING, TEMPERATURE, probed_teaching
from edgenas.runs import Note, Record, write_sealed
from edgenas.spaces.designed import hand_designed
from edgenas.stats import Proportion, accuracy, paired_difference
from edgenas.training.evaluation import predict

ARMS = ((0.0, TEMPERATURE), (0.5, 2.0), (0.9, 2.0), (0.9, 4.0))  # weight of the distillation, temperature


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to teach, as the student took it; ``right_N`` are the images of select that it got right."""

    kd_weight: float
    temperature: float
    right_N: NDArray[np.bool_]

    @property
    def top1(self) -> float:
        """Accuracy on select."""
        return float(self.right_N.mean())


def choose_teaching(project: Project, images: Images, teacher: nn.Module, device: str) -> Iterator[Record]:
    """Find weight and temperature where they are ``auto``, unless that was done for this teacher."""
    train = project.settings.train
    images_NCHW, labels_N = images.arrays("select")
    right_N = predict(teacher.to(device), images_NCHW).argmax(axis=1) == labels_N
    poor = guesses_no_better(accuracy(right_N, np.ones_like(right_N)).as_json(), labels_N, images.class_names)
    if not isinstance(train.kd_weight, str):
        if poor is not None and train.kd_weight > 0:
            yield Note(f"{poor}: it teaches nothing; take another with --teacher, or train.kd_weight = 0", is_warning=True)
        return
    found = probed_teaching(project)
    if found is not None:
        yield Note(f"teaching: {found['words']}")
        return
    if poor is not None:
        words = f"{poor}: nets learn from labels alone (train.kd_weight 0)"
        yield Note(words, is_warning=True)
        _write(project, 0.0, TEMPERATURE, words, [])
        return
    arms = yield from _try(project, images, teacher, device)
    chosen, words = choose(arms, right_N)
    yield Note(f"teaching: {words}", is_warning=chosen.kd_weight == 0)
    rows = [{"kd_weight": arm.kd_weight, "temperature": arm.temperature, "select_top1": arm.top1} for arm in arms]
    _write(project, chosen.kd_weight, chosen.temperature, words, rows)


def choose(arms: list[Arm], teacher_right_N: NDArray[np.bool_]) -> tuple[Arm, str]:
    """The best arm with its reason in words.

    Short trainings on few images tell small differences badly. A teacher that is better than a student of labels is trusted unless
    labels win clearly (the paired interval of the difference excludes 0); one that is not has to win clearly itself.
    """
    labels = next(arm for arm in arms if arm.kd_weight == 0)
    best = max((arm for arm in arms if arm.kd_weight > 0), key=lambda arm: arm.top1)
    gain = paired_difference(best.right_N, labels.right_N, rng=np.random.default_rng(0))
    is_better = float(teacher_right_N.mean()) > labels.top1
    taught = gain.high >= 0 if is_better else gain.low > 0
    shown = f"a student gets {_points(best.top1)} % of select with the teacher, {_points(labels.top1)} % with labels alone"
    shown += f" (difference {_interval(gain)} points), the teacher {_points(float(teacher_right_N.mean()))} %"
    if taught:
        return best, f"weight {best.kd_weight:g}, temperature {best.temperature:g}: {shown}"
    return labels, f"labels alone beat the teacher: {shown}; nets learn from labels (train.kd_weight 0)"


def _points(share: float) -> str:
    return f"{100 * share:.1f}"


def _interval(share: Proportion) -> str:
    return f"{100 * share.value:+.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def student_of(project: Project, images: Images) -> dict[str, Any]:
    """The hand-designed net of middling MACs, which stands for those that will be searched."""
    nets = hand_designed(project.space)
    rows = np.concatenate([project.space.from_json(arch) for arch in nets])
    order = np.argsort(cost_models(project.space, images.task)["macs"](rows), kind="stable")
    return nets[int(order[len(order) // 2])]


def _try(project: Project, images: Images, teacher: nn.Module, device: str) -> Generator[Record, None, list[Arm]]:
    """Train the student once per arm."""
    arch, folder = student_of(project, images), project.run.teacher / "teaching"
    jobs = []
    for position, (kd_weight, temperature) in enumerate(ARMS):
        job = plain_job(
            project,
            images,
            label=f"trying weight {kd_weight:g}, temperature {temperature:g}" if kd_weight else "trying labels alone",
            folder=folder / str(position),
            arch_or_build=arch,
            epochs=project.settings.train.epochs,
            learning_rate=project.settings.train.learning_rate,
            teacher=teacher if kd_weight else None,
            device=device,
            seed=project.settings.train.seed,
            kind="student",
        )
        objective = replace(job.objective, kd_weight=kd_weight, temperature=temperature)
        jobs.append(shortened(replace(job, objective=objective), project.settings.teacher.probe_steps))
    yield told(f"trying {len(jobs)} ways to teach, {jobs[0].loop.epochs} epochs each", jobs)
    images_NCHW, labels_N = images_for(project, images, arch).arrays("select")
    arms = []
    for job, (kd_weight, temperature) in zip(jobs, ARMS, strict=True):
        student = yield from probe(job)
        arms.append(Arm(kd_weight, temperature, predict(student, images_NCHW).argmax(axis=1) == labels_N))
    return arms


def _write(project: Project, kd_weight: float, temperature: float, words: str, rows: list[dict[str, Any]]) -> None:
    content = {"schema_version": 1, "teacher_sha256": weights_sha256(project.run.teacher), "words": words, "rows": rows}
    write_sealed(project.run.teacher / TEACHING, KIND, {**content, "kd_weight": kd_weight, "temperature": temperature})
    clear(project.run.teacher / "teaching")


def at_the_ceiling(teacher_top1: Mapping[str, Any], student_top1: Mapping[str, Any]) -> str | None:
    """In words, that the largest subnet is as good as its teacher, so that this teacher has no more to give; else None.

    Args:
        teacher_top1: interval on select.
        student_top1: interval of the largest subnet there.
    """
    if student_top1["value"] < teacher_top1["value"]:
        return None
    return (
        f"the largest subnet ({_points(student_top1['value'])} % of select) has reached its teacher "
        f"({_points(teacher_top1['value'])} %): a better teacher may lift all nets"
    )
