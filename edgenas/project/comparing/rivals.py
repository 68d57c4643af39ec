"""Rivals before and after their training, the searched net among them, and what each may spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch import nn

from edgenas.data.images import Images
from edgenas.data.splits import load_splits
from edgenas.errors import CheckpointError, MissingInputError
from edgenas.project.comparing.asking import Asked
from edgenas.project.comparing.families import family_of
from edgenas.project.deployed import chosen, net_of
from edgenas.project.nets import images_for, read_retrain, searched, supernet_epochs
from edgenas.project.opening import Project
from edgenas.project.retraining.ways import Bench, Net, Try
from edgenas.project.rival_nets import RIVAL, build_rival
from edgenas.project.trainings.outsiders import ONNX, RUN, Outsider, Reads, open_outsider
from edgenas.records import SEARCHED, Arch, RivalFacts, TrainedWay
from edgenas.runs import RunFolder, sha256_file
from edgenas.supernets.counting import num_params
from edgenas.training.folder import epochs_of, seconds_of, weights_sha256
from edgenas.training.outside import AtItsInput, OnnxNet
from edgenas.training.timm_nets import TimmNet, costs_of, deployable
from edgenas.training.ways import Way


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
        """In words."""
        return family_of(self.facts.model or "")


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
    """

    arch: Arch
    contender: Contender
    sha256: str
    epochs: int
    seconds: float | None
    teachings: tuple[str, ...]

    @classmethod
    def of(cls, project: Project, images: Images) -> Ours:
        """That of a run folder.

        Raises:
            MissingInputError: if the winner was not trained to the end yet.
            CheckpointError: if it belongs to another project, or an earlier winner.
        """
        asked = replace(project, settings=replace(project.settings, export=replace(project.settings.export, net="searched")))
        choice = chosen(asked, images)
        if choice.folder is None:
            why = choice.warnings[0] if choice.warnings else "the winner was not trained to the end yet"
            raise MissingInputError(why, hint="run `edgenas retrain` first")
        own = images_for(project.space, images, choice.arch)
        net = net_of(asked, images, choice, images.norm_images)
        result = read_retrain(project.run)
        row = result.net if result is not None and result.net.arch == choice.arch else None
        starts = (row.starts or ()) if row is not None else ()
        inherits = choice.facts.weights == "finetuned"
        epochs, seconds = epochs_of(choice.folder) or 0, seconds_of(choice.folder)
        if inherits:
            supernet_s = seconds_of(project.run.supernet)
            epochs += supernet_epochs(project)
            seconds = None if seconds is None or supernet_s is None else seconds + supernet_s
        found = searched(project.run) if choice.facts.from_search else None
        sha256 = weights_sha256(choice.folder)
        assert sha256 is not None  # it was loaded
        teaching = row.teaching if row is not None else None
        params, macs = costs_of(net, images.task.in_channels, own.preprocess.image_px)
        contender = Contender(
            name=SEARCHED,
            kind=SEARCHED,
            family=project.space.name,
            net=net,
            images=own,
            source=net,
            params=params,
            macs=macs,
            weights=choice.facts.weights or "finetuned",
            epochs=epochs,
            seconds=seconds,
            arch=choice.arch,
            teaching=teaching,
            search_s=found.seconds if found is not None else None,
            starts=tuple(starts),
            folder=choice.folder,
            notes=(f"{epochs} epochs count those of the supernet",) if inherits else (),
        )
        teachings = tuple(dict.fromkeys(start.teaching for start in starts)) or ((teaching,) if teaching is not None else ())
        return cls(choice.arch, contender, sha256, max(1, epochs), seconds, teachings)


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


def ways_for(project: Project, facts: RivalFacts, teachings: Sequence[str], epochs: int) -> tuple[Way, ...]:
    """How a rival is trained: as fresh weights of the run's nets are, or, with weights of its own, as these when given."""
    if facts.pretrained is not None:
        return tuple(Way("given", teaching, epochs, project.settings.retrain.learning_rate) for teaching in teachings)
    return tuple(Way("scratch", teaching, epochs, project.settings.train.learning_rate) for teaching in teachings)


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


def outsider(bench: Bench, asked: Asked) -> Contender:
    """A net that was trained elsewhere: it is only judged and timed.

    Raises:
        CheckpointError: if it cannot be read, is of other classes, or of a run whose images were divided otherwise.
    """
    assert asked.file is not None
    if asked.kind == "run":
        _require_same_images(asked.file, bench)
        found = open_outsider(f"{RUN}{asked.file}", Reads(), bench.images)
        note = f"trained in {asked.file.name}, on the same division of the images"
        retrained = read_retrain(RunFolder(asked.file))
        epochs = retrained.net.epochs if retrained is not None else None
        return _finished(bench, asked.file.resolve().name, "run", found, found.net, (note,), epochs)
    found = open_outsider(f"{ONNX}{asked.file}", Reads(), bench.images)
    note = "only judged and timed: nobody here knows what it was trained on, images of test among them perhaps"
    return _finished(bench, asked.file.stem, "onnx", found, asked.file, (note,), None)


def _finished(
    bench: Bench, name: str, kind: str, found: Outsider, source: nn.Module | Path, notes: tuple[str, ...], epochs: int | None
) -> Contender:
    given = bench.images.preprocess
    net = AtItsInput(
        found.net,
        image_px=found.image_px,
        own=(found.mean, found.std),
        given=(given.mean, given.std),
        columns=found.columns,
    ).eval()
    if isinstance(found.net, OnnxNet):
        params, macs = _params_in(found.net.path), None
    else:
        params, macs = costs_of(found.net, bench.images.task.in_channels, found.image_px)
        assert num_params(found.net) == params
    images = bench.images.at(found.image_px)
    family = "ONNX file" if kind == "onnx" else "another run"
    return Contender(
        *(name, kind, family, net, images, source, params, macs), weights="finished", epochs=epochs, seconds=None, notes=notes
    )


def _params_in(path: Path) -> int:
    """Numbers in the constants of an ONNX file that are no single ones."""
    import numpy as np
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    return sum(int(np.prod(tensor.dims)) for tensor in graph.initializer if len(tensor.dims) > 0)


def _require_same_images(folder: Path, bench: Bench) -> None:
    """Check that another run divided the same images alike: else it may have learned those of test.

    Raises:
        CheckpointError: naming what differs.
    """
    theirs, ours = load_splits(RunFolder(folder).splits), bench.images.splits
    if theirs.fingerprint != ours.fingerprint:
        raise CheckpointError(f"{folder} is of other images than {bench.project.run.path}", hint="compare runs on the same images")
    if theirs.sha256 != ours.sha256:
        text = f"{folder} divides its images otherwise than {bench.project.run.path}: images of test may be among those it learned"
        raise CheckpointError(text, hint="divide both with the same seed and shares")
