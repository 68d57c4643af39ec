"""int8 for OpenVINO by NNCF, in the layers where it pays, with those left out that would change decisions on *calibrate*."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.calibrating import CalibrationImages
from edgenas.deploy.contracts import ExportSpec
from edgenas.errors import ExportError, GateError, MissingBackendError, PrecisionError, UsageError
from edgenas.graphs.shares import KeptOperators, Shares
from edgenas.percents import percent
from edgenas.records import Precision

from ._int8 import BUDGET_S, added_to, adjusted_plan, calibration_of, effect_of, notes_of
from ._ir import AROUND, METADATA
from ._openvino_layers import (
    add_to_logits,
    fold,
    has_free_batch,
    macs_of,
    of_images,
    product_sets,
    quantized_products,
    returned,
    shares_of_compiled,
    weights_first,
)
from ._openvino_timing import Candidate, Timed, quickest, timed
from .openvino import computes_bf16, package_of, reason_of

if TYPE_CHECKING:
    from types import ModuleType

INSTALL = "pip install 'edgenas[openvino]'"
_TYPES = {"Conv": ("Convolution", "GroupConvolution"), "Gemm": ("MatMul",), "MatMul": ("MatMul",)}  # OpenVINO's by ONNX' name
_TAIL = 1e-5  # share of values that a percentile leaves out, as ONNX Runtime's does


def openvino_int8(model: Any, spec: ExportSpec) -> tuple[Any, dict[str, str | int | float]]:
    """An ``openvino.Model`` in int8 of a float32 one, and facts for the manifest.

    NNCF quantises the products of weights and activations, activations unsigned where they allow it. What is not in integers is
    computed in bfloat16 where this processor does so. Of a few sets of products the one is taken that takes the least time here;
    of those the ones return to float whose rounding changes more decisions on ``spec.calibration`` than are allowed there.

    Args:
        model: float32; its constants are folded in place.
        spec: what is asked for.

    Raises:
        MissingBackendError: without NNCF.
        UsageError: for a way to take ranges that NNCF does not know.
        ExportError: without images, with too few or broken ones, if there is nothing to quantise, or if OpenVINO refuses it then.
        GateError: if decisions change whichever layers are put back, or time is over before enough are.
        PrecisionError: if less than half of the work is left in integers.
    """
    nncf = load_nncf()
    calibration = calibration_of(spec)
    fold(model)
    options = _options(nncf, calibration, spec.kept, weights_first(model))
    before_NK = _logits(model, "f32", calibration)
    images = [calibration[row : row + 1] for row in range(len(calibration))]
    with _hushed():
        found = nncf.quantize(model, nncf.Dataset(images), subset_size=len(images), **options)
    graphs = _Graphs(model, found, macs_of(model), _around(model, before_NK, calibration))
    if not graphs.possible:
        raise ExportError("the net has nothing to quantise: NNCF found no product", hint="export with precision fp32")
    tried = timed([(each, graphs.caller(each, images[0])) for each in graphs.worthy()])
    start = time.monotonic()
    try:
        made, notes = graphs.chosen(tried, before_NK, calibration)
    except (GateError, PrecisionError):
        exact = [each for each in tried if each.candidate.around == "f32"]
        is_over = time.monotonic() - start > BUDGET_S
        if is_over or len(exact) == len(tried) or quickest(tried) in [each.candidate for each in exact]:
            raise
        made, notes = graphs.chosen(exact, before_NK, calibration)
    return made, notes | {"int8_scheme": f"NNCF {nncf.__version__}, mixed"}


def _around(model: Any, before_NK: NDArray[np.float32], calibration: CalibrationImages) -> tuple[str, ...]:
    """What may compute everything that is not in integers: bfloat16 too, where alone it leaves decisions as they are."""
    if not computes_bf16() or not calibration.holds(effect_of(before_NK, _logits(model, "bf16", calibration), calibration)):
        return ("f32",)
    return ("f32", "bf16")


@dataclass(frozen=True, slots=True)
class _Graphs:
    """A net with any of its products in integers.

    Attributes:
        model: in float32, folded.
        quantized: by NNCF, with all that it can.
        macs: work of every product by name.
        around: what may compute what is not in integers, by OpenVINO's name.
    """

    model: Any
    quantized: Any
    macs: Mapping[str, int]
    around: tuple[str, ...]

    @property
    def possible(self) -> tuple[str, ...]:
        """Products that NNCF quantised."""
        return tuple(quantized_products(self.quantized))

    def worthy(self) -> list[Candidate]:
        """What is tried: all that NNCF quantised, and sets of them that are an int8 file still, with either type around."""
        found = [Candidate(names, kind) for names in product_sets(self.model, self.possible) for kind in self.around]
        every = len(self.possible)
        return [each for each in found if len(each.names) == every or self.shares(each.names, each).happened]

    def chosen(
        self, tried: Sequence[Timed], before_NK: NDArray[np.float32], calibration: CalibrationImages
    ) -> tuple[Any, dict[str, str | int | float]]:
        """The quickest of what was tried, with those products in float that would change decisions; and facts of it.

        Raises:
            GateError: if decisions change whichever products return, or time is over before enough are.
            PrecisionError: if less than half of the work is left in integers.
        """
        best = quickest(tried)

        def answers(names: Sequence[str], asked: CalibrationImages) -> NDArray[np.float32]:
            return _logits(self.made(names), best.around, asked)

        def is_enough(names: Sequence[str]) -> bool:
            return self.shares(names, best).happened

        found = adjusted_plan(best.names, answers, before_NK, calibration, is_enough)
        self.shares(found.plan.nodes, best).require()
        made = self.made(found.plan.nodes)
        added_K = added_to(found.adjustment, calibration, before_NK.shape[1])
        if added_K is not None:
            add_to_logits(made, added_K)
        made.set_rt_info(best.around, [METADATA, AROUND])
        notes = notes_of(found.plan, len(self.possible), calibration, "") | found.notes
        notes |= self.live(made, found.plan.nodes, best)
        return made, notes | {AROUND: best.around, "int8_tried": "; ".join(each.words for each in tried)}

    def made(self, names: Collection[str]) -> Any:
        """The graph with these in integers."""
        return returned(self.quantized, self.model, {name for name in self.possible if name not in names})

    def caller(self, candidate: Candidate, image_NCHW: NDArray[np.float32]) -> Callable[[], object]:
        """What asks its graph about an image, with one thread."""
        compiled = _compiled(self.made(candidate.names), candidate.around, INFERENCE_NUM_THREADS="1")
        request = compiled.create_infer_request()
        return lambda: request.infer([image_NCHW])

    def live(self, made: Any, names: Sequence[str], chosen: Candidate) -> dict[str, str | int | float]:
        """Facts of what the compiled graph computes in: OpenVINO may run what is to be in integers otherwise.

        Raises:
            PrecisionError: if less than half of the work is in integers.
        """
        live, promised = shares_of_compiled(_compiled(made, chosen.around), self.macs, "int8"), self.shares(names, chosen)
        live.require()
        lost = promised.of_macs - live.of_macs
        more = f"OpenVINO runs {percent(lost)} more of the work otherwise" if lost >= 0.005 else ""
        words = "; ".join(each for each in (promised.rest_words, more) if each)
        return live.as_notes() | ({"precision_rest": words} if words else {})

    def shares(self, names: Sequence[str], chosen: Candidate) -> Shares:
        """What the net's products are computed in.

        Args:
            names: of those in integers.
            chosen: what was to be, as far as time goes.
        """
        around: Precision = "bf16" if chosen.around == "bf16" else "fp32"
        rest = [name for name in self.macs if name not in names]
        work = {"int8": sum(self.macs[name] for name in names), around: sum(self.macs[name] for name in rest)}
        reasons = {
            "NNCF leaves it": [name for name in rest if name not in self.possible],
            "no faster in int8": [name for name in rest if name in self.possible and name not in chosen.names],
            "changes decisions in int8": [name for name in rest if name in chosen.names],
        }
        total = max(1, sum(work.values()))
        kept = tuple(
            KeptOperators("products", len(those), sum(self.macs[name] for name in those) / total, why)
            for why, those in reasons.items()
            if those
        )
        return Shares("int8", {"int8": len(names), around: len(rest)}, work, 0, kept)


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


def _compiled(model: Any, around: str, **settings: str) -> Any:
    """For one image a call, with what is not in integers computed in ``around``."""
    one = of_images(model, 1) if has_free_batch(model) else model
    settings |= {"INFERENCE_PRECISION_HINT": around, "PERFORMANCE_HINT": "LATENCY"}
    try:
        return package_of().Core().compile_model(one, "CPU", settings)
    except RuntimeError as error:
        raise _refused(error) from error


def _refused(error: RuntimeError) -> ExportError:
    return ExportError(f"OpenVINO cannot run what NNCF quantised: {reason_of(error)}", hint="export with precision fp32 or bf16")


def _logits(model: Any, around: str, images: CalibrationImages) -> NDArray[np.float32]:
    request = _compiled(model, around).create_infer_request()
    return np.concatenate([np.array(request.infer([images[row : row + 1]])[0]) for row in range(len(images))])


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
