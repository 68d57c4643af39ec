"""One plain net in a run folder: where its weights start, what teaches it, which split judges it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from edgenas.data.images import Images, decode
from edgenas.project.net_facts import genes_of
from edgenas.project.nets import load_supernet
from edgenas.project.opening import Project, open_images, open_project
from edgenas.project.trainings.plain_nets import PlainNet, plain_job
from edgenas.project.trainings.teaching import CUTMIX, CUTMIX_STEPS, teaching_of
from edgenas.supernets import Supernet
from edgenas.training.checkpoints import load_weights
from edgenas.training.cnn import plain_cnn
from edgenas.training.fitting import TrainingJob, fit
from edgenas.training.folder import LOG, WEIGHTS, weights_sha256
from edgenas.training.recalibration import batch_norms
from tests.recipes.budgets import SMALL, make_project


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Images]:
    folder = make_project(tmp_path_factory.mktemp("plain"))
    project = open_project(folder / "edgenas-run", {}, (*SMALL, "train.kd_weight=0.7", "train.temperature=3"))
    images = open_images(project)
    for _ in decode(images, "train", "select", "confirm"):
        pass
    return project, images


def job(opened: tuple[Project, Images], folder: Path, arch_or_build: Any, **more: Any) -> TrainingJob:
    project, images = opened
    net = PlainNet(arch_or_build, **{name: more.pop(name) for name in ("weights", "facts") if name in more})
    settings = {"epochs": 1, "learning_rate": 1e-3, "teacher": None, "device": "cpu", **more}
    return plain_job(project, images, net, label="net", folder=folder, **settings)


def test_a_net_starts_fresh_from_its_seed_or_with_the_supernets_weights(opened: tuple[Project, Images], tmp_path: Path) -> None:
    project, images = opened
    arch = project.space.to_json(project.space.extreme(largest=False)[0])
    fresh, again, other = (job(opened, tmp_path, arch, seed=seed).build().state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(fresh[name], again[name]) for name in fresh)
    assert not all(torch.equal(fresh[name], other[name]) for name in fresh)
    inherited = job(opened, tmp_path, arch, weights="finetuned")
    expected = cast(Supernet, load_supernet(project, images)).extract(genes_of(project.space, arch)).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in inherited.build().state_dict().items())
    assert inherited.facts["supernet_sha256"] == weights_sha256(project.run.supernet)
    assert "supernet_sha256" not in job(opened, tmp_path, arch).facts


def test_a_net_of_no_space_is_the_same_work_whatever_space_is_searched_beside_it(
    opened: tuple[Project, Images], tmp_path: Path
) -> None:
    project, images = opened
    settings = replace(project.settings, space=replace(project.settings.space, name="pvt-elastic-nano"))
    other = replace(project, settings=settings), images
    assert other[0].space.name != project.space.name
    build = partial(plain_cnn, images.task.num_classes, images.task.image_px, images.task.in_channels, width=4)
    assert job(opened, tmp_path, build).identity == job(other, tmp_path, build).identity
    arch = project.space.to_json(project.space.extreme(largest=False)[0])
    assert job(opened, tmp_path, arch).identity["space"] == project.space.name


def test_what_teaches_is_the_teaching_of_the_project_or_labels_alone(opened: tuple[Project, Images], tmp_path: Path) -> None:
    project, images = opened
    arch = project.space.to_json(project.space.extreme(largest=False)[0])
    build = partial(plain_cnn, images.task.num_classes, images.task.image_px, images.task.in_channels, width=4)
    taught = job(opened, tmp_path, arch, teacher=build())
    assert (taught.objective.kd_weight, taught.objective.temperature) == teaching_of(project) == (0.7, 3)
    assert job(opened, tmp_path, arch).objective.kd_weight == 0
    assert taught.identity != job(opened, tmp_path, arch).identity


def test_pasted_images_are_for_nets_that_a_teacher_tells_about_them(opened: tuple[Project, Images], tmp_path: Path) -> None:
    project, images = opened
    arch = project.space.to_json(project.space.extreme(largest=False)[0])
    build = partial(plain_cnn, images.task.num_classes, images.task.image_px, images.task.in_channels, width=4)

    def pasted(cutmix: object, *, epochs: int = 1, **more: Any) -> float:
        train = replace(project.settings.train, cutmix=cutmix, epochs=epochs)
        other = replace(project, settings=replace(project.settings, train=train))
        return job((other, images), tmp_path, arch, **more).cutmix

    steps = job(opened, tmp_path, arch).batches.num_batches
    enough = -(-CUTMIX_STEPS // steps)
    assert pasted("auto", teacher=build(), epochs=enough) == CUTMIX
    assert pasted("auto", teacher=build(), epochs=enough - 1) == 0
    assert pasted(0.3, teacher=build()) == 0.3
    assert pasted(0.3) == 0
    assert "cutmix" not in job(opened, tmp_path, arch).identity["settings"]  # weights of earlier trainings stay what they are


def test_a_net_of_no_space_is_trained_and_judged_on_the_split_asked_for(opened: tuple[Project, Images], tmp_path: Path) -> None:
    _, images = opened
    build = partial(plain_cnn, images.task.num_classes, images.task.image_px, images.task.in_channels, width=4)
    for split in ("select", "confirm"):
        for _ in fit(job(opened, tmp_path / split, build, split=split, facts={"width": 4})):
            pass
        line = json.loads((tmp_path / split / LOG).read_text())
        right = line["select"]["top1"] * len(images.labels(split))
        assert right == pytest.approx(round(right))
        assert load_weights(tmp_path / split / WEIGHTS)[1]["width"] == 4
    assert len(images.labels("select")) != len(images.labels("confirm"))
    with pytest.raises(ValueError, match="only architectures of the space"):
        job(opened, tmp_path, build, weights="finetuned")


def test_batch_norms_of_every_net_end_with_statistics_of_the_weights_that_are_kept(
    opened: tuple[Project, Images], tmp_path: Path
) -> None:
    project, images = opened
    mobile = replace(project, settings=replace(project.settings, space=replace(project.settings.space, name="pvt-mobile-pico")))
    arch = mobile.space.to_json(mobile.space.extreme(largest=False)[0])
    for of, what in (
        ((project, images), partial(plain_cnn, images.task.num_classes, images.task.image_px, images.task.in_channels, width=4)),
        ((mobile, images), arch),
    ):
        made = job(of, tmp_path, what)
        net = made.build()
        assert made.finish is not None
        for norm in batch_norms(net):
            assert norm.running_mean is not None
            norm.running_mean.fill_(100.0)
        made.finish(net)
        assert all(not torch.any(norm.running_mean == 100.0) for norm in batch_norms(net))
