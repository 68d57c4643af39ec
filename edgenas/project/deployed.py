"""The net of a run folder that is deployed, built with its weights, its threshold and what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgenas import stats
from edgenas.costs import cost_models
from edgenas.data.images import NUM_FINAL_NORM_IMAGES, Images
from edgenas.errors import ConfigError
from edgenas.project.chosen import ChosenNet, chosen
from edgenas.project.net_facts import TaskAndSplits, genes_of, images_for
from edgenas.project.nets import load_supernet
from edgenas.project.opening import SET_POSITIVE, Project
from edgenas.project.results import read_retrain, searched
from edgenas.project.rival_nets import KeptRival
from edgenas.project.settings import DecisionSettings
from edgenas.records import Arch, CandidateRow, LatencyFacts, ReferralZone, ThresholdChoice
from edgenas.runs import RunFolder, sha256_file
from edgenas.supernets import Supernet
from edgenas.supernets.ensemble import build_ensemble
from edgenas.training.checkpoints import load_weights
from edgenas.training.evaluation import predict, referral_of
from edgenas.training.folder import WEIGHTS
from edgenas.training.recalibration import recalibrate

CONFIDENCE = 0.95  # of the interval that shows a floor, where none is asked for


@dataclass(frozen=True, slots=True)
class FinalNet:
    """What is deployed.

    Attributes:
        net: plain, in eval mode, on the CPU.
        weights: where they come from.
        sha256: of the checkpoint.
        threshold: least probability at which the positive class is decided, chosen on the split calibrate.
        latency: predicted and measured, with the table's hash; None if unknown.
        notes: why this net and no other.
        source: ``searched``, ``baseline`` for the hand-designed one, or a rival's name.
        space: that it is of; ``timm``, or ``cnn``, for a rival of no space, whose ``arch`` says what it is.
        choice: how the threshold was chosen; None without one.
        num_members: nets of the architecture that answer together.
    """

    net: nn.Module
    arch: Arch
    weights: str
    sha256: str
    threshold: float | None
    params: int
    macs: int
    latency: LatencyFacts | None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    source: str = "searched"
    space: str = ""
    choice: ThresholdChoice | None = None
    num_members: int = 1


def final_images(project: Project, images: Images) -> Images:
    """The images as the net of `load_final` reads them.

    Raises:
        MissingInputError, CheckpointError, ArchError: as `load_final`.
    """
    choice = chosen(project, images)
    return images.at(choice.rival.row.image_px) if choice.rival is not None else images_for(project.space, images, choice.arch)


def load_final(project: Project, images: Images) -> FinalNet:
    """`retrain`'s net when there is one, else the winner with the supernet's weights; ``export.net`` and `retrain` choose which.

    Args:
        project: whose run folder is read.
        images: from `final_images`.

    Raises:
        MissingInputError: if there is neither.
        CheckpointError, ArchError: if a file belongs to another project.
    """
    choice = chosen(project, images)
    if choice.rival is not None:
        return _of_rival(project, images, choice, choice.rival)
    net = net_of(project, images, choice, partial(images.norm_images, NUM_FINAL_NORM_IMAGES))
    origin = "inherited"
    if choice.folder is not None:
        origin = "scratch" if choice.facts.weights == "scratch" else "finetuned"
    return _final(project, images, net, genes_of(project.space, choice.arch), origin, choice)


def _of_rival(project: Project, images: Images, choice: ChosenNet, rival: KeptRival) -> FinalNet:
    """A rival of one of the run's comparisons, with what was measured of it there."""
    net, row = rival.load(project.space, images.task), rival.row
    measured, threshold = row.latency_ms_measured, choose_threshold(project, images, net)
    latency = LatencyFacts(latency_ms_predicted=None, latency_ms_upper=None, latency_ms_measured=measured, table=rival.table)
    return FinalNet(
        net=net,
        arch=choice.arch,
        weights="scratch" if row.weights == "scratch" else "finetuned",
        sha256=sha256_file(rival.folder / WEIGHTS),
        threshold=None if threshold is None else threshold.threshold,
        params=row.params,
        macs=row.macs or 0,
        latency=latency if measured is not None else None,
        source=row.name,
        choice=threshold,
        space=project.space.name if row.arch is not None else row.kind,
    )


def net_of(project: Project, images: TaskAndSplits, choice: ChosenNet, norm_images: Callable[[], NDArray[np.float32]]) -> nn.Module:
    """The chosen net with its weights, on the CPU; ``norm_images`` are read only where statistics of the supernet are of no net."""
    if choice.rival is not None:
        return choice.rival.load(project.space, images.task)
    genes = genes_of(project.space, choice.arch)
    if choice.folder is not None:
        net = build_ensemble(project.space, images.task, genes, choice.num_members)
        load_weights(choice.folder / WEIGHTS, net)
        return net.eval()
    net = cast(Supernet, load_supernet(project, images)).extract(genes)
    recalibrate(net, norm_images())
    return net.eval()


def _final(
    project: Project,
    images: Images,
    net: nn.Module,
    genes: tuple[int, ...],
    weights: str,
    choice: ChosenNet,
) -> FinalNet:
    row, num = np.array([genes], dtype=np.int16), choice.num_members
    costs = cost_models(project.space, images.task)
    arch = project.space.to_json(row[0])
    threshold = choose_threshold(project, images, net)
    return FinalNet(
        net=net.eval(),
        arch=arch,
        weights=weights,
        sha256=sha256_file((project.run.supernet if choice.folder is None else choice.folder) / WEIGHTS),
        threshold=threshold.threshold if threshold is not None else None,
        params=num * int(costs.params(row)[0]),
        macs=num * int(costs.macs(row)[0]),
        latency=_latency(project.run, arch) if num == 1 else _together(project.run, arch),
        warnings=choice.warnings,
        notes=choice.notes,
        source=choice.source,
        space=project.space.name,
        choice=threshold,
        num_members=num,
    )


def choose_threshold(project: Project, images: Images, net: nn.Module) -> ThresholdChoice | None:
    """The operating threshold of the positive class from the split calibrate, and how it was chosen; None without such a class.

    Where a floor on its sensitivity is asked for (by today's settings, else by the last search): the highest at which the lower end
    of the sensitivity's interval reaches the floor. Else the highest that finds the share ``data.threshold_sensitivity``.

    Raises:
        ConfigError: if images are to be referred to a person, and there is no such class.
    """
    if images.positive is None:
        if project.settings.decision.refer != "none":
            raise ConfigError("decision.refer is set, but no positive class", hint=SET_POSITIVE)
        return None
    images_NCHW, labels_N = images.arrays("calibrate")
    name, settings = images.class_names[images.positive], project.settings.search
    floor, confidence = settings.floors.get(name), settings.confidence
    result = searched(project.run) if floor is None else None
    if result is not None:
        floor, confidence = result.limits.get(f"sensitivity[{name}]"), result.floor_confidence
    p_N, is_positive_N = predict(net, images_NCHW)[:, images.positive], labels_N == images.positive
    if floor is None:
        choice = threshold_choice(p_N, is_positive_N, project.settings.data.threshold_sensitivity)
    else:
        choice = threshold_choice(p_N, is_positive_N, floor, confidence=CONFIDENCE if confidence is None else confidence)
    return with_referral(choice, p_N, is_positive_N, project.settings.decision)


def with_referral(
    choice: ThresholdChoice, p_N: NDArray[np.floating], is_positive_N: NDArray[np.bool_], settings: DecisionSettings
) -> ThresholdChoice:
    """The choice with the zone that a person decides, where one is asked for, and what it is worth on the images that chose."""
    if settings.refer == "none":
        return choice
    target = settings.refer_error if isinstance(settings.refer, str) else None
    if isinstance(settings.refer, str):
        low, high = stats.pick_referral(p_N, is_positive_N, choice.threshold, max_error=settings.refer_error)
    else:
        low, high = settings.refer
    referral = referral_of(p_N, is_positive_N, low, high, choice.threshold, choice.split)
    return replace(choice, refer=ReferralZone(low=low, high=high, target=target, found=referral))


def threshold_choice(
    positive_probability_N: NDArray[np.floating], is_positive_N: NDArray[np.bool_], floor: float, *, confidence: float | None = None
) -> ThresholdChoice:
    """`stats.pick_threshold` with what it finds and costs on the images that chose it; a floor with a confidence was asked for."""
    threshold = stats.pick_threshold(positive_probability_N, is_positive_N, min_sensitivity=floor, confidence=confidence)
    is_called_N = positive_probability_N >= threshold
    num = int(is_positive_N.sum())
    sensitivity = stats.wilson(
        int((is_called_N & is_positive_N).sum()), num, confidence=CONFIDENCE if confidence is None else confidence
    )
    reached = sensitivity.value if confidence is None else sensitivity.low
    return ThresholdChoice(
        threshold=threshold,
        floor=floor,
        confidence=confidence,
        is_asked=confidence is not None,
        is_shown=bool(num and reached >= floor - 1e-9),
        sensitivity=sensitivity,
        false_alarms=stats.wilson(int((is_called_N & ~is_positive_N).sum()), int((~is_positive_N).sum())),
    )


def _latency(run: RunFolder, arch: Arch) -> LatencyFacts | None:
    """What the last search, or `retrain` of the hand-designed net, knew of the latency of this architecture."""
    result, retrained = searched(run), read_retrain(run)
    if result is None:
        return None
    baseline = retrained.baseline.net if retrained is not None and retrained.baseline is not None else None
    for net in (result.winner, *result.finalists, baseline):
        if net is not None and net.arch == arch and net.latency_ms_predicted is not None:
            return LatencyFacts(
                latency_ms_predicted=net.latency_ms_predicted,
                latency_ms_upper=net.latency_ms_upper if isinstance(net, CandidateRow) else None,
                latency_ms_measured=net.latency_ms_measured,
                table=result.table,
                percentiles=net.latency_ms_percentiles if isinstance(net, CandidateRow) else None,
            )
    return None


def _together(run: RunFolder, arch: Arch) -> LatencyFacts | None:
    """What `retrain` knew of the latency of several nets of this architecture together."""
    result, retrained = searched(run), read_retrain(run)
    if retrained is None or retrained.net.arch != arch or retrained.net.ensemble is None:
        return None
    return LatencyFacts(
        latency_ms_predicted=retrained.net.latency_ms_predicted,
        latency_ms_upper=None,
        latency_ms_measured=retrained.net.latency_ms_measured,
        table=result.table if result is not None else None,
    )
