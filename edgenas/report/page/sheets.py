"""What stands at the end: the images, the device, settings, versions and hashes, and what was not shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgenas.percents import percent, with_interval
from edgenas.records import EQUAL_WORD, BenchResult, DataSheet, PageExport, ResultsPage
from edgenas.report.page.gallery import contact_sheet
from edgenas.report.page.markup import Html, folded, join, note, rows_table, tag
from edgenas.report.page.tiles import other_devices, worst_verdict
from edgenas.report.page.wording import first_upper, short_hash

MOST_CLASSES = 40


def data_sheet(page: ResultsPage) -> Html:
    """Splits, patients, sites, oddities, and some images of every class."""
    data = page.data
    if data is None:
        return note("Not shown: the division of the images cannot be read.")
    total = sum(sum(counts.values()) for counts in data.splits.values())
    left_out = f"; {data.excluded:,} more were left out" if data.excluded else ""
    said = note(f"{total:,} images of {data.source} in {len(data.classes)} classes{left_out}.")
    lines = [note(first_upper(text)) for text in data.provable]
    return join(
        [
            said,
            _splits(data, page.positive),
            *_patients(data),
            *_sites(data),
            *lines,
            *_odd(data),
            tag("h3", "How they look"),
            contact_sheet(data),
        ]
    )


def _splits(data: DataSheet, positive: str | None) -> Html:
    names = [name for name in data.classes if len(data.classes) <= MOST_CLASSES or name == positive]
    rows = [
        (f"{name} (must not be missed)" if name == positive else name, *(f"{counts[name]:,}" for counts in data.splits.values()))
        for name in names
    ]
    if len(names) < len(data.classes):
        rows.append(
            (
                f"{len(data.classes) - len(names)} other classes",
                *(f"{sum(v for k, v in counts.items() if k not in names):,}" for counts in data.splits.values()),
            )
        )
    rows.append(("all", *(f"{sum(counts.values()):,}" for counts in data.splits.values())))
    return rows_table(("images of", *data.splits), rows)


def _patients(data: DataSheet) -> Iterator[Html]:
    if data.patients is not None:
        yield rows_table(
            ("patients", *data.patients), [("each in one split alone", *(f"{num:,}" for num in data.patients.values()))]
        )
    elif not data.why_no_images:
        yield note("Patients are not known: images of one person may be in several splits.", kind="warn")


def _sites(data: DataSheet) -> Iterator[Html]:
    if data.sites:
        rows = [(site, *(f"{num:,}" for num in counts.values())) for site, counts in data.sites.items()]
        yield rows_table(("images of site", *next(iter(data.sites.values()))), rows)


def _odd(data: DataSheet) -> Iterator[Html]:
    if not data.num_odd:
        yield note("Nothing odd was seen about the images and their labels.")
        return
    shown = "" if len(data.odd) == data.num_odd else f", {len(data.odd):,} of them shown"
    rows = [(each.path, each.what, each.done) for each in data.odd]
    yield folded(
        f"{data.num_odd:,} odd thing{'s' if data.num_odd != 1 else ''}{shown}",
        rows_table(("path", "what was seen", "what was done"), rows, numbers_from=9),
    )


def device(page: ResultsPage) -> Html:
    """What was exported, with its parity, and lines to copy."""
    if not page.exports:
        return note(
            f"Not shown yet: {page.command_for('export') or 'edgenas export --format onnx'} writes a folder for the device."
        )
    parts: list[Html] = []
    for each in page.exports:
        rows = []
        sizes = {file.path: file.total_bytes for file in each.manifest.files}
        for file in each.parity.files:
            parity = file.parity
            numbers = f"{parity.num_images:,}" if parity.num_images else "–"
            kept = parity.decision.agreement
            same = "–" if kept is None else with_interval(kept)
            size = f"{sizes[file.path] / 1e6:.3g} MB" if file.path in sizes else "–"
            rows.append((file.path, size, parity.word.replace("_", " "), numbers, same))
        parts.append(tag("h3", each.folder))
        if each not in page.own_exports:
            parts.append(note("These are other weights than those of the net above.", kind="warn"))
        parts.append(rows_table(("file", "size", "verdict", "test images", "same decision, 95 %"), rows))
        reasons = dict.fromkeys(file.parity.reason for file in each.parity.files if file.parity.reason)
        parts += [note(first_upper(text)) for text in reasons]
        plan = each.manifest.acceptance
        if plan is not None:
            parts.append(note(f"Judged by plan {plan.plan_sha256[:8]}: {plan.words}.", kind="warn" if plan.was_changed else "note"))
        parts += _margins(each)
        parts.append(_copied(page.run, each))
    return join([*_timed(page.bench), *parts])


def _timed(bench: BenchResult | None) -> Iterator[Html]:
    """All artefacts in turn, and which is the fastest with its gates passed; nothing where they were not timed."""
    if bench is None:
        return
    rows = []
    for row in bench.rows:
        name = f"{row.artifact}/{row.path}" if row.path else "the net itself"
        p99 = row.percentiles.get("p99")
        shown = "–" if p99 is None else f"{p99.ms:.3g}"
        gates = "–" if not row.path else "not judged" if row.parity is None else row.parity.replace("_", " ")
        times = "1" if row.ratio.low == row.ratio.high == 1 else row.ratio.words
        rows.append((name, row.runtime, row.precision, gates, f"{row.latency_ms:.3g}", shown, times))
    yield tag("h3", "Timed in turn")
    heads = ("file", "runtime", "precision", "gates", "p50, ms", "p99, ms", "of the baseline, 95 %")
    yield rows_table(heads, rows, numbers_from=4)
    threads = "" if bench.threads is None else f", {bench.threads} thread{'s' if bench.threads > 1 else ''}"
    yield note(f"{bench.device}{threads}, batch {bench.batch_size}; baseline: {bench.baseline.words}")
    yield note(f"Recommended: {bench.choice.words}" if bench.choice is not None else "No file is recommended: no gates passed.")


def _margins(export: PageExport) -> Iterator[Html]:
    """How near other decisions are, and which images changed theirs, of files whose numbers are not those of the source."""
    for file in export.parity.files:
        shown = file.parity.emulated if file.parity.emulated is not None and not file.parity.gates else file.parity
        if shown.margins is None or shown.word == EQUAL_WORD:
            continue
        cells = [
            (
                f"{each.at_least:g} or more" if each.below is None else f"{each.at_least:g} to {each.below:g}",
                f"{each.images:,}",
                f"{each.flips:,}",
            )
            for each in shown.margins.bins
        ]
        reach = f"an image may move by {shown.margins.median_reach:.2g} (median) to {shown.margins.largest_reach:.2g} (largest)"
        yield folded(
            f"{file.path}: how near other decisions are; {reach}",
            rows_table(("distance, logits", "images", "decided otherwise"), cells),
        )


def _copied(run: str, export: PageExport) -> Html:
    folder = f"{run}/{export.folder}" if not export.folder.startswith("/") else export.folder
    name = export.folder.rsplit("/", 1)[-1]
    lines = [f"edgenas verify {quoted(folder)}", f"scp -r {quoted(folder)} DEVICE:"]
    if any(file.kind == "onnx" for file in export.manifest.files):
        lines += [
            "# on the device:",
            "python3 -m pip install onnxruntime numpy pillow",
            f"python3 {quoted(name + '/example.py')} IMAGE.png",
        ]
    for file in export.manifest.files:
        if file.kind == "engine" and file.runtime == "tensorrt":
            lines.append(f"trtexec --loadEngine={quoted(name + '/' + file.path)}")
    text = "\n".join(lines)
    button = tag("button", "copy", type="button", class_="copy", data_copy=text)
    return tag("div", tag("pre", tag("code", text)), button, class_="lines")


def quoted(text: str) -> str:
    """A word of a shell's line."""
    import shlex

    return shlex.quote(text)


def not_shown(page: ResultsPage) -> Html:
    """What these results do not show, so that nobody takes them for more."""
    return tag("ul", *(tag("li", text) for text in limits(page)))


def limits(page: ResultsPage) -> Iterator[str]:
    """A sentence each."""
    metrics = page.deployed.metrics if page.deployed is not None else None
    yield "How the net decides on images of other devices, places, times or people than those of this data set."
    if metrics is None:
        yield "Anything about images that neither trained nor chose the net: test has not been read yet."
    elif metrics.positive is not None:
        sensitivity = metrics.sensitivity[metrics.positive]
        if sensitivity.n:
            num, low = sensitivity.n, percent(sensitivity.low)
            yield f"A sensitivity above {low}: {num:,} images of {metrics.positive} prove no more (95 %)."
    if page.data is not None and page.data.patients is None:
        yield "That no person is in two splits: the data name no patients."
    if page.data is not None and page.data.sites is None:
        yield "Whether the net is as good at every site: the data name none."
    net = page.deployed
    if net is not None and net.latency_ms_measured is None:
        yield "The latency of the net: it is predicted, or not known at all."
    elif page.table is not None:
        context = page.table.context
        where = f"on another device than {context.device}, in another runtime than {context.runtime}"
        yield f"Latencies {where}, at other clocks or under other load."
    yield from (f"What the net takes {device}." for device in other_devices(page) if " measured, " not in device)
    if page.compare is None:
        yield "Whether a net of timm would do as well in the same time: edgenas compare asks that."
    elif page.compare is not None:
        yield "How rivals would do with longer training, other recipes or pretrained weights than they were given."
    if page.own_exports and worst_verdict(page.own_exports) == "not_run":
        yield "That exported files which could not be run here answer as the net does."
    if page.table is not None and page.table.breakdown is not None:
        yield "The latency of single stages: it is predicted from parts, a call can only be timed as a whole."


def origin(page: ResultsPage) -> Html:
    """Settings, versions and hashes."""
    rows = [(f"{table}.{key}", _value(value)) for table, values in page.settings.items() for key, value in _items(values)]
    settings = folded(f"Settings in force ({len(rows)})", rows_table(("setting", "value"), rows, numbers_from=9))
    versions = rows_table(("package", "version"), list(page.versions.items()), numbers_from=9)
    hashes = rows_table(
        ("file", "SHA-256"),
        [(path, tag("code", sha256, title=short_hash(sha256))) for path, sha256 in page.hashes.items()],
        numbers_from=9,
    )
    data = (
        [note(f"Data fingerprint {page.data.fingerprint}, splits {page.data.splits_sha256}.", kind="note hash")]
        if page.data is not None
        else []
    )
    return join(
        [
            settings,
            folded("Versions", versions),
            folded(f"Hashes of the {len(page.hashes)} results that this page was drawn from", hashes),
            *data,
        ]
    )


def _items(values: Any) -> Iterator[tuple[str, Any]]:
    yield from values.items() if isinstance(values, Mapping) else ()


def _value(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value)) or "none"
    return str(value)
