"""What an export is asked to write: formats in precisions, checked before any work is done for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast, get_args

from edgenas.deploy.contracts import Exporter, Precision
from edgenas.deploy.plugins import EXPORTERS
from edgenas.errors import UsageError

AUTO = "auto"  # every precision that a format writes
BASELINE_FORMAT, BASELINE_PRECISION = "onnx", "fp32"  # of the file that others are compared with


@dataclass(frozen=True, slots=True)
class Order:
    """One artefact that is to be written.

    Attributes:
        format_name: of the exporter's entry point.
        exporter: writes it.
        precision: of the computation.
        name: of its folder: the format, and the precision where that is not the format's default and several are written.
    """

    format_name: str
    exporter: Exporter
    precision: Precision
    name: str


@dataclass(frozen=True, slots=True)
class Orders:
    """What is to be written, in order.

    Attributes:
        notes: what was asked for and cannot be: a precision that one of several formats does not write.
    """

    each: tuple[Order, ...]
    notes: tuple[str, ...] = ()


def orders_of(formats: Sequence[str], precisions: Sequence[str], default: Precision | None = None) -> Orders:
    """Every format in every precision that it writes.

    Args:
        formats: names of installed formats, at least one.
        precisions: of the computation, or `AUTO` alone for all that each writes; none takes ``default``.
        default: None takes the format's own.

    Raises:
        UsageError: naming all that is unknown, and formats that write none of the precisions.
        PluginError: naming the package that brings a format, if it cannot be used.
    """
    names, wanted = list(dict.fromkeys(formats)), list(dict.fromkeys(precisions))
    unknown: list[UsageError] = []
    exporters: dict[str, Exporter] = {}
    for name in names:
        try:
            exporters[name] = EXPORTERS.find(name)
        except UsageError as error:
            unknown.append(error)
    problems = [str(error) for error in unknown]
    allowed = get_args(Precision)
    if AUTO in wanted and len(wanted) > 1:
        problems.append(f"--precision {AUTO} is every precision already; leave {', '.join(set(wanted) - {AUTO})} out")
    problems += [
        f"precision {each} is unknown; allowed: {', '.join(allowed)}, {AUTO}" for each in wanted if each not in (*allowed, AUTO)
    ]
    known = [cast(Precision, each) for each in wanted if each in allowed]
    orders: list[Order] = []
    notes: list[str] = []
    is_alone = len(names) == 1 and len(wanted) <= 1 and AUTO not in wanted
    for name, exporter in exporters.items():
        asked = exporter.precisions if AUTO in wanted else known or ([] if wanted else [default or exporter.precisions[0]])
        written = [each for each in asked if each in exporter.precisions]
        left = [each for each in asked if each not in exporter.precisions]
        if left and not written:
            problems.append(f"{name} writes {', '.join(exporter.precisions)}, not {', '.join(left)}")
        elif left:
            notes.append(f"{name} is not written in {', '.join(left)}: it writes {', '.join(exporter.precisions)}")
        orders += [Order(name, exporter, each, folder_name(name, exporter, each, is_alone=is_alone)) for each in written]
    if len(problems) > 1:
        raise UsageError("what is asked for cannot be written", problems=problems)
    if problems:
        raise unknown[0] if unknown else UsageError(problems[0])
    return Orders(tuple(orders), tuple(notes))


def folder_name(name: str, exporter: Exporter, precision: Precision, *, is_alone: bool = False) -> str:
    """Of an artefact folder: the format's name, with the precision where it is not the default and others are written beside."""
    return name if is_alone or precision == exporter.precisions[0] else f"{name}-{precision}"
