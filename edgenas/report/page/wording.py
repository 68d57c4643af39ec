"""How the page writes shares, times and nets."""

from __future__ import annotations

import math

from edgenas.percents import numeral, percent, with_interval
from edgenas.records import Arch, DeployedNet, Proportion, gene_words

NETS = {"searched": "the searched net", "baseline": "the hand-made net"}
COSTS = {
    "latency_ms_predicted": "predicted latency (ms)",
    "latency_ms_upper": "promised latency, upper bound (ms)",
    "macs": "multiply-accumulates (M)",
}


def share(value: Proportion | None) -> str:
    """A share in per cent with its interval."""
    if value is None or math.isnan(value.value):
        return "–"
    return with_interval(value)


def only(value: Proportion | None) -> str:
    """A share without its interval."""
    return "–" if value is None or math.isnan(value.value) else percent(value.value)


def counted(value: Proportion) -> str:
    """A share as a count, e.g. ``84 of 88``."""
    return f"{round(value.value * value.n) if value.n else 0:,} of {value.n:,}"


def interval(value: Proportion) -> str:
    """The interval of a share."""
    return f"95 %: {numeral(value.low)} to {percent(value.high)}"


def correlation(value: Proportion | None) -> str:
    """A correlation with its interval."""
    return "–" if value is None or math.isnan(value.value) else f"{value.value:.2f} [{value.low:.2f}, {value.high:.2f}]"


def ms(value: float | None) -> str:
    """A time."""
    return "–" if value is None else f"{value:.3g} ms"


def net_name(net: DeployedNet) -> str:
    """A net as a sentence begins with it."""
    return NETS.get(net.name, net.name)


def first_upper(text: str) -> str:
    """A sentence with its first letter large, unless a name such as ``starnet_s050`` begins it, and with its full stop."""
    is_name = any(character == "_" or character.isdigit() for character in text.partition(" ")[0])
    return (text[:1] if is_name else text[:1].upper()) + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def short_hash(sha256: str) -> str:
    """As much of a hash as is compared by eye."""
    return sha256[:12]


def count(value: float) -> str:
    """A large count for reading."""
    units = ((1e9, " G"), (1e6, " M"), (1e3, " k"))
    factor, unit = next(((factor, unit) for factor, unit in units if value >= factor), (1.0, ""))
    return f"{value / factor:.3g}{unit}"


def arch_line(arch: Arch) -> str:
    """An architecture on one line, e.g. ``depths 2·2·1·1, qkv_dims 4·8·32·16``."""
    return ", ".join(f"{name} {gene_words(value)}" for name, value in arch.items())
