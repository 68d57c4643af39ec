"""The nets of a comparison once each is trained: the searched one, and what it has had, first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from edgenas.data.images import Images
from edgenas.errors import MissingInputError
from edgenas.project.chosen import ChosenNet, chosen
from edgenas.project.deployed import net_of
from edgenas.project.net_facts import images_for
from edgenas.project.nets import supernet_epochs
from edgenas.project.opening import Project
from edgenas.project.results import read_retrain, searched
from edgenas.project.retraining.ways import Net
from edgenas.records import SEARCHED, Arch, NetReport, TrainedWay
from edgenas.runs import RunFolder
from edgenas.runs.stages import typed
from edgenas.training.folder import epochs_of, seconds_of, weights_sha256
from edgenas.training.timm_nets import costs_of


@dataclass(frozen=True, slots=True)
class Contender:
    """A net that is trained and waits to be timed and judged.

    Attributes:
        name, kind, family: as in `ComparedNet`.
        net: normalised images at ``images``' side to logits, in eval mode, on the CPU.
        images: as it reads them.
        source: what is exported and timed: the net as it is deployed, or an ONNX file.
        params, macs: of the net as it is deployed.
        arch, weights, pretrained, teaching, epochs, seconds, search_s, starts, stem_stride, notes: as in `ComparedNet`.
        folder: of its weights; None where `export` does not write it.
        num_members: nets of the architecture that answer together.
    """

    name: str
    kind: str
    family: str
    net: nn.Module
    images: Images
    source: nn.Module | Path
    params: int
    macs: int | None
    weights: str
    epochs: int | None
    seconds: float | None
    arch: Arch | None = None
    pretrained: str | None = None
    teaching: str | None = None
    search_s: float | None = None
    starts: tuple[TrainedWay, ...] = ()
    stem_stride: int | None = None
    folder: Path | None = None
    notes: tuple[str, ...] = ()
    num_members: int = 1

    @property
    def image_px(self) -> int:
        """Side of the images that it reads."""
        return self.images.preprocess.image_px


@dataclass(frozen=True, slots=True)
class Ours:
    """The searched net as `retrain` trained it, and what its weights have had.

    Attributes:
        arch: readable.
        contender: as the others are judged.
        sha256: of its weights.
        epochs: that they have seen, in the supernet too where they were inherited.
        seconds: that these took; None where a log is gone.
        teachings: in which it was trained, of which the best on select was kept; rivals are tried in the same.
        rates: learning rates that its fresh weights were tried with, likewise; none where there was no choice.
    """

    arch: Arch
    contender: Contender
    sha256: str
    epochs: int
    seconds: float | None
    teachings: tuple[str, ...]
    rates: tuple[float, ...] = ()

    @property
    def epoch_s(self) -> float | None:
        """Seconds that one of its epochs took; None where no log says."""
        return None if self.seconds is None else self.seconds / self.epochs

    def net(self, run: RunFolder) -> Net:
        """As `retrain` trained it."""
        contender = self.contender
        return Net("winner", run.retrain, self.arch, contender.images, num_members=contender.num_members)

    @classmethod
    def of(cls, project: Project, images: Images) -> Ours:
        """That of a run folder.

        Raises:
            MissingInputError: if the winner was not trained to the end yet.
            CheckpointError: if it belongs to another project, or an earlier winner.
        """
        asked = replace(project, settings=replace(project.settings, export=replace(project.settings.export, net="searched")))
        choice = chosen(asked, images)
        sha256 = None if choice.folder is None else weights_sha256(choice.folder)
        if sha256 is None:
            why = choice.outdated or "the winner was not trained to the end yet"
            raise MissingInputError(why, hint=f"run `{typed(project.run, 'retrain')}` first")
        result = read_retrain(project.run)
        row = result.net if result is not None and result.net.arch == choice.arch else None
        contender = _searched(project, images, choice, row, net_of(asked, images, choice, images.norm_images))
        kept = (row.teaching,) if row is not None and row.teaching is not None else ()
        tried = contender.starts
        if row is not None and result is not None:  # the way of several smaller nets was found with the winner
            tried = (*(start for final in result.finals or () for start in final.starts), *tried)
        teachings = tuple(dict.fromkeys(start.teaching for start in tried)) or kept
        fresh = (start.learning_rate for start in tried if start.weights == "scratch")
        rates = tuple(dict.fromkeys(rate for rate in fresh if rate is not None))
        return cls(choice.arch, contender, sha256, max(1, contender.epochs or 0), contender.seconds, teachings, rates)


def _searched(project: Project, images: Images, choice: ChosenNet, row: NetReport | None, net: nn.Module) -> Contender:
    """The searched net, with the epochs and seconds that its weights have had."""
    assert choice.folder is not None
    epochs, seconds = epochs_of(choice.folder) or 0, seconds_of(choice.folder)
    inherits = choice.facts.weights == "finetuned"
    if inherits:
        supernet_s = seconds_of(project.run.supernet)
        epochs += supernet_epochs(project)
        seconds = None if seconds is None or supernet_s is None else seconds + supernet_s
    notes = ("its epochs and minutes count those of the supernet",) if inherits else ()
    if choice.num_members > 1:
        seconds = row.ensemble.seconds if row is not None and row.ensemble is not None else None
        notes = (*notes, f"the mean of {choice.num_members} nets: epochs are those of each, minutes of all")
    result = searched(project.run) if choice.facts.from_search else None
    own = images_for(project.space, images, choice.arch)
    params, macs = costs_of(net, images.task.in_channels, own.preprocess.image_px)
    return Contender(
        *(SEARCHED, SEARCHED, project.space.name, net, own, net, params, macs),
        weights=choice.facts.weights or "finetuned",
        epochs=epochs,
        seconds=seconds,
        arch=choice.arch,
        teaching=row.teaching if row is not None else None,
        search_s=result.seconds if result is not None else None,
        starts=tuple((row.starts if row is not None else None) or ()),
        folder=choice.folder,
        notes=notes,
        num_members=choice.num_members,
    )
