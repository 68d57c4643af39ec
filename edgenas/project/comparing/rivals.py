"""Rivals that are trained here, before and after that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgenas.project.comparing.contenders import Contender
from edgenas.project.comparing.families import family_of
from edgenas.project.nets import supernet_epochs
from edgenas.project.retraining.ways import Bench, Net, Try, fresh_rates
from edgenas.project.rival_nets import RIVAL, build_rival
from edgenas.project.settings import ProjectSettings
from edgenas.records import RivalFacts
from edgenas.runs import sha256_file
from edgenas.training.folder import seconds_of
from edgenas.training.timm_nets import TimmNet, costs_of, deployable
from edgenas.training.ways import Way, fresh_ways


@dataclass(frozen=True, slots=True)
class Rival:
    """A net of timm that is to be trained here.

    Attributes:
        name: that the comparison and `export --net` call it.
        net: to be trained.
        facts: what its checkpoint says of it.
    """

    name: str
    net: Net
    facts: RivalFacts

    @property
    def family(self) -> str:
        """What the net's family is called."""
        return family_of(self.facts.model or "")


def timm_rivals(bench: Bench, nets: Sequence[tuple[TimmNet, Path | None]]) -> list[Rival]:
    """Nets of timm that are to be trained, each with a file of weights or without; named as shortly as tells them apart."""
    num = [sum(other.name == net.name for other, _ in nets) for net, _ in nets]
    return [_rival(bench, net, file, net.name if times == 1 else str(net)) for (net, file), times in zip(nets, num, strict=True)]


def _rival(bench: Bench, net: TimmNet, file: Path | None, name: str) -> Rival:
    facts = RivalFacts(
        kind="timm",
        model=net.name,
        image_px=net.image_px,
        stem_stride=net.stem_stride,
        pretrained=None if file is None else file.name,
        pretrained_sha256=None if file is None else sha256_file(file),
        mean=None if file is None else bench.images.preprocess.mean,
        std=None if file is None else bench.images.preprocess.std,
    )
    key = str(net).replace("/", "-") + ("" if facts.pretrained_sha256 is None else f"-{facts.pretrained_sha256[:8]}")
    name += "" if file is None else "+pretrained"
    return Rival(name, net_for(bench, facts, key, name, file), facts)


def net_for(bench: Bench, facts: RivalFacts, key: str, title: str, file: Path | None = None) -> Net:
    """A rival of no space as something to be trained."""
    return Net(
        RIVAL,
        bench.project.run.compare / "tries" / key,
        None,
        bench.images.at(facts.image_px),
        partial(build_rival, facts, bench.images.task, file),
        {RIVAL: facts.as_json()},
        title,
    )


def ways_for(settings: ProjectSettings, facts: RivalFacts, teachings: Sequence[str], epochs: int) -> tuple[Way, ...]:
    """How a rival is trained: as fresh weights of the run's nets are, or, with weights of its own, as these when given."""
    if facts.pretrained is not None:
        return tuple(Way("given", teaching, epochs, settings.retrain.learning_rate) for teaching in teachings)
    return tuple(way for teaching in teachings for way in fresh_ways(teaching, epochs, fresh_rates(settings)))


def trained(bench: Bench, rival: Rival, tries: Sequence[Try], best: Try, folder: Path) -> Contender:
    """A trained rival, whose weights were put into ``folder``."""
    net = best.load(bench.project.space)
    deployed = deployable(net)
    params, macs = costs_of(deployed, bench.images.task.in_channels, rival.facts.image_px)
    stride = rival.facts.stem_stride
    return Contender(
        name=rival.name,
        kind="timm",
        family=rival.family,
        net=net,
        images=rival.net.images,
        source=deployed,
        params=params,
        macs=macs,
        weights=best.way.weights,
        epochs=best.way.epochs,
        seconds=best.seconds,
        pretrained=rival.facts.pretrained,
        teaching=best.way.teaching,
        starts=tuple(each.trained_way for each in tries),
        stem_stride=stride,
        folder=folder,
        notes=() if stride is None else (f"its stem strides by {stride} instead of timm's own",),
    )


def of_space(bench: Bench, name: str, tries: Sequence[Try], best: Try, folder: Path) -> Contender:
    """A trained net of the space that no search has found, or a plain CNN."""
    project, net = bench.project, best.load(bench.project.space)
    params, macs = costs_of(net, bench.images.task.in_channels, best.net.images.preprocess.image_px)
    is_hand = best.net.arch is not None
    inherited = best.way.weights == "finetuned"
    return Contender(
        name=name,
        kind=name,
        family=f"hand-made {project.space.name}" if is_hand else "plain CNN",
        net=net,
        images=best.net.images,
        source=net,
        params=params,
        macs=macs,
        weights=best.way.weights,
        epochs=best.way.epochs + (supernet_epochs(project) if inherited else 0),
        seconds=_together(best.seconds, seconds_of(project.run.supernet)) if inherited else best.seconds,
        arch=best.net.arch,
        teaching=best.way.teaching,
        starts=tuple(each.trained_way for each in tries),
        folder=folder,
    )


def _together(*seconds: float | None) -> float | None:
    known = [each for each in seconds if each is not None]
    return sum(known) if len(known) == len(seconds) else None
