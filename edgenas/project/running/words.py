"""What `edgenas run` says of a stage: in a line what it found, and how long `plan` expects it to take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgenas.percents import percent, with_interval
from edgenas.records import (
    Estimate,
    EvaluateResult,
    ExportResult,
    InitResult,
    Metrics,
    PlannedTimes,
    PlanResult,
    ProfileAnswer,
    ReportResult,
    RetrainResult,
    SearchResult,
    TrainResult,
)
from edgenas.runs.durations import duration


def headline(result: Any) -> str:
    """What a stage found, in a line; empty for an answer of which there is nothing to say."""
    words = _WORDS.get(type(result))
    return "" if words is None else words(result)


def expected(estimate: Estimate | None) -> str:
    """How long a stage is going to take, in words; empty where nobody knows."""
    if estimate is None:
        return ""
    if duration(estimate.low) == duration(estimate.high):
        return f"about {duration(estimate.value)}"
    return f"about {duration(estimate.value)} ({duration(estimate.low)} to {duration(estimate.high)})"


def estimates_of(times: PlannedTimes, *, baseline: bool) -> dict[str, Estimate]:
    """How long stages are going to take, by stage."""
    training = [each.seconds for each in times.training.values() if not each.is_done]
    estimates = {
        "train": [*(probe.seconds for probe in times.probes.values()), *training],
        "search": [times.search.seconds, *([times.proof.seconds] if times.proof is not None else [])],
        "retrain": [each.seconds for name, each in times.retrain.items() if name == ("baseline" if baseline else "alone")],
    }
    return {stage: _sum(parts) for stage, parts in estimates.items() if parts}


def _sum(parts: Sequence[Estimate]) -> Estimate:
    return Estimate(
        value=sum(part.value for part in parts),
        low=sum(part.low for part in parts),
        high=sum(part.high for part in parts),
        n=min(part.n for part in parts),
    )


def _init(result: InitResult) -> str:
    positive = "" if result.positive is None else f", {result.positive} must not be missed"
    return f"{result.num_images:,} images of {len(result.classes)} classes{positive}; space {result.space.name}"


def _profile(result: ProfileAnswer) -> str:
    context, validation = result.context.context, result.validation
    error = "" if validation.mape is None else f"; predictions are off by {percent(validation.mape)} on average"
    return f"{context.runtime} on {context.device}{error}"


def _plan(result: PlanResult) -> str:
    feasible = result.fitting.space.feasible
    return "" if feasible is None else f"{percent(feasible.value)} of the nets fit"


def _train(result: TrainResult) -> str:
    top1 = result.supernet.select_top1 if result.supernet is not None else {}
    return "; ".join(f"{name} subnet {with_interval(share)} on select" for name, share in top1.items() if name == "largest")


def _search(result: SearchResult) -> str:
    if result.winner is None:
        return "no finalist meets the limits"
    latency = result.winner.latency_ms
    cost = "" if latency is None else f" at {latency:.3g} ms"
    return f"winner of {result.evaluations.evaluated:,} nets{cost}, {result.winner.params:,} parameters"


def _metrics(metrics: Metrics, split: str) -> str:
    top1 = metrics.top1_decision if metrics.top1_decision is not None else metrics.top1
    words = f"on {split}: {with_interval(top1)} decided right"
    sensitivity = metrics.sensitivity.get(metrics.positive) if metrics.positive is not None else None
    if sensitivity is None:
        return words
    choice = metrics.threshold_choice
    few = f" (only {choice.sensitivity.n:,} images set the threshold)" if choice is not None and choice.is_set_by_one else ""
    return f"{words}, of {metrics.positive} {with_interval(sensitivity)} found{few}"


def _retrain(result: RetrainResult) -> str:
    return _metrics(result.net.metrics, result.net.split)


def _evaluate(result: EvaluateResult) -> str:
    return _metrics(result.metrics, result.split)


def _export(result: ExportResult) -> str:
    words = ((each.artifact, (each.word or each.verdict).replace("_", " ")) for each in result.artifacts or (result,))
    return "; ".join(f"{artefact}: {word}" for artefact, word in words)


def _report(result: ReportResult) -> str:
    return f"{result.page}, {result.size_bytes / 2**20:.1f} MB"


_WORDS: Mapping[type, Callable[[Any], str]] = {
    InitResult: _init,
    ProfileAnswer: _profile,
    PlanResult: _plan,
    TrainResult: _train,
    SearchResult: _search,
    RetrainResult: _retrain,
    EvaluateResult: _evaluate,
    ExportResult: _export,
    ReportResult: _report,
}
