"""How long the supernet of a space would train here, from a few passes of plain nets that are like its subnets."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from edgenas.costs import cost_models
from edgenas.errors import InfeasibleError
from edgenas.project.named_recipes import RECIPES
from edgenas.project.opening import Project, use_threads
from edgenas.project.settings import SpaceSettings
from edgenas.project.trainings.sampling import sampling_of
from edgenas.records import TrainingPace
from edgenas.spaces import SearchSpace, Task
from edgenas.supernets import build_net
from edgenas.training.devices import torch_device
from edgenas.training.seeding import step_rng

STEPS = 50  # whose subnets tell what a step costs
FIRST_BATCH = 2  # images of the first timed pass; the batch of the settings where that takes no longer than `MAX_BATCH_S`
MAX_BATCH_S = 1.0
PASSES = 2  # of which the faster counts
QUICK = "quick"  # the recipe


def supernet_pace(project: Project, space: SearchSpace, task: Task, num_images: int) -> Generator[None, None, TrainingPace]:
    """Time a forward and a backward pass of nets of median and of most MACs among those that training steps draw.

    The seconds of an image grow as a line with MACs between the two, and an epoch has one pass for every image and subnet of a
    step. Loading, the optimiser and the evaluations are left out.

    Args:
        project: with the settings of the training; its space does not matter.
        space: whose supernet would train.
        task: classes, channels and resolution.
        num_images: of the train split.
    """
    settings = replace(project.settings, space=SpaceSettings(space.name))
    macs = cost_models(space, task).macs
    try:
        draw = sampling_of(replace(project, settings=settings), task, anew=True).draw
        steps = [draw(step_rng(settings.train.seed, 0, step), step) for step in range(STEPS)]
    except InfeasibleError:  # a range of MACs that is set for another space
        steps = [[tuple(row.tolist())] for row in space.sample(STEPS, np.random.default_rng(0))]
    rows_AG = np.array([genes for subnets in steps for genes in subnets], dtype=np.int16)
    macs_A = macs(rows_AG)
    order = np.argsort(macs_A, kind="stable")
    device = torch_device(settings.train.device)
    use_threads(settings.train.threads, task)
    timed = []
    for row in dict.fromkeys((int(order[len(order) // 2]), int(order[-1]))):
        timed.append((float(macs_A[row]), _seconds_an_image(space, task, rows_AG[row], settings.train.batch_size, device)))
        yield
    (low_macs, low_s), (high_macs, high_s) = timed[0], timed[-1]
    slope = max(0.0, (high_s - low_s) / (high_macs - low_macs)) if high_macs > low_macs else 0.0
    image_s = float(np.maximum(low_s + slope * (macs_A - low_macs), 0.0).sum()) / len(steps)
    epochs, quick = settings.train.epochs, int(RECIPES[QUICK].settings["train"]["epochs"])
    return TrainingPace(
        quick_s=image_s * num_images * min(quick, epochs),
        quick_epochs=min(quick, epochs),
        full_s=image_s * num_images * epochs,
        full_epochs=epochs,
    )


def _seconds_an_image(space: SearchSpace, task: Task, genes_G: np.ndarray, batch_size: int, device: str) -> float:
    """Seconds that a forward and a backward pass of one net take for an image."""
    net = build_net(space, task, tuple(int(gene) for gene in genes_G)).to(device).train()
    side = space.task_of(genes_G, task).image_px

    def one_pass(num: int) -> float:
        images_NCHW = torch.zeros(num, task.in_channels, side, side, device=device)
        labels_N = torch.zeros(num, dtype=torch.long, device=device)
        _wait(device)
        begin = time.perf_counter()
        torch.autograd.backward(F.cross_entropy(net(images_NCHW), labels_N))
        _wait(device)
        return time.perf_counter() - begin

    one_pass(FIRST_BATCH)
    first_s = one_pass(FIRST_BATCH)
    num = int(np.clip(FIRST_BATCH * MAX_BATCH_S / max(first_s, 1e-9), FIRST_BATCH, max(batch_size, FIRST_BATCH)))
    if num == FIRST_BATCH:
        return first_s / FIRST_BATCH
    return min(one_pass(num) for _ in range(PASSES)) / num


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
