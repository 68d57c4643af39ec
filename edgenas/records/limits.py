"""How limits are called in results: an upper limit by what it limits, a lower one with ``>=`` behind it."""

from __future__ import annotations

AT_LEAST = ">="
FLOORS = "sensitivity["  # how names of floors on predictions begin, which have no upper limit beside them


def lower_name(quantity: str) -> str:
    """The name of a lower limit, which tells it from an upper one on the same quantity."""
    return quantity + AT_LEAST


def limit_text(name: str, limit: float | str) -> str:
    """A limit in words by its name, e.g. ``params >= 1000000``."""
    quantity = name.removesuffix(AT_LEAST)
    is_lower = name != quantity or name.startswith(FLOORS)
    return f"{quantity} {AT_LEAST if is_lower else '<='} {limit}"
