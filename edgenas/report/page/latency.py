"""Where the time of the net goes, and how true predictions are."""

from __future__ import annotations

from edgenas.records import BreakdownFacts, PageTable, ResultsPage
from edgenas.report.page.axes import Axis, Plot
from edgenas.report.page.marks import Point, figure, legend, line, points
from edgenas.report.page.markup import Html, folded, join, note, rows_table, tag
from edgenas.report.page.wording import first_upper, ms

WHOLE = {"call": "each call", "frame": "timed together"}  # kinds of parts that are in no stage
ROW_PX, NAME_PX, BAR_PX = 26, 150, 200


def latency(page: ResultsPage) -> Html:
    """Both pictures, and how the table was measured."""
    table = page.table
    if table is None:
        return note(f"Not shown yet: {page.command_for('latency table') or 'edgenas profile'} measures the device.")
    pictures = [predicted_against_measured(table)] if table.nets else []
    if table.breakdown is not None and page.deployed is not None:
        pictures.insert(0, by_stage(table.breakdown))
    missing = [] if table.breakdown is not None else [note("Latency by stage is not shown: no net of the space is chosen yet.")]
    context = table.context
    threads = f", {context.threads} thread{'s' if context.threads != 1 else ''}" if context.threads else ""
    said = f"{context.device}, {context.runtime} {context.runtime_version}, {context.precision}"
    said += f", batch {context.batch_size}{threads}, {context.scope}"
    measured = f"; measured {table.date[:16].replace('T', ' ')}" if table.date else ""
    warned = [note(first_upper(text), kind="warn") for text in table.remarks]
    return join([tag("div", *pictures, class_="figures"), *missing, note(f"{said}{measured}."), *warned])


def by_stage(parts: BreakdownFacts) -> Html:
    """A bar a part, stage by stage: predicted, as single parts cannot be measured inside a call."""
    rows = [(_name(part.stage, part.kind, part.num), part.ms, part.share, part.stage) for part in parts.parts]
    most = max((abs(value) for _, value, _, _ in rows), default=1.0) or 1.0
    marks = []
    for place, (name, value, part, stage) in enumerate(rows):
        top, width = place * ROW_PX + 4, BAR_PX * max(0.0, value) / most
        words = f"{name}: {ms(value)}, {100 * part:.1f} % of the predicted {ms(parts.predicted_ms)}"
        kind = f"stage stage-{(stage or 0) % 6}"
        marks.append(
            tag(
                "g",
                tag("title", words),
                tag("text", name, x=NAME_PX - 8, y=top + 14, text_anchor="end"),
                tag("rect", x=NAME_PX, y=top, width=round(max(width, 1.0), 1), height=ROW_PX - 8, rx=2, class_=kind),
                tag("text", f"{value:.3g} ms", x=round(NAME_PX + max(width, 1.0) + 6, 1), y=top + 14),
                class_="pt",
                data_tip=words,
            )
        )
    height = len(rows) * ROW_PX + 6
    title = f"Latency by stage: {ms(parts.predicted_ms)} predicted"
    svg = tag(
        "svg",
        tag("title", title),
        *marks,
        viewBox=f"0 0 {NAME_PX + BAR_PX + 90} {height}",
        role="img",
        aria_label=title,
        class_="plot",
    )
    table = rows_table(("part", "ms", "share %"), [(name, f"{value:.4g}", f"{100 * part:.1f}") for name, value, part, _ in rows])
    below = (
        [note("A part below 0 is what the table's calibration takes off each call.")] if any(each[1] < 0 for each in rows) else []
    )
    return figure(title, svg, *below, folded("As a table", table))


def _name(stage: int | None, kind: str, num: int) -> str:
    times = f" × {num}" if num > 1 else ""
    return f"stage {stage} {kind}{times}" if stage is not None else f"{WHOLE.get(kind, kind)}{times}"


def predicted_against_measured(table: PageTable) -> Html:
    """Nets that fitted nothing, and the finalists: on the diagonal a prediction is true."""
    values = [value for net in table.nets for value in (net.predicted_ms, net.measured_ms)]
    plot = Plot(Axis.over("measured (ms)", values, least=0.0), Axis.over("predicted (ms)", values, least=0.0))
    low, high = plot.x.low, plot.x.high
    marks = [
        Point(
            net.measured_ms,
            net.predicted_ms,
            "k-final" if net.is_finalist else "k-seen",
            f"{net.name}: predicted {ms(net.predicted_ms)}, measured {ms(net.measured_ms)}, {100 * net.error:+.1f} %",
        )
        for net in table.nets
    ]
    lines = [line(plot, [(low, low), (high, high)], "l-chance")]
    for factor in (0.9, 1.1):
        top = min(high, high / factor)
        start = max(low, low / factor)
        lines.append(line(plot, [(start, factor * start), (top, factor * top)], "l-ten"))
    figures = table.validation
    error = "not known" if figures.mape is None else f"{100 * figures.mape:.1f} %"
    floor = "not known" if figures.noise_floor_mape is None else f"{100 * figures.noise_floor_mape:.1f} %"
    title = f"Predicted against measured: off by {error} on average"
    said = note(f"Two measurements of the same net differ by {floor} on average (the noise floor): no prediction can be truer.")
    kinds = [("k-seen", "random nets that fitted nothing"), ("l-chance", "equal"), ("l-ten", "± 10 %")]
    kinds += [("k-final", "finalists")] if any(net.is_finalist for net in table.nets) else []
    rows = [(net.name, f"{net.predicted_ms:.4g}", f"{net.measured_ms:.4g}", f"{100 * net.error:+.1f}") for net in table.nets]
    numbers = folded("As a table", rows_table(("net", "predicted ms", "measured ms", "off by %"), rows))
    return figure(title, plot.svg(title, *lines, points(plot, marks)), legend(kinds), said, numbers)
