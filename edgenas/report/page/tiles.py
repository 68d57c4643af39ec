"""The verdict in a sentence, and four tiles: what is found, at which price, how fast, and whether the export answers the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgenas.records import AT_LEAST, EQUAL_WORD, Latencies, Metrics, PageExport, Proportion, ResultsPage, SearchResult
from edgenas.report.page.markup import Html, join, note, tag
from edgenas.report.page.wording import NETS, counted, first_upper, interval, ms, net_name, only
from edgenas.stats import wilson

GOOD, BAD, OPEN = "good", "bad", "open"
ORDER = ("failed", "undecided", "not_run", "passed")  # the worst first


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure.

    Attributes:
        title: what it is.
        value: large.
        under: what must be known to read it.
        state: ``good``, ``bad`` or ``open``.
    """

    title: str
    value: str
    under: str
    state: str = OPEN


def verdict(page: ResultsPage) -> Html:
    """The sentence, the tiles, and what must be said beside them."""
    tiles = four_tiles(page)
    states = [tile.state for tile in tiles]
    state = BAD if BAD in states else (GOOD if all(each == GOOD for each in states) else OPEN)
    shown = [
        tag("div", tag("h3", tile.title), tag("p", tile.value, class_="value"), tag("p", tile.under), class_=f"tile {tile.state}")
        for tile in tiles
    ]
    lines = [note(text, kind="warn") for text in doubts(page)]
    said = page.deployed.notes if page.deployed is not None else ()
    lines += [
        note(first_upper(text)) for text in dict.fromkeys((*said, *(page.retrain.remarks if page.retrain is not None else ())))
    ]
    return join([tag("p", sentence(page), class_=f"verdict {state}"), tag("div", *shown, class_="tiles"), *lines])


def sentence(page: ResultsPage) -> str:
    """What the run has come to, in one sentence."""
    net = page.deployed
    if net is None:
        command = page.command_for("search") or page.command_for("retrain")
        return f"No net has been chosen yet: {command} chooses one." if command else "No net can be chosen from these results."
    name = net_name(net).capitalize() if net.name in NETS else net.name
    if net.metrics is None:
        what = f"{name}, with {net.weights} weights, has not been judged on test yet"
        return f"{what}: {page.command_for('retrain') or 'edgenas evaluate --split test'} does that."
    parts = [*_found(net.metrics), *([f"needs {speed}"] if (speed := _speed(page)) else [])]
    text = f"{name} {', '.join(parts[:-1])}{' and ' if len(parts) > 1 else ''}{parts[-1]}"
    exported = _export_words(page)
    return f"{text}; {exported}." if exported else f"{text}."


def _found(metrics: Metrics) -> list[str]:
    if metrics.positive is None:
        return [f"is right on {counted(metrics.top1)} test images"]
    sensitivity, alarms = metrics.sensitivity[metrics.positive], false_alarms(metrics)
    price = [f"mistakes {counted(alarms)} others for it"] if alarms is not None else []
    return [f"finds {counted(sensitivity)} images of {metrics.positive} in the test split", *price]


def _speed(page: ResultsPage) -> str:
    value, kind = latency_of(page)
    if value is None:
        return ""
    limit = latency_limit(page)
    beside = "" if limit is None else f", {'within' if value <= limit else 'above'} the limit of {ms(limit)}"
    return f"{ms(value)} an image ({kind}{beside})"


def _export_words(page: ResultsPage) -> str:
    if not page.own_exports:
        return ""
    word = worst_verdict(page.own_exports)
    said = {
        "passed": "every exported file passed its gates",
        EQUAL_WORD: "every exported file answers as the net does, equal within rounding",
        "failed": "an exported file failed a gate",
        "undecided": "whether an exported file may ship is undecided",
    }
    return said.get(word, "an exported file could not be run here")


def four_tiles(page: ResultsPage) -> tuple[Tile, Tile, Tile, Tile]:
    """Sensitivity (accuracy without a positive class), false alarms, latency, export."""
    metrics = page.deployed.metrics if page.deployed is not None else None
    return (_found_tile(page, metrics), _price_tile(page, metrics), _latency_tile(page), _export_tile(page))


def _found_tile(page: ResultsPage, metrics: Metrics | None) -> Tile:
    title = "Accuracy" if page.positive is None else f"Sensitivity: {page.positive}"
    if metrics is None:
        return Tile(title, "–", f"not judged on test yet: {page.command_for('retrain') or 'edgenas evaluate --split test'}")
    if metrics.positive is None:
        common = metrics.most_frequent
        state = OPEN if common is None else (GOOD if metrics.top1.low > common.share.value else BAD)
        return Tile(title, only(metrics.top1), f"{interval(metrics.top1)}, {counted(metrics.top1)} test images", state)
    sensitivity = metrics.sensitivity[metrics.positive]
    floor, state = _floor(page, metrics.positive)
    return Tile(title, only(sensitivity), f"{interval(sensitivity)}, {counted(sensitivity)} found in test{floor}", state)


def _floor(page: ResultsPage, positive: str) -> tuple[str, str]:
    """The floor that was asked for in words, and whether it is kept."""
    name = f"sensitivity[{positive}]"
    gates = page.retrain.gates if page.retrain is not None else None
    gate = next((each for each in gates or () if positive in each.name), None)
    if gate is not None:
        state = {"passed": GOOD, "failed": BAD}.get(gate.verdict, OPEN)
        return f"; floor {100 * gate.limit:g} %: {gate.verdict.replace('_', ' ')}", state
    asked = page.search.limits.get(name) if page.search is not None else None
    return (f"; floor {100 * asked:g} %", OPEN) if asked is not None else ("; no floor was asked for", OPEN)


def _price_tile(page: ResultsPage, metrics: Metrics | None) -> Tile:
    if page.positive is None:
        common = metrics.most_frequent if metrics is not None else None
        if common is None:
            return Tile("Most frequent class", "–", "not judged on test yet")
        return Tile("Always one answer", only(common.share), f"accuracy of always answering {common.class_name}")
    alarms = false_alarms(metrics) if metrics is not None else None
    if alarms is None:
        return Tile("False alarms", "–", "not judged on test yet")
    return Tile("False alarms", only(alarms), f"{interval(alarms)}, {counted(alarms)} other images of test")


def false_alarms(metrics: Metrics) -> Proportion | None:
    """Share of the other classes' images that are decided as the positive one; None where nothing tells."""
    if metrics.positive is None or not metrics.confusion_matrix:
        return None
    index = list(metrics.sensitivity).index(metrics.positive)
    others = [row for place, row in enumerate(metrics.confusion_matrix) if place != index]
    return wilson(sum(row[index] for row in others), sum(map(sum, others)))


def latency_of(page: ResultsPage) -> tuple[float | None, str]:
    """The net's latency in milliseconds, and whether it is measured or predicted."""
    net = page.deployed
    if net is None:
        return None, ""
    if net.latency_ms_measured is not None:
        return net.latency_ms_measured, "measured"
    return net.latency_ms_predicted, "predicted"


def latency_limit(page: ResultsPage) -> float | None:
    """The search's limit on the latency of the first device; None without one."""
    return next(iter(_latency_limits(page.search).values()), None)


def _latency_limits(search: SearchResult | None) -> dict[str, float]:
    """Upper limits on latencies by name, that of the first device first."""
    limits = search.limits if search is not None else {}
    found = {name: value for name, value in limits.items() if name.startswith("latency_ms") and not name.endswith(AT_LEAST)}
    return {name: found[name] for name in sorted(found, key=lambda name: name != "latency_ms")}


def other_devices(page: ResultsPage) -> Iterator[str]:
    """For every further device that the search limited: its limit, and what is known of the net that would be deployed there."""
    search, net = page.search, page.deployed
    if search is None:
        return
    winner = search.winner
    is_winner = winner is not None and net is not None and net.arch == winner.arch and net.ensemble is None
    known = (winner.latencies or {}) if winner is not None and is_winner else {}
    for name, limit in [*_latency_limits(search).items()][1:]:
        alias = name.removeprefix("latency_ms[").removesuffix("]")
        table = (search.tables or {}).get(alias)
        device = alias if table is None else f"{alias} ({table.device})"
        yield f"on {device}: {_there(known.get(alias))}, limit {ms(limit)}"


def _there(latencies: Latencies | None) -> str:
    if latencies is None or latencies.predicted_ms is None:
        return "not known of this net"
    return f"{ms(latencies.predicted_ms)} predicted" if latencies.measured_ms is None else f"{ms(latencies.measured_ms)} measured"


def _latency_tile(page: ResultsPage) -> Tile:
    value, kind = latency_of(page)
    if value is None:
        missing = page.command_for("latency table") or page.command_for("search")
        return Tile("Latency", "–", f"not known yet: {missing}" if missing else "not known of this net")
    limit = latency_limit(page)
    where = f" on {page.table.context.device}" if page.table is not None else ""
    under = f"{kind}, median of single calls{where}" if kind == "measured" else f"predicted by the table{where}, not measured"
    if limit is None:
        return Tile("Latency", ms(value), f"{under}; no limit was set")
    others = [*other_devices(page)]
    is_shown = kind == "measured" and all(" measured, " in each for each in others)
    state = BAD if value > limit else (GOOD if is_shown else OPEN)
    under = "; ".join([f"{under}; limit {ms(limit)}, {'kept' if value <= limit else 'not kept'}", *others])
    return Tile("Latency", ms(value), under, state)


def worst_verdict(exports: tuple[PageExport, ...]) -> str:
    """The worst verdict of all artefacts; of those that passed the word that all share."""
    verdicts = [each.manifest.verdict for each in exports]
    worst = next((name for name in ORDER if name in verdicts), "not_run")
    words = {each.manifest.verdict_word for each in exports}
    return words.pop() if worst == "passed" and len(words) == 1 else worst


def _export_tile(page: ResultsPage) -> Tile:
    exports = page.own_exports
    if not exports:
        what = "not exported yet" if not page.exports else "these weights are not exported yet"
        return Tile("Export", "–", f"{what}: {page.command_for('export') or 'edgenas export'}")
    word = worst_verdict(exports)
    state = {"passed": GOOD, EQUAL_WORD: GOOD, "failed": BAD}.get(word, OPEN)
    parities = [file.parity for each in exports for file in each.parity.files]
    missed = [parity.new_false_negatives for parity in parities if parity.new_false_negatives is not None]
    images = max((parity.num_images for parity in parities), default=0)
    ran = sum(parity.num_images > 0 for parity in parities)
    through = "each" if ran == len(parities) else f"{ran} of them"
    under = f"{len(parities)} file{'s' if len(parities) != 1 else ''}, {images:,} test images through {through}"
    under += f"; {max(missed)} newly missed" if missed else ""
    return Tile("Export", word.replace("_", " "), under, state)


def doubts(page: ResultsPage) -> Iterator[str]:
    """What casts doubt on the numbers, a sentence each."""
    seen: list[str | None] = [page.search.doubts if page.search is not None and page.retrain is None else None]
    seen += page.retrain.doubts if page.retrain is not None else ()
    yield from dict.fromkeys(first_upper(text) for text in seen if text is not None)
