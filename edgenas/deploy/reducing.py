"""What a reduced precision does to a net, asked of images that do not judge it: how far values reach, what must stay float32.

Where the real file cannot run, its emulation is what is asked, in ONNX Runtime on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgenas.deploy.contracts import ExportedFile, ImageRows
from edgenas.deploy.judging import DYNAMIC_BATCH, EMULATION_RUNTIME, answers
from edgenas.deploy.repairing import RepairOutcome, repair
from edgenas.errors import MissingBackendError
from edgenas.graphs.blocks import blocks_of, node_macs
from edgenas.graphs.half import emulate_half, held_reduced, too_large
from edgenas.graphs.opening import opened
from edgenas.graphs.precisions import Reduced
from edgenas.graphs.ranges import probed, report
from edgenas.records import Parity, RangeReport, Repair, RepairTrial
from edgenas.runs import sha256_json

if TYPE_CHECKING:
    import onnx

NOT_FINITE = "numbers that are not finite"


def value_ranges(
    model: onnx.ModelProto, images_NCHW: ImageRows, *, precision: Reduced, kept: Sequence[str], split: str
) -> RangeReport:
    """How far every tensor reaches over some images, in float32; one batch and one tensor at a time are in memory.

    Args:
        model: float32, for any number of images a call.
        images_NCHW: one or more.
        precision: that is meant.
        kept: what stays float32 in the export.
        split: whose images they are.

    Raises:
        MissingBackendError: without ONNX Runtime.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingBackendError("ONNX Runtime is not installed", hint="pip install onnxruntime") from error
    probe = probed(model, precision)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(probe.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    results, sizes = [], []
    for start in range(0, len(images_NCHW), DYNAMIC_BATCH):
        batch_NCHW = np.ascontiguousarray(images_NCHW[start : start + DYNAMIC_BATCH], dtype=np.float32)
        results.append(np.array(session.run(None, {"image": batch_NCHW}), dtype=np.float64).reshape(-1, 2))
        sizes.append(len(batch_NCHW))
    return report(model, probe, np.stack(results), precision=precision, kept=kept, split=split, sizes=sizes)


@dataclass(frozen=True, slots=True)
class Trials:
    """Emulations of one net in a reduced precision, each judged on the same images.

    Attributes:
        model: float32, for any number of images a call.
        precision: that is emulated.
        images_NCHW: one or more.
        judge: parity of a file on these images.
        folder: for the emulations, one at a time; exists.
    """

    model: onnx.ModelProto
    precision: Reduced
    images_NCHW: ImageRows
    judge: Callable[[ExportedFile], Parity]
    folder: Path

    def reason(self, kept: tuple[str, ...], *, is_quick: bool) -> str:
        """Why gates fail with some operators kept float32, empty if none does.

        Args:
            kept: as `ExportSpec.kept`.
            is_quick: end with the first batch if that has logits that are not finite, without a verdict on the rest.
        """
        graph = emulate_half(self.model, precision=self.precision, kept=kept)
        path = self.folder / f"{self.precision}-{sha256_json(list(kept))[:16]}.onnx"
        path.write_bytes(graph.SerializeToString())
        try:
            if is_quick:
                first_NK = answers(path, EMULATION_RUNTIME, "fp32", DYNAMIC_BATCH, self.images_NCHW[:DYNAMIC_BATCH])
                if not np.isfinite(first_NK).all():
                    return NOT_FINITE
            parity = self.judge(ExportedFile(path, "onnx", EMULATION_RUNTIME, "fp32", None))
        finally:
            path.unlink()
        return parity.reason if parity.verdict == "failed" else ""


def repaired(trials: Trials, *, split: str) -> Generator[RepairTrial, None, Repair]:
    """Find what must stay float32 so that no gate fails on some images.

    Operators with weights outside the range of the precision stay float32 in any case.

    Args:
        trials: emulates and judges.
        split: whose images they are.

    Yields:
        Every attempt.
    """
    graph = opened(trials.model)
    lost = too_large(trials.model, precision=trials.precision)
    _, nodes = held_reduced(graph, precision=trials.precision, kept=tuple(lost))
    first = f"weights lie outside its range: {', '.join(dict.fromkeys(lost.values()))}" if lost else ""

    def judge(kept: tuple[str, ...]) -> str:
        return trials.reason(kept, is_quick=kept != tuple(lost))

    repaired = yield from repair(judge, blocks_of(graph, nodes), needed=tuple(lost))
    return _told(trials, graph, repaired, first, split)


def _told(trials: Trials, graph: onnx.ModelProto, repaired: RepairOutcome, weights: str, split: str) -> Repair:
    """What was found, with its cost."""
    kept = repaired.kept or ()
    _, plain = held_reduced(graph, precision=trials.precision)
    _, still = held_reduced(graph, precision=trials.precision, kept=kept)
    macs = node_macs(graph)
    cost = sum(macs.get(name, 0) for name in plain - still)
    return Repair(
        precision=trials.precision,
        verdict="impossible" if repaired.kept is None else "repaired" if kept else "not_needed",
        split=split,
        num_images=len(trials.images_NCHW),
        reason="; ".join(part for part in (weights, repaired.trials[0].reason) if part),
        kept=kept,
        blocks=repaired.blocks,
        macs_share=cost / max(1, sum(macs.values())),
        trials=repaired.trials,
    )
