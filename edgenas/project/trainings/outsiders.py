"""Nets that teach without being trained here: ``onnx:FILE``, and ``run:FOLDER`` for an earlier run's net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from edgenas.data.images import Images
from edgenas.data.pixels import stored_preprocess
from edgenas.data.preprocess import IMAGENET_MEAN, IMAGENET_STD
from edgenas.data.splits import load_splits
from edgenas.errors import CheckpointError, EdgeNASError
from edgenas.project.net_facts import BASELINE
from edgenas.project.results import read_retrain, searched
from edgenas.records import Manifest
from edgenas.runs import RunFolder, read_json, sha256_file
from edgenas.training.earlier import Earlier, is_run, read_earlier
from edgenas.training.folder import WEIGHTS
from edgenas.training.outside import OnnxNet

ONNX, RUN = "onnx:", "run:"
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Reads:
    """The images that a net is said to read, where its file does not say it; None and nothing where that is not said either."""

    image_px: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outsider:
    """A net with the images that it reads.

    Attributes:
        net: images to logits, in eval mode.
        sha256: of its weights' file; None where it is still to be trained.
        image_px: side of its images.
        mean, std: of its normalisation.
        columns: for every class of the project, the net's logit; None where they are in order.
    """

    net: nn.Module
    sha256: str | None
    image_px: int
    mean: Sequence[float]
    std: Sequence[float]
    columns: Sequence[int] | None = None


def is_outside(name: str) -> bool:
    """Whether a teacher of this name is never trained here."""
    return name.startswith((ONNX, RUN))


def open_outsider(name: str, said: Reads, images: Images) -> Outsider:
    """The net that ``onnx:FILE`` or ``run:FOLDER`` means, with its own resolution, normalisation and order of classes.

    Raises:
        CheckpointError: if it cannot be read, or is of other classes.
        MissingBackendError: without ONNX Runtime.
    """
    kind, _, text = name.partition(":")
    return _of_file(Path(text), said, images) if f"{kind}:" == ONNX else _of_run(Path(text), said, images)


def _of_file(path: Path, said: Reads, images: Images) -> Outsider:
    if not path.exists():
        raise CheckpointError(f"{path} does not exist", hint="a teacher of ONNX is written onnx:FILE")
    net = OnnxNet(path, said.image_px if said.image_px is not None else images.task.image_px)
    manifest = _manifest_of(path)
    if manifest is None:
        if net.num_classes != len(images.class_names):
            raise CheckpointError(f"{path} tells {net.num_classes} classes apart, the images are of {len(images.class_names)}")
        mean, std = said.mean or IMAGENET_MEAN, said.std or IMAGENET_STD
        columns = same_classes(said.classes or images.class_names, images.class_names, "teacher.classes")
        return Outsider(net.eval(), sha256_file(path), net.image_px, mean, std, columns)
    mean, std = (tuple(map(float, values)) for values in (manifest.pixels.mean, manifest.pixels.std))
    columns = same_classes(said.classes or manifest.classes, images.class_names, str(path))
    return Outsider(net.eval(), sha256_file(path), net.image_px, said.mean or mean, said.std or std, columns)


def _manifest_of(path: Path) -> Manifest | None:
    """What edgenas wrote beside a file that it exported; None where the file is of others."""
    beside = path.parent / MANIFEST
    if not beside.is_file():
        return None
    try:
        manifest = Manifest.from_json(read_json(beside))
    except EdgeNASError:
        return None  # of something else
    return manifest if any(file.path == path.name for file in manifest.files) else None


def _of_run(folder: Path, said: Reads, images: Images) -> Outsider:
    if not is_run(folder):
        raise CheckpointError(f"{folder} is no run folder of edgenas", hint="a teacher of an earlier run is written run:FOLDER")
    earlier, genes = _final(folder)
    if earlier.class_names is None:
        raise CheckpointError(f"{folder} does not say which classes its net tells apart: {RunFolder(folder).splits} is missing")
    columns = same_classes(said.classes or earlier.class_names, images.class_names, str(folder))
    task = earlier.space.task_of(genes, earlier.task)
    read = stored_preprocess(load_splits(RunFolder(folder).splits).pixels, task.image_px)
    return Outsider(earlier.net(genes), sha256_file(earlier.path), task.image_px, read.mean, read.std, columns)


def _final(folder: Path) -> tuple[Earlier, tuple[int, ...]]:
    """The net that a run would deploy: `retrain`'s choice, else its search's winner with the supernet's weights.

    Raises:
        CheckpointError: if there is neither.
    """
    run = RunFolder(folder)
    retrained, result = read_retrain(run), searched(run)
    path = run.retrain / WEIGHTS
    if retrained is not None and retrained.chosen == BASELINE and (run.retrain / BASELINE / WEIGHTS).is_file():
        path = run.retrain / BASELINE / WEIGHTS
    if path.is_file():
        earlier = read_earlier(path, folder)
        if earlier is not None and earlier.arch is not None:
            return earlier, earlier.arch
    winner = result.winner if result is not None else None
    if winner is not None and (run.supernet / WEIGHTS).is_file():
        earlier = read_earlier(run.supernet / WEIGHTS, folder)
        if earlier is not None:
            return earlier, tuple(int(gene) for gene in earlier.space.from_json(winner.arch)[0])
    raise CheckpointError(f"{folder} holds no retrained net and no winner", hint="run `edgenas retrain` there first")


def same_classes(theirs: Sequence[str], ours: Sequence[str], source: str) -> list[int] | None:
    """For every class of ours, where it is among theirs; None where the order is the same.

    Raises:
        CheckpointError: naming the classes that only one side has.
    """
    if tuple(theirs) == tuple(ours):
        return None
    missing, more = [name for name in ours if name not in theirs], [name for name in theirs if name not in ours]
    if missing or more:
        problems = [f"{', '.join(missing)} it does not know"] if missing else []
        problems += [f"{', '.join(more)} the images do not have"] if more else []
        raise CheckpointError(f"{source} tells other classes apart", problems=problems)
    return [list(theirs).index(name) for name in ours]
