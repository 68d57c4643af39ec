"""What `compare` reports: the searched net beside those that its user would take instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from edgenas.records.candidates import PromisedQuantile
from edgenas.records.codec import FLAT, OMITTED, Arch, JsonRecord, SealedRecord
from edgenas.records.metrics import Metrics, TrainedWay
from edgenas.records.proportion import Proportion
from edgenas.records.search import TableFacts

LEARNED = "above_most_frequent"  # gate that no export can pass of a net that is not shown to have learned anything
SEARCHED = "searched"  # name and kind of the net that the others are compared with


@dataclass(frozen=True, slots=True, kw_only=True)
class RivalFacts(JsonRecord):
    """What a rival's checkpoint says of it, enough to build it again.

    Attributes:
        kind: ``timm`` or ``cnn``.
        model: timm's name.
        image_px: side of the images that it reads.
        stem_stride: that it was given; None leaves its own.
        width: channels of a plain CNN.
        pretrained: name of the file that its weights started from, with its hash; None for drawn ones.
        mean, std: by which the images it is given are normalised, where pretrained weights want others; None for drawn ones.
    """

    kind: str
    model: str | None = None
    image_px: int
    stem_stride: int | None = None
    width: int | None = None
    pretrained: str | None = None
    pretrained_sha256: str | None = None
    mean: Annotated[tuple[float, ...] | None, OMITTED] = None
    std: Annotated[tuple[float, ...] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedNet(JsonRecord):
    """One net of a comparison, judged on test.

    Attributes:
        name: that `export --net` takes; ``searched`` is the run's own.
        kind: ``searched``, ``timm``, ``hand``, ``cnn``, ``run`` or ``onnx``.
        family: that it is of, in words.
        arch: of a net of a space.
        macs: None where they are not known.
        image_px: side of the images that it reads.
        stem_stride: that a net of timm was given; None where it has its own.
        latency_ms_measured: median, in turn with the others; None where nothing was measured.
        latency_ms_quantile: that the limit is on, where it is not on the median.
        fits: whether it keeps to the limit; None where nothing was measured, or nothing limits.
        breaks: limits of the search on parameters and multiply-accumulates that it breaks, in words; None where none.
        weights: where its training started; ``finished`` where it was not trained here.
        pretrained: file that it started from.
        teaching: ``teacher`` or ``labels``.
        epochs: that its weights have seen, those of a supernet included; None where nobody says.
        seconds: that these took here; None where no log says.
        search_s: seconds that finding it took beside, by logs; None where it was not searched for.
        starts: its trainings to the end, of which the best on select is judged.
        parity: verdict of its export against its source on test; ``not_run`` where it came as a file.
        parity_reason: why it did not pass.
        failed_gates: names of those that failed; None where none did.
        false_alarms: share of the other classes' images that are decided as the positive one; None without one.
        difference: searched - this, of their accuracies, paired; None for the searched one itself.
        p_mcnemar: that both are equally often right.
        p_holm: the same, corrected for as many rivals as there are (Holm).
        better: ``searched``, ``rival`` or ``neither``, by the corrected test.
        sensitivity_difference: searched - this, on the positive class's images, paired, as decided.
        folder: of its weights, relative to the run folder; None where `export` does not write it.
        notes: what must be known to read the row.
    """

    name: str
    kind: str
    family: str
    arch: Annotated[Arch | None, OMITTED] = None
    params: int
    macs: int | None
    image_px: int
    stem_stride: Annotated[int | None, OMITTED] = None
    latency_ms_measured: float | None
    latency_ms_quantile: Annotated[PromisedQuantile | None, OMITTED] = None
    fits: bool | None
    breaks: Annotated[tuple[str, ...] | None, OMITTED] = None
    weights: str
    pretrained: Annotated[str | None, OMITTED] = None
    teaching: Annotated[str | None, OMITTED] = None
    epochs: int | None
    seconds: float | None
    search_s: Annotated[float | None, OMITTED] = None
    starts: tuple[TrainedWay, ...] = ()
    parity: str
    parity_reason: str = ""
    failed_gates: Annotated[tuple[str, ...] | None, OMITTED] = None
    metrics: Annotated[Metrics, FLAT]
    false_alarms: Annotated[Proportion | None, OMITTED] = None
    difference: Proportion | None = None
    p_mcnemar: float | None = None
    p_holm: float | None = None
    better: Annotated[str | None, OMITTED] = None
    sensitivity_difference: Annotated[Proportion | None, OMITTED] = None
    folder: Annotated[str | None, OMITTED] = None
    notes: tuple[str, ...] = ()

    @property
    def is_unlearned(self) -> bool:
        """Whether its export answers like its source, and fails only because neither is shown to have learned anything."""
        return self.parity == "failed" and self.failed_gates == (LEARNED,)

    @property
    def may_win(self) -> bool:
        """Whether it may be recommended: it keeps to the limits where that is known, and its export answers like its source."""
        return self.fits is not False and not self.breaks and self.parity != "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut(JsonRecord):
    """A rival that does not take part.

    Attributes:
        name: as it was asked for; the family that ``auto`` looked for.
        reason: in words.
        latency_ms_measured: of the nearest of a family that does not fit, untrained; None where that is not the reason.
    """

    name: str
    reason: str
    latency_ms_measured: Annotated[float | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareResult(SealedRecord):
    """What `edgenas compare` answers.

    Attributes:
        limit_ms: on the latency; None where nothing is measured or limits it.
        quantile: of calls that is compared with it; the median where it is None.
        equal: what is the same for all that are trained here: ``epochs`` or ``time``.
        epochs: that the searched net's weights have seen.
        seconds: that these took.
        table: whose device, runtime and threads all were timed with; None where nothing was.
        nets: the searched one first.
        left_out: rivals that do not take part, and why.
        winner: name of the net to take.
        verdict: in a sentence.
        remarks: what must be said beside it.
        splits_sha256: of the division of the images.
        searched_sha256: of the searched net's weights.
    """

    kind: ClassVar[str] = "compare result"
    schema_version: ClassVar[int] = 1  # 1: first

    limit_ms: float | None
    quantile: Annotated[str | None, OMITTED] = None
    equal: str
    epochs: int | None
    seconds: float | None
    table: TableFacts | None = None
    nets: tuple[ComparedNet, ...]
    left_out: tuple[LeftOut, ...] = ()
    winner: str
    verdict: str
    remarks: tuple[str, ...] = ()
    splits_sha256: str
    searched_sha256: str

    @property
    def exportable(self) -> frozenset[str]:
        """Names of the rivals whose weights are in the run folder."""
        return frozenset(each.name for each in self.nets if each.kind != SEARCHED and each.folder is not None)

    def net(self, name: str) -> ComparedNet | None:
        """The net of a name; None where there is none."""
        return next((each for each in self.nets if each.name == name), None)
