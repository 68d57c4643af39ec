"""The trained nets of a run folder, what they say of themselves, and the results that chose them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from edgenas.costs import decompose
from edgenas.data.images import Images
from edgenas.data.splits import Splits, load_splits
from edgenas.errors import CheckpointError, MissingInputError
from edgenas.project.opening import Project
from edgenas.project.training_settings import TrainSettings
from edgenas.records import Arch, CandidateRow, CheckpointFacts, RetrainResult, SearchResult
from edgenas.runs import RunFolder, stages
from edgenas.spaces import SearchSpace, Task
from edgenas.supernets import build_supernet
from edgenas.supernets.bilateral import with_both_sides
from edgenas.supernets.classical import ClassicalSupernet
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.training.checkpoints import copy_into, load_weights
from edgenas.training.folder import WEIGHTS, has_weights, weights_sha256
from edgenas.training.sampling import SAMPLING_RULES, WithIdentities

RESULT = stages.RESULT
BASELINE = "baseline"  # folder of the hand-designed net, in that of `retrain`
HAND_DESIGNED = "hand-designed"  # kind of net in its checkpoint


class Divided(Protocol):
    """What trained nets are of: the task that images set, and which image is in which split."""

    @property
    def task(self) -> Task:
        """Classes, channels and resolution of the project."""
        ...

    @property
    def splits(self) -> Splits:
        """With the fingerprint of the data."""
        ...


def facts_of(space: SearchSpace, images: Divided, kind: str, **more: Any) -> dict[str, Any]:
    """What a checkpoint says of itself, and what it must say to be used."""
    task = images.task
    return {
        "net": kind,
        "space": space.name,
        "num_classes": task.num_classes,
        "in_channels": task.in_channels,
        "image_px": task.image_px,
        "data_fingerprint": images.splits.fingerprint,
        "splits_sha256": images.splits.sha256,
        **more,
    }


def require_facts(found: Mapping[str, Any], expected: Mapping[str, Any], path: Path, command: str) -> None:
    """Check that a checkpoint belongs to this project.

    Raises:
        CheckpointError: naming every difference.
    """
    problems = [
        f"{name} is {found.get(name)!r} there, {value!r} here" for name, value in expected.items() if found.get(name) != value
    ]
    if problems:
        raise CheckpointError(f"{path} belongs to another project", problems=problems, hint=f"run `{command}`")


def genes_of(space: SearchSpace, arch: Arch) -> tuple[int, ...]:
    """Genes of a readable architecture.

    Raises:
        ArchError: naming every gene that is not in the space.
    """
    return tuple(int(gene) for gene in space.from_json(arch)[0])


def new_supernet(project: Project, task: Task) -> nn.Module:
    """A freshly initialised supernet whose weights are shared as `sharing_of` says.

    Raises:
        UsageError: if its subnets are to be run with both of their sides, but have one.
    """
    sharing = sharing_of(project.settings.train)
    if sharing == "classical":
        return ClassicalSupernet(project.space, task, decompose(project.space, task))
    supernet = build_supernet(project.space, task)
    if sharing == "bilateral":
        supernet = with_both_sides(supernet)
    if isinstance(supernet, SlicedSupernet):
        supernet.drop_path_rate = project.settings.train.supernet_drop_path_rate
    return supernet


def sharing_of(settings: TrainSettings) -> str:
    """How subnets share weights: ``entangled``, ``classical``, or ``bilateral`` where each is run with both of its sides."""
    rule = SAMPLING_RULES.find(settings.sampling)
    return "bilateral" if isinstance(rule, WithIdentities) and rule.both_sides else settings.sharing


def sharing_facts(sharing: str) -> dict[str, Any]:
    """What a supernet's checkpoint says of its weights besides `facts_of`; nothing where they are entangled."""
    return {} if sharing == "entangled" else {"sharing": sharing}


def images_for(space: SearchSpace, images: Images, arch: Arch) -> Images:
    """The images as the net of a readable architecture reads them: at its own resolution where a gene chooses that."""
    return images.at(space.task_of(genes_of(space, arch), images.task).image_px)


def load_supernet(project: Project, images: Divided) -> nn.Module:
    """The trained supernet, in eval mode, on the CPU.

    Raises:
        MissingInputError: naming `edgenas train`.
        CheckpointError: if it belongs to other data or another space.
    """
    path = project.run.supernet / WEIGHTS
    if not has_weights(project.run.supernet):
        raise MissingInputError(f"{path} does not exist: there is no supernet yet", hint="run `edgenas train` first")
    tensors, facts = load_weights(path)
    told = {"sharing": "entangled", **facts}
    expected = facts_of(project.space, images, "supernet", sharing=sharing_of(project.settings.train))
    require_facts(told, expected, path, "edgenas train --force")
    supernet = new_supernet(project, images.task)
    copy_into(supernet, tensors, path)
    return supernet.eval()


def supernet_epochs(project: Project) -> int:
    """Epochs that the run's supernet was trained for; those of the settings where it is still to be trained."""
    if not has_weights(project.run.supernet):
        return project.settings.train.epochs
    trained_for = CheckpointFacts.from_json(load_weights(project.run.supernet / WEIGHTS)[1]).settings
    if trained_for is None or trained_for.epochs is None:
        return project.settings.train.epochs
    return trained_for.epochs


def searched(run: RunFolder) -> SearchResult | None:
    """The result of the run's search, whatever it was made with; None without one."""
    path = run.search / RESULT
    return SearchResult.read(path) if path.is_file() else None


def winner_of(project: Project) -> CandidateRow:
    """The winner of `edgenas search`.

    Raises:
        MissingInputError: naming `edgenas search`.
        CheckpointError: if the images were divided otherwise then, or the supernet was another.
    """
    path, result = project.run.search / RESULT, searched(project.run)
    if result is None:
        raise MissingInputError(f"{path} does not exist: there is no winner yet", hint="run `edgenas search --latency-ms MS` first")
    if result.splits_sha256 != load_splits(project.run.splits).sha256:
        raise CheckpointError(f"{path} was chosen when the images were divided otherwise", hint="run `edgenas search` again")
    if has_weights(project.run.supernet) and result.supernet_sha256 != weights_sha256(project.run.supernet):
        raise CheckpointError(f"{path} was chosen with an earlier supernet", hint="run `edgenas search` again")
    if result.winner is None:
        raise MissingInputError(f"{path} names no winner: nothing met its limits", hint="run `edgenas search` with other limits")
    return result.winner


def finals_of(project: Project, num: int) -> list[CandidateRow]:
    """The winner of `edgenas search` and the nets that its proof ranks next, up to ``num`` together.

    Nets that were not proven as long as the winner, and those that miss a floor that it keeps, are not among them; inherited
    accuracy alone makes nobody a final.

    Raises:
        MissingInputError: naming `edgenas search`.
        CheckpointError: as `winner_of`.
    """
    winner, result = winner_of(project), searched(project.run)
    assert result is not None
    if winner.proof is None:
        return [winner]
    proof, rivals = winner.proof, []
    for row in result.finalists:
        if row.arch == winner.arch or row.rejected_by or row.proof is None or row.proof.epochs != proof.epochs:
            continue
        if len(row.proof.low_floors or ()) <= len(proof.low_floors or ()):
            rivals.append((-row.proof.score, row))
    rivals.sort(key=lambda each: each[0])
    return [winner, *(row for _, row in rivals[: num - 1])]


def read_retrain(run: RunFolder) -> RetrainResult | None:
    """What the last `edgenas retrain` reported; None without one."""
    path = run.retrain / RESULT
    return RetrainResult.read(path) if path.is_file() else None
