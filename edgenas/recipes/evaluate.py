"""`edgenas evaluate`: accuracy and sensitivity of what would be deployed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenas.config import Flags
from edgenas.data.images import Images, decode
from edgenas.errors import RunFolderError
from edgenas.project.answers import keep_answers
from edgenas.project.deployed import FinalNet, final_images, load_final
from edgenas.project.opening import open_images, open_project
from edgenas.project.published import published_rows
from edgenas.records import EvaluateResult, Metrics, Scores
from edgenas.runs import Note, Outcome, Record, RunFolder
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
    yield from (Note(warning, is_warning=True) for warning in final.warnings)
    yield from (Note(note) for note in final.notes)
    probabilities_NK = predict(final.net.to(device), images.arrays(config.split)[0])
    if config.split == "test":
        _keep(project.run, images, final, probabilities_NK)
    metrics = _metrics(images, config.split, final, probabilities_NK)
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
        scores=_scores(images, config.split, final.threshold, probabilities_NK, config.prevalence),
        published=published_rows(project.space, images, config.split) or None,
    )
    yield Outcome(result)


def _keep(run: RunFolder, images: Images, final: FinalNet, probabilities_NK: NDArray[np.floating]) -> None:
    """Keep what the net answered to test for the page; in a run folder that is read-only the page names the command again."""
    with suppress(RunFolderError):
        keep_answers(run, images, probabilities_NK, net=final.source, weights_sha256=final.sha256, threshold=final.threshold)


def _metrics(images: Images, split: str, final: FinalNet, probabilities_NK: NDArray[np.floating]) -> Metrics:
    """Accuracy and sensitivities by the rule that ships."""
    return report(
        probabilities_NK,
        images.labels(split),
        images.class_names,
        positive=None if images.positive is None else images.class_names[images.positive],
        threshold=final.threshold,
        sites=images.sites(split),
        choice=final.choice,
        split=split,
    )


def _scores(
    images: Images, split: str, threshold: float | None, probabilities_NK: NDArray[np.floating], prevalence: float | None
) -> Scores:
    """Scores of every class against the others, those at a prevalence where one is stated."""
    decided_N = decide(probabilities_NK, images.positive, threshold)
    return scores(probabilities_NK, decided_N, images.labels(split), images.class_names, prevalence=prevalence)
