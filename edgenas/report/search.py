"""What a search found on a terminal: finalists with their proof, and how far cheap rankings are to be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgenas.percents import numeral, percent
from edgenas.records import CandidateRow, Evaluations, FidelityResult, PriceRow, SearchAnalysis, SearchResult
from edgenas.report.cells import arch_line, calls_of, count, interval, milliseconds, table
from edgenas.report.fidelity import correlation, tau_table
from edgenas.report.plan import latencies, promises
from edgenas.runs import Outcome

MAX_GENES = 4  # that are named


def search_view(outcome: Outcome[SearchResult]) -> Iterator[RenderableType]:
    """The finalists, the winner and what kept others out."""
    result = outcome.result
    yield _finalists(result)
    yield from _notes_on_finalists(result)
    yield from latencies(result.finalists)
    yield from promises(result.promises or {})
    for position, candidate in enumerate(result.finalists, 1):
        if candidate.rejected_by:
            is_taken = result.winner is not None and candidate.arch == result.winner.arch
            verb = "misses" if is_taken else "cannot win:"
            taken = ", as every finalist does, and comes nearest; --strict-sensitivity would fail" if is_taken else ""
            broken = ", ".join(_broken(candidate, name) for name in candidate.rejected_by)
            yield Text(f"{position} {verb} {broken}{taken}", style="yellow")
        low = candidate.proof.low_floors if candidate.proof is not None else None
        if low:
            text = f"{position} misses {', '.join(low)} on confirm as trained alone"
            yield Text(f"{text}, and ranks behind those of as many epochs that do not", style="yellow")
    yield from _fidelity(result.fidelity)
    if result.winner is not None:
        hand = "hand-designed " if result.winner.hand_designed else ""
        yield Text(f"winner: {hand}{arch_line(result.winner.arch)}")
        yield from calls_of(result.winner.latency_ms_percentiles)
    yield from _analysis(result.analysis)
    yield from _optimism(result)
    yield from _evaluated(result.evaluations)
    if result.binding:
        yield Text(f"binding: {', '.join(result.binding)}")


def _broken(candidate: CandidateRow, name: str) -> str:
    """A limit that a finalist breaks, with what was found and asked: the table shows medians, a limit may be on slow calls."""
    reason = (candidate.reasons or {}).get(name)
    return name if reason is None else f"{name} ({reason})"


def _analysis(analysis: SearchAnalysis | None) -> Iterator[RenderableType]:
    """What more cost buys and which genes decide, or that the images are too few to say."""
    if analysis is None:
        return
    for words in analysis.front.words.values():
        yield Text(words, style="yellow")
    for price in analysis.prices:
        is_told = price.cost == analysis.prices[0].cost or _is_end(price, analysis.prices)
        if price.metric not in analysis.front.words and is_told:
            yield Text(price.words)
    for facts in analysis.importance:
        if facts.rows:
            genes = ", ".join(f"{row.gene} {row.drop.value:.2f}" for row in facts.rows[:MAX_GENES])
            fit = f"a model of {facts.num_nets:,} nets has r2 {correlation(facts.r2)} on nets left out"
            yield Text(f"genes that decide {facts.metric}, by the r2 lost without them: {genes}; {fit}")


def _is_end(price: PriceRow, prices: Sequence[PriceRow]) -> bool:
    """Whether a price is that of the whole front: of costs besides the first one no more is shown than that."""
    alike = [each for each in prices if (each.cost, each.metric) == (price.cost, price.metric)]
    return price.is_whole or len(alike) == 1


def _optimism(result: SearchResult) -> Iterator[RenderableType]:
    """By how much select is kinder than confirm to nets that were chosen by it."""
    for name, share in (result.optimism or {}).items():
        if not math.isnan(share.value):
            points = f"{100 * share.value:+.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"
            yield Text(f"select − confirm of the {name}: {points} points, what was won by choosing on select")


def _evaluated(evaluations: Evaluations) -> Iterator[RenderableType]:
    text = f"{evaluations.evaluated:,} nets evaluated on {evaluations.images:,} images of select"
    if evaluations.dropped is not None and evaluations.images_share is not None:
        text += f", {evaluations.dropped} of them dropped before: {percent(evaluations.images_share)} of the predictions"
    yield Text(text)


def _finalists(result: SearchResult) -> Table:
    proven = any(candidate.proof is not None for candidate in result.finalists)
    columns = [">alone % [95 %]", ">ep."] if proven else [">confirm % [95 %]"]
    all_measured = all(candidate.latency_ms_measured is not None for candidate in result.finalists)
    predicted = [] if all_measured else [">pred.\nms"]  # the table has to fit 80 columns
    of_positive = [">found"] if result.positive is not None else []
    headings = ("", ">params", ">MACs", *predicted, ">meas.\nms", *of_positive, ">sel.\n%" if proven else ">select %", *columns)
    rows = table(*headings, title="Finalists; on select with inherited weights" if proven else "Finalists")
    for position, candidate in enumerate(result.finalists, 1):
        mark = "→" if result.winner is not None and candidate.arch == result.winner.arch else " "
        proof = candidate.proof
        alone = [interval(proof.top1), str(proof.epochs)] if proof else ["–", "–"]
        rows.add_row(
            f"{mark} {position}{' hand' if candidate.hand_designed else ''}",
            count(candidate.params),
            count(candidate.macs),
            *(_without_unit(candidate.latency_ms_predicted) for _ in predicted),
            _without_unit(candidate.latency_ms_measured),
            *(_found(candidate, str(result.positive)) for _ in of_positive),
            numeral(candidate.top1),
            *(alone if proven else [interval(candidate.top1_confirm)]),
        )
    return rows


def _without_unit(value: float | None) -> str:
    """Milliseconds under a heading that says so."""
    return milliseconds(value).removesuffix(" ms")


def _found(candidate: CandidateRow, positive: str) -> str:
    """How many of the positive class's images a finalist finds, as ``37/38``."""
    share = (candidate.sensitivity_confirm or candidate.sensitivity).get(positive)
    return "–" if share is None or not share.n else f"{round(share.value * share.n):,}/{share.n:,}"


def _notes_on_finalists(result: SearchResult) -> Iterator[Text]:
    """What the columns are, what always answering one class would give, and whether the winner is above that."""
    if result.positive is not None:
        text = f"found: images of {result.positive} on confirm, by the argmax with inherited weights"
        yield Text(f"{text}; the final net's threshold comes later, from calibrate", style="dim")
    yield from _floors_of(result.winner)
    if any(candidate.proof is not None for candidate in result.finalists):
        yield Text("alone, ep.: accuracy on select and confirm after so many epochs of training alone", style="dim")
    common = {name: each for name, each in (result.most_frequent or {}).items() if name != "both"}
    if common:
        given = (f"always {each.class_name}: {percent(each.share.value)} of {name}" for name, each in common.items())
        yield Text("; ".join(given), style="dim")
    if result.doubts is not None:
        yield Text(result.doubts, style="bold yellow")


def _floors_of(winner: CandidateRow | None) -> Iterator[Text]:
    """What floors with a confidence have judged of the winner, which decides by a threshold of its own there."""
    for name, row in ((winner.floors or {}) if winner is not None else {}).items():
        how = "by the argmax" if row.threshold is None else f"from p = {row.threshold:.2g} on, as chosen on calibrate"
        share = f"{interval(row.sensitivity)} of {row.sensitivity.n:,} on select, {how}"
        yield Text(f"winner: {name} {share}; the lower end is held against {row.floor:g}")


def _fidelity(fidelity: FidelityResult | None) -> Iterator[RenderableType]:
    """Kendall's tau of every ranking; nothing where too few nets were proven."""
    if fidelity is None or not fidelity.tau:
        return
    title = f"Kendall's tau [95 %] with {fidelity.num_nets:,} nets alone for {fidelity.epochs} epochs"
    yield tau_table(fidelity.tau, fidelity.tau_band, fidelity.num_band, title=title)
    if fidelity.ranker == "combined":
        yield Text("the combined ranker ranks held-out nets best: proven accuracies are drawn towards what it expects")
