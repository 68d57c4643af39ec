"""What an export is asked to write: formats in precisions, checked before any work is done for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast, get_args

from edgenas.deploy.contracts import Exporter, Precision
from edgenas.deploy.plugins import EXPORTERS
from edgenas.errors import UsageError
from edgenas.registries import choices

AUTO = "auto"  # every precision that a format writes
BASELINE_FORMAT = "onnx"  # of the file that others are compared with
BASELINE_PRECISION: Precision = "fp32"


@dataclass(frozen=True, slots=True)
class Order:
    """One artefact that is to be written.

    Attributes:
        format_name: of the exporter's entry point.
        exporter: writes it.
        precision: of the computation.
        name: of its folder: the format, and the precision where that is not the format's default and several are written.
        targets: GPU architectures that engines are asked for; none is this machine's.
        rebuilds: how often an engine is built, to say how far its builds differ.
    """

    format_name: str
    exporter: Exporter
    precision: Precision
    name: str
    targets: tuple[str, ...] = ()
    rebuilds: int = 1


@dataclass(frozen=True, slots=True)
class Orders:
    """What is to be written, in order.

    Attributes:
        notes: what was asked for and cannot be: a precision that one of several formats does not write.
    """

    each: tuple[Order, ...]
    notes: tuple[str, ...] = ()


def orders_of(
    formats: Sequence[str], precisions: Sequence[str], default: Precision | None = None, *, are_compared: bool = False
) -> Orders:
    """Every format in every precision that it writes.

    Args:
        formats: names of installed formats, at least one.
        precisions: of the computation, or `AUTO` alone for all that each writes; none takes ``default``.
        default: None takes the format's own.
        are_compared: other artefacts stand beside, so that even one alone takes no other's folder.

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
        f"precision {each!r} is unknown; {choices(each, (*allowed, AUTO))}" for each in wanted if each not in (*allowed, AUTO)
    ]
    known = [cast(Precision, each) for each in wanted if each in allowed]
    orders: list[Order] = []
    notes: list[str] = []
    is_alone = not are_compared and len(names) == 1 and len(wanted) <= 1 and AUTO not in wanted
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


def with_engines(orders: Orders, targets: Sequence[str], rebuilds: int) -> Orders:
    """Orders with what was asked for of their engines, checked before anything is built.

    Args:
        orders: formats that build no engines stay as they are.
        targets: GPU architectures; none leaves them to the format.
        rebuilds: 1 builds each engine once.

    Raises:
        UsageError: if no format builds engines, or naming targets that one does not know.
        MissingBackendError: if a format that must know them is not installed.
    """
    builders = [order for order in orders.each if getattr(order.exporter, "builds_engines", False)]
    flags = [f"--gpu {','.join(targets)}"] * bool(targets) + [f"--rebuild {rebuilds}"] * (rebuilds > 1)
    if flags and not builders:
        names = ", ".join(dict.fromkeys(order.format_name for order in orders.each))
        raise UsageError(f"{' and '.join(flags)}: no engine is built for {names}", hint="export --format trt builds engines")
    for order in builders:
        getattr(order.exporter, "require_targets", lambda asked: None)(targets)
    changed = {order.name: replace(order, targets=tuple(targets), rebuilds=rebuilds) for order in builders}
    return replace(orders, each=tuple(changed.get(order.name, order) for order in orders.each))


def baseline_order() -> Order:
    """The artefact that others are compared with."""
    exporter = EXPORTERS.find(BASELINE_FORMAT)
    return Order(BASELINE_FORMAT, exporter, BASELINE_PRECISION, folder_name(BASELINE_FORMAT, exporter, BASELINE_PRECISION))


def folder_name(name: str, exporter: Exporter, precision: Precision, *, is_alone: bool = False) -> str:
    """The format's name, with the precision where it is not the default and others are written beside."""
    return name if is_alone or precision == exporter.precisions[0] else f"{name}-{precision}"
