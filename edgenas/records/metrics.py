"""What predictions of one split say of a net."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from edgenas.percents import percent, with_interval
from edgenas.records.codec import FLAT, OMITTED, Arch, JsonRecord
from edgenas.records.proportion import Proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class MostFrequent(JsonRecord):
    """What always answering one class would give: the most frequent one of some images.

    Attributes:
        class_name: of equally frequent ones the first.
        share: of the images that are of it, and so the accuracy of that answer.
    """

    class_name: str
    share: Proportion

    def doubts(self, what: str, top1: Proportion) -> str | None:
        """That an accuracy is not shown to be above this, in words; None where its interval lies above."""
        if not top1.n or top1.low > self.share.value:
            return None
        found = f"{what}: accuracy {with_interval(top1)} of {top1.n} images"
        return f"{found} is not shown to be above {percent(self.share.value)}, which always answering {self.class_name} gives"


@dataclass(frozen=True, slots=True, kw_only=True)
class Referral(JsonRecord):
    """What a zone that a person decides costs and is worth on some images.

    Attributes:
        split: whose images these are.
        share: of the images that are referred to a person.
        error: share of the other images that are wrongly decided as to whether they are of the positive class.
        error_without: the same share of all images, without a zone.
        missed: share of the positive class's images that are neither referred nor decided as it.
    """

    split: str
    share: Proportion
    error: Proportion
    error_without: Proportion
    missed: Proportion

    @property
    def words(self) -> str:
        """All of it in a line."""
        return (
            f"on {self.split} {_of(self.share)} images are referred; of the others {_of(self.error)} are wrongly decided "
            f"({_of(self.error_without)} without referring), {_of(self.missed)} positives missed"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferralZone(JsonRecord):
    """Probabilities of the positive class at which a person is to decide: from ``low`` to ``high``, both included.

    Attributes:
        target: share of the images decided without a person that may be wrong, by which the zone was chosen; None where its ends
            were given.
        found: on the images that chose the threshold.
    """

    low: float
    high: float
    target: float | None = None
    found: Referral

    @property
    def words(self) -> str:
        """The zone, how it was chosen, and what it is worth where it was."""
        how = "as set" if self.target is None else f"chosen for at most {100 * self.target:g} % wrong"
        if self.low <= 0 and self.high >= 1:
            how += "; every image is referred" + ("" if self.target is None else ": no smaller zone keeps to that")
        return f"to a person from {self.low:.4g} to {self.high:.4g} ({how}): {self.found.words}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdChoice(JsonRecord):
    """How the threshold of the positive class was chosen, and what it costs where it was.

    Attributes:
        threshold: least probability at which the class is decided.
        split: whose images chose it.
        floor: share of the class's images that must be found.
        confidence: two-sided, of the interval whose lower end must reach the floor; None where the share itself must.
        is_asked: the floor was asked for; else it is the default.
        is_shown: the images are enough to reach it.
        sensitivity: share of the class's images that are found there.
        false_alarms: share of the other images that are decided as the class there.
        refer: the zone around the threshold that a person decides; None without one.
    """

    threshold: float
    split: str = "calibrate"
    floor: float
    confidence: float | None
    is_asked: bool
    is_shown: bool
    sensitivity: Proportion
    false_alarms: Proportion
    refer: Annotated[ReferralZone | None, OMITTED] = None

    @property
    def enough(self) -> int:
        """The fewest images of the class of which one may be missed: with fewer, the least likely one alone sets the threshold."""
        return math.ceil(1 / max(1 - self.floor, 1e-6) - 1e-6)

    @property
    def is_set_by_one(self) -> bool:
        """Whether the class's images are so few that all of them must be found."""
        return 0 < self.sensitivity.n < self.enough

    @property
    def words(self) -> str:
        """The rule, and what it found and costs."""
        if self.confidence is None:
            rule = f"the highest that finds {100 * self.floor:g} % on {self.split}"
        else:
            rule = (
                f"the highest whose sensitivity on {self.split} has its lower end ({100 * self.confidence:g} %) at {self.floor:g}"
            )
        rule += " as asked" if self.is_asked else " (default)"
        if not self.is_shown:
            rule = f"the highest that finds all on {self.split}: they are too few to show the {self.floor:g} asked for"
        words = f"{rule}; it finds {_of(self.sensitivity)} there, at the price of false alarms for {_of(self.false_alarms)} others"
        if self.is_shown and self.is_set_by_one:
            words += f"; the least likely of so few images sets it: {self.enough:,} or more on {self.split} would be steadier"
        return words


def _of(share: Proportion) -> str:
    """A share as a count, e.g. ``12 of 90``."""
    return f"{round(share.value * share.n) if share.n else 0:,} of {share.n:,}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteMetrics(JsonRecord):
    """The images of one site.

    Attributes:
        n: images.
        top1: accuracy of the argmax.
        top1_decision: accuracy of the decision rule.
        sensitivity: by class, of the decision rule.
        most_frequent: class there, and what always answering it gives; None in results of before.
    """

    n: int
    top1: Proportion
    top1_decision: Proportion
    sensitivity: Mapping[str, Proportion]
    most_frequent: Annotated[MostFrequent | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics(JsonRecord):
    """What predictions of a split say of a net.

    Attributes:
        n: images.
        top1: accuracy of the argmax.
        top1_decision: accuracy of the decision rule.
        sensitivity: by class, of the decision rule.
        balanced_accuracy: mean sensitivity of the classes that occur; None without images.
        confusion_matrix: a row per label, a column per decision.
        positive: class that must not be missed; None without one.
        threshold: least p(positive) at which it is decided; None where decisions are the argmax.
        sites: by name; None where unknown.
        most_frequent: class of the split, and what always answering it gives; None in results of before.
        threshold_choice: how the threshold was chosen; None without one, and in results of before.
        referral: what referring images to a person is worth here; None where none are.
    """

    n: int
    top1: Proportion
    top1_decision: Proportion
    sensitivity: Mapping[str, Proportion]
    balanced_accuracy: float | None = None
    confusion_matrix: tuple[tuple[int, ...], ...] = ()
    positive: str | None = None
    threshold: float | None = None
    sites: Mapping[str, SiteMetrics] | None = None
    most_frequent: Annotated[MostFrequent | None, OMITTED] = None
    threshold_choice: Annotated[ThresholdChoice | None, OMITTED] = None
    referral: Annotated[Referral | None, OMITTED] = None

    def doubts(self, what: str) -> str | None:
        """That the accuracy is not shown to be above the most frequent class's, in words; None where it is, or is not known."""
        return None if self.most_frequent is None else self.most_frequent.doubts(what, self.top1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitMetrics(JsonRecord):
    """Metrics with the name of the split that they are of."""

    split: str
    metrics: Annotated[Metrics, FLAT]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScores(JsonRecord):
    """One class against all others.

    Attributes:
        ppv: share of the images decided as the class that are of it: its precision.
        npv: share of the images decided otherwise that are not of it.
        specificity: share of the other classes' images that are not decided as it.
        auroc: area under the curve of sensitivity over 1 - specificity; of probabilities, not of decisions.
        ppv_at_prevalence, npv_at_prevalence: where the class has a stated share; None where none is stated.
    """

    ppv: Proportion
    npv: Proportion
    specificity: Proportion
    auroc: Proportion
    ppv_at_prevalence: Annotated[Proportion | None, OMITTED] = None
    npv_at_prevalence: Annotated[Proportion | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores(JsonRecord):
    """What reports of classifiers hold beside `Metrics`.

    Attributes:
        classes: by name.
        macro_f1: mean F1 of the classes that occur.
        calibration_error: mean distance of confidence and accuracy, over 15 bins of confidence.
        top5: share of images whose class is among the five likeliest; None with five classes or fewer.
        prevalence: that was stated; None without one.
    """

    classes: Mapping[str, ClassScores]
    macro_f1: Proportion
    calibration_error: Proportion
    top5: Annotated[Proportion | None, OMITTED] = None
    prevalence: Annotated[float | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow(JsonRecord):
    """What authors report of a net of the same space on the same data; nothing of it was measured here.

    Attributes:
        source: where they say so.
        dataset: that it is of.
        top1: accuracy, a fraction.
        sensitivity, ppv: by class, fractions; of classes that they report.
        note: what does not reproduce, and why.
    """

    name: str
    source: str
    dataset: str
    top1: float
    sensitivity: Mapping[str, float] = field(default_factory=dict)
    ppv: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateResult(JsonRecord):
    """What `edgenas evaluate` answers.

    Attributes:
        weights: ``inherited``, ``finetuned``, ``given`` or ``scratch``.
        net: ``searched`` or ``baseline``.
        scores: None in results of before.
        published: of the same space on the same data, as reported; None where nothing is.
    """

    split: str
    weights: str
    net: str
    arch: Arch
    params: int
    macs: int
    metrics: Annotated[Metrics, FLAT]
    scores: Annotated[Scores | None, OMITTED] = None
    published: Annotated[tuple[PublishedRow, ...] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedWay(JsonRecord):
    """One of the contract's ``starts``: a net as it was trained in one way.

    Attributes:
        weights: where they started, ``finetuned``, ``given`` or ``scratch``.
        teaching: ``teacher`` or ``labels``.
        seconds: of the training; None where its log is gone.
        select_top1: accuracy on select.
        learning_rate: highest, where several were tried.
        low_floors: floors on sensitivities that it misses on confirm.
    """

    weights: str
    teaching: str
    epochs: int
    seconds: float | None
    select_top1: Proportion
    learning_rate: Annotated[float | None, OMITTED] = None
    low_floors: Annotated[tuple[str, ...] | None, OMITTED] = None

    @property
    def way(self) -> tuple[str, str, int, float | None]:
        """What tells it from the others."""
        return self.weights, self.teaching, self.epochs, self.learning_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleRoom(JsonRecord):
    """What several nets of one architecture had to keep to together.

    Attributes:
        asked: nets at most that were asked for.
        limits: of the search, by name.
        quantiles: of calls, by the limits that promise one.
        tables: hashes of the latency tables behind the limits.
    """

    asked: int
    limits: dict[str, float]
    quantiles: Annotated[dict[str, str] | None, OMITTED] = None
    tables: Annotated[tuple[str, ...] | None, OMITTED] = None

    def is_under(self, other: EnsembleRoom) -> bool:
        """Whether both are of the same limits."""
        return replace(self, asked=other.asked) == other


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleReport(JsonRecord):
    """Nets of one architecture that answer together, beside the one that is deployed otherwise.

    That is the first of them, or the search's winner where they are of another architecture.

    Attributes:
        num_members: nets, the first included.
        epochs, seconds: of all their trainings; seconds are None where a log is gone.
        select_top1_alone: accuracy of that one on select.
        likelihood_gain: what they find the classes of select and confirm likelier than that one does, in nats an image, paired.
        room: limits that so many keep to; None where there was no search.
    """

    num_members: int
    epochs: int
    seconds: float | None
    select_top1_alone: Proportion
    likelihood_gain: Proportion
    room: Annotated[EnsembleRoom | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetReport(JsonRecord):
    """One net as `retrain` reports it.

    Attributes:
        arch: None for a net of no space.
        width: channels of a plain CNN.
        latency_ms_predicted: None without a table, or for a net of no space.
        weights: where its training started, ``finetuned``, ``given`` or ``scratch``.
        teaching: ``teacher`` or ``labels``.
        learning_rate: highest, where several were tried.
        select_top1: accuracy on select.
        starts: its trainings to the end.
        latency_ms_measured: None where it was not measured.
        ensemble: of several nets of the architecture; costs, latency and metrics are theirs together. None for a single net.
        split: of the metrics.
    """

    arch: Arch | None
    width: Annotated[int | None, OMITTED] = None
    params: int
    macs: int
    latency_ms_predicted: float | None
    weights: str
    teaching: Annotated[str | None, OMITTED] = None
    epochs: int
    learning_rate: Annotated[float | None, OMITTED] = None
    select_top1: Annotated[Proportion | None, OMITTED] = None
    starts: Annotated[tuple[TrainedWay, ...] | None, OMITTED] = None
    latency_ms_measured: float | None
    ensemble: Annotated[EnsembleReport | None, OMITTED] = None
    split: str
    metrics: Annotated[Metrics, FLAT]

    @property
    def way(self) -> tuple[str, str | None, int, float | None]:
        """How it was trained."""
        return self.weights, self.teaching, self.epochs, self.learning_rate
