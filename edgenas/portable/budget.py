"""How much is timed in the time there is."""

from __future__ import annotations

GOOD_VISITS, MIN_VISITS = 4, 2
OVER = 1.1  # times a budget before it is said that it cannot be kept


def round_seconds(num_visits: int, reference_every: int, visit_seconds: float) -> float:
    """Seconds of so many visits to nets, with those to the reference."""
    return visit_seconds * num_visits * (1 + 1 / reference_every)


def choose(
    seconds: float | None,
    wanted: int,
    full_round_s: float,
    thin_round_s: float,
    full_first_s: float = 0.0,
    thin_first_s: float = 0.0,
) -> tuple[int, bool]:
    """Visits to every net, and whether only the blocks that the others can be interpolated from are timed.

    A budget first means fewer visits; where fewer than four would be left, fewer blocks; then fewer visits again, at least two.

    Args:
        seconds: that all may take; None for no limit.
        wanted: visits without a limit.
        full_round_s: seconds that one visit to every net takes.
        thin_round_s: seconds without the blocks that can be interpolated.
        full_first_s, thin_first_s: seconds of what comes before the first visit, for either.
    """
    if seconds is None:
        return wanted, False
    affordable = int((seconds - full_first_s) / max(full_round_s, 1e-9))
    if affordable >= min(wanted, GOOD_VISITS) or thin_round_s >= full_round_s:
        return max(MIN_VISITS, min(wanted, affordable)), False
    return max(MIN_VISITS, min(wanted, int((seconds - thin_first_s) / max(thin_round_s, 1e-9)))), True
