"""The deployed net of a run folder, for those who call it from Python."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from torch import Tensor, nn

from edgenas.data import open_source
from edgenas.data.images import NUM_FINAL_NORM_IMAGES
from edgenas.data.splits import Splits, load_splits
from edgenas.predicting.predictor import OneImage, Predictor
from edgenas.project.chosen import chosen
from edgenas.project.deployed import net_of
from edgenas.project.net_facts import BASELINE
from edgenas.project.opening import Project, image_px_of, images_of, no_splits, open_project
from edgenas.records import Prediction
from edgenas.spaces import Task
from edgenas.training.folder import WEIGHTS
from edgenas.training.headers import facts_in


class LoadedNet(nn.Module):
    """The net of a run folder: a module of PyTorch, and beside it what was exported of it, which answers about images.

    Attributes:
        net: plain, for hooks, adapters and quantisers.
        run: its folder.
    """

    def __init__(self, net: nn.Module, run: Path) -> None:
        super().__init__()
        self.net = net
        self.run = run
        self._predictor: Predictor | None = None

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits (N, classes) of normalised images."""
        logits_NK: Tensor = self.net(images_NCHW)
        return logits_NK

    @property
    def predictor(self) -> Predictor:
        """The run's newest artefact in its own runtime, opened when it is first asked for.

        Raises:
            MissingInputError: if nothing was exported yet.
            ArtefactError, MissingBackendError: if it cannot be used here.
        """
        if self._predictor is None:
            self._predictor = Predictor.open(self.run)
            for words in self._predictor.warnings:
                warnings.warn(words, stacklevel=3)
        return self._predictor

    @overload
    def predict(self, images: list[OneImage] | tuple[OneImage, ...]) -> list[Prediction]: ...

    @overload
    def predict(self, images: OneImage) -> Prediction: ...

    def predict(self, images: OneImage | list[OneImage] | tuple[OneImage, ...]) -> Prediction | list[Prediction]:
        """What the exported net says of images, as `Predictor.predict`: a path, a PIL image, an array, or a list of them.

        Raises:
            MissingInputError: if nothing was exported yet.
            DataError: if an image cannot be read, naming it.
        """
        return self.predictor.predict(images)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_predictor": None}  # a session is of one process


def load(run: Path | str = "edgenas-run") -> LoadedNet:
    """The net of a run folder that would be deployed, as `edgenas export` takes it, in eval mode, on the CPU.

    It reads normalised images, float32 of shape (N, 3, H, W), and gives logits of shape (N, classes). Images of the run are read
    only where the net is the winner with the supernet's weights; a folder with a net of `edgenas retrain` needs none. Its method
    ``predict`` asks what was exported of it about image files.

    Args:
        run: the run folder.

    Raises:
        MissingInputError: if there is no project, or no net yet, naming the command that makes it.
        CheckpointError, ArchError: if a file belongs to another project.
        DataError: if images are needed and changed.
    """
    project = open_project(Path(run), {}, ())
    data = _Divided.open(project)
    net = net_of(project, data, chosen(project, data), lambda: images_of(project).norm_images(NUM_FINAL_NORM_IMAGES))
    return LoadedNet(net, Path(run)).eval()


@dataclass(frozen=True, slots=True)
class _Divided:
    """The task and the splits of a run folder, without its images."""

    task: Task
    splits: Splits

    @classmethod
    def open(cls, project: Project) -> _Divided:
        run = project.run
        if not run.splits.exists():
            raise no_splits(run)
        splits, settings = load_splits(run.splits), project.settings
        image_px = settings.data.image_px
        for folder in (run.retrain, run.retrain / BASELINE, run.supernet):  # they say what the data chose
            said = facts_in(folder / WEIGHTS).get("image_px")
            if image_px is None and isinstance(said, int):
                image_px = said
        if image_px is None:
            image_px = image_px_of(settings, open_source(settings.data.source, settings.data.map_label))
        return cls(Task(len(splits.class_names), 3, image_px), splits)
