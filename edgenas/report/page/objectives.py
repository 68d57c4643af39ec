"""What a search for something else than accuracy has seen: the objectives that it was asked for, over each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgenas.percents import percent
from edgenas.records import CandidateRow, FrontAxis, ResultsPage, SearchResult
from edgenas.report.page.axes import Axis, Plot, per_cent, plain
from edgenas.report.page.marks import Point, figure, legend, level, limit, line, points
from edgenas.report.page.markup import Html, note
from edgenas.report.page.quantities import is_share, off_front, scale_of, short_label
from edgenas.report.page.wording import arch_line, count, first_upper
from edgenas.stats import wilson

UPRIGHT, LEVEL = 36, 48  # characters of a label beside the picture and of one below it
FAR = 1.25  # times the largest value, beyond which a limit is only named


def axes_shown(page: ResultsPage) -> tuple[FrontAxis, ...]:
    """The axes that were asked for; none where it was accuracy, or where the nets are of another search than the result."""
    if page.search is None or page.search.analysis is None:
        return ()
    axes = page.search.analysis.front.axes or ()
    return axes if all(len(axis.values) == len(page.rows) for axis in axes) else ()


@dataclass(frozen=True, slots=True)
class _Side:
    """One axis: its values as they are drawn."""

    axis: FrontAxis
    length: int

    @property
    def scale(self) -> float:
        """From the value to what is drawn."""
        return scale_of(self.axis.name)

    @property
    def label(self) -> str:
        """With its unit."""
        return short_label(self.axis.name, self.length, is_bound=self.axis.is_bound, scale=self.scale)

    @property
    def limits(self) -> list[tuple[float, str]]:
        """As drawn, with what is said of them."""
        ends = {"limit": self.axis.upper, "at least": self.axis.lower}
        return [(self.scale * end, f"{word} {self.text(end)}") for word, end in ends.items() if end is not None]

    @property
    def near(self) -> list[tuple[float, str]]:
        """The limits that are not far beyond the nets."""
        values = [self.value(place) for place in range(len(self.axis.values))]
        room = (FAR - 1) * (max(values) - min(values))
        return [each for each in self.limits if min(values) - room <= each[0] <= FAR * max(values)]

    def value(self, place: int) -> float:
        """The value of a net, as drawn."""
        return self.scale * self.axis.values[place]

    def text(self, value: float) -> str:
        """A value for reading."""
        return percent(value) if is_share(self.axis.name) else f"{self.scale * value:.3g}{' M' if self.scale != 1 else ''}"

    def over(self, places: Sequence[int], more: Sequence[float] = ()) -> Axis:
        """The axis over some nets and other values."""
        values = [*(self.value(place) for place in places), *more, *(end for end, _ in self.near)]
        share = is_share(self.axis.name)
        return Axis.over(self.label, values, shown=per_cent if share else plain, least=0.0, most=1.0 if share else None)


def objectives(page: ResultsPage, search: SearchResult, axes: Sequence[FrontAxis]) -> Html:
    """Every net that was evaluated in the two objectives that say most, its front, and the finalists with intervals.

    Args:
        page: with the rows.
        search: of the same nets.
        axes: of the result, the horizontal one first.
    """
    x, y = _Side(axes[0], LEVEL), _Side(axes[1], UPRIGHT)
    places = [place for place, row in enumerate(page.rows) if row.raced is None]
    finals = list(_finals(page, search, x, y, axes))
    ends = [end for point in finals for end in point.y_ends or ()]
    plot = Plot(x.over(places, [end for point in finals for end in point.x_ends or ()]), y.over(places, ends))
    marks = [_point(page.rows[place], place, x, y, axes) for place in places]
    assert search.analysis is not None
    front = sorted(((x.value(place), y.value(place)) for place in search.analysis.front.drawn), reverse=x.axis.maximize)
    drawn = [line(plot, front, "l-front", is_step=True), points(plot, marks), points(plot, finals, limits=x.near)]
    drawn += [limit(plot, end, words) for end, words in x.near] + [level(plot, end, words) for end, words in y.near]
    title = f"Searched: {len(page.rows):,} nets with the supernet's weights"
    spans = any(point.x_ends or point.y_ends for point in finals)
    kinds = [
        ("k-seen", "evaluated"),
        ("k-final", f"finalist{', 95 % interval' if spans else ''}"),
        ("k-winner", "winner"),
        ("l-front", "Pareto front"),
    ]
    kinds += [("k-hand", "hand-made")] if any(row.hand_designed for row in search.finalists) else []
    return figure(title, plot.svg(f"{title}: {y.label} over {x.label}", *drawn), legend(kinds), note(_said(page, search, x, y)))


def _said(page: ResultsPage, search: SearchResult, x: _Side, y: _Side) -> str:
    """What was asked for, what of it is drawn, and how far it is to be trusted."""
    assert search.analysis is not None
    front, axes = search.analysis.front, search.analysis.front.axes or ()
    said = [f"asked for: {', '.join(search.objectives or ())}"]
    if len(axes) > 2:
        others = ", ".join(axis.name for axis in axes[2:])
        said.append(f"drawn is {axes[1].name} over {axes[0].name} with the front of these two; {others} stands at each net")
    said += [off] if (off := off_front(axes, page.rows, front.rows if len(axes) > 2 else front.drawn, search.winner)) else []
    said.append(f"select chose these nets, so it flatters them; {search.evaluations.images:,} images")
    said.append("costs are predicted, not measured")
    said += [f"{words} lies beyond the axis" for side in (x, y) for end, words in side.limits if (end, words) not in side.near]
    return " ".join(first_upper(sentence) for sentence in said)


def _point(row: CandidateRow, place: int, x: _Side, y: _Side, axes: Sequence[FrontAxis]) -> Point:
    kind = "k-hand" if row.hand_designed else "k-seen"
    return Point(x.value(place), y.value(place), kind, _words(row, place, axes))


def _words(row: CandidateRow, place: int, axes: Sequence[FrontAxis]) -> str:
    told = ", ".join(f"{axis.name} {_Side(axis, LEVEL).text(axis.values[place])}" for axis in axes)
    return f"{told}; {count(row.params)} parameters; {arch_line(row.arch)}"


def _finals(page: ResultsPage, search: SearchResult, x: _Side, y: _Side, axes: Sequence[FrontAxis]) -> Iterator[Point]:
    archs = [row.arch for row in page.rows]
    for number, row in enumerate(search.finalists, 1):
        if row.arch not in archs:
            continue
        place = archs.index(row.arch)
        is_winner = search.winner is not None and row.arch == search.winner.arch
        rejected = f"; rejected: {', '.join(row.rejected_by)}" if row.rejected_by else ""
        said = f"finalist {number}{', the winner' if is_winner else ''}{', hand-made' if row.hand_designed else ''}: "
        kind = "k-winner" if is_winner else ("k-hand" if row.hand_designed else "k-final")
        x_ends, y_ends = (_ends(page.rows[place], side.axis.name, search.evaluations.images) for side in (x, y))
        words = said + _words(row, place, axes) + rejected
        yield Point(x.value(place), y.value(place), kind, words, f"F{number}", x_ends=x_ends, y_ends=y_ends)


def _ends(row: CandidateRow, name: str, images: int) -> tuple[float, float] | None:
    """The interval of a share; None of a cost."""
    if name == "accuracy":
        near = wilson(round(row.top1 * images), images) if images else None
    else:
        near = row.sensitivity.get(name.removeprefix("sensitivity[").removesuffix("]")) if is_share(name) else None
    return None if near is None or not near.n else (near.low, near.high)
