"""`edgenas retrain`: the winner on its own, and its report on the test split."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from edgenas.costs import cost_models
from edgenas.latency import Memory
from edgenas.recipes.archs import read_one
from edgenas.recipes.curves import training_picture
from edgenas.recipes.fitting import Job, batches_for, changes_since, fit, loop_settings, objective_for
from edgenas.recipes.journals import JOURNAL, journal
from edgenas.recipes.nets import (
    RESULT,
    RESULT_SCHEMA,
    RETRAIN,
    SEARCH,
    WEIGHTS,
    choose_threshold,
    facts_of,
    genes_of,
    images_for,
    load_search,
    load_supernet,
    supernet_epochs,
    supernet_sha256,
)
from edgenas.recipes.profile import measure_archs
from edgenas.recipes.project import Images, Project, decode, open_images, open_project, torch_device
from edgenas.recipes.run_tables import RunTable, run_table
from edgenas.recipes.teacher import load_teacher, teacher_sha256
from edgenas.recipes.teaching import teaching_of
from edgenas.runs import Note, Outcome, Record, locked, read_sealed, write_sealed
from edgenas.spaces.designed import hand_designed
from edgenas.supernets import Supernet, build_net
from edgenas.training.checkpoints import load_weights
from edgenas.training.evaluation import net_accuracy, predict, report


@dataclass(frozen=True, slots=True)
class RetrainConfig:
    """What `edgenas retrain` was asked for."""

    run: Path
    flags: Mapping[str, Any]
    overrides: tuple[str, ...]
    arch: str | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """One net to train here.

    Attributes:
        name: on the progress bar and in the checkpoint.
        images: as this net reads them.
        weights: ``finetuned`` from the supernet's or from ``scratch``.
    """

    name: str
    folder: Path
    arch: dict[str, Any]
    images: Images
    epochs: int
    weights: str
    from_search: bool


def run(config: RetrainConfig) -> Iterator[Record]:
    """Train the winner (and the hand-designed net where asked for), then read the test split once.

    Raises:
        MissingInputError: naming what an earlier command makes.
        ArchError: if ``arch`` is no name and no file of one architecture of the space.
    """
    project = open_project(config.run, config.flags, config.overrides)
    settings = project.settings.retrain
    device = torch_device(settings.device)
    images = open_images(project)
    arch = read_one(project.space, config.arch) if config.arch is not None else dict(load_search(project)["winner"]["arch"])
    own = images_for(project, images, arch)
    origin = "finetuned" if settings.start == "inherited" else "scratch"
    winner = Plan("winner", project.run.retrain, arch, own, settings.epochs, origin, config.arch is None)
    with locked(project.run):
        yield from decode(images, "train")
        yield from _fit(project, images, winner, device, force=config.force)
        result = _report(project, winner)
        if settings.baseline:
            baseline = _baseline(project, images, winner)
            yield from _fit(project, images, baseline, device, force=config.force)
            result["baseline"] = _report(project, baseline)
            with journal(project.run.retrain / JOURNAL, {"archs": [arch, baseline.arch]}) as memory:
                latencies = yield from _measure_both(project, images, arch, baseline.arch, memory=memory)
                result["latency_ms_measured"], result["baseline"]["latency_ms_measured"] = latencies
        write_sealed(project.run.retrain / RESULT, RETRAIN, {"schema_version": RESULT_SCHEMA, **result})
    yield Outcome(result, {"weights": winner.folder / WEIGHTS, "result": project.run.retrain / RESULT})


def _start_net(project: Project, images: Images, plan: Plan) -> nn.Module:
    genes = genes_of(project, plan.arch)
    if plan.weights == "scratch":
        torch.manual_seed(project.settings.retrain.seed)
        return build_net(project.space, images.task, genes)
    return cast(Supernet, load_supernet(project, images)).extract(genes)


def _fit(project: Project, images: Images, plan: Plan, device: str, *, force: bool) -> Iterator[Record]:
    """Train one net; nothing if that was done already with the same settings, supernet and teacher."""
    yield from decode(plan.images, "select", "calibrate", "test")
    teacher = load_teacher(project, images)
    job = _job(project, images, plan, teacher, device)
    changes = changes_since(job)
    if changes == [] and not force:
        yield Note(f"{plan.name}: already trained (--force trains it again)")
        return
    if changes:
        yield Note(f"{plan.name}: is trained again: {'; '.join(changes)}")
    yield from fit(job)
    yield training_picture(job.label, job.folder)


def _job(project: Project, images: Images, plan: Plan, teacher: nn.Module, device: str) -> Job:
    """One net with the supernet's recipe and the same teacher."""
    train, retrain = project.settings.train, project.settings.retrain
    facts = facts_of(project, images, plan.name, arch=plan.arch, weights=plan.weights, from_search=plan.from_search)
    facts["teacher_sha256"] = teacher_sha256(project)
    source = supernet_sha256(project)
    if plan.weights == "finetuned" and source is not None:
        facts["supernet_sha256"] = source
    learning_rate = retrain.learning_rate if plan.weights == "finetuned" else train.learning_rate
    return Job(
        label=plan.name,
        folder=plan.folder,
        build=lambda: _start_net(project, images, plan),
        images=images,
        loop=replace(loop_settings(train, seed=retrain.seed), epochs=plan.epochs, learning_rate=learning_rate),
        objective=objective_for(
            images,
            smoothing=train.label_smoothing,
            kd_weight=teaching_of(project)[0],
            temperature=teaching_of(project)[1],
            balance=train.balance,
            device=device,
        ),
        batches=batches_for(images, train, balance=train.balance, seed=retrain.seed, workers=project.settings.data.workers),
        device=device,
        facts=facts,
        evaluate=net_accuracy(*plan.images.arrays("select")),
        checkpoint_every_s=train.checkpoint_every,
        anew=True,  # a search may have chosen another winner since
        teacher=teacher,
    )


def _report(project: Project, plan: Plan) -> dict[str, Any]:
    """Costs, and accuracy and sensitivities on the test split at the threshold that calibrate chose."""
    genes, images = genes_of(project, plan.arch), plan.images
    net = build_net(project.space, images.task, genes)
    load_weights(plan.folder / WEIGHTS, net)
    threshold = choose_threshold(project, images, net.eval())
    images_NCHW, labels_N = images.arrays("test")
    row = np.array([genes], dtype=np.int16)
    costs = cost_models(project.space, images.task)
    table = _table(project, images)
    return {
        "arch": plan.arch,
        "weights": plan.weights,
        "epochs": plan.epochs,
        "params": int(costs["params"](row)[0]),
        "macs": int(costs["macs"](row)[0]),
        "latency_ms_predicted": float(table.predicted(row)[0]) if table is not None else None,
        "latency_ms_measured": None,
        "split": "test",
        **report(
            predict(net, images_NCHW),
            labels_N,
            images.class_names,
            positive=project.settings.data.positive,
            threshold=threshold,
            sites=images.sites("test"),
        ),
        "baseline": None,
    }


def _baseline(project: Project, images: Images, winner: Plan) -> Plan:
    """The fastest hand-designed net that is no faster than the winner (by MACs where no table fits), from scratch.

    It is trained for as many epochs as the winner's weights saw, in the supernet and here.
    """
    space = project.space
    table = _table(project, images)
    cost = table.predicted if table is not None else cost_models(space, images.task)["macs"]
    archs = hand_designed(space)
    rows = np.concatenate([space.from_json(arch) for arch in archs])
    costs_A, least = cost(rows), cost(space.from_json(winner.arch))[0]
    slower = [position for position in np.argsort(costs_A) if costs_A[position] >= least]
    chosen = archs[slower[0] if slower else int(np.argmax(costs_A))]
    epochs = winner.epochs + (supernet_epochs(project) if winner.weights == "finetuned" else 0)
    own = images_for(project, images, chosen)
    return Plan("hand-designed", project.run.retrain / "baseline", chosen, own, epochs, "scratch", from_search=False)


def _measure_both(
    project: Project, images: Images, *archs: Mapping[str, Any], memory: Memory
) -> Generator[Record, None, list[float | None]]:
    """Latencies of the nets, in turn in one session, on the device of the run's table; None without one."""
    rows = np.concatenate([project.space.from_json(arch) for arch in archs])
    measured = yield from measure_archs(project, images.task, rows, label="measuring", table=_table(project, images), memory=memory)
    return [None] * len(archs) if measured is None else [net.latency_ms for net in measured]


def _table(project: Project, images: Images) -> RunTable | None:
    """The table that the search rested on, else the run's; None without any that fits."""
    path = project.run.search / RESULT
    searched = read_sealed(path, SEARCH, schema_version=RESULT_SCHEMA).get("table") if path.is_file() else None
    return run_table(project, images.task, (searched or {}).get("sha256"))


def read_result(project: Project) -> dict[str, Any] | None:
    """What the last `edgenas retrain` reported, or None."""
    path = project.run.retrain / RESULT
    return read_sealed(path, RETRAIN, schema_version=RESULT_SCHEMA) if path.is_file() else None
