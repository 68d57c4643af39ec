"""A reduced precision looked at before test is read: what must stay float32 is found on *calibrate*, and how far values reach."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from edgenas.deploy.contracts import Exporter, ExportSpec, GraphExporter
from edgenas.deploy.judging import FileJudge
from edgenas.deploy.reducing import Trials, repaired, value_ranges
from edgenas.graphs.precisions import Reduced
from edgenas.project.exporting.source import Source
from edgenas.project.staging import Staging
from edgenas.records import RangeReport, Repair, RepairTrial
from edgenas.runs import Note, Progress, Record
from edgenas.runs.background import watched
from edgenas.training.evaluation import logits

if TYPE_CHECKING:
    import onnx

SPLIT = "calibrate"
USUAL_TRIALS = 12  # attempts of a repair that finds one operator among sixteen blocks; more are shown as the last of these
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Reduction:
    """What was found of a reduced precision.

    Attributes:
        specs: with what stays float32.
        ranges: None where nothing was looked at: another precision, a format that shows no graph, no images.
        repair: None where it was not asked for, too.
    """

    specs: Sequence[ExportSpec]
    ranges: RangeReport | None = None
    repair: Repair | None = None


def reduced(
    source: Source, exporter: Exporter, specs: Sequence[ExportSpec], staging: Staging
) -> Generator[Record, None, Reduction]:
    """Look at the net in the precision of ``specs``, and let stay float32 what makes a gate fail, if `export.repair` is on.

    Args:
        source: the net and its images.
        exporter: of the format.
        specs: of one precision.
        staging: keeps what emulations answered.

    Raises:
        ExportError: if the net cannot be traced.
    """
    precision = specs[0].precision
    if precision not in ("fp16", "bf16") or not isinstance(exporter, GraphExporter) or len(source.images.splits[SPLIT]) == 0:
        return Reduction(specs)
    traced = partial(exporter.graph, source.final.net, replace(specs[0], batch_size=None))
    (model,) = yield from watched(_once(traced), "tracing", total=1)
    repair = None
    if source.project.settings.export.repair:
        repair = yield from _repair(source, model, precision, staging)
        if repair.verdict != "not_needed":
            yield Note(repair.words, is_warning=repair.verdict == "impossible", in_view=repair.verdict == "repaired")
        specs = [replace(spec, kept=repair.kept) for spec in specs]
    images_NCHW, _ = source.images.arrays(SPLIT)
    look = partial(value_ranges, model, images_NCHW, precision=precision, kept=specs[0].kept, split=SPLIT)
    (ranges,) = yield from watched(_once(look), "ranges of values", total=1)
    warning = ranges.warning()
    if warning is not None:
        yield Note(warning, is_warning=True)
    return Reduction(specs, ranges, repair)


def _repair(source: Source, model: onnx.ModelProto, precision: Reduced, staging: Staging) -> Generator[Record, None, Repair]:
    """Judge emulations by the gates of the export, on images that have no part in its verdict."""
    images, final = source.images, source.final
    images_NCHW, labels_N = images.arrays(SPLIT)
    reference_NK = staging.array(f"source-{SPLIT}", partial(logits, final.net, images_NCHW))
    sides = (images_NCHW, labels_N, reference_NK)
    judge = FileJudge(*sides, images.class_names, images.positive, final.threshold, source.gates, staging=staging)
    folder = staging.folder / "half"
    folder.mkdir(exist_ok=True)
    done: list[Repair] = []

    def attempts() -> Iterator[RepairTrial]:
        done.append((yield from repaired(Trials(model, precision, images_NCHW, judge, folder), split=SPLIT)))

    work = attempts()
    (first,) = yield from watched(islice(work, 1), f"{precision} on {SPLIT}", total=1)
    if not first.passed:
        left = iter(range(USUAL_TRIALS - 1))
        yield from watched(work, f"repairing {precision}", total=USUAL_TRIALS, count=lambda _: int(next(left, None) is not None))
        yield Progress(f"repairing {precision}", USUAL_TRIALS, USUAL_TRIALS)
    for _ in work:
        raise AssertionError("what passes is tried once")
    return done[0]


def _once(make: Callable[[], Made]) -> Iterator[Made]:
    """Work of one part."""
    yield make()
