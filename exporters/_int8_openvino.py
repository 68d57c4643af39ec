"""int8 for OpenVINO by NNCF, with accuracy control where plain quantisation changes decisions on *calibrate*."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import time
import warnings
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.calibrating import CalibrationImages
from edgenas.deploy.contracts import ExportSpec
from edgenas.errors import ExportError, GateError, MissingBackendError, UsageError
from edgenas.graphs.leaving import Effect

from ._int8 import BUDGET_S, RANKED, calibration_of, effect_of
from .openvino import reason_of

if TYPE_CHECKING:
    from types import ModuleType

INSTALL = "pip install 'edgenas[openvino]'"
_SHOWN = 6  # layers left out that a note names
_PRODUCTS = ("Convolution", "GroupConvolution", "MatMul")
_TYPES = {"Conv": ("Convolution", "GroupConvolution"), "Gemm": ("MatMul",), "MatMul": ("MatMul",)}  # OpenVINO's by ONNX' name
_TAIL = 1e-5  # share of values that a percentile leaves out, as ONNX Runtime's does


def openvino_int8(model: Any, spec: ExportSpec) -> tuple[Any, dict[str, str | int | float]]:
    """An ``openvino.Model`` in int8 of a float32 one, and facts for the manifest.

    NNCF quantises the products of weights and activations, activations unsigned where they allow it. Where that changes more
    decisions on ``spec.calibration`` than are allowed there, it puts layers back to float32, those first that move the rule most.

    Args:
        model: float32; its constants are folded in place.
        spec: what is asked for.

    Raises:
        MissingBackendError: without NNCF.
        UsageError: for a way to take ranges that NNCF does not know.
        ExportError: without images, with too few or broken ones, if there is nothing to quantise, or if OpenVINO refuses it then.
        GateError: if decisions change whichever layers are put back, or time is over before enough are.
    """
    nncf = load_nncf()
    calibration = calibration_of(spec)
    fold(model)
    options = _options(nncf, calibration, spec.kept, weights_first(model))
    images = [calibration[row : row + 1] for row in range(len(calibration))]
    before_NK = _logits(_compiled(model), images)
    with _hushed():
        found = nncf.quantize(model, nncf.Dataset(images), subset_size=len(images), **options)
    possible = quantized_products(found)
    if not possible:
        raise ExportError("the net has nothing to quantise: NNCF found no product", hint="export with precision fp32")
    first = effect = effect_of(before_NK, _logits(_compiled(found), images), calibration)
    if not calibration.holds(first):
        try:
            found = _controlled(nncf, model, before_NK, images, calibration, options)
        except _OutOfTimeError as error:
            raise _too_slow(first, calibration) from error
        except RuntimeError as error:  # OpenVINO's, through NNCF
            raise _refused(error) from error
        effect = effect_of(before_NK, _logits(_compiled(found), images), calibration)
    left = quantized_products(found)
    if not calibration.holds(effect) or not left:
        raise GateError(
            f"int8 changes decisions on calibrate though NNCF put {len(possible) - len(left)} of {len(possible)} layers back to "
            f"float32: {effect}; allowed are {calibration.words}",
            hint="export with precision fp32, or calibrate by another method (export.calibration)",
        )
    return found, _notes(nncf, calibration, first, effect, possible, left)


def _too_slow(first: Effect, calibration: CalibrationImages) -> GateError:
    return GateError(
        f"int8 changes decisions on calibrate: {first}; allowed are {calibration.words}, and NNCF did not find within "
        f"{2 * BUDGET_S:g} s which layers to put back to float32",
        hint="export with precision fp32, or calibrate by another method or with fewer images (export.calibration_images)",
    )


def _notes(
    nncf: ModuleType, calibration: CalibrationImages, first: Effect, effect: Effect, possible: list[str], left: list[str]
) -> dict[str, str | int | float]:
    notes: dict[str, str | int | float] = {
        "int8_layers": len(left),
        "int8_layers_possible": len(possible),
        "int8_scheme": f"NNCF {nncf.__version__}, mixed",
        "calibration": f"{calibration.method} over {len(calibration)} images of calibrate",
        "int8_effect": str(effect),
    }
    out = [name for name in possible if name not in left]
    if out:
        more = f"; and {len(out) - _SHOWN} more" if len(out) > _SHOWN else ""
        notes["int8_left_out"] = "; ".join(out[:_SHOWN]) + more
        notes["int8_effect_of_all"] = str(first)
    return notes


class _OutOfTimeError(Exception):
    """Accuracy control took too long."""


def _controlled(
    nncf: ModuleType,
    model: Any,
    before_NK: NDArray[np.float32],
    images: list[NDArray[np.float32]],
    calibration: CalibrationImages,
    options: dict[str, Any],
) -> Any:
    """Quantised with layers put back until enough images keep their decision.

    NNCF compiles and asks one graph for every operator that it may put back, and ranks those that are left again where a step did
    not help: it is given the images that rounding moved most to rank by, and a bound of time.

    Raises:
        _OutOfTimeError: if that is over.
    """
    end = time.monotonic() + 2 * BUDGET_S

    def score(compiled: Any, rows: Iterable[int]) -> tuple[float, list[float]]:
        if time.monotonic() > end:
            raise _OutOfTimeError
        asked_N = np.fromiter(rows, dtype=np.int64)
        return _scores(before_NK[asked_N], _logits(compiled, [images[row] for row in asked_N]), asked_N, calibration)

    ranges = options.pop("advanced_parameters")  # the two functions name one argument differently
    ranked = min(RANKED, len(images) - 1)  # fewer than all, which tells ranking from judging
    with _hushed():
        return nncf.quantize_with_accuracy_control(
            model,
            calibration_dataset=nncf.Dataset(images),
            validation_dataset=nncf.Dataset(range(len(images))),
            validation_fn=score,
            max_drop=0.0,
            drop_type=nncf.DropType.ABSOLUTE,
            subset_size=len(images),
            advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(ranking_subset_size=ranked),
            advanced_quantization_parameters=ranges,
            **options,
        )


def _scores(
    before_NK: NDArray[np.float32], after_NK: NDArray[np.float32], rows_N: NDArray[np.int64], calibration: CalibrationImages
) -> tuple[float, list[float]]:
    """What NNCF raises to 1 by putting layers back, and the same of every image, which tells it what images to rank layers by.

    An image counts 1, less by how far its probability moved, by 1 for another decision and by 2 for a new miss. All images count 1
    together where their decisions hold, which ends the search: a share that may be lost would be missed by a rounding error.
    """
    alone = [effect_of(before_NK[at : at + 1], after_NK[at : at + 1], calibration.some([row])) for at, row in enumerate(rows_N)]
    values = [_value(effect, calibration.positive is not None) for effect in alone]
    if len(rows_N) == len(calibration) and calibration.holds(effect_of(before_NK, after_NK, calibration)):
        return 1.0, values
    return float(np.mean(values)) - 1 / len(calibration), values


def _value(effect: Effect, may_miss: bool) -> float:
    misses = effect.new_misses if may_miss else 0
    return 1.0 - effect.changed - 2 * misses - effect.error if np.isfinite(effect.error) else -3.0


def _options(nncf: ModuleType, calibration: CalibrationImages, kept: tuple[str, ...], names: list[str]) -> dict[str, Any]:
    """What NNCF is told: how ranges are taken, and what stays float32, by starts of names or types, and by whole names."""
    parameters = nncf.quantization.range_estimator
    if calibration.method == "entropy":
        raise UsageError("NNCF takes ranges by minmax or percentile, not by entropy", hint="--set export.calibration=percentile")
    ranges = parameters.RangeEstimatorParametersSet.MINMAX
    if calibration.method == "percentile":
        quantile = parameters.StatisticsType.QUANTILE
        ranges = parameters.RangeEstimatorParameters(
            min=parameters.StatisticsCollectorParameters(statistics_type=quantile, quantile_outlier_prob=_TAIL),
            max=parameters.StatisticsCollectorParameters(statistics_type=quantile, quantile_outlier_prob=_TAIL),
        )
    types = [kind for each in kept for kind in _TYPES.get(each, ())]
    patterns = [f"{re.escape(each)}.*" for each in kept if each not in _TYPES]
    return {
        "model_type": nncf.ModelType.TRANSFORMER,
        "preset": nncf.QuantizationPreset.MIXED,
        "ignored_scope": nncf.IgnoredScope(names=names, types=types, patterns=patterns, validate=False),
        # NNCF's own ranges of transformers (means of extremes, after SmoothQuant) moved logits of a PVT fifteen times as far
        "advanced_parameters": nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=ranges,
            disable_bias_correction=True,  # by means of what layers give: logits of a small net moved four times as far
            smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1),
        ),
    }


def fold(model: Any) -> None:
    """Compute what depends on constants alone, in place.

    NNCF takes the axis of channels from the shape of a constant. Behind the Reshape that OpenVINO makes of them, weights of a
    depthwise convolution got a scale for every column of each kernel, which the CPU plug-in multiplies in float32.
    """
    from openvino import passes

    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(model)


def weights_first(model: Any) -> list[str]:
    """Names of the matrix products that multiply constants by what they read, as a pool written as a product does.

    NNCF scales each row of the constant, and the CPU plug-in knows scales of a result's columns alone.
    """
    products = (node for node in model.get_ordered_ops() if node.get_type_name() == "MatMul")
    return [node.get_friendly_name() for node in products if node.input_value(0).get_node().get_type_name() == "Constant"]


def quantized_products(model: Any) -> list[str]:
    """Names of the products whose activations go through a ``FakeQuantize`` of NNCF's, in their order."""
    return [
        node.get_friendly_name()
        for node in model.get_ordered_ops()
        if node.get_type_name() in _PRODUCTS and _is_faked(node.input_value(0).get_node())
    ]


def _is_faked(node: Any) -> bool:
    while node.get_type_name() in ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Convert"):  # move values, change none
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "FakeQuantize")


def _compiled(model: Any) -> Any:
    import openvino

    try:
        return openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"})
    except RuntimeError as error:
        raise _refused(error) from error


def _refused(error: RuntimeError) -> ExportError:
    return ExportError(f"OpenVINO cannot run what NNCF quantised: {reason_of(error)}", hint="export with precision fp32 or bf16")


def _logits(compiled: Any, images: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    request = compiled.create_infer_request()
    return np.concatenate([np.array(request.infer([image])[0]) for image in images])


def load_nncf() -> ModuleType:
    """The package `nncf`.

    Raises:
        MissingBackendError: if it is missing.
    """
    try:
        with _hushed():
            return import_module("nncf")  # comes without types
    except ImportError as error:
        raise MissingBackendError("NNCF, which quantises for OpenVINO, is not installed", hint=INSTALL) from error


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """NNCF draws progress bars on the standard output, logs what was decided here and imports what warns that there is no CUDA."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
