"""Rivals that were trained elsewhere: nets of other runs, and ONNX files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import nn

from edgenas.data.splits import load_splits
from edgenas.errors import CheckpointError, UsageError
from edgenas.project.comparing.asking import Asked
from edgenas.project.comparing.contenders import Contender
from edgenas.project.net_facts import BASELINE, told_by
from edgenas.project.results import outdated_net, read_retrain, searched
from edgenas.project.retraining.ways import Bench
from edgenas.project.trainings.outsiders import ONNX, RUN, Outsider, Reads, open_outsider
from edgenas.records import CheckpointFacts
from edgenas.runs import RunFolder
from edgenas.training.folder import WEIGHTS, epochs_of, has_weights
from edgenas.training.outside import AtItsInput, OnnxNet
from edgenas.training.timm_nets import costs_of


def outsider(bench: Bench, asked: Asked) -> Contender:
    """A net that was trained elsewhere: it is only judged and timed.

    Raises:
        UsageError: if it is the run itself that is compared.
        CheckpointError: if it cannot be read, is of other classes, or of a run whose images were divided otherwise.
    """
    assert asked.file is not None
    if asked.kind == "run":
        if asked.file.resolve() == bench.project.run.path.resolve():
            text = f"{asked.file} is the run that is compared: its searched net cannot be its own rival"
            raise UsageError(text, hint="name another run folder; `--with hand` compares with the space's hand-designed nets")
        _require_same_images(asked.file, bench)
        opened = open_outsider(f"{RUN}{asked.file}", Reads(), bench.images)
        run, name = RunFolder(asked.file), asked.file.resolve().name
        notes = (f"trained in {name}, on the same division of the images", *_outdated(run))
        return _finished(bench, name, "run", opened, opened.net, notes, _epochs_in(run))
    opened = open_outsider(f"{ONNX}{asked.file}", Reads(), bench.images)
    note = "only judged and timed: nobody here knows what it was trained on, images of test among them perhaps"
    return _finished(bench, asked.file.stem, "onnx", opened, asked.file, (note,), None)


def _finished(
    bench: Bench, name: str, kind: str, opened: Outsider, source: nn.Module | Path, notes: tuple[str, ...], epochs: int | None
) -> Contender:
    given = bench.images.preprocess
    net = AtItsInput(
        opened.net,
        image_px=opened.image_px,
        own=(opened.mean, opened.std),
        given=(given.mean, given.std),
        columns=opened.columns,
    ).eval()
    if isinstance(opened.net, OnnxNet):
        params, macs = _params_in(opened.net.path), None
    else:
        params, macs = costs_of(opened.net, bench.images.task.in_channels, opened.image_px)
    images = bench.images.at(opened.image_px)
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


def _epochs_in(run: RunFolder) -> int | None:
    """Epochs that the weights a run would deploy have seen, those of its supernet included; None where nobody says."""
    retrained = read_retrain(run)
    if retrained is None:
        return None
    is_hand = retrained.chosen == BASELINE and has_weights(run.retrain / BASELINE)
    report = retrained.baseline.net if is_hand and retrained.baseline is not None else retrained.net
    if report.weights != "finetuned":
        return report.epochs
    inherited = epochs_of(run.supernet)
    return None if inherited is None else report.epochs + inherited


def _outdated(run: RunFolder) -> Iterator[str]:
    """In words, that a run's retrained net is not of its present winner or supernet."""
    result = searched(run)
    if result is None or not has_weights(run.retrain):
        return
    path = run.retrain / WEIGHTS
    why = outdated_net(run, CheckpointFacts.said_by(path, told_by(path)), result.winner)
    if why is not None:
        yield f"{why}: `edgenas retrain --run {run.path}` trains the present one"


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
