"""Evaluators of a search: a split as subnets of a supernet predict it, nothing of it twice."""

from __future__ import annotations

import torch
from torch import nn

from edgenas.data.images import Images
from edgenas.project.journals import JournaledEvaluator
from edgenas.runs import Journal, sha256_json
from edgenas.training.evaluation import SupernetEvaluator
from edgenas.training.recalibration import Recalibration

NAMED = ("select", "confirm")  # whose images the identity of a journal names; keys of others say which they are


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
    images_NCHW, labels_N = images.arrays(split)
    predictor = SupernetEvaluator(supernet, images_NCHW, device=torch.device(device), training_NCHW=statistics)
    name = split if split in NAMED else f"{split}:{sha256_json(images.splits[split].tolist())[:12]}"
    return JournaledEvaluator(predictor, journal, name, len(labels_N))
