"""Predictions of nets and subnets, and what reports say of them.

Shapes: A archs, G genes, N images, C classes (of logits and probabilities) or channels (of images).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgenas.stats import accuracy, decide, sensitivities

BATCH_SIZE = 256
Images = NDArray[np.float32] | Tensor


@torch.no_grad()
def logits(model: nn.Module, images_NCHW: Images, *, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
    """Logits (N, C) of a net in eval mode, computed in batches on its device; its mode is restored."""
    return _logits(model, torch.as_tensor(images_NCHW), batch_size)


@torch.no_grad()
def predict(model: nn.Module, images_NCHW: Images, *, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
    """Class probabilities (N, C) of a net in eval mode, computed in batches on its device."""
    return softmax(logits(model, images_NCHW, batch_size=batch_size))


def softmax(logits_NC: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of logits along the last axis."""
    result: NDArray[np.float32] = torch.softmax(torch.from_numpy(np.ascontiguousarray(logits_NC)), dim=-1).numpy()
    return result


def _logits(
    model: nn.Module, images_NCHW: Tensor, batch_size: int, *genes: tuple[int, ...], as_is: bool = False
) -> NDArray[np.float32]:
    """Logits in batches; in eval mode, which is undone afterwards, or ``as_is`` in whatever mode the modules are."""
    device = next(model.parameters()).device
    was_training = model.training
    if not as_is:
        model.eval()
    parts = [model(images_NCHW[i : i + batch_size].to(device), *genes) for i in range(0, len(images_NCHW), batch_size)]
    if not as_is:
        model.train(was_training)
    result: NDArray[np.float32] = torch.cat(parts).float().cpu().numpy()
    return result


@torch.no_grad()
def recalibrate(model: nn.Module, images_NCHW: Images, *genes: tuple[int, ...], batch_size: int = 64) -> None:
    """Estimate batch-norm statistics anew for one net or subnet, in place; nothing happens without batch norm.

    The statistics that a supernet gathers in training are a mixture over its subnets and fit none of them (Yu & Huang,
    arXiv:1903.05134, section 3.4).

    Args:
        model: a net, or a supernet with ``genes``.
        images_NCHW: normalised training images, two or more a batch.
        genes: of the subnet.
        batch_size: images a call.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
        norm.train()
    _logits(model, torch.as_tensor(images_NCHW), batch_size, *genes, as_is=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


class SupernetEvaluator:
    """Predicts with a supernet's weights; the `Evaluator` that searches take.

    Args:
        supernet: of any family, put in eval mode.
        images_NCHW: float32, normalised; moved to ``device`` once.
        device: where to compute.
        batch_size: images a call.
        training_NCHW: training images that batch-norm statistics of every subnet are estimated on; None keeps the supernet's.
    """

    def __init__(
        self,
        supernet: nn.Module,
        images_NCHW: NDArray[np.float32],
        *,
        device: torch.device,
        batch_size: int = BATCH_SIZE,
        training_NCHW: NDArray[np.float32] | None = None,
    ) -> None:
        self.supernet = supernet.to(device).eval()
        self.images_NCHW = torch.from_numpy(images_NCHW).to(device)
        self.batch_size = batch_size
        self.training_NCHW = training_NCHW

    @torch.no_grad()
    def __call__(self, genes_AG: NDArray[np.int16], image_indices: NDArray[np.int64], /) -> NDArray[np.float16]:
        """Class probabilities, shape (archs, images, classes), in the order given."""
        chosen_NCHW = self.images_NCHW[torch.from_numpy(image_indices).to(self.images_NCHW.device)]
        rows = []
        for row_G in genes_AG:
            genes = tuple(int(gene) for gene in row_G)
            if self.training_NCHW is not None:
                recalibrate(self.supernet, self.training_NCHW, genes)
            rows.append(softmax(_logits(self.supernet, chosen_NCHW, self.batch_size, genes)))
        return np.stack(rows).astype(np.float16)


def net_accuracy(images_NCHW: Images, labels_N: NDArray[np.int64]) -> Callable[[nn.Module], dict[str, float]]:
    """What the training loop calls for a plain net: ``{"top1": fraction}`` on these images."""
    images = torch.as_tensor(images_NCHW)

    def evaluate(model: nn.Module) -> dict[str, float]:
        return {"top1": float((logits(model, images).argmax(axis=1) == labels_N).mean())}

    return evaluate


def subnet_accuracies(
    images_NCHW: Images, labels_N: NDArray[np.int64], subnets: Mapping[str, tuple[int, ...]]
) -> Callable[[nn.Module], dict[str, float]]:
    """What the training loop calls for a supernet: the fraction right of every named subnet on these images."""
    images = torch.as_tensor(images_NCHW)

    @torch.no_grad()
    def evaluate(model: nn.Module) -> dict[str, float]:
        return {
            name: float((_logits(model, images, BATCH_SIZE, genes).argmax(axis=1) == labels_N).mean())
            for name, genes in subnets.items()
        }

    return evaluate


def report(
    probabilities_NC: NDArray[np.floating],
    labels_N: NDArray[np.int64],
    class_names: Sequence[str],
    *,
    positive: str | None = None,
    threshold: float | None = None,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """What is said of predictions, JSON-ready.

    Args:
        probabilities_NC: class probabilities.
        labels_N: class indices.
        class_names: of the columns.
        positive: class that must not be missed, or None.
        threshold: least p(positive) at which it is decided; without it decisions are the argmax.
        confidence: of the intervals.

    Returns:
        ``n``; intervals ``top1`` (argmax) and ``top1_decision`` (decision rule), ``sensitivity`` by class (decision rule),
        ``balanced_accuracy`` (mean sensitivity of the classes that occur, a number), ``confusion_matrix`` (a row per label, a
        column per decision), ``positive``, ``threshold``.
    """
    index = None if positive is None else list(class_names).index(positive)
    decided_N = decide(probabilities_NC, index, threshold)
    found = sensitivities(decided_N, labels_N, class_names, confidence=confidence)
    confusion_CC = np.zeros((len(class_names), len(class_names)), dtype=np.int64)
    np.add.at(confusion_CC, (labels_N, decided_N), 1)
    present = [share.value for share in found.values() if share.n]
    return {
        "n": len(labels_N),
        "top1": accuracy(decide(probabilities_NC, None, None), labels_N, confidence=confidence).as_json(),
        "top1_decision": accuracy(decided_N, labels_N, confidence=confidence).as_json(),
        "sensitivity": {name: share.as_json() for name, share in found.items()},
        "balanced_accuracy": float(np.mean(present)) if present else None,
        "confusion_matrix": confusion_CC.tolist(),
        "positive": positive,
        "threshold": threshold,
    }
