"""What a search found: the space under its limits, the finalists, the winner, how far cheap rankings were to be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from edgenas.records.candidates import CandidateRow
from edgenas.records.codec import OMITTED, Arch, JsonRecord, SealedRecord
from edgenas.records.metrics import MostFrequent
from edgenas.records.proportion import Proportion
from edgenas.records.search_analysis import SearchAnalysis

Quantile = Literal["p50", "p90", "p95", "p99"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts(JsonRecord):
    """The latency table that a result rests on."""

    path: str
    sha256: str
    device: str
    runtime: str
    precision: str
    batch_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPrior(JsonRecord):
    """What was held of a table's sessions before they were many: that they differ as sessions did elsewhere.

    Attributes:
        scale: standard deviation of what all nets of a session shift by together, as a share.
        sessions: that it counts as, in degrees of freedom.
        source: where that was measured.
    """

    scale: float
    sessions: int
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromisedBound(JsonRecord):
    """``factor`` x predicted is an upper bound on a quantile of the plain calls of a net.

    Attributes:
        quantile: of the calls, e.g. ``p95``.
        confidence: one-sided, that the bound was made for.
        factor: without unit.
        num_nets: that it comes from; they fitted nothing.
        num_runs: fewest calls behind a quantile.
        coverage: share of the validation nets that kept it, over every session that measured them; ``n`` counts nets.
        slack: mean relative excess of the bound over what these nets measured.
        num_sessions: that it comes from.
        covers_days: whether what hours and days differ by is in it: never by one session.
        between: standard deviation of the sessions, as a share; None of one hour.
        num_hours: that the sessions were in, where these are fewer; those of one hour count as one, as slow as the slowest.
        left_out: per later session the share of its nets that kept the bound of the others; None where these are fewer than two.
        prior: on what sessions differ by; None of one hour, and in results of earlier versions.
    """

    quantile: Quantile
    confidence: float
    factor: float
    num_nets: int
    num_runs: int
    coverage: Proportion
    slack: Proportion
    num_sessions: int = 1
    covers_days: bool = False
    between: Annotated[float | None, OMITTED] = None
    left_out: Annotated[tuple[float, ...] | None, OMITTED] = None
    num_hours: Annotated[int | None, OMITTED] = None
    prior: Annotated[SessionPrior | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetCosts(JsonRecord):
    """One of the nets that show what a space spans; ``latency_ms`` is predicted, and left out without a table."""

    arch: Arch
    params: int
    macs: int
    latency_ms: Annotated[float | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NumNets(JsonRecord):
    """How many nets meet the limits, with the interval of that number."""

    value: int
    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceFacts(JsonRecord):
    """A space under limits.

    Attributes:
        num_subnets: of the space.
        feasible_share: of the nets looked at.
        is_exact: whether these were all.
        smallest, median, largest: of these, by latency or MACs.
        feasible: the share with its interval; `plan` says it.
        num_feasible: nets; likewise.
    """

    name: str
    num_subnets: int
    feasible_share: float
    is_exact: bool
    smallest: NetCosts
    median: NetCosts
    largest: NetCosts
    feasible: Annotated[Proportion | None, OMITTED] = None
    num_feasible: Annotated[NumNets | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest(JsonRecord):
    """What can be had of a limit that nothing meets.

    Attributes:
        asked: the limit.
        achievable: the nearest value that is known.
        arch: of the net that has it.
    """

    asked: float
    achievable: float | None
    arch: Arch


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherSpace(JsonRecord):
    """A shipped space with nets that meet limits which no net of the searched one meets.

    Attributes:
        looked_at: limits by name that one of its nets meets together.
        not_looked_at: limits whose cost is not known there, as no latency table of it is at hand.
    """

    space: str
    looked_at: tuple[str, ...]
    not_looked_at: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluations(JsonRecord):
    """What was looked at.

    Attributes:
        candidates: nets whose costs were computed.
        evaluated: nets that predicted images.
        images: that each of them predicted, unless a race dropped it.
        rejected: how many broke each limit, by its name.
        earlier: of those evaluated, nets that an earlier search had evaluated; left out where none was continued.
        dropped: nets that races dropped; None without races.
        images_share: of images predicted in all that would have been without races.
    """

    candidates: int
    evaluated: int
    images: int
    rejected: Mapping[str, int]
    earlier: Annotated[int | None, OMITTED] = None
    dropped: Annotated[int | None, OMITTED] = None
    images_share: Annotated[float | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FidelityRow(JsonRecord):
    """A net that was trained alone: its accuracies with inherited and with its own weights, fractions.

    Attributes:
        alone_log_likelihood: mean over the images that judged it, in nats; None where accuracy judged.
    """

    arch: Arch
    inherited: float
    alone: float
    latency_ms_predicted: float | None
    alone_log_likelihood: Annotated[float | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FidelityResult(JsonRecord):
    """How well cheap rankings agree with nets trained alone.

    Attributes:
        num_nets: trained alone.
        epochs: that each of them was trained for.
        band: lowest and highest cost of those of about equal cost; None where they are few.
        num_band: how many these are.
        tau: Kendall's, by ranking, over all; empty with few nets.
        tau_band: over those of about equal cost.
        ranker: what accuracies were expected from: ``combined``, or ``none``.
        rows: one a net.
    """

    num_nets: int
    epochs: int
    band: tuple[float, float] | None
    num_band: int
    tau: Mapping[str, Proportion]
    tau_band: Mapping[str, Proportion]
    ranker: str
    rows: tuple[FidelityRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyReport(JsonRecord):
    """How a training-free indicator ranks nets, beside their sizes.

    Attributes:
        name: of the indicator.
        num_scored: nets that it was asked about.
        num_evaluated: of these, how many predicted images.
        with_size: Kendall's tau of the indicator with ``params`` and ``macs``, over all that were scored.
        with_accuracy: Kendall's tau of the indicator, of ``params`` and of ``macs`` with the accuracy on select, over those that
            were evaluated, which it may have chosen; empty with fewer than two.
    """

    name: str
    num_scored: int
    num_evaluated: int
    with_size: Mapping[str, Proportion]
    with_accuracy: Mapping[str, Proportion]


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingFound(JsonRecord):
    """What a search knows where no architecture meets its limits before anything is evaluated."""

    space: SpaceFacts
    limits: Mapping[str, float]
    table: TableFacts | None
    tables: Mapping[str, TableFacts]
    promises: Mapping[str, PromisedBound]
    finalists: tuple[CandidateRow, ...] = ()
    winner: None = None
    evaluations: Evaluations
    closest: Mapping[str, Nearest]
    binding: tuple[str, ...]
    other_spaces: Annotated[tuple[OtherSpace, ...] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult(SealedRecord):
    """What `edgenas search` found.

    Attributes:
        splits_sha256: of the splits that it read.
        supernet_sha256: of the weights that nets inherited.
        limits: by name, floors on sensitivities among them.
        table: of the first device; None without one.
        tables: by device.
        promises: bounds by the name of their limit.
        finalists: measured and read once on confirm.
        winner: one of them; None where each is rejected.
        closest: by limit, where nothing was found.
        binding: names of the limits that alone keep out some net.
        fidelity: of cheap rankings; None where no net was trained alone.
        optimism: accuracy on select less that on confirm, of the ``winner`` and of the mean of the ``finalists``.
        floor_confidence: of the floors on sensitivities; None where the shares themselves were held against them.
        seconds: of the whole search; None where an earlier version did not say.
        proof_epochs: of all trainings of the proof together; likewise.
        analysis: of all nets that were evaluated; likewise.
        objectives: what was made large or small, e.g. ``max sensitivity[8]``; None where it was accuracy alone.
        front: nets that no other evaluated one beats in all objectives, the best in the first one first; None with one objective.
        proxy: how a training-free indicator ranks; None where none was asked.
        positive: class that must not be missed; None without one, and in results of before.
        most_frequent: class of ``select``, of ``confirm`` and of ``both`` together, and what always answering it gives.
    """

    kind: ClassVar[str] = "search result"
    schema_version: ClassVar[int] = 2  # 1: first; 2: with the hash of its content

    splits_sha256: str
    supernet_sha256: str | None
    space: SpaceFacts
    limits: Mapping[str, float]
    table: TableFacts | None
    tables: Annotated[Mapping[str, TableFacts] | None, OMITTED] = None
    promises: Annotated[Mapping[str, PromisedBound] | None, OMITTED] = None
    evaluations: Evaluations
    finalists: tuple[CandidateRow, ...]
    winner: CandidateRow | None
    closest: Mapping[str, Nearest] | None
    binding: tuple[str, ...]
    seed: int
    fidelity: Annotated[FidelityResult | None, OMITTED] = None
    optimism: Annotated[Mapping[str, Proportion] | None, OMITTED] = None
    floor_confidence: Annotated[float | None, OMITTED] = None
    seconds: Annotated[float | None, OMITTED] = None
    proof_epochs: Annotated[int | None, OMITTED] = None
    analysis: Annotated[SearchAnalysis | None, OMITTED] = None
    objectives: Annotated[tuple[str, ...] | None, OMITTED] = None
    front: Annotated[tuple[CandidateRow, ...] | None, OMITTED] = None
    proxy: Annotated[ProxyReport | None, OMITTED] = None
    positive: Annotated[str | None, OMITTED] = None
    most_frequent: Annotated[Mapping[str, MostFrequent] | None, OMITTED] = None

    @property
    def doubts(self) -> str | None:
        """That the winner's accuracy is not shown to be above the most frequent class's; None where it is, or is not known.

        Of one that was trained alone by its own accuracy, else by the inherited one on confirm.
        """
        if self.winner is None or self.most_frequent is None:
            return None
        if self.winner.proof is not None:
            what = "the winner, trained alone, on select and confirm"
            return self.most_frequent["both"].doubts(what, self.winner.proof.top1)
        if self.winner.top1_confirm is None:
            return None
        return self.most_frequent["confirm"].doubts("the winner with inherited weights on confirm", self.winner.top1_confirm)

    def as_json(self) -> dict[str, Any]:
        """As `JsonRecord.as_json`, the schema's version first."""
        return {"schema_version": self.schema_version, **super(SearchResult, self).as_json()}
