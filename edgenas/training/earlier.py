"""Nets that an earlier edgenas trained, built again from what their checkpoints say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

from torch import Tensor, nn

from edgenas.data.splits import load_splits
from edgenas.errors import CheckpointError
from edgenas.records import CheckpointFacts
from edgenas.runs import RunFolder
from edgenas.spaces import SearchSpace, Task, get_space
from edgenas.supernets import Supernet, build_supernet
from edgenas.supernets.bilateral import with_both_sides
from edgenas.supernets.ensemble import build_ensemble, member_prefix
from edgenas.training.checkpoints import copy_into, load_weights
from edgenas.training.folder import WEIGHTS
from edgenas.training.headers import facts_in


@dataclass(frozen=True, slots=True)
class Earlier:
    """A supernet or a plain net of a space, with its weights.

    Attributes:
        path: of the weights.
        tensors: by name.
        space: that it is of.
        task: that it was trained for.
        arch: genes of a plain net; None for a supernet.
        class_names: in the order of the logits; None where nothing tells.
        sharing: of a supernet.
        num_members: plain nets of the architecture that answer together.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    space: SearchSpace
    task: Task
    arch: tuple[int, ...] | None
    class_names: tuple[str, ...] | None
    sharing: str = "entangled"
    num_members: int = 1

    def first(self) -> Self:
        """The first alone of several nets that answer together; any other net as it is."""
        if self.num_members == 1:
            return self
        prefix = member_prefix(0)
        own = {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}
        return replace(self, tensors=own, num_members=1)

    def net(self, genes: tuple[int, ...] | None = None) -> nn.Module:
        """The plain net in eval mode, or several that answer together; of a supernet the one of ``genes``, by default its largest.

        Raises:
            CheckpointError: if the weights are not those of the net, or of a supernet whose nets share no weights.
        """
        if self.arch is not None:
            net = build_ensemble(self.space, self.task, self.arch, self.num_members)
            copy_into(net, dict(self.tensors), self.path)
            return net.eval()
        if self.sharing == "classical":
            raise CheckpointError(f"{self.path} holds a supernet whose nets share no weights: there is no largest net in it")
        supernet = build_supernet(self.space, self.task)
        supernet = with_both_sides(supernet) if self.sharing == "bilateral" else supernet
        copy_into(supernet, dict(self.tensors), self.path)
        row = genes if genes is not None else tuple(int(gene) for gene in self.space.extreme(largest=True)[0])
        return cast(Supernet, supernet.eval()).extract(row)


def is_run(path: Path) -> bool:
    """Whether a path is that of a run folder."""
    return path.is_dir() and RunFolder(path).config.is_file()


def weights_in(run: Path, *, prefers: str) -> Path:
    """The weights of a run's ``supernet`` or of its ``retrain``, whichever is preferred; the other where there is just that.

    Raises:
        CheckpointError: if there is neither.
    """
    folder = RunFolder(run)
    paths = {"supernet": folder.supernet / WEIGHTS, "retrain": folder.retrain / WEIGHTS}
    for name in sorted(paths, key=lambda each: each != prefers):
        if paths[name].is_file():
            return paths[name]
    raise CheckpointError(f"{run} holds neither a supernet nor a retrained net", hint="run `edgenas train` there first")


def read_earlier(path: Path, run: Path | None = None) -> Earlier | None:
    """A net of a space with what its file says of itself; None for a file of others, or of a net that is of no space.

    Args:
        path: of the weights.
        run: the run folder that they are of, which tells the names of the classes.

    Raises:
        CheckpointError: if the file is damaged.
        UsageError, ArchError: if its space or architecture is not known here.
    """
    facts = facts_in(path)
    if not isinstance(facts.get("space"), str) or (facts.get("net") != "supernet" and "arch" not in facts):
        return None
    tensors, plain = load_weights(path)
    space = get_space(str(plain["space"]))
    said = CheckpointFacts.said_by(path, plain)
    arch = said.arch
    return Earlier(
        path=path,
        tensors=tensors,
        space=space,
        task=_task(plain),
        arch=None if arch is None else tuple(int(gene) for gene in space.from_json(arch)[0]),
        class_names=_class_names(run),
        sharing=str(plain.get("sharing", "entangled")),
        num_members=said.ensemble if said.ensemble is not None else 1,
    )


def _task(facts: Mapping[str, Any]) -> Task:
    return Task(int(facts["num_classes"]), int(facts["in_channels"]), int(facts["image_px"]))


def _class_names(run: Path | None) -> tuple[str, ...] | None:
    path = None if run is None else RunFolder(run).splits
    return load_splits(path).class_names if path is not None and path.is_file() else None
