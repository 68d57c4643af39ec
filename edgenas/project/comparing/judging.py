"""Timing all nets in turn, exporting each, and judging all of them on test once."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgenas.data.images import decode
from edgenas.deploy.judging import FileJudge
from edgenas.deploy.parity import Gates, probabilities
from edgenas.errors import ExportError
from edgenas.latency import Memory
from edgenas.latency.measuring import Measured
from edgenas.project.comparing.contenders import Contender
from edgenas.project.comparing.families import LatencyLimit
from edgenas.project.comparing.files import NetFiles
from edgenas.project.deployed import choose_threshold
from edgenas.project.exporting.source import metrics_of
from edgenas.project.gates import floors_in, gates_of
from edgenas.project.measuring import measure_archs
from edgenas.project.opening import Project
from edgenas.project.run_tables import RunTable
from edgenas.records import Arch, ComparedNet, Metrics, Parity, Proportion
from edgenas.runs import Progress, Record, RunFolder
from edgenas.stats import decide, holm, mcnemar, paired_difference, wilson
from edgenas.training.evaluation import logits

FILE = "as a file"  # parity of what nobody here has exported


def measure(
    project: Project, contenders: Sequence[Contender], winner: Arch, table: RunTable | None, memory: Memory, files: NetFiles
) -> Generator[Record, None, list[Measured | None]]:
    """Latency of every net, the searched one first, in turn in one session; None where nothing can be measured.

    The searched one is timed as `search` times nets of the space; where several answer together, as a file like the others'.
    """
    rows, others = project.space.from_json(winner), {}
    first = 1 if contenders[0].num_members == 1 else 0
    for number, each in enumerate(contenders[first:], first):
        others[f"{number}-{each.image_px}"] = yield from files.timed(each, table)
    task = contenders[0].images.task
    nets = yield from measure_archs(project, task, rows, label="timing all in turn", table=table, memory=memory, others=others)
    return [None] * len(contenders) if nets is None else [*nets[1 - first :]]


@dataclass(frozen=True, slots=True)
class RivalAnswers:
    """What a net said of the images of test.

    Attributes:
        row: all but what comes of comparing it.
        right_N: which images its argmax gets right.
        found_N: which images of the positive class it decides as that one; empty without one.
    """

    row: ComparedNet
    right_N: NDArray[np.bool_]
    found_N: NDArray[np.bool_]


def judge_all(
    project: Project,
    contenders: Sequence[Contender],
    measured: Sequence[Measured | None],
    limit: LatencyLimit | None,
    files: NetFiles,
) -> Generator[Record, None, list[ComparedNet]]:
    """Read test once: every net with its costs, its accuracy, the parity of its export, and its difference to the first."""
    answers = []
    gates = gates_of(project.settings.gates, floors_in(project.run, contenders[0].images.class_names))
    for number, (each, latency) in enumerate(zip(contenders, measured, strict=True)):
        yield Progress("judging on test", number, len(contenders), {"net": each.name})
        answers.append((yield from _answers(project, each, latency, limit, gates, files)))
    yield Progress("judging on test", len(contenders), len(contenders))
    return compared(answers, seed=project.settings.retrain.seed)


def compared(answers: Sequence[RivalAnswers], *, seed: int) -> list[ComparedNet]:
    """The rows, each rival's with its difference to the first, and with tests corrected for as many as there are."""
    ours, rivals = answers[0], answers[1:]
    p_values = [_p_mcnemar(ours.right_N, each.right_N) for each in rivals]
    rows = [ours.row]
    for each, p_value, p_holm in zip(rivals, p_values, holm(p_values), strict=True):
        difference = paired_difference(ours.right_N, each.right_N, rng=np.random.default_rng(seed))
        better = "neither" if p_holm > 0.05 else ("searched" if difference.value > 0 else "rival")
        paired = None
        if ours.found_N.size:
            paired = paired_difference(ours.found_N, each.found_N, rng=np.random.default_rng(seed))
        row = replace(each.row, difference=difference, p_mcnemar=p_value, p_holm=p_holm, better=better)
        rows.append(replace(row, sensitivity_difference=paired))
    return rows


def _p_mcnemar(first_N: NDArray[np.bool_], second_N: NDArray[np.bool_]) -> float:
    return mcnemar(int((first_N & ~second_N).sum()), int((second_N & ~first_N).sum()))


def _answers(
    project: Project, each: Contender, latency: Measured | None, limit: LatencyLimit | None, gates: Gates, files: NetFiles
) -> Generator[Record, None, RivalAnswers]:
    images = each.images
    yield from decode(images, "calibrate", "test")
    choice = choose_threshold(project, images, each.net)
    threshold = None if choice is None else choice.threshold
    images_NCHW, labels_N = images.arrays("test")
    logits_NK = logits(each.net, images_NCHW)
    p_NK = probabilities(logits_NK)
    metrics = metrics_of(logits_NK, labels_N, images, threshold, choice)
    parity = Parity("not_run", FILE)
    if isinstance(each.source, nn.Module):
        judge = FileJudge(images_NCHW, labels_N, logits_NK, images.class_names, images.positive, threshold, gates)
        parity = yield from _parity(files, each, each.source, judge)
    decided_N = decide(p_NK, images.positive, threshold)
    is_positive_N = labels_N == images.positive if images.positive is not None else np.zeros(len(labels_N), dtype=np.bool_)
    row = _row(project.run, each, latency, limit, parity, metrics, _false_alarms(decided_N, is_positive_N, images.positive))
    found_N = decided_N[is_positive_N] == images.positive if images.positive is not None else np.zeros(0, dtype=np.bool_)
    return RivalAnswers(row, p_NK.argmax(axis=1) == labels_N, found_N)


def _row(
    run: RunFolder,
    each: Contender,
    latency: Measured | None,
    limit: LatencyLimit | None,
    parity: Parity,
    metrics: Metrics,
    false_alarms: Proportion | None,
) -> ComparedNet:
    """All that is said of a net by itself."""
    return ComparedNet(
        name=each.name,
        kind=each.kind,
        family=each.family,
        arch=each.arch,
        params=each.params,
        macs=each.macs,
        image_px=each.image_px,
        stem_stride=each.stem_stride,
        latency_ms_measured=latency.latency_ms if latency is not None else None,
        latency_ms_quantile=None if latency is None or limit is None else limit.told(latency),
        fits=None if latency is None or limit is None else limit.of(latency) <= limit.ms,
        weights=each.weights,
        pretrained=each.pretrained,
        teaching=each.teaching,
        epochs=each.epochs,
        seconds=each.seconds,
        search_s=each.search_s,
        starts=each.starts,
        parity=parity.verdict,
        parity_reason=parity.reason,
        failed_gates=tuple(gate.name for gate in parity.gates if gate.verdict == "failed") or None,
        metrics=metrics,
        false_alarms=false_alarms,
        folder=run.relative(each.folder) if each.folder is not None else None,
        notes=each.notes,
    )


def _false_alarms(decided_N: NDArray[np.int64], is_positive_N: NDArray[np.bool_], positive: int | None) -> Proportion | None:
    """Share of the other classes' images that are decided as the positive one."""
    if positive is None:
        return None
    others_N = decided_N[~is_positive_N]
    return wilson(int((others_N == positive).sum()), len(others_N))


def _parity(files: NetFiles, each: Contender, net: nn.Module, judge: FileJudge) -> Generator[Record, None, Parity]:
    """Compare the ONNX file for one image a call with the net as it was trained."""
    try:
        file = yield from files.of(each, net)
    except ExportError as error:
        return Parity("failed", f"it cannot be exported: {error}")
    return judge(file)


def named_apart(contenders: Sequence[Contender]) -> list[Contender]:
    """Contenders of one name get a number from the second on."""
    seen: dict[str, int] = {}
    result = []
    for each in contenders:
        seen[each.name] = seen.get(each.name, 0) + 1
        result.append(each if seen[each.name] == 1 else replace(each, name=f"{each.name}-{seen[each.name]}"))
    return result
