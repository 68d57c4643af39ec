"""How numbers, verdicts and architectures are written on a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from edgenas import percents
from edgenas.records import EQUAL_WORD, Arch, Percentile, Proportion, gene_words
from edgenas.report.folding import Cells

SHORT = {"pool_size": "pool", "qkv_dims": "qkv", "mlp_ratios": "mlp", "embed_dims": "dims"}
VERDICT_STYLES = {"passed": "green", EQUAL_WORD: "green", "failed": "bold red", "undecided": "yellow", "not_run": "yellow"}


def table(*columns: str, title: str | None = None, names: int | None = None) -> Table:
    """A borderless table; columns that start with ``>`` are aligned right.

    Args:
        columns: their headers.
        title: above.
        names: least columns of the first one's names, which may be parted; None never parts one.
    """
    return Cells(columns, title, names=names)


def percent(value: float | None) -> str:
    """A share for reading."""
    return "–" if value is None else percents.percent(value)


def interval(share: Proportion | None) -> str:
    """A share in percent with its interval."""
    if share is None or math.isnan(share.value):
        return "–"
    return percents.with_interval(share).replace(" % ", " ", 1)


def count(value: float) -> str:
    """A large count for reading."""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.0f}"


def milliseconds(value: float | None) -> str:
    """A latency for reading."""
    return "–" if value is None else f"{value:.3g} ms"


def minute(date: str) -> str:
    """A date of a file for reading, in UTC; as it stands where it is none."""
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        return date
    return (moment.astimezone(UTC) if moment.tzinfo is not None else moment).strftime("%Y-%m-%d %H:%M UTC")


def calls_of(percentiles: Mapping[str, Percentile] | None) -> Iterator[Text]:
    """A line a percentile, with the calls behind it; nothing where there are none."""
    for name, percentile in (percentiles or {}).items():
        yield Text(f"single calls: {percentile.words(name)}", style="dim")


def verdict(name: str) -> Text:
    """A verdict in its colour."""
    return Text(name.replace("_", " "), style=VERDICT_STYLES.get(name, ""))


def arch_line(arch: Arch) -> str:
    """An architecture on one line, e.g. ``pool 2  depths 2·2·1·1  qkv 4·8·32·16  mlp 4·4·4·4``."""
    return "  ".join(f"{SHORT.get(name, name)} {gene_words(value)}" for name, value in arch.items())
