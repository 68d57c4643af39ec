"""The verdict of a comparison in words: which net to take, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from edgenas.percents import numeral
from edgenas.project.comparing.families import LatencyLimit
from edgenas.records import LEARNED, SEARCHED, ComparedNet, LeftOut, Proportion


def winner_of(rows: Sequence[ComparedNet]) -> str:
    """The name of the net to take: the most accurate on test of the rivals that are shown to be better, else the searched one.

    Rivals that break the limit, or whose export fails a gate, are not taken. Where the searched net itself does, the most accurate
    rival that does not is.
    """
    ours, rivals = rows[0], [row for row in rows[1:] if row.may_win]
    better = [row for row in rivals if row.better == "rival"]
    if not ours.may_win:
        better = rivals
    return max(better, key=lambda row: row.metrics.top1.value).name if better else SEARCHED


def verdict(rows: Sequence[ComparedNet], limit: LatencyLimit | None, typed: Callable[[str], str] = "edgenas {}".format) -> str:
    """One sentence: ahead of all, behind whom, or what cannot be told apart.

    Args:
        rows: the searched net, then its rivals.
        limit: of a call.
        typed: a command with its arguments as it is typed for this run.
    """
    rivals = [row for row in rows[1:] if row.may_win]
    where = f" within {limit}" if limit is not None and rows[0].fits is not None else ""
    if not rivals:
        where = " within the search's limits" if any(row.breaks for row in rows[1:]) else where
        out = "" if rows[0].may_win else f"{_why_out(rows[0])}; "
        return f"{out}there is no rival{where}{'' if len(rows) > 1 else ' that is trained'}: nothing is compared"
    winner = winner_of(rows)
    if winner != SEARCHED:
        return _behind(rows, winner, where, typed)
    others = [row for row in rivals if not is_same(rows[0], row)]
    text = _ahead(others, where) if others else f"no other net is compared{where}"
    return text if len(others) == len(rivals) else f"{text}; the best hand-designed net is of the same architecture"


def is_same(ours: ComparedNet, rival: ComparedNet) -> bool:
    """Whether a rival is of the searched net's architecture: a hand-designed net that the search chose, too."""
    return rival.kind == "hand" and rival.arch is not None and (rival.arch, rival.params) == (ours.arch, ours.params)


def _ahead(rivals: Sequence[ComparedNet], where: str) -> str:
    """What a searched net to which nobody is shown to be superior is ahead of, in words."""
    if all(row.better == SEARCHED for row in rivals):
        nearest = min(rivals, key=_gap)
        gap = f"{points(nearest.difference)} points"
        if len(rivals) == 1:
            return f"ahead of {nearest.name}{where} by {gap}"
        return f"ahead of all {len(rivals)} rivals{where} by at least {gap} (of {nearest.name})"
    open_rows = [row for row in rivals if row.better != SEARCHED]
    names = ", ".join(row.name for row in open_rows)
    most = max(max(-row.difference.low, row.difference.high) for row in open_rows if row.difference is not None)
    ahead = len(rivals) - len(open_rows)
    text = f"not told apart from {names}{where} (within {100 * most:.1f} points)"
    return f"ahead of {ahead} of {len(rivals)} rivals, {text}" if ahead else text


def _behind(rows: Sequence[ComparedNet], winner: str, where: str, typed: Callable[[str], str]) -> str:
    row = next(each for each in rows if each.name == winner)
    take = f": take that one: `{typed(f'export --net {winner}')}`" if row.folder is not None else ": take that one"
    if not rows[0].may_win:
        return f"{_why_out(rows[0])}; {winner} is the most accurate{where}{take}"
    assert row.difference is not None
    value = Proportion(-row.difference.value, -row.difference.high, -row.difference.low, row.difference.n)
    take = f", another training of the same architecture{take}" if is_same(rows[0], row) else take
    others = sum(each.better == "rival" and each.may_win for each in rows[1:]) - 1
    more = f" (and {others} more)" if others else ""
    return f"behind {winner}{more}{where} by {points(value)} points{take}"


def _why_out(ours: ComparedNet) -> str:
    """Why the searched net may not be taken."""
    if ours.fits is False:
        return "the searched net takes more than the limit"
    return "nothing shows that the searched net learned anything" if ours.is_unlearned else "the searched net's export fails a gate"


def _gap(row: ComparedNet) -> float:
    assert row.difference is not None
    return row.difference.value


def points(difference: Proportion | None) -> str:
    """A difference of accuracies in points with its interval, e.g. ``0.9 [0.3, 1.5]``."""
    assert difference is not None
    return f"{numeral(difference.value)} [{numeral(difference.low)}, {numeral(difference.high)}]"


def remarks(rows: Sequence[ComparedNet], limit: LatencyLimit | None, left_out: Sequence[LeftOut]) -> Iterator[str]:
    """What must be said beside the verdict."""
    ours, rivals = rows[0], rows[1:]
    if len(rivals) > 1:
        yield f"p-values are corrected for {len(rivals)} rivals (Holm), intervals are not; both are paired over images"
    slow = [row for row in rivals if row.fits is False]
    for row in slow:
        yield f"{row.name} takes {row.latency_ms_measured:.3g} ms, more than {limit}: it is shown, and not taken"
    for row in rows:
        if row.is_unlearned:
            yield f"{row.name}: its export answers as the net does, but {row.parity_reason.removeprefix(f'{LEARNED} ')}"
        elif row.parity in ("failed", "undecided"):
            yield f"{row.name}: gates of its export {row.parity}: {row.parity_reason}"
    yield from _sensitivities(ours, rivals)
    if left_out:
        yield f"left out: {'; '.join(f'{each.name} ({each.reason})' for each in left_out)}"


def _sensitivities(ours: ComparedNet, rivals: Sequence[ComparedNet]) -> Iterator[str]:
    """Rivals that find more, or fewer, of the positive class than the searched net, where the interval shows it."""
    positive = ours.metrics.positive
    if positive is None:
        return
    for row in rivals:
        difference = row.sensitivity_difference
        if difference is not None and difference.high < 0:
            shown = points(Proportion(-difference.value, -difference.high, -difference.low, difference.n))
            yield f"{row.name} finds {shown} points more of {positive} at its threshold than the searched net"
        elif difference is not None and difference.low > 0:
            yield f"{row.name} finds {points(difference)} points fewer of {positive} at its threshold than the searched net"
