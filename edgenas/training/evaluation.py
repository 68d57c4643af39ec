"""Predictions of nets and subnets, and what reports say of them.

Shapes: A archs, G genes, N images, C classes (of logits and probabilities) or channels (of images).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgenas.records import Metrics, MostFrequent, Referral, SiteMetrics, ThresholdChoice
from edgenas.stats import accuracy, decide, most_frequent, refers, sensitivities, wilson
from edgenas.supernets.products import fast_products
from edgenas.training.readable import ImageSequence, ReadableImages, readable
from edgenas.training.recalibration import Recalibration, recalibration_of

BATCH_SIZE = 256


@torch.no_grad()
def logits(model: nn.Module, images_NCHW: ReadableImages, *, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
    """Logits (N, C) of a net in eval mode, computed in batches on its device; its mode is restored."""
    return _logits(model, readable(images_NCHW), batch_size)


@torch.no_grad()
def predict(model: nn.Module, images_NCHW: ReadableImages, *, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
    """Class probabilities (N, C) of a net in eval mode, computed in batches on its device."""
    p_NC: NDArray[np.float32] = scipy.special.softmax(logits(model, images_NCHW, batch_size=batch_size), axis=1)
    return p_NC


@torch.no_grad()
def subnet_logits(supernet: nn.Module, images_NCHW: ReadableImages, genes: tuple[int, ...]) -> NDArray[np.float32]:
    """Logits (N, C) of one subnet, as `logits`."""
    return _logits(supernet, readable(images_NCHW), BATCH_SIZE, genes)


def _logits(model: nn.Module, images_NCHW: Tensor | ImageSequence, batch_size: int, *genes: tuple[int, ...]) -> NDArray[np.float32]:
    """Logits in batches, in eval mode, which is undone afterwards."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    with fast_products(device):
        parts = [model(images_NCHW[i : i + batch_size].to(device), *genes) for i in range(0, len(images_NCHW), batch_size)]
    model.train(was_training)
    result: NDArray[np.float32] = torch.cat(parts).float().cpu().numpy()
    return result


class SupernetEvaluator:
    """Predicts with a supernet's weights; the `Evaluator` that searches take.

    Args:
        supernet: of any family, put in eval mode.
        images_NCHW: float32, normalised; moved to ``device`` once, or batch by batch where they are lazily read.
        device: where to compute.
        batch_size: images a call.
        training_NCHW: training images that batch-norm statistics of every subnet are estimated on, or what has estimated some
            already; None keeps the supernet's.
    """

    def __init__(
        self,
        supernet: nn.Module,
        images_NCHW: ReadableImages,
        *,
        device: torch.device | str = "cpu",
        batch_size: int = BATCH_SIZE,
        training_NCHW: ReadableImages | Recalibration | None = None,
    ) -> None:
        self.supernet = supernet.to(device).eval()
        images = readable(images_NCHW)
        self.images_NCHW = images.to(device) if isinstance(images, Tensor) else images
        self.batch_size = batch_size
        self.recalibration = recalibration_of(supernet, training_NCHW)

    @torch.no_grad()
    def __call__(self, genes_AG: NDArray[np.int16], image_indices: NDArray[np.int64], /) -> NDArray[np.float16]:
        """Class probabilities, shape (archs, images, classes), in the order given."""
        nets = [self._net(row_G) for row_G in genes_AG]
        parts = [np.stack([self._probabilities(net, part_NCHW) for net in nets]) for part_NCHW in self._parts(image_indices)]
        return np.concatenate(parts, axis=1).astype(np.float16)

    def _parts(self, image_indices: NDArray[np.int64]) -> Iterator[Tensor]:
        """All images at once, or batches where they are lazily read: each is read once, however many archs are asked for."""
        if isinstance(self.images_NCHW, Tensor):
            yield self.images_NCHW[torch.from_numpy(image_indices).to(self.images_NCHW.device)]
            return
        for start in range(0, len(image_indices), self.batch_size):
            yield self.images_NCHW[image_indices[start : start + self.batch_size]]

    def _net(self, row_G: NDArray[np.int16]) -> tuple[nn.Module, tuple[tuple[int, ...], ...]]:
        """What to call for one arch, and with what beside the images: the supernet, or a plain net with its own statistics."""
        genes = tuple(int(gene) for gene in row_G)
        return (self.supernet, (genes,)) if self.recalibration is None else (self.recalibration.net(genes), ())

    def _probabilities(self, net: tuple[nn.Module, tuple[tuple[int, ...], ...]], images_NCHW: Tensor) -> NDArray[np.float32]:
        model, genes = net
        p_NC: NDArray[np.float32] = scipy.special.softmax(_logits(model, images_NCHW, self.batch_size, *genes), axis=1)
        return p_NC


def net_accuracy(images_NCHW: ReadableImages, labels_N: NDArray[np.int64]) -> Callable[[nn.Module], dict[str, float]]:
    """What the training loop calls for a plain net: ``{"top1": fraction}`` on these images."""
    images = readable(images_NCHW)

    def evaluate(model: nn.Module) -> dict[str, float]:
        return {"top1": float((logits(model, images).argmax(axis=1) == labels_N).mean())}

    return evaluate


def subnet_accuracies(
    images_NCHW: ReadableImages,
    labels_N: NDArray[np.int64],
    subnets: Mapping[str, tuple[int, ...]],
    *,
    training_NCHW: ReadableImages | None = None,
) -> Callable[[nn.Module], dict[str, float]]:
    """What the training loop calls for a supernet: the fraction right of every named subnet on these images.

    Its batch-norm statistics are estimated on ``training_NCHW``; None keeps the supernet's, which are of no single subnet.
    """
    images = readable(images_NCHW)

    @torch.no_grad()
    def evaluate(model: nn.Module) -> dict[str, float]:
        right = dict.fromkeys(subnets, 0)
        own = recalibration_of(model, training_NCHW)
        called = {name: (model, (genes,)) if own is None else (own.net(genes), ()) for name, genes in subnets.items()}
        for start in range(0, len(images), BATCH_SIZE):  # each batch is read once for all subnets
            part = slice(start, start + BATCH_SIZE)
            part_NCHW = images[part]
            for name, (net, genes) in called.items():
                right[name] += int((_logits(net, part_NCHW, BATCH_SIZE, *genes).argmax(axis=1) == labels_N[part]).sum())
        return {name: count / len(images) for name, count in right.items()}

    return evaluate


def report(
    probabilities_NC: NDArray[np.floating],
    labels_N: NDArray[np.int64],
    class_names: Sequence[str],
    *,
    positive: str | None = None,
    threshold: float | None = None,
    sites: Sequence[str] | None = None,
    confidence: float = 0.95,
    choice: ThresholdChoice | None = None,
    split: str = "test",
) -> Metrics:
    """What is said of predictions.

    Args:
        probabilities_NC: class probabilities.
        labels_N: class indices.
        class_names: of the columns.
        positive: class that must not be missed, or None.
        threshold: least p(positive) at which it is decided; without it decisions are the argmax.
        sites: where every image was taken; None where unknown.
        confidence: of the intervals.
        choice: how the threshold was chosen, and which images a person decides.
        split: whose predictions these are.
    """
    index = None if positive is None else list(class_names).index(positive)
    decided_N = decide(probabilities_NC, index, threshold)
    shares = sensitivities(decided_N, labels_N, class_names, confidence=confidence)
    confusion_CC = np.zeros((len(class_names), len(class_names)), dtype=np.int64)
    np.add.at(confusion_CC, (labels_N, decided_N), 1)
    present = [share.value for share in shares.values() if share.n]
    return Metrics(
        n=len(labels_N),
        top1=accuracy(decide(probabilities_NC, None, None), labels_N, confidence=confidence),
        top1_decision=accuracy(decided_N, labels_N, confidence=confidence),
        sensitivity=shares,
        balanced_accuracy=float(np.mean(present)) if present else None,
        confusion_matrix=tuple(tuple(row) for row in confusion_CC.tolist()),
        positive=positive,
        threshold=threshold,
        sites=_by_site(probabilities_NC, decided_N, labels_N, class_names, sites, confidence),
        most_frequent=most_frequent_class(labels_N, class_names),
        threshold_choice=choice,
        referral=_referral(probabilities_NC, labels_N, index, choice, split),
    )


def referral_of(
    positive_probability_N: NDArray[np.floating],
    is_positive_N: NDArray[np.bool_],
    low: float,
    high: float,
    threshold: float,
    split: str,
    *,
    confidence: float = 0.95,
) -> Referral:
    """What referring images to a person from ``low`` to ``high`` is worth, beside a threshold alone."""
    is_referred_N, is_called_N = refers(positive_probability_N, low, high), positive_probability_N >= threshold
    is_wrong_N, n = is_called_N != is_positive_N, len(is_positive_N)
    kept, num_positives = int((~is_referred_N).sum()), int(is_positive_N.sum())
    missed = int((is_positive_N & ~is_called_N & ~is_referred_N).sum())
    return Referral(
        split=split,
        share=wilson(n - kept, n, confidence=confidence),
        error=wilson(int((is_wrong_N & ~is_referred_N).sum()), kept, confidence=confidence),
        error_without=wilson(int(is_wrong_N.sum()), n, confidence=confidence),
        missed=wilson(missed, num_positives, confidence=confidence),
    )


def _referral(
    probabilities_NC: NDArray[np.floating],
    labels_N: NDArray[np.int64],
    positive: int | None,
    choice: ThresholdChoice | None,
    split: str,
) -> Referral | None:
    if positive is None or choice is None or choice.refer is None:
        return None
    zone = choice.refer
    return referral_of(probabilities_NC[:, positive], labels_N == positive, zone.low, zone.high, choice.threshold, split)


def most_frequent_class(labels_N: NDArray[np.int64], class_names: Sequence[str]) -> MostFrequent | None:
    """The most frequent class of some images, and what always answering it would give; None without images."""
    index, share = most_frequent(labels_N)
    return MostFrequent(class_name=class_names[index], share=share) if share.n else None


def _by_site(
    probabilities_NC: NDArray[np.floating],
    decided_N: NDArray[np.int64],
    labels_N: NDArray[np.int64],
    class_names: Sequence[str],
    sites: Sequence[str] | None,
    confidence: float,
) -> dict[str, SiteMetrics] | None:
    """The same shares for the images of every site, in alphabetical order."""
    if sites is None:
        return None
    argmax_N, sites_N = decide(probabilities_NC, None, None), np.array(sites)
    result = {}
    for site in sorted(set(sites)):
        here_N = sites_N == site
        result[site] = SiteMetrics(
            n=int(here_N.sum()),
            top1=accuracy(argmax_N[here_N], labels_N[here_N], confidence=confidence),
            top1_decision=accuracy(decided_N[here_N], labels_N[here_N], confidence=confidence),
            sensitivity=sensitivities(decided_N[here_N], labels_N[here_N], class_names, confidence=confidence),
            most_frequent=most_frequent_class(labels_N[here_N], class_names),
        )
    return result
