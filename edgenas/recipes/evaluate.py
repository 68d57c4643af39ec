"""`edgenas evaluate`: accuracy and sensitivity of what would be deployed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgenas.config import Flags
from edgenas.data.images import decode
from edgenas.errors import RunFolderError
from edgenas.project.answers import keep_answers
from edgenas.project.deployed import final_images, load_final
from edgenas.project.opening import open_images, open_project
from edgenas.project.published import published_rows
from edgenas.records import EvaluateResult
from edgenas.runs import Note, Outcome, Record
from edgenas.stats import decide
from edgenas.training.devices import torch_device
from edgenas.training.evaluation import predict, report
from edgenas.training.scores import scores


@dataclass(frozen=True, slots=True)
class EvaluateConfig:
    """What `edgenas evaluate` was asked for."""

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    split: str
    device: str = "auto"
    prevalence: float | None = None


def run(config: EvaluateConfig) -> Iterator[Record]:
    """Report one split.

    Raises:
        MissingInputError: if there is no net yet.
    """
    project = open_project(config.run, config.flags, config.overrides)
    device = torch_device(config.device)
    images = final_images(project, open_images(project))
    yield from decode(images, "calibrate", config.split)
    final = load_final(project, images)
    for warning in final.warnings:
        yield Note(warning, is_warning=True)
    for note in final.notes:
        yield Note(note)
    images_NCHW, labels_N = images.arrays(config.split)
    probabilities_NK = predict(final.net.to(device), images_NCHW)
    if config.split == "test":
        with suppress(RunFolderError):  # a run folder may be read-only; then the page names the command again
            keep_answers(
                *(project.run, images, probabilities_NK),
                net=final.source,
                weights_sha256=final.sha256,
                threshold=final.threshold,
            )
    metrics = report(
        probabilities_NK,
        labels_N,
        images.class_names,
        positive=project.settings.data.positive,
        threshold=final.threshold,
        sites=images.sites(config.split),
        choice=final.choice,
        split=config.split,
    )
    doubts = metrics.doubts(f"the net on {config.split}")
    yield from [] if doubts is None else [Note(doubts, is_warning=True)]
    result = EvaluateResult(
        split=config.split,
        weights=final.weights,
        net=final.source,
        arch=final.arch,
        params=final.params,
        macs=final.macs,
        metrics=metrics,
        scores=scores(
            probabilities_NK,
            decide(probabilities_NK, images.positive, final.threshold),
            labels_N,
            images.class_names,
            prevalence=config.prevalence,
        ),
        published=published_rows(project.space, images, config.split) or None,
    )
    yield Outcome(result)
