"""Nets of a search: what they cost, what was measured and proven of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from edgenas.records.codec import OMITTED, Arch, JsonRecord
from edgenas.records.proportion import Proportion


def gene_words(value: Any) -> str:
    """A gene of a readable architecture for people: a list joined by dots, an object's values in brackets, a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        return f"({' '.join(map(gene_words, value.values()))})"
    return "·".join(map(gene_words, value)) if isinstance(value, list | tuple) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile(JsonRecord):
    """A percentile of calls, and how far it may lie above what they show: MLPerf's early-stopping estimate.

    Attributes:
        ms: of the calls that were made.
        calls: that were made.
        upper_ms: the true percentile is at or below it with the confidence; None where the calls are too few to say.
        calls_needed: fewest calls that say.
        confidence: one-sided.
    """

    ms: float
    calls: int
    upper_ms: float | None
    calls_needed: int
    confidence: float = 0.99

    def words(self, name: str) -> str:
        """What stands behind a name, e.g. ``p99 4.21 ms of 1,024 calls (99 % confident: <= 4.6 ms)``."""
        said = f"{name} {self.ms:.3g} ms of {self.calls:,} calls"
        if self.upper_ms is not None:
            return f"{said} ({100 * self.confidence:g} % confident: <= {self.upper_ms:.3g} ms)"
        if self.calls >= self.calls_needed:  # an older file, which holds no more
            return said
        return f"{said} (too few calls: {self.calls_needed:,} tell)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies(JsonRecord):
    """Milliseconds of one net on one device.

    Attributes:
        predicted_ms: by the device's table; None without one.
        upper_ms: bound on it; None without a table.
        measured_ms: median of all calls; None where it was not measured.
        p50_ms, p90_ms, p95_ms, p99_ms: quantiles of the calls, where it was measured.
        percentiles: the last three, with what their number of calls allows to say.
    """

    predicted_ms: float | None
    upper_ms: float | None
    measured_ms: float | None
    p50_ms: Annotated[float | None, OMITTED] = None
    p90_ms: Annotated[float | None, OMITTED] = None
    p95_ms: Annotated[float | None, OMITTED] = None
    p99_ms: Annotated[float | None, OMITTED] = None
    percentiles: Annotated[Mapping[str, Percentile] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PromisedQuantile(JsonRecord):
    """The quantile of a net's calls that a limit with a promise judges.

    Attributes:
        quantile: e.g. ``p95``.
        ms: as measured.
    """

    quantile: str
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs(JsonRecord):
    """Architecture and costs of one net of a space.

    Attributes:
        latency_ms_predicted, latency_ms_upper: by the table of the first device; None without one.
        latency_ms_measured: median of all calls there; None where it was not measured.
        latencies: by device, where limits have names.
    """

    arch: Arch
    params: int
    macs: int
    latency_ms_predicted: float | None
    latency_ms_upper: float | None = None
    latency_ms_measured: float | None = None
    latencies: Annotated[Mapping[str, Latencies] | None, OMITTED] = None

    def cost(self, name: str) -> float | None:
        """One of the costs by its key, e.g. ``macs``.

        Raises:
            ValueError: if there is no cost of that name.
        """
        if name not in ("params", "macs", "latency_ms_predicted", "latency_ms_upper", "latency_ms_measured"):
            raise ValueError(f"{name} is no cost of a net")
        value: float | None = getattr(self, name)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRow(JsonRecord):
    """What a few epochs alone showed of a net.

    Attributes:
        epochs: of the last rung that it reached.
        top1: accuracy on select and confirm after it.
        score: what decides: the mean log-likelihood in nats, drawn towards what is expected; in older files a fraction.
        log_likelihood: mean over the images of both, in nats; None where nets were judged by accuracy.
        first_rung_top1: accuracy after the first rung.
        low_floors: names of the floors on sensitivities that it misses on confirm.
    """

    epochs: int
    top1: Proportion
    score: float
    log_likelihood: Annotated[float | None, OMITTED] = None
    first_rung_top1: float | None = None
    low_floors: Annotated[tuple[str, ...] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RacedRow(JsonRecord):
    """That a net was dropped before it had seen all of select; its numbers are of the images that it has seen.

    Attributes:
        images: that it has seen.
        of: as many.
        dropped_for: ``accuracy``, or the floor that it was certain to miss.
        expected_top1: its accuracy on all images, as nets that have seen all let expect; nets that were dropped are ordered by it.
    """

    images: int
    of: int
    dropped_for: str
    expected_top1: Annotated[float | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorRow(JsonRecord):
    """How a floor with a confidence has judged a net on select.

    Attributes:
        floor: that the lower end of ``sensitivity`` must reach.
        confidence: of that interval.
        threshold: least probability at which the positive class was decided, chosen on calibrate; None for the argmax.
        sensitivity: of the class.
    """

    floor: float
    confidence: float
    threshold: float | None
    sensitivity: Proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRow(Costs):
    """The contract's CAND: a net that a search has evaluated, and what finalists say beyond that.

    Attributes:
        top1: accuracy on select with inherited weights, a fraction.
        sensitivity: by class, there.
        generation: 0 for the start.
        origin: e.g. ``mutation``.
        rejected_by: names of the limits that keep it from winning.
        reasons: what was found and what was asked, in words, by these names; left out where nothing rejects the net.
        hand_designed: whether an engineer would have written it down; finalists alone say so.
        latency_ms_p95: of its calls, where it was measured.
        latency_ms_percentiles: p90, p95 and p99 of its calls with what their number allows to say, where it was measured.
        latency_ms_quantile: where one is promised.
        top1_confirm: accuracy on confirm, of finalists.
        sensitivity_confirm: by class, of finalists.
        proof: of finalists that were trained alone.
        raced: of nets that a race dropped.
        floors: by their names, where they have a confidence.
    """

    top1: float
    sensitivity: Mapping[str, Proportion]
    generation: int
    origin: str
    rejected_by: tuple[str, ...] = ()
    reasons: Annotated[Mapping[str, str] | None, OMITTED] = None
    hand_designed: Annotated[bool | None, OMITTED] = None
    latency_ms_p95: Annotated[float | None, OMITTED] = None
    latency_ms_percentiles: Annotated[Mapping[str, Percentile] | None, OMITTED] = None
    latency_ms_quantile: Annotated[PromisedQuantile | None, OMITTED] = None
    top1_confirm: Annotated[Proportion | None, OMITTED] = None
    sensitivity_confirm: Annotated[Mapping[str, Proportion] | None, OMITTED] = None
    proof: Annotated[ProofRow | None, OMITTED] = None
    raced: Annotated[RacedRow | None, OMITTED] = None
    floors: Annotated[Mapping[str, FloorRow] | None, OMITTED] = None

    def rejected(self, name: str, reason: str) -> CandidateRow:
        """With a limit that keeps it from winning; what was said of that limit before stays."""
        if name in self.rejected_by:
            return self
        return replace(self, rejected_by=(*self.rejected_by, name), reasons={**(self.reasons or {}), name: reason})

    @property
    def latency_ms(self) -> float | None:
        """As measured, else as predicted."""
        return self.latency_ms_measured if self.latency_ms_measured is not None else self.latency_ms_predicted
