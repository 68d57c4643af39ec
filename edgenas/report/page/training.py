"""How trainings went, and how far the supernet's ranking is to be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgenas.records import Proportion, ResultsPage, TrainingPicture
from edgenas.report.page.axes import Axis, Plot, per_cent
from edgenas.report.page.marks import Point, figure, legend, line, points
from edgenas.report.page.markup import Html, folded, join, note, rows_table, tag
from edgenas.report.page.wording import correlation, share

LINES = ("l-main", "l-second", "l-third", "l-fourth", "l-fifth", "l-sixth")


def training(page: ResultsPage) -> Html:
    """A picture a training, accuracy on select over epochs, and how the supernet ranks."""
    if not page.curves:
        return note(f"Not shown yet: {page.command_for('supernet') or 'edgenas train'} trains.")
    return tag("div", *(curve(each) for each in page.curves), class_="figures")


def curve(shown: TrainingPicture) -> Html:
    """Accuracy on select by epoch, beside the loss; the loss alone where nothing was judged."""
    title = f"{shown.title.capitalize()}: {len(shown.epochs)} epochs"
    judged = {name: values for name, values in shown.select.items() if values}
    parts = []
    if judged:
        parts.append(_lines(title, "accuracy on select (%)", judged, is_share=True))
    losses = {"loss": dict(zip(shown.epochs, shown.loss, strict=True))}
    parts.append(_lines(f"{shown.title.capitalize()}: loss", "training loss", losses, is_share=False))
    rows = [
        (str(epoch), f"{loss:.4g}", *(f"{100 * values[epoch]:.1f}" if epoch in values else "–" for values in judged.values()))
        for epoch, loss in zip(shown.epochs, shown.loss, strict=True)
    ]
    table = folded("As a table", rows_table(("epoch", "loss", *(f"{name} %" for name in judged)), _thinned(rows)))
    return figure(title, join(parts), table)


def _thinned(rows: Sequence[tuple[str, ...]], most: int = 40) -> Sequence[tuple[str, ...]]:
    step = -(-len(rows) // most)
    return [*rows[::step], rows[-1]] if step > 1 else rows


def _lines(title: str, label: str, series: Mapping[str, Mapping[int, float]], *, is_share: bool) -> Html:
    epochs = [float(epoch) for values in series.values() for epoch in values]
    heights = [value for values in series.values() for value in values.values()]
    x = Axis.over("epoch", epochs, room=0.02)
    whole = tuple(tick for tick in x.ticks if float(tick).is_integer() and tick >= 1)
    y = Axis.over(label, heights, shown=per_cent, least=0.0, most=1.0) if is_share else Axis.over(label, heights)
    plot = Plot(Axis(x.label, x.low, x.high, whole), y, height=220)
    drawn: list[Html] = []
    for kind, (name, values) in zip(LINES * len(series), series.items(), strict=False):
        places = sorted((float(epoch), value) for epoch, value in values.items())
        drawn.append(line(plot, places, kind))
        unit = "{:.1f} %" if is_share else "{:.4g}"
        marks = [
            Point(at, value, "k-dot", f"{name}, epoch {at:.0f}: {unit.format(100 * value if is_share else value)}")
            for at, value in places
        ]
        drawn.append(points(plot, marks))
    keys = [legend(list(zip(LINES * len(series), series, strict=False)))] if len(series) > 1 else []
    return join([plot.svg(title, *drawn), *keys])


def ranking(page: ResultsPage) -> Html:
    """Accuracy alone over inherited accuracy, with Kendall's tau; of `fidelity` where it was asked, else of the search's proof."""
    report, proof = page.fidelity, page.search.fidelity if page.search is not None else None
    if report is not None:
        pairs = [(row.inherited, row.alone, row.latency_ms_predicted) for row in report.rows]
        tau, tau_band, epochs, num = report.tau, report.tau_band, report.epochs, report.num_nets
        judged = f"{report.images:,} images of select and confirm"
    elif proof is not None and proof.rows:
        pairs = [(row.inherited, row.alone, row.latency_ms_predicted) for row in proof.rows]
        tau, tau_band, epochs, num = proof.tau, proof.tau_band, proof.epochs, proof.num_nets
        judged = "images of select and confirm"
    else:
        return note(f"Not shown yet: {page.command_for('fidelity') or 'edgenas fidelity'} trains nets alone and compares.")
    plot = Plot(
        Axis.over("with the supernet's weights (%)", [x for x, _, _ in pairs], shown=per_cent, least=0.0, most=1.0),
        Axis.over("trained alone (%)", [y for _, y, _ in pairs], shown=per_cent, least=0.0, most=1.0),
    )
    marks = [
        Point(
            x,
            y,
            "k-point",
            f"{100 * x:.1f} % inherited, {100 * y:.1f} % alone" + (f", {at:.3g} ms predicted" if at is not None else ""),
        )
        for x, y, at in pairs
    ]
    title = "The supernet's ranking against nets trained alone"
    nets = f"{num} nets, each alone for {epochs} epoch{'s' if epochs != 1 else ''}, on {judged}."
    said = note(f"{nets} Where tau's interval holds 0, the ranking is not shown to be better than chance.")
    return tag("div", figure(title, plot.svg(title, points(plot, marks)), said), _taus(tau, tau_band, page), class_="figures")


def _taus(tau: Mapping[str, Proportion], tau_band: Mapping[str, Proportion], page: ResultsPage) -> Html:
    rows = [(name, correlation(value), correlation(tau_band.get(name))) for name, value in tau.items()]
    regret = (
        [note(f"The net that inherited accuracy would choose is {share(page.fidelity.regret)} below the best of these.")]
        if page.fidelity is not None
        else []
    )
    empty = [] if rows else [note("Too few nets were trained alone for a rank correlation.")]
    table = rows_table(("ranked by", "Kendall's tau, all", "of nearly equal cost"), rows) if rows else Html("")
    return figure("How far each ranking agrees, 95 % intervals", table, *regret, *empty)
