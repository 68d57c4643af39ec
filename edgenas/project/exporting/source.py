"""What is exported: the final net, with the images and the gates that judge what was written of it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.data.hashing import content_hashes
from edgenas.data.images import Images, decode
from edgenas.data.loaders import LazyImages
from edgenas.deploy.parity import Gates, probabilities
from edgenas.deploy.recorded import RecordedAnswers, kept
from edgenas.project.acceptance import require_threshold
from edgenas.project.deployed import FinalNet, final_images, load_final
from edgenas.project.opening import Project
from edgenas.records import Metrics, ThresholdChoice
from edgenas.runs import Note, Record
from edgenas.stats import decide
from edgenas.training.evaluation import logits, report


@dataclass(slots=True)
class _Kept:
    """What is asked of a net once; it changes when that is done."""

    logits_NK: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Source:
    """The net that is exported, its images as it reads them, and what it answers to those of test.

    Attributes:
        project: whose net it is.
        images: of the run, at the net's resolution.
        final: the net.
        gates: limits that every file is held to.
    """

    project: Project
    images: Images
    final: FinalNet
    gates: Gates
    kept: _Kept = field(default_factory=_Kept, compare=False, repr=False)

    @cached_property
    def images_NCHW(self) -> NDArray[np.float32] | LazyImages:  # noqa: N802 - shape suffix
        """The images of test, which are not read before a plan is sealed."""
        return self.images.arrays("test")[0]

    @property
    def labels_N(self) -> NDArray[np.int64]:  # noqa: N802 - shape suffix
        """Their labels."""
        return self.images.labels("test")

    @cached_property
    def hashes_N(self) -> list[str]:  # noqa: N802 - shape suffix
        """SHA-256 of every one of them as it is stored."""
        return content_hashes(self.images.source, self.images.splits["test"])

    def answered(self) -> NDArray[np.float32]:
        """Logits (N, classes) for the images of test, asked for once."""
        if self.kept.logits_NK is None:
            self.kept.logits_NK = logits(self.final.net, self.images_NCHW)
        return self.kept.logits_NK

    def known(self, logits_NK: NDArray[np.float32]) -> None:
        """Take what an interrupted call has found already."""
        self.kept.logits_NK = logits_NK

    @cached_property
    def metrics(self) -> Metrics:
        """Accuracy and sensitivities on test, with intervals."""
        return metrics_of(self.answered(), self.labels_N, self.images, self.final.threshold, self.final.choice)

    @cached_property
    def answers(self) -> RecordedAnswers:
        """What `verify --data` compares with later: the answers to the test images, by their hash."""
        decided_N = decide(probabilities(self.answered()), self.images.positive, self.final.threshold)
        return kept(self.hashes_N, decided_N, self.answered())

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        side = self.images.preprocess.image_px
        return (self.images.task.in_channels, side, side)

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """From a decoded image to what the net reads."""
        return self.images.preprocess.as_json()


def opened_source(project: Project, images: Images, gates: Gates) -> Generator[Record, None, Source]:
    """Load the final net of a run folder and decode the images that choose its threshold.

    Raises:
        MissingInputError: if there is nothing to export yet.
        CheckpointError, ArchError: if a file belongs to another project.
        GateError: if the net's answers to calibrate are no numbers.
    """
    images = final_images(project, images)
    yield from decode(images, "calibrate")
    final = load_final(project, images)
    for warning in final.warnings:
        yield Note(warning, is_warning=True)
    for note in final.notes:
        yield Note(note)
    require_threshold(final)
    return Source(project, images, final, gates)


def metrics_of(
    logits_NK: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    images: Images,
    threshold: float | None,
    choice: ThresholdChoice | None = None,
) -> Metrics:
    """Accuracy and sensitivities of logits of the test split, with intervals."""
    positive = images.class_names[images.positive] if images.positive is not None else None
    return report(
        probabilities(logits_NK),
        labels_N,
        images.class_names,
        positive=positive,
        threshold=threshold,
        sites=images.sites("test"),
        choice=choice,
    )
