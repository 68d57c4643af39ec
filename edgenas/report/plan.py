"""What a terminal shows of limits: what they leave, what is promised, how long training would take."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgenas.percents import with_interval
from edgenas.records import (
    CandidateRow,
    Estimate,
    FittingNets,
    PlannedNet,
    PlannedRetrain,
    PlanResult,
    PromisedBound,
    Proportion,
    SessionFacts,
    limit_text,
)
from edgenas.report.cells import arch_line, count, interval, milliseconds, minute, percent, table
from edgenas.report.spaces import cardinality
from edgenas.runs import Outcome
from edgenas.runs.durations import duration

METHODS = {
    "enumeration": "exactly: every net was looked at",
    "evolution": "by evolution over the cost tables; there may be better ones",
}


def plan_view(outcome: Outcome[PlanResult]) -> Iterator[RenderableType]:
    """Feasible share, the extreme nets that fit, what binds, and the estimated times."""
    result = outcome.result
    fitting, space = result.fitting, result.fitting.space
    assert space.feasible is not None
    assert space.num_feasible is not None
    yield Text(
        f"{_share(space.feasible, is_exact=space.is_exact)} of {cardinality(space.num_subnets)} nets of {space.name} fit"
        f" ({'exactly' if space.is_exact else 'about'} {cardinality(space.num_feasible.value)})"
    )
    yield _nets(fitting)
    for names, net in _together(fitting.nets):
        yield Text(f"{names}: {arch_line(net.costs.arch)}")
    yield from promises(fitting.promises)
    for name, limit in fitting.limits.items():
        alone = ", alone for some: it binds" if name in fitting.binding else ""
        yield Text(f"{limit_text(name, f'{limit:.6g}')} keeps out {fitting.rejected[name]:,} of the nets looked at{alone}")
    yield _times(result)
    yield Text("estimated from a few timed steps on this device: mean, and the range of their 10th to 90th percentile", style="dim")
    yield Text("compare is not among them: it tells its own time before it trains, once its rivals are known", style="dim")


def _share(share: Proportion, *, is_exact: bool) -> str:
    return percent(share.value) if is_exact else with_interval(share)


def _words(name: str) -> str:
    return {"largest_macs": "most MACs", "largest_params": "most parameters"}.get(name, name)


def _together(nets: Mapping[str, PlannedNet]) -> list[tuple[str, PlannedNet]]:
    """Every net once, with all that it is."""
    together: list[tuple[str, PlannedNet]] = []
    for name, net in nets.items():
        place = next((place for place, (_, other) in enumerate(together) if other == net), None)
        if place is None:
            together.append((_words(name), net))
        else:
            together[place] = (f"{together[place][0]}, {_words(name)}", net)
    return together


def _nets(fitting: FittingNets) -> Table:
    has_latency = any(net.costs.latency_ms_predicted is not None for net in fitting.nets.values())
    latencies = [">predicted", ">upper"] if has_latency else []
    scores = list(dict.fromkeys(score for net in fitting.nets.values() for score in net.proxies or {}))
    columns = (*latencies, ">blocks", ">width", *(f">{score}" for score in scores))
    rows = table("nets that fit", ">params", ">MACs", *columns, title=f"Found {METHODS[fitting.method]}")
    for names, net in _together(fitting.nets):
        costs = net.costs
        shown = [milliseconds(costs.latency_ms_predicted), milliseconds(costs.latency_ms_upper)] if has_latency else []
        scored = [f"{(net.proxies or {})[score]:.4g}" for score in scores]
        rows.add_row(names, _tight(costs.params), _tight(costs.macs), *shown, str(net.depth), f"{net.mean_width:.0f}", *scored)
    return rows


def _tight(value: float) -> str:
    """A count whose unit stays on its line."""
    return count(value).replace(" ", "\N{NO-BREAK SPACE}")


def _times(result: PlanResult) -> Table:
    rows, times = table("expected here", ">about", ">range", "of", title=f"On {result.device}"), result.times
    for name, probe in times.probes.items():
        what = "teachers" if name == "teacher" else "ways to teach"
        rows.add_row(f"trying {what}", *_seconds(probe.seconds), f"{probe.nets}, {probe.steps:,} steps together")
    for name, training in times.training.items():
        done = " (is there already)" if training.is_done else ""
        of = f"{training.epochs} epochs, {training.steps:,} steps of {training.batch_size} images"
        rows.add_row(f"{name} ({training.net}){done}", *_seconds(training.seconds), of)
    search, proof = times.search, times.proof
    rows.add_row("search", *_seconds(search.seconds), f"{search.nets:,} nets on {search.images:,} images")
    if proof is not None:
        last = f", {proof.last_nets} of them for {proof.last_epochs}" if proof.last_nets else ""
        of = f"{proof.nets} nets for {proof.first_epochs} epochs{last}"
        rows.add_row("its proof", *_seconds(proof.seconds), of)
    for name, each in times.retrain.items():
        beside = f", {each.hand_designed} hand-designed nets, a plain CNN" if name == "baseline" else ""
        label = "retrain --baseline" if name == "baseline" else "retrain"
        rows.add_row(label, *_seconds(each.seconds), f"{_finals(each)}{beside}: {each.epochs:,} epochs")
    return rows


def _finals(planned: PlannedRetrain) -> str:
    who = "the winner" if planned.finals in (None, 1) else f"the {planned.finals} best of the proof"
    return f"{who} in {planned.ways} ways"


def _seconds(estimate: Estimate) -> tuple[str, str]:
    return duration(estimate.value), f"{duration(estimate.low)} to {duration(estimate.high)}"


def promises(bounds: Mapping[str, PromisedBound] | Sequence[PromisedBound]) -> Iterator[RenderableType]:
    """Bounds on quantiles of calls with their coverage and slack on nets that fitted nothing; nothing without any.

    Those of one session say that they hold for no other day, those of several what they take from elsewhere.
    """
    if not bounds:
        return
    named = list(bounds.items()) if isinstance(bounds, Mapping) else [("", bound) for bound in bounds]
    with_names = isinstance(bounds, Mapping)
    columns = [*(["limit"] if with_names else []), ">calls", ">confidence", ">x predicted", ">held for % [95 %]", ">above measured"]
    rows = table(*columns, title=f"Upper bounds, {_sessions([bound.num_sessions for _, bound in named])}")
    rows.columns[0].no_wrap = True
    for name, bound in named:
        kept, slack = bound.coverage, None if math.isnan(bound.slack.value) else bound.slack.value
        held = f"{interval(kept)} of {kept.n:,}" if kept.n else "–"
        cells = [bound.quantile, f"{bound.confidence:g}", f"{bound.factor:.3f}", held, percent(slack)]
        rows.add_row(*([name] if with_names else []), *cells)
    yield rows
    if not all(bound.covers_days for _, bound in named):
        sessions = "1 session" if all(bound.num_sessions == 1 for _, bound in named) else "sessions of one hour"
        text = f"bounds of {sessions}: other hours and days are not covered; edgenas profile --again adds one"
        yield Text(text, style="yellow")
    yield from _elsewhere([bound for _, bound in named])


def _elsewhere(bounds: Sequence[PromisedBound]) -> Iterator[Text]:
    """What bounds of few sessions take from sessions elsewhere; nothing where none do."""
    calls: dict[float, list[str]] = {}
    for bound in bounds:
        if bound.prior is not None and bound.prior.sessions and bound.quantile not in calls.setdefault(bound.prior.scale, []):
            calls[bound.prior.scale].append(bound.quantile)
    if calls:
        differed = ", ".join(f"{percent(scale)} ({', '.join(quantiles)})" for scale, quantiles in calls.items())
        most = max(bound.prior.sessions for bound in bounds if bound.prior is not None)
        counts = f"which counts as {most} more here"
        yield Text(f"sessions measured elsewhere differed by {differed}, {counts}; edgenas profile --again adds one", style="dim")


def sessions_table(sessions: Sequence[SessionFacts]) -> Iterator[Table]:
    """The sessions of a table; nothing where there is just its own."""
    if len(sessions) < 2:
        return
    rows = table("session", "date", ">nets", ">for checks", ">calls a net", ">times as long", title="Sessions")
    for number, each in enumerate(sessions, 1):
        calls = "–" if each.num_runs is None else str(each.num_runs)
        rows.add_row(str(number), minute(each.date), str(each.num_nets), str(each.num_checks), calls, f"{each.speed:.3f}")
    yield rows


def _sessions(counts: Sequence[int]) -> str:
    """How many sessions bounds come from."""
    return f"of {' and '.join(map(str, sorted(set(counts))))} session{'' if set(counts) == {1} else 's'}"


def latencies(finalists: Sequence[CandidateRow]) -> Iterator[Table]:
    """Latencies of the finalists on every device; nothing where limits have no names."""
    named = [finalist.latencies for finalist in finalists if finalist.latencies is not None]
    if not named:
        return
    names = list(named[0])
    rows = table("", *(f">{name}: predicted" for name in names), *(f">{name}: measured" for name in names))
    for position, by_name in enumerate(named, 1):
        predicted = (milliseconds(by_name[name].predicted_ms) for name in names)
        rows.add_row(str(position), *predicted, *(milliseconds(by_name[name].measured_ms) for name in names))
    yield rows
