"""What trained nets say of themselves, and what of a project they must agree with; without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from edgenas.data.images import Images
from edgenas.data.splits import Splits
from edgenas.errors import CheckpointError
from edgenas.records import Arch
from edgenas.spaces import SearchSpace, Task
from edgenas.training.headers import facts_in

BASELINE = "baseline"  # folder of the hand-designed net, in that of `retrain`
HAND_DESIGNED = "hand-designed"  # kind of net in its checkpoint


class TaskAndSplits(Protocol):
    """What trained nets are of: the task that images set, and which image is in which split."""

    @property
    def task(self) -> Task:
        """Classes, channels and resolution of the project."""
        ...

    @property
    def splits(self) -> Splits:
        """With the fingerprint of the data."""
        ...


def facts_of(space: SearchSpace | None, images: TaskAndSplits, kind: str, **more: Any) -> dict[str, Any]:
    """What a checkpoint says of itself, and what it must say to be used.

    Args:
        space: that the net is of; None for a net of no space, which is the same whatever space is searched beside it.
        images: that it learns, or learned.
        kind: of the net.
        more: that it says besides.
    """
    task = images.task
    return {
        "net": kind,
        **({} if space is None else {"space": space.name}),
        "num_classes": task.num_classes,
        "in_channels": task.in_channels,
        "image_px": task.image_px,
        "data_fingerprint": images.splits.fingerprint,
        "splits_sha256": images.splits.sha256,
        **more,
    }


def require_facts(facts: Mapping[str, Any], expected: Mapping[str, Any], path: Path, command: str) -> None:
    """Check that a checkpoint belongs to this project.

    Raises:
        CheckpointError: naming every difference.
    """
    problems = [
        f"{name} is {facts.get(name)!r} there, {value!r} here" for name, value in expected.items() if facts.get(name) != value
    ]
    if problems:
        raise CheckpointError(f"{path} belongs to another project", problems=problems, hint=f"run `{command}`")


def genes_of(space: SearchSpace, arch: Arch) -> tuple[int, ...]:
    """Genes of a readable architecture.

    Raises:
        ArchError: naming every gene that is not in the space.
    """
    return tuple(int(gene) for gene in space.from_json(arch)[0])


def told_by(path: Path) -> Mapping[str, Any]:
    """The facts of a file of weights; its tensors are read, with PyTorch, only where it tells none, to say what is wrong with it.

    Raises:
        CheckpointError: if the file is missing or cannot be used.
    """
    facts = facts_in(path)
    if facts:
        return facts
    from edgenas.training.checkpoints import load_weights

    return load_weights(path)[1]


def images_for(space: SearchSpace, images: Images, arch: Arch) -> Images:
    """The images as the net of a readable architecture reads them: at its own resolution where a gene chooses that."""
    return images.at(space.task_of(genes_of(space, arch), images.task).image_px)
