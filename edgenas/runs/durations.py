"""How long something takes, for reading."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Seconds, minutes, hours or days."""
    for factor, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 2 * factor:
            return f"{seconds / factor:.3g}\N{NO-BREAK SPACE}{unit}"
    return f"{seconds:.3g}\N{NO-BREAK SPACE}s"
