"""What is looked at while a supernet is trained, beside what its epochs are judged by.

An epoch is judged by the smallest, a random and the largest subnet on all of select. A net of median cost and a fixed set of random
ones are shown beside them, on so many images that evaluation stays a small share of the training.

Shapes: N images, A nets, G genes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgenas.percents import percent
from edgenas.spaces import Genes, SearchSpace
from edgenas.training.evaluation import BATCH_SIZE, logits, subnet_logits
from edgenas.training.lessons import largest_behind
from edgenas.training.readable import ReadableImages, readable
from edgenas.training.recalibration import recalibration_of
from edgenas.training.sampling import as_key, shown_subnets

MEDIAN, RANDOM_SET = "median", "random set"
RANDOM = "random"  # the one that epochs are judged by is of the set
NUM_RANDOM = 4  # nets of the set
NUM_SAMPLED = 1001  # nets that the median is taken of
EVALUATION_SHARE = 0.05  # of the training's time, at most
MIN_IMAGES = 100  # that nets are shown on all the same
BACKWARD = 2.0  # costs so many forward passes
MAX_CLASSES = 100  # that sensitivities are logged of; of more, those of the lowest
NUM_LOWEST = 10

MAX_WAITING = 0.1  # share of the training's time, above which it is said
MIN_WATCHED_S = 10.0  # shorter trainings start their workers and little else
NUM_BEHIND = 2  # evaluations in a row


@dataclass(frozen=True, slots=True)
class Shown:
    """What an evaluation looked at beside what it judges by; shares of images, estimated from few of them.

    Attributes:
        top1: of the ``median`` net, and the mean of the ``random set``.
        spread: standard deviation of the accuracies in the random set.
        num_images: that these nets were shown.
        sensitivity: by class, by net; of the random set their mean. The lowest alone where there are many classes.
    """

    top1: Mapping[str, float]
    spread: float
    num_images: int
    sensitivity: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation showed on select.

    Attributes:
        judged: accuracies whose mean tells how good the epoch was.
        shown: what else was looked at; None where nothing was.
        behind: in words, that the largest subnet is behind a smaller one.
    """

    judged: Mapping[str, float]
    shown: Shown | None = None
    behind: str | None = field(default=None, compare=False)


def evaluation_of(answer: Mapping[str, float] | Evaluation) -> Evaluation:
    """Plain accuracies as an evaluation that judges by them."""
    return answer if isinstance(answer, Evaluation) else Evaluation(answer)


@dataclass(frozen=True, slots=True, eq=False)
class WatchedNets:
    """Subnets of a supernet that are looked at.

    Attributes:
        judged: smallest, random and largest.
        median: of median MACs among random nets.
        others: of the random set, beside the random one of ``judged``.
        images_N: of select, ascending, that the median and the random set are shown.
        every: epochs between evaluations.
    """

    judged: Mapping[str, tuple[int, ...]]
    median: tuple[int, ...]
    others: tuple[tuple[int, ...], ...]
    images_N: NDArray[np.int64]
    every: int = 1


def watched_nets(
    space: SearchSpace,
    macs: Callable[[Genes], NDArray[np.float64]],
    labels_N: NDArray[np.int64],
    *,
    training_macs: float,
    seed: int,
    every: int | None = 1,
) -> WatchedNets:
    """The nets to look at, drawn once by ``seed``, and the images that they are shown.

    What an evaluation and an epoch of training cost is told by MACs, so that the same nets see the same images wherever they are
    trained.

    Args:
        space: of the supernet.
        macs: of rows of genes, for one image.
        labels_N: of select.
        training_macs: of the forward passes of an epoch, over all images and the subnets that see them.
        seed: of the nets and the images.
        every: epochs between evaluations; None takes so many that those that epochs are judged by stay within `EVALUATION_SHARE`.
    """
    rng = np.random.default_rng([seed, _WATCH])
    sampled_AG = space.sample(NUM_SAMPLED, rng)
    macs_A = macs(sampled_AG)
    median_G = sampled_AG[np.argsort(macs_A, kind="stable")[len(macs_A) // 2]]
    others_AG = space.sample(NUM_RANDOM - 1, rng)
    judged = shown_subnets(space, seed)
    dear = float(macs(np.array(list(judged.values()), dtype=np.int16)).sum())
    more = float(macs(np.concatenate([median_G[None], others_AG])).sum())
    allowed = EVALUATION_SHARE * (1 + BACKWARD) * training_macs
    if every is None:
        every = max(1, math.ceil(len(labels_N) * dear / max(allowed, 1e-9)))
    room = every * allowed - len(labels_N) * dear
    num = int(np.clip(room / more, min(MIN_IMAGES, len(labels_N)), len(labels_N)))
    return WatchedNets(judged, as_key(median_G), tuple(map(as_key, others_AG)), _some_of_every_class(labels_N, num, rng), every)


def _some_of_every_class(labels_N: NDArray[np.int64], num: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many images, of every class its share, ascending."""
    by_class_N = np.lexsort((rng.random(len(labels_N)), labels_N))
    places = (np.arange(num) + 0.5) * len(labels_N) / num
    return np.sort(by_class_N[places.astype(np.int64)])


def watching(
    images_NCHW: ReadableImages,
    labels_N: NDArray[np.int64],
    nets: WatchedNets,
    class_names: Sequence[str],
    *,
    training_NCHW: ReadableImages | None = None,
) -> Callable[[nn.Module], Evaluation]:
    """What the training loop calls for a supernet: it judges by ``nets.judged``, on all of these images, and looks at the others.

    Args:
        images_NCHW: of select.
        labels_N: of these.
        nets: to look at.
        class_names: of the labels.
        training_NCHW: training images that the batch-norm statistics of every subnet are estimated on; None keeps the supernet's.
    """
    images = readable(images_NCHW)
    is_shown_N = np.isin(np.arange(len(labels_N)), nets.images_N)
    more = {MEDIAN: nets.median, **{f"{RANDOM} {number}": genes for number, genes in enumerate(nets.others, 2)}}

    def evaluate(model: nn.Module) -> Evaluation:
        right = {name: np.zeros(len(labels_N), dtype=np.bool_) for name in (*nets.judged, *more)}
        recalibration = recalibration_of(model, training_NCHW)
        of_own = (
            {} if recalibration is None else {genes: recalibration.net(genes) for genes in (*nets.judged.values(), *more.values())}
        )

        def answers(part_NCHW: Tensor, genes: tuple[int, ...]) -> NDArray[np.int64]:
            answered_NK = subnet_logits(model, part_NCHW, genes) if not of_own else logits(of_own[genes], part_NCHW)
            chosen_N: NDArray[np.int64] = answered_NK.argmax(axis=1)
            return chosen_N

        for start in range(0, len(images), BATCH_SIZE):  # each batch is read once for all subnets
            part = slice(start, start + BATCH_SIZE)
            part_NCHW, few_N = images[part], np.flatnonzero(is_shown_N[part])
            for name, genes in nets.judged.items():
                right[name][part] = answers(part_NCHW, genes) == labels_N[part]
            if len(few_N):
                few_NCHW = part_NCHW[torch.from_numpy(few_N).to(part_NCHW.device)]
                for name, genes in more.items():
                    right[name][start + few_N] = answers(few_NCHW, genes) == labels_N[start + few_N]
        judged = {name: int(right[name].sum()) / len(labels_N) for name in nets.judged}
        behind = largest_behind({name: right[name] for name in nets.judged})
        return Evaluation(judged, _shown(right, labels_N, nets, class_names), behind)

    return evaluate


def _shown(
    right: Mapping[str, NDArray[np.bool_]], labels_N: NDArray[np.int64], nets: WatchedNets, class_names: Sequence[str]
) -> Shown:
    """Shares of the nets that saw few images are moved by what those few make of the judged nets, which saw all.

    Nets of one supernet find the same images easy, so the few images' luck is mostly that of the judged nets, too (a control
    variate).
    """
    few_N = nets.images_N
    judged_AN = np.stack([right[name] for name in nets.judged])
    set_AN = np.stack([right_N[few_N] for name, right_N in right.items() if name.startswith(RANDOM)])
    seen = {MEDIAN: right[MEDIAN][few_N].astype(np.float64), RANDOM_SET: set_AN.mean(axis=0)}
    moved = float(judged_AN.mean() - judged_AN[:, few_N].mean())
    top1 = {name: min(1.0, max(0.0, float(share_N.mean()) + moved)) for name, share_N in seen.items()}
    judged_C = _by_class(judged_AN.mean(axis=0), labels_N, len(class_names))
    moved_C = judged_C - _by_class(judged_AN[:, few_N].mean(axis=0), labels_N[few_N], len(class_names))
    shares = {name: _by_class(right[name].astype(np.float64), labels_N, len(class_names)) for name in nets.judged}
    for name, share_N in seen.items():
        shares[name] = np.clip(_by_class(share_N, labels_N[few_N], len(class_names)) + moved_C, 0.0, 1.0)
    sensitivity = {name: _named(share_C, class_names) for name, share_C in shares.items()}
    return Shown(top1, float(set_AN.mean(axis=1).std(ddof=1)), len(few_N), sensitivity)


def _by_class(share_N: NDArray[np.float64], labels_N: NDArray[np.int64], num_classes: int) -> NDArray[np.float64]:
    """Mean share of every class; NaN where it does not occur."""
    counts_C = np.bincount(labels_N, minlength=num_classes).astype(np.float64)
    counts_C[counts_C == 0] = np.nan
    shares_C: NDArray[np.float64] = np.bincount(labels_N, weights=share_N, minlength=num_classes) / counts_C
    return shares_C


def _named(share_C: NDArray[np.float64], class_names: Sequence[str]) -> dict[str, float]:
    """The shares of the classes that occur; of many classes the lowest."""
    shares = {str(name): round(float(share), 4) for name, share in zip(class_names, share_C, strict=True) if not np.isnan(share)}
    if len(shares) <= MAX_CLASSES:
        return shares
    return dict(sorted(shares.items(), key=lambda pair: pair[1])[:NUM_LOWEST])


class Watcher:
    """Says once, while a training runs, what its user should know; it counts what it has seen.

    Args:
        label: of what is trained.
        workers: processes that load images; 0 where the training itself does.
    """

    def __init__(self, label: str, workers: int) -> None:
        self._label = label
        self._workers = workers
        self._num_behind = 0
        self._waiting_s = self._training_s = 0.0
        self._told: set[str] = set()

    def behind(self, words: str | None) -> str | None:
        """What to say of an evaluation; once, and only when several in a row say so."""
        self._num_behind = 0 if words is None else self._num_behind + 1
        if self._num_behind < NUM_BEHIND or "behind" in self._told:
            return None
        self._told.add("behind")
        return f"{self._label}: {words}"

    def waiting(self, waiting_s: float, training_s: float) -> str | None:
        """What to say of an epoch's waiting for images; once, and only of trainings that take a while."""
        self._waiting_s += waiting_s
        self._training_s += training_s
        share = self._waiting_s / max(self._training_s, 1e-9)
        if share <= MAX_WAITING or self._training_s < MIN_WATCHED_S or "waiting" in self._told:
            return None
        self._told.add("waiting")
        many = f"{self._workers} process{'es' if self._workers > 1 else ''}"
        by = f"loaded by {many}" if self._workers else "loaded by the training itself"
        return (
            f"{self._label}: {percent(share)} of the time so far went into waiting for images ({by}): raise data.workers, "
            "give data.cache_mb room for all decoded images, or take a lighter train.augmentation"
        )


_WATCH = 0x3A7C  # tells its random numbers from others of the same seed
