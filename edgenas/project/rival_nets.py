"""Rivals of the searched net that `edgenas compare` trained: built again, with PyTorch, from what their checkpoints say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgenas.errors import CheckpointError, UsageError
from edgenas.project.net_facts import TaskAndSplits, facts_of, genes_of, require_facts, told_by
from edgenas.project.opening import Project
from edgenas.project.results import RESULT
from edgenas.records import SEARCHED, Arch, ComparedNet, CompareResult, RivalFacts, TableFacts
from edgenas.runs import RunFolder
from edgenas.spaces import SearchSpace, Task
from edgenas.training.folder import WEIGHTS, has_weights

if TYPE_CHECKING:
    from torch import nn

    from edgenas.training.timm_nets import TimmNet

OWN = ("auto", "searched", "baseline")  # what `export.net` may be without any comparison
EARLIER = "earlier"  # folder of what comparisons reported of nets that the last one does not name
RIVAL = "rival"  # kind of net in checkpoints, and the key of what they say of it


def build_rival(facts: RivalFacts, task: Task, pretrained: Path | None = None) -> nn.Module:
    """A rival as it is before its training, with the weights that it starts from; drawn ones are from PyTorch's generator.

    Args:
        facts: what it is.
        task: of the project; the rival's own side counts.
        pretrained: file of the weights that it starts from.

    Raises:
        UsageError, CheckpointError: if it cannot be built, or its given weights cannot be read.
    """
    from edgenas.training.cnn import cnn_for
    from edgenas.training.timm_nets import AsItWasTrained

    if facts.kind != "timm":
        assert facts.width is not None
        return cnn_for(replace(task, image_px=facts.image_px), facts.width)
    net = timm_net(facts)
    if facts.pretrained is None:
        return net.build(task.num_classes, task.in_channels)
    assert facts.mean is not None
    assert facts.std is not None
    if pretrained is None:  # its own weights come next
        return AsItWasTrained(net.build(task.num_classes, task.in_channels), facts.mean, facts.std)
    return AsItWasTrained(net.with_weights(pretrained, task.num_classes, task.in_channels), facts.mean, facts.std)


def timm_net(facts: RivalFacts) -> TimmNet:
    """The net of timm that a rival is."""
    from edgenas.training.timm_nets import TimmNet

    assert facts.model is not None
    return TimmNet(facts.model, facts.image_px, facts.stem_stride)


def keep_compare(run: RunFolder, result: CompareResult) -> None:
    """Write what a comparison reports; an earlier report that names other nets is kept beside it, in ``earlier``."""
    before = read_compare(run)
    if before is not None and before.exportable - result.exportable:
        before.write(run.compare / EARLIER / f"{len(_earlier(run)):03}.json")
    result.write(run.compare / RESULT)


def read_compare(run: RunFolder) -> CompareResult | None:
    """What the last `edgenas compare` reported; None without one."""
    path = run.compare / RESULT
    return CompareResult.read(path) if path.is_file() else None


def _earlier(run: RunFolder) -> list[CompareResult]:
    """What earlier comparisons reported, the latest first."""
    return [CompareResult.read(path) for path in sorted((run.compare / EARLIER).glob("*.json"), reverse=True)]


@dataclass(frozen=True, slots=True)
class KeptRival:
    """A trained rival in a run folder.

    Attributes:
        row: as the comparison reports it.
        table: whose device it was timed on there; None where nothing was.
        folder: of its weights.
        facts: what these say of it; None for a net of the space.
    """

    row: ComparedNet
    table: TableFacts | None
    folder: Path
    facts: RivalFacts | None

    @property
    def arch(self) -> Arch:
        """What the net is: readable genes, or timm's name with side and stride, or the width of a plain CNN."""
        if self.row.arch is not None:
            return self.row.arch
        assert self.facts is not None
        plain = self.facts.as_json()
        return {name: plain[name] for name in ("model", "image_px", "stem_stride", "width") if plain[name] is not None}

    def load(self, space: SearchSpace, task: Task) -> nn.Module:
        """The net as it is deployed, in eval mode, on the CPU."""
        from edgenas.supernets import build_net
        from edgenas.training.checkpoints import load_weights
        from edgenas.training.timm_nets import deployable

        if self.facts is None:
            assert self.row.arch is not None
            net = build_net(space, task, genes_of(space, self.row.arch))
        else:
            net = build_rival(self.facts, task)
        load_weights(self.folder / WEIGHTS, net)
        return deployable(net) if self.facts is not None else net.eval()


def find_rival(project: Project, images: TaskAndSplits, name: str) -> KeptRival:
    """The rival of a name in the latest of the run's comparisons that knows it.

    Raises:
        UsageError: if there is none, with the names there are, or it is not one that can be exported.
        CheckpointError: if its weights are gone, or are of other images.
    """
    last = read_compare(project.run)
    results = [] if last is None else [last, *_earlier(project.run)]
    rows = [net for result in results for net in result.nets if net.kind != SEARCHED]
    result = next((each for each in results if name in each.exportable), None)
    row = next((net for net in (rows if result is None else result.nets) if net.name == name), None)
    if row is None:
        names = list(dict.fromkeys((*OWN, *(net.name for net in rows))))
        near = get_close_matches(name, names, n=1)
        hint = f"there are {', '.join(names)}" + (f"; did you mean {near[0]!r}?" if near else "")
        hint += "" if rows else "; `edgenas compare` trains rivals"
        raise UsageError(f"there is no net {name!r} to export", hint=hint)
    if row.folder is None:
        raise UsageError(f"{name} was trained elsewhere and only judged here", hint=_elsewhere(row))
    folder = project.run.path / row.folder
    if not has_weights(folder):
        raise CheckpointError(f"{folder / WEIGHTS} does not exist", hint="run `edgenas compare` again")
    plain = told_by(folder / WEIGHTS)
    said = _said(plain)
    own = facts_of(project.space if said is None else None, images, str(plain.get("net")))
    require_facts(plain, own, folder / WEIGHTS, "edgenas compare")
    return KeptRival(row, None if result is None else result.table, folder, said)


def _said(plain: Mapping[str, Any]) -> RivalFacts | None:
    """What a checkpoint says of a net of no space; None for one of the space."""
    if isinstance(plain.get(RIVAL), Mapping):
        return RivalFacts.from_json(plain[RIVAL])
    if "width" in plain:
        return RivalFacts(kind="cnn", image_px=int(plain["image_px"]), width=int(plain["width"]))
    return None


def _elsewhere(row: ComparedNet) -> str:
    return "it is an ONNX file already" if row.kind == "onnx" else "export it from its own run folder: `edgenas export --run DIR`"
