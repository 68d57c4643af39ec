"""Evaluators of a search: a split as subnets of a supernet predict it, nothing of it twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn

from edgenas.data.images import Images
from edgenas.project.journals import JournaledEvaluator
from edgenas.project.searching.ray_workers import RayEvaluator, Workers, cluster
from edgenas.runs import Journal, sha256_json
from edgenas.search import Evaluator
from edgenas.supernets import Supernet
from edgenas.training.evaluation import SupernetEvaluator
from edgenas.training.recalibration import Recalibration, batch_norms

AT_ONCE = 64  # nets at most that a cluster is asked about together: all that an algorithm asks about
NAMED = ("select", "confirm")  # whose images the identity of a journal names; keys of others say which they are


@contextmanager
def by_workers(
    images: Images, supernet: nn.Module, split: str, device: str, workers: Workers, journal: Journal
) -> Iterator[Evaluator]:
    """As `evaluator_on` of select or confirm, by the workers of a cluster that ends with the block where it was started for it.

    Raises:
        MissingBackendError, ClusterError: as `cluster`.
    """
    labels_N, images_NCHW = images.labels(split), images.held(split)
    norm_NCHW = images.norm_images() if batch_norms(supernet) else None
    space, task, num = cast(Supernet, supernet).space, images.task, workers.num
    with cluster(workers) as ray:
        far = RayEvaluator(ray, supernet, space, task, images_NCHW, device=device, training_NCHW=norm_NCHW, num_workers=num)
        yield JournaledEvaluator(far, journal, split, len(labels_N), at_once=AT_ONCE)


def evaluator_on(
    images: Images, supernet: nn.Module, split: str, device: str, statistics: Recalibration | None, journal: Journal
) -> JournaledEvaluator:
    """What predicts a split with the supernet's weights.

    Args:
        images: decoded.
        supernet: whose subnets predict.
        split: select, confirm or calibrate.
        device: where to compute.
        statistics: of subnets' batch norms; None where there are none.
        journal: of predictions with these weights.
    """
    labels_N, images_NCHW = images.labels(split), images.held(split)
    predictor = SupernetEvaluator(supernet, images_NCHW, device=torch.device(device), training_NCHW=statistics)
    name = split if split in NAMED else f"{split}:{sha256_json(images.splits[split].tolist())[:12]}"
    return JournaledEvaluator(predictor, journal, name, len(labels_N))
