"""The trained nets of a run folder: teacher, supernet, and what is to be deployed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from torch import nn

from edgenas import stats
from edgenas.costs import cost_models, decompose
from edgenas.data.splits import load_splits
from edgenas.errors import CheckpointError, MissingInputError
from edgenas.recipes.project import Images, Project
from edgenas.runs import read_sealed, sha256_file
from edgenas.spaces import Task
from edgenas.supernets import Supernet, build_net, build_supernet
from edgenas.supernets.classical import ClassicalSupernet
from edgenas.training.checkpoints import copy_into, load_weights
from edgenas.training.evaluation import predict, recalibrate

WEIGHTS = "weights.safetensors"
RESULT = "result.json"
SEARCH, RETRAIN = "search result", "retrain result"  # kinds of such files
BASELINE = "baseline"  # folder of the hand-designed net, in that of `retrain`
HAND_DESIGNED = "hand-designed"  # kind of net in its checkpoint
Source = Literal["searched", "baseline"]
RESULT_SCHEMA = 2  # 1: first; 2: with the hash of its content


def has_weights(folder: Path) -> bool:
    """Whether a folder holds trained weights.

    Raises:
        CheckpointError: if something that is no file has their name.
    """
    path = folder / WEIGHTS
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path} is no file", hint="move it away")
    return path.is_file()


def weights_sha256(folder: Path) -> str | None:
    """Hash of the trained weights in a folder; None if there are none."""
    return sha256_file(folder / WEIGHTS) if has_weights(folder) else None


def facts_of(project: Project, images: Images, kind: str, **more: Any) -> dict[str, Any]:
    """What a checkpoint says of itself, and what it must say to be used."""
    task = images.task
    return {
        "net": kind,
        "space": project.space.name,
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


def genes_of(project: Project, arch: Mapping[str, Any]) -> tuple[int, ...]:
    """Genes of a readable architecture.

    Raises:
        ArchError: naming every gene that is not in the space.
    """
    return tuple(int(gene) for gene in project.space.from_json(arch)[0])


def new_supernet(project: Project, task: Task) -> nn.Module:
    """A freshly initialised supernet whose weights are shared as ``train.sharing`` says."""
    if project.settings.train.sharing == "classical":
        return ClassicalSupernet(project.space, task, decompose(project.space, task))
    return build_supernet(project.space, task)


def sharing_facts(project: Project) -> dict[str, Any]:
    """What a supernet's checkpoint says of its weights besides `facts_of`; nothing where they are entangled."""
    sharing = project.settings.train.sharing
    return {} if sharing == "entangled" else {"sharing": sharing}


def images_for(project: Project, images: Images, arch: Mapping[str, Any]) -> Images:
    """The images as the net of a readable architecture reads them: at its own resolution where a gene chooses that."""
    return images.at(project.space.task_of(genes_of(project, arch), images.task).image_px)


def load_supernet(project: Project, images: Images) -> nn.Module:
    """The trained supernet, in eval mode, on the CPU.

    Raises:
        MissingInputError: naming `edgenas train`.
        CheckpointError: if it belongs to other data or another space.
    """
    path = project.run.supernet / WEIGHTS
    if not has_weights(project.run.supernet):
        raise MissingInputError(f"{path} does not exist: there is no supernet yet", hint="run `edgenas train` first")
    tensors, facts = load_weights(path)
    found = {"sharing": "entangled", **facts}
    expected = facts_of(project, images, "supernet", sharing=project.settings.train.sharing)
    require_facts(found, expected, path, "edgenas train --force")
    supernet = new_supernet(project, images.task)
    copy_into(supernet, tensors, path)
    return supernet.eval()


def supernet_epochs(project: Project) -> int:
    """Epochs that the run's supernet was trained for."""
    _, facts = load_weights(project.run.supernet / WEIGHTS)
    return int(facts.get("settings", {}).get("epochs", project.settings.train.epochs))


def supernet_sha256(project: Project) -> str | None:
    """Hash of the supernet's weights, which tells trainings apart; None if there is none."""
    return weights_sha256(project.run.supernet)


def load_search(project: Project) -> dict[str, Any]:
    """The result of `edgenas search`.

    Raises:
        MissingInputError: naming `edgenas search`.
        CheckpointError: if the images were divided otherwise then, or the supernet was another.
    """
    path = project.run.search / RESULT
    if not path.is_file():
        raise MissingInputError(f"{path} does not exist: there is no winner yet", hint="run `edgenas search --latency-ms MS` first")
    result = read_sealed(path, SEARCH, schema_version=RESULT_SCHEMA)
    if result.get("splits_sha256") != load_splits(project.run.splits).sha256:
        raise CheckpointError(f"{path} was chosen when the images were divided otherwise", hint="run `edgenas search` again")
    if has_weights(project.run.supernet) and result.get("supernet_sha256") != supernet_sha256(project):
        raise CheckpointError(f"{path} was chosen with an earlier supernet", hint="run `edgenas search` again")
    if not isinstance(result.get("winner"), dict) or "arch" not in result["winner"]:
        raise MissingInputError(f"{path} names no winner: nothing met its limits", hint="run `edgenas search` with other limits")
    return result


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
        source: ``searched``, or ``baseline`` for the hand-designed one.
    """

    net: nn.Module
    genes: tuple[int, ...]
    arch: dict[str, Any]
    weights: Literal["inherited", "finetuned", "scratch"]
    sha256: str
    threshold: float | None
    params: int
    macs: int
    latency: dict[str, Any] | None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    source: Source = "searched"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which net is deployed.

    Attributes:
        arch: readable.
        folder: of its own weights; None for those of the supernet.
        facts: that these say of themselves.
    """

    arch: dict[str, Any]
    folder: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    source: Source = "searched"
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def final_images(project: Project, images: Images) -> Images:
    """The images as the net of `load_final` reads them.

    Raises:
        MissingInputError, CheckpointError, ArchError: as `load_final`.
    """
    return images_for(project, images, _chosen(project, images).arch)


def load_final(project: Project, images: Images) -> FinalNet:
    """`retrain`'s net when there is one, else the winner with the supernet's weights; ``export.net`` and `retrain` choose which.

    Args:
        project: whose run folder is read.
        images: from `final_images`.

    Raises:
        MissingInputError: if there is neither.
        CheckpointError, ArchError: if a file belongs to another project.
    """
    choice = _chosen(project, images)
    genes = genes_of(project, choice.arch)
    if choice.folder is not None:
        net = build_net(project.space, images.task, genes)
        load_weights(choice.folder / WEIGHTS, net)
        origin: Literal["finetuned", "scratch"] = "scratch" if choice.facts.get("weights") == "scratch" else "finetuned"
        return _final(project, images, net, genes, origin, choice)
    net = cast(Supernet, load_supernet(project, images)).extract(genes)
    recalibrate(net, images.norm_images())
    return _final(project, images, net, genes, "inherited", choice)


def _chosen(project: Project, images: Images) -> Choice:
    """The searched net, unless the hand-designed one is asked for, or was better where `retrain` chose.

    A net of an earlier winner or supernet is not taken by itself.
    """
    asked = project.settings.export.net
    if asked == "baseline":
        return _hand_designed(project, images, ())
    choice = _searched(project, images)
    if choice.folder is None:
        return choice
    result = read_retrain(project)
    by = result.get("chosen_by") or {}
    if result.get("chosen") != "baseline":
        return replace(choice, notes=(by["words"],)) if "words" in by else choice
    baseline = project.run.retrain / BASELINE
    if by.get("weights_sha256") != {"searched": weights_sha256(choice.folder), "baseline": weights_sha256(baseline)}:
        text = f"{project.run.retrain / RESULT} is of other weights than are there; taking the searched net: run `edgenas retrain`"
        return replace(choice, warnings=(*choice.warnings, text))
    if asked == "searched":
        return replace(choice, notes=(f"taking the searched net as asked for; {by['words']}",))
    return _hand_designed(project, images, (by["words"],))


def read_retrain(project: Project) -> dict[str, Any]:
    """What the last `edgenas retrain` reported; empty without one."""
    path = project.run.retrain / RESULT
    return read_sealed(path, RETRAIN, schema_version=RESULT_SCHEMA) if path.is_file() else {}


def _hand_designed(project: Project, images: Images, notes: tuple[str, ...]) -> Choice:
    """The hand-designed net that `retrain --baseline` trained.

    Raises:
        MissingInputError: if there is none.
        CheckpointError: if it belongs to another project.
    """
    folder = project.run.retrain / BASELINE
    if not has_weights(folder):
        raise MissingInputError(
            f"{folder / WEIGHTS} does not exist: there is no hand-made net", hint="run `edgenas retrain --baseline`"
        )
    _, facts = load_weights(folder / WEIGHTS)
    require_facts(facts, facts_of(project, images, HAND_DESIGNED), folder / WEIGHTS, "edgenas retrain --baseline --force")
    return Choice(facts["arch"], folder, facts, "baseline", notes=notes)


def _searched(project: Project, images: Images) -> Choice:
    """`retrain`'s net if it is of today's winner and supernet, else the winner with inherited weights."""
    retrained = project.run.retrain / WEIGHTS
    searched, is_retrained = project.run.search / RESULT, has_weights(project.run.retrain)
    winner = load_search(project)["winner"] if searched.is_file() or not is_retrained else None
    warnings: tuple[str, ...] = ()
    if is_retrained:
        _, facts = load_weights(retrained)
        require_facts(facts, facts_of(project, images, "winner"), retrained, "edgenas retrain --force")
        outdated = _outdated(project, facts, winner)
        if outdated is None:
            return Choice(facts["arch"], project.run.retrain, facts)
        if winner is None or not facts.get("from_search"):
            raise CheckpointError(f"{retrained} {outdated}", hint="run `edgenas retrain` again")
        warnings = (f"{retrained} {outdated}; taking the winner with inherited weights: run `edgenas retrain`",)
    assert winner is not None
    return Choice(dict(winner["arch"]), warnings=warnings)


def _outdated(project: Project, facts: Mapping[str, Any], winner: Mapping[str, Any] | None) -> str | None:
    """Why retrained weights are not those of today's winner or supernet; None if they are."""
    if winner is not None and facts.get("from_search") and facts.get("arch") != winner["arch"]:
        return "holds an earlier winner"
    source = facts.get("supernet_sha256")
    if source is not None and has_weights(project.run.supernet) and source != supernet_sha256(project):
        return "was fine-tuned from an earlier supernet"
    return None


def _final(
    project: Project,
    images: Images,
    net: nn.Module,
    genes: tuple[int, ...],
    weights: Literal["inherited", "finetuned", "scratch"],
    choice: Choice,
) -> FinalNet:
    row = np.array([genes], dtype=np.int16)
    costs = {name: int(model(row)[0]) for name, model in cost_models(project.space, images.task).items()}
    arch = project.space.to_json(row[0])
    return FinalNet(
        net=net.eval(),
        genes=genes,
        arch=arch,
        weights=weights,
        sha256=sha256_file((project.run.supernet if choice.folder is None else choice.folder) / WEIGHTS),
        threshold=choose_threshold(project, images, net),
        params=costs["params"],
        macs=costs["macs"],
        latency=_latency(project, arch),
        warnings=choice.warnings,
        notes=choice.notes,
        source=choice.source,
    )


def choose_threshold(project: Project, images: Images, net: nn.Module) -> float | None:
    """The operating threshold of the positive class from the split calibrate; None without a positive class."""
    if images.positive is None:
        return None
    images_NCHW, labels_N = images.arrays("calibrate")
    floor = project.settings.search.min_sensitivity.get(images.class_names[images.positive])
    searched = project.run.search / RESULT
    if floor is None and searched.is_file():
        limits = read_sealed(searched, SEARCH, schema_version=RESULT_SCHEMA).get("limits", {})
        floor = limits.get(f"sensitivity[{images.class_names[images.positive]}]")
    probabilities_NK = predict(net, images_NCHW)
    return stats.pick_threshold(probabilities_NK[:, images.positive], labels_N == images.positive, min_sensitivity=floor)


def _latency(project: Project, arch: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the last search, or `retrain` of the hand-designed net, knew of the latency of this architecture."""
    path = project.run.search / RESULT
    if not path.is_file():
        return None
    result = read_sealed(path, SEARCH, schema_version=RESULT_SCHEMA)
    for candidate in [result.get("winner"), *result.get("finalists", []), read_retrain(project).get("baseline")]:
        if candidate is not None and candidate["arch"] == arch and candidate.get("latency_ms_predicted") is not None:
            names = ("latency_ms_predicted", "latency_ms_upper", "latency_ms_measured")
            return {**{name: candidate.get(name) for name in names}, "table": result.get("table")}
    return None
