"""int8 graphs that are tried on *calibrate* before they are written: layers whose rounding changes decisions stay float."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.adjusting import adjusted, adjustment_of
from edgenas.deploy.calibrating import CalibrationImages
from edgenas.deploy.contracts import ExportSpec
from edgenas.deploy.decisions import probabilities
from edgenas.errors import ExportError, GateError
from edgenas.graphs import leaving, observing, quantizing
from edgenas.graphs.adjusting import with_added_logits
from edgenas.graphs.leaving import Effect, QuantisationPlan
from edgenas.graphs.shares import shares_of

if TYPE_CHECKING:
    import onnx

BUDGET_S = 240.0  # of trying groups of layers alone
RANKED = 24  # images that layers are put in order by: those that rounding moved most
_SHOWN = 6  # layers left out that a note names


@dataclass(frozen=True, slots=True)
class Int8Graph:
    """A float32 graph with integers in front of its products, and facts for the manifest.

    Attributes:
        model: answers without the adjustment of logits.
        added_K: that adjustment, by class; None for none.
    """

    model: onnx.ModelProto
    notes: dict[str, str | int | float]
    added_K: NDArray[np.float32] | None = None

    def adjusted(self, graph: onnx.ModelProto) -> onnx.ModelProto:
        """``graph``, which is ``model`` or made of it, as it ships: with adjusted logits."""
        return graph if self.added_K is None else with_added_logits(graph, self.added_K)


def int8_graph(graph: onnx.ModelProto, spec: ExportSpec, scheme: quantizing.Scheme) -> Int8Graph:
    """Quantise ``graph`` on the images of ``spec.calibration`` as far as they are still decided as before.

    Decisions are those of adjusted logits (`edgenas.deploy.adjusting`), for which `Int8Graph.adjusted` is to be called.

    Raises:
        ExportError: without images, with too few or broken ones, or if the net has nothing to quantise.
        GateError: if decisions change whichever layers are left out.
    """
    calibration = calibration_of(spec)
    plain = quantizing.named(graph)
    names = quantizing.quantizable(plain, (*spec.kept, *_last(plain, scheme)))
    if not names:
        kept = f" beside {', '.join(spec.kept)}, which stay float" if spec.kept else ""
        raise ExportError(
            f"the net has nothing to quantise: no {', '.join(observing.WEIGHTED)} with constant weights{kept}",
            hint="export with precision fp32",
        )
    ranges = observing.measured_ranges(plain, calibration, calibration.method)
    before_NK = _logits(plain, calibration)

    def answers(nodes: Sequence[str], images: CalibrationImages) -> NDArray[np.float32]:
        return _logits(quantizing.quantized(plain, ranges, scheme, nodes), images)

    def is_enough(nodes: Sequence[str]) -> bool:
        return shares_of(quantizing.quantized(plain, ranges, scheme, nodes), "int8", kept=spec.kept).happened

    found = adjusted_plan(names, answers, before_NK, calibration, is_enough)
    model = quantizing.quantized(plain, ranges, scheme, found.plan.nodes)
    notes = notes_of(found.plan, len(names), calibration, scheme.name) | found.notes
    return Int8Graph(model, notes, added_to(found.adjustment, calibration, before_NK.shape[1]))


def _last(graph: onnx.ModelProto, scheme: quantizing.Scheme) -> tuple[str, ...]:
    """The layer that gives the logits, where the scheme leaves that one float."""
    outputs = {value.name for value in graph.graph.output}
    return () if scheme.logits else tuple(node.name for node in graph.graph.node if outputs.intersection(node.output))


def calibration_of(spec: ExportSpec) -> CalibrationImages:
    """What int8 is fitted on.

    Raises:
        ExportError: if there is nothing, too little, or what is not a number.
    """
    given = spec.calibration
    if given is None:
        raise ExportError("int8 is calibrated on images of calibrate; none were given", hint="pass ExportSpec.calibration")
    calibration = (
        given if isinstance(given, CalibrationImages) else CalibrationImages(np.asarray(given[0 : len(given)], dtype=np.float32))
    )
    calibration.require()
    return calibration


def effect_of(before_NK: NDArray[np.floating], after_NK: NDArray[np.floating], calibration: CalibrationImages) -> Effect:
    """What changed between two answers to the calibration images; an answer that is not finite is as wrong as can be."""
    num = len(before_NK)
    if not np.isfinite(after_NK).all():
        return Effect(num, num, float("inf"), num)
    before_N, after_N = calibration.decided(before_NK), calibration.decided(after_NK)
    truth_N = before_N if calibration.labels_N is None else calibration.labels_N
    counted_N = np.ones(num, dtype=bool) if calibration.positive is None else truth_N == calibration.positive
    missed = int((counted_N & (before_N == truth_N) & (after_N != truth_N)).sum())
    column_N = before_N if calibration.positive is None else np.full(num, calibration.positive)
    rows_N = np.arange(num)
    error = float(np.abs(probabilities(after_NK)[rows_N, column_N] - probabilities(before_NK)[rows_N, column_N]).mean())
    return Effect(missed, int((before_N != after_N).sum()), error, num)


@dataclass(frozen=True, slots=True)
class AdjustedPlan:
    """Which layers are quantised, and what is added to the logit of the class that must not be missed.

    Attributes:
        plan: its effect is that of the adjusted logits.
        adjustment: 0 for none.
        notes: what the manifest says of it.
    """

    plan: QuantisationPlan
    adjustment: float = 0.0
    notes: dict[str, str | int | float] = field(default_factory=dict)


def adjusted_plan(
    names: Sequence[str],
    answers: Callable[[Sequence[str], CalibrationImages], NDArray[np.floating]],
    before_NK: NDArray[np.floating],
    calibration: CalibrationImages,
    is_enough: Callable[[Sequence[str]], bool],
) -> AdjustedPlan:
    """Which layers are quantised, with logits adjusted as long as that leaves enough of them.

    The class that must not be missed costs decisions on others where it is raised far. Layers that plain logits allow are taken
    where adjusted ones allow them too, else those that adjusted ones allow; if these are not enough, logits stay as they are.

    Args:
        names: of the layers that can be.
        answers: logits of some images with some layers quantised.
        before_NK: logits of all images in float32.
        calibration: all images.
        is_enough: whether a file with these layers in int8 is an int8 file.

    Raises:
        GateError: if decisions change whichever layers are left out, or time is over before it is known.
    """
    plain_calibration, start = replace(calibration, adjusts=False), time.monotonic()
    if not calibration.may_adjust:
        return AdjustedPlan(planned(names, answers, before_NK, calibration))
    try:
        plain = planned(names, answers, before_NK, plain_calibration)
    except GateError:
        found = planned(names, answers, before_NK, calibration, time.monotonic() - start)
        return _with_adjustment(found, answers, before_NK, calibration)
    both = _with_adjustment(plain, answers, before_NK, calibration)
    if calibration.holds(both.plan.effect):
        return both
    left = "none"
    with suppress(GateError):
        fewer = planned(names, answers, before_NK, calibration, time.monotonic() - start)
        if is_enough(fewer.nodes):
            return _with_adjustment(fewer, answers, before_NK, calibration)
        left = str(len(fewer.nodes))
    return AdjustedPlan(plain, notes={"logit_adjustment_left_out": f"with it {left} of {len(plain.nodes)} layers would be int8"})


def _with_adjustment(
    plan: QuantisationPlan,
    answers: Callable[[Sequence[str], CalibrationImages], NDArray[np.floating]],
    before_NK: NDArray[np.floating],
    calibration: CalibrationImages,
) -> AdjustedPlan:
    """A plan with what is added to logits, and the effect of both."""
    after_NK = answers(plan.nodes, calibration)
    by = adjustment_of(before_NK, after_NK, calibration)
    effect = effect_of(before_NK, adjusted(after_NK, by, calibration.positive), calibration)
    notes = adjustment_notes(by, effect_of(before_NK, after_NK, calibration), calibration)
    return AdjustedPlan(replace(plan, effect=effect), by, notes)


def planned(
    names: Sequence[str],
    answers: Callable[[Sequence[str], CalibrationImages], NDArray[np.floating]],
    before_NK: NDArray[np.floating],
    calibration: CalibrationImages,
    spent_s: float = 0.0,
) -> QuantisationPlan:
    """Which layers are quantised: as many as *calibrate* allows.

    Groups of layers are put in order by the `RANKED` images that quantising all of them moved most, and what these alone refuse the
    others are not asked about; what is taken was judged by all images. They are judged by adjusted logits, and put in order by
    plain ones.

    Args:
        names: of the layers that can be.
        answers: logits of some images with some layers quantised.
        before_NK: logits of all images in float32.
        calibration: all images.
        spent_s: seconds that another search for the same file took, of the twice `BUDGET_S` that it may.

    Raises:
        GateError: if decisions change whichever layers are left out, or time is over before it is known.
    """
    rows: list[int] = []
    lasting: list[int] = []  # of them: whose decisions no adjustment turns back

    def measure(nodes: Sequence[str]) -> Effect:
        if lasting:
            few = tried(nodes, lasting)
            least = replace(few, error=few.error * few.num / len(before_NK), num=len(before_NK))  # of all images
            if not calibration.holds(least):
                return least
        after_NK = answers(nodes, calibration)
        if not rows:
            rows.extend(_most_moved(before_NK, after_NK, calibration))
            lasting.extend(_lasting(rows, before_NK, calibration))
        adjustment = adjustment_of(before_NK, after_NK, calibration)
        return effect_of(before_NK, adjusted(after_NK, adjustment, calibration.positive), calibration)

    def tried(nodes: Sequence[str], some: list[int]) -> Effect:
        few = calibration.some(some)
        return effect_of(before_NK[some], answers(nodes, few), few)

    groups = leaving.groups_of(names)
    budget_s = max(0.0, BUDGET_S - spent_s / 2)
    found = leaving.plan(groups, measure, calibration.holds, budget_s=budget_s, rank=lambda nodes: tried(nodes, rows))
    require_plan(found, calibration)
    return found


def _most_moved(before_NK: NDArray[np.floating], after_NK: NDArray[np.floating], calibration: CalibrationImages) -> list[int]:
    """Rows of `RANKED` images, those first whose decision is lost."""
    rows = range(len(before_NK))
    alone = [effect_of(before_NK[row : row + 1], after_NK[row : row + 1], calibration.some([row])) for row in rows]
    return sorted(rows, key=alone.__getitem__, reverse=True)[:RANKED]


def _lasting(rows: Sequence[int], before_NK: NDArray[np.floating], calibration: CalibrationImages) -> list[int]:
    """Rows of images whose changed decision no adjustment turns back: those that were not decided as the class that is raised."""
    if not calibration.may_adjust:
        return list(rows)
    before_N = calibration.decided(before_NK)
    return [row for row in rows if before_N[row] != calibration.positive]


def require_plan(plan: QuantisationPlan, calibration: CalibrationImages) -> None:
    """Raise `GateError` if nothing that can be quantised leaves decisions as they are, or if time was over before it was found."""
    if plan.holds:
        return
    allowed = f"at least {plan.effect}; allowed are {calibration.words}, and {len(plan.left_out)} groups of layers were left out"
    if plan.nodes:
        raise GateError(
            f"int8 changes decisions on calibrate: {allowed} when {BUDGET_S:g} s of trying layers alone, or {2 * BUDGET_S:g} s "
            "in all, were over",
            hint="export with precision fp32, or calibrate with fewer images (export.calibration_images)",
        )
    raise GateError(
        f"int8 changes decisions on calibrate however many layers stay float: {allowed}",
        hint="export with precision fp32, or calibrate by another method (export.calibration)",
    )


def notes_of(plan: QuantisationPlan, num_layers: int, calibration: CalibrationImages, scheme: str) -> dict[str, str | int | float]:
    """What the manifest says of a quantised file."""
    notes: dict[str, str | int | float] = {
        "int8_layers": len(plan.nodes),
        "int8_layers_possible": num_layers,
        "int8_scheme": scheme,
        "calibration": f"{calibration.method} over {len(calibration)} images of calibrate",
        "int8_effect": str(plan.effect),
    }
    if plan.left_out:
        shown = [f"{group.name} ({_said(effect, plan)})" for group, effect in plan.left_out[:_SHOWN]]
        more = len(plan.left_out) - len(shown)
        notes["int8_left_out"] = "; ".join(shown) + (f"; and {more} more" if more else "")
        notes["int8_effect_of_all"] = str(plan.all_quantised)
    return notes


def _said(effect: Effect, plan: QuantisationPlan) -> str:
    if not plan.by_rest:
        return f"{effect} alone"
    return f"without it {Effect(-effect.new_misses, -effect.changed, -effect.error, effect.num)}"


def adjustment_notes(adjustment: float, unadjusted: Effect, calibration: CalibrationImages) -> dict[str, str | int | float]:
    """What the manifest says of adjusted logits; nothing where none are."""
    if calibration.positive is None or not adjustment:
        return {}
    return {
        "logit_adjustment": adjustment,
        "logit_adjustment_class": calibration.positive,
        "int8_effect_unadjusted": str(unadjusted),
    }


def added_to(adjustment: float, calibration: CalibrationImages, num_classes: int) -> NDArray[np.float32] | None:
    """What is added to the logits by class, shape (K,); None for nothing."""
    if calibration.positive is None or not adjustment:
        return None
    return np.where(np.arange(num_classes) == calibration.positive, np.float32(adjustment), np.float32(0))


def _logits(graph: onnx.ModelProto, calibration: CalibrationImages) -> NDArray[np.float32]:
    """Answers of ONNX Runtime, image by image."""
    import onnxruntime

    from .onnxruntime import open_session

    session: Any = open_session(onnxruntime, graph.SerializeToString())
    name = session.get_inputs()[0].name
    rows = [session.run(None, {name: calibration[row : row + 1]})[0] for row in range(len(calibration))]
    return np.concatenate(rows)
