"""int8 for ExecuTorch by `torchao`, as XNNPACK multiplies it: layers whose rounding changes decisions on *calibrate* stay float32.

Weights are symmetric by channel. Convolutions read and give integers of ranges that are fixed beforehand; linear layers round what
they read by the range of each token, which is found while the net runs, and give float32.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.calibrating import CalibrationImages
from edgenas.deploy.contracts import ExportSpec
from edgenas.errors import ExportError, GateError, MissingBackendError, UsageError
from edgenas.graphs.leaving import QuantisationPlan

from ._int8 import calibration_of, effect_of, notes_of, planned
from ._native import quiet
from ._pte import LOGGERS
from ._qat import without_qat

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule, Node

Ask = Callable[[NDArray[np.float32]], NDArray[np.float32]]
_Observed = tuple[str, str]  # a node and the class of what observes it
SCHEME = "int8 weights by channel; activations of convolutions by tensor, of linear layers by token while the net runs"
_TAIL = 1e-5  # share of values that a percentile leaves out at each end
_EPS = 2**-12  # smallest scale, as in ExecuTorch's own configurations


@dataclass(frozen=True, slots=True)
class Int8Program:
    """A traced net with integers around its products.

    Attributes:
        module: to be traced again and lowered.
    """

    module: GraphModule
    _calibration: CalibrationImages
    _num_layers: int
    _plan: QuantisationPlan
    _before_NK: NDArray[np.float32] = field(repr=False)

    def notes_of(self, ask: Ask, size: int) -> dict[str, str | int | float]:
        """Facts for the manifest, once the lowered program was asked about the same images.

        Args:
            ask: logits of ``size`` images by the program.
            size: images a call.

        Raises:
            GateError: if it decides otherwise than float32 more often than is allowed.
        """
        effect = effect_of(self._before_NK, _answers(ask, self._calibration, size), self._calibration)
        if not self._calibration.holds(effect):
            raise GateError(
                f"XNNPACK's int8 changes decisions on calibrate: {effect}; allowed are {self._calibration.words}",
                hint="export with precision fp32, or calibrate by another method (export.calibration)",
            )
        notes = notes_of(self._plan, self._num_layers, self._calibration, SCHEME)
        return notes | {"int8_effect": str(effect)}


@dataclass(frozen=True, slots=True)
class Quantiser:
    """What quantises a net, and the images of *calibrate* that it is fitted and tried on.

    Attributes:
        kept: starts of layers' names, and types of operators as in ONNX, that stay float32 in any case.
    """

    calibration: CalibrationImages
    kept: tuple[str, ...]
    _prepare: Callable[[GraphModule, Any], GraphModule]
    _convert: Callable[[GraphModule], GraphModule]
    _new: Callable[[Callable[[Node], bool]], Any]

    @classmethod
    def of(cls, spec: ExportSpec) -> Quantiser:
        """That of an order.

        Raises:
            MissingBackendError: without torchao.
            UsageError: for a way to take ranges that it does not know.
            ExportError: without images, or with too few or broken ones.
        """
        # PyTorch's emulation moves margins further than XNNPACK does, of a trained PVT by half: an adjustment would be too large
        calibration = replace(calibration_of(spec), adjusts=False)
        try:
            with quiet(*LOGGERS):
                from torchao.quantization.pt2e import observer, quantize_pt2e
        except ImportError as error:
            hint = "pip install 'edgenas[executorch]'"
            raise MissingBackendError("torchao, which quantises for ExecuTorch, is not installed", hint=hint) from error
        if calibration.method == "entropy":
            hint = "--set export.calibration=percentile"
            raise UsageError("torchao takes ranges by minmax or percentile, not by entropy", hint=hint)
        observers = {"minmax": observer.MinMaxObserver, "percentile": _percentile_observer(observer.HistogramObserver)}
        kind = observers[calibration.method].with_args(eps=_EPS)

        def convert(observed: GraphModule) -> GraphModule:
            with without_qat(quantize_pt2e):
                converted: GraphModule = quantize_pt2e.convert_pt2e(observed)
            return converted

        return cls(calibration, spec.kept, quantize_pt2e.prepare_pt2e, convert, _annotator_of(kind))

    def quantised(self, program: ExportedProgram, size: int) -> Int8Program:
        """Quantise a traced net as far as the images are still decided as before.

        Args:
            program: float32.
            size: images a call of the trace.

        Raises:
            ExportError: if the net has nothing to quantise, or gives what is not a number.
            GateError: if decisions change whichever layers stay float32.
        """
        layers = layers_of(program, self.kept)
        if not layers:
            kept = f" beside {', '.join(self.kept)}, which stay float" if self.kept else ""
            what = f"no convolution or linear layer{kept}"
            raise ExportError(f"the net has nothing to quantise: {what}", hint="export with precision fp32")
        before_NK = _answers(_asked(program.module()), self.calibration, size)
        if not np.isfinite(before_NK).all():
            raise ExportError("the net gives what is not a number on images to calibrate with")

        observed = self._observed(program, set(layers.values()))
        _answers(_asked(observed), self.calibration, size)
        ranges = {key: module for key, _, module in _observers(observed)}

        def module_of(names: Sequence[str]) -> GraphModule:
            return self._converted(self._observed(program, {layers[name] for name in names}), ranges)

        def answers(names: Sequence[str], images: CalibrationImages) -> NDArray[np.float32]:
            return _answers(_asked(module_of(names)), images, size)

        found = planned(list(layers), answers, before_NK, self.calibration)
        return Int8Program(module_of(found.nodes), self.calibration, len(layers), found, before_NK)

    def _observed(self, program: ExportedProgram, nodes: Collection[str]) -> GraphModule:
        """The net with observers around the layers of these nodes."""
        import torch

        left_out = {node for node in layers_of(program).values() if node not in nodes}
        with quiet(*LOGGERS), torch.no_grad():
            return self._prepare(program.module(), self._new(lambda node: node.name not in left_out))

    def _converted(self, observed: GraphModule, ranges: Mapping[_Observed, Any]) -> GraphModule:
        """The net with integers where it is observed, by what was seen where all of it was: float32 runs alike in both."""
        import torch

        for key, target, _ in _observers(observed):
            setattr(observed, target, ranges[key])
        with quiet(*LOGGERS), torch.no_grad():
            return self._convert(observed)


def _observers(module: GraphModule) -> list[tuple[_Observed, str, Any]]:
    """What observes which node, by which name of a submodule; one may observe what another passes on."""
    found = []
    for node in module.graph.nodes:
        if node.op == "call_module":
            source, observer = node.args[0], module.get_submodule(node.target)
            while source.op == "call_module":
                source = source.args[0]
            found.append(((source.name, type(observer).__name__), node.target, observer))
    return found


def layers_of(program: ExportedProgram, kept: Sequence[str] = ()) -> dict[str, str]:
    """Nodes of convolutions and linear layers with weights of their own, by the name that they have elsewhere, in their order.

    Args:
        program: a traced net.
        kept: starts of names, and types of operators as in ONNX, that are left out.
    """
    import torch

    types = {torch.ops.aten.conv2d.default: ("Conv",), torch.ops.aten.linear.default: ("Gemm", "MatMul")}
    weights = {*program.graph_signature.inputs_to_parameters, *program.graph_signature.inputs_to_buffers}
    found: dict[str, str] = {}
    for node in program.graph.nodes:
        kinds = types.get(node.target, ()) if node.op == "call_function" else ()
        if not kinds or node.args[1].name not in weights:
            continue
        name = f"{_path(node) or node.name}/{kinds[0]}"
        name = f"{name}.{node.name}" if name in found else name
        if not any(each in kinds or name.startswith(each) for each in kept):
            found[name] = node.name
    return found


def _path(node: Node) -> str:
    """The module that called the operator, ``stages.0.blocks.1.mlp.fc1``."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""


def _annotator_of(observer: Any) -> Callable[[Callable[[Node], bool]], Any]:
    """Makes ExecuTorch's annotator for XNNPACK of nodes that pass.

    Args:
        observer: makes what takes the ranges of convolutions.
    """
    import torch

    with quiet(*LOGGERS):
        from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack
    found = xnnpack.get_symmetric_quantization_config(is_per_channel=True)
    activation = replace(found.input_activation, observer_or_fake_quant_ctr=observer)
    fixed = replace(found, input_activation=activation, output_activation=activation)
    live = xnnpack.get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)

    def annotator(passes: Callable[[Node], bool]) -> Any:
        made = xnnpack.XNNPACKQuantizer()
        made.set_operator_type(torch.ops.aten.conv2d.default, fixed)
        made.set_operator_type(torch.ops.aten.linear.default, live)
        return made.set_filter_function(passes)

    return annotator


def _percentile_observer(histogram_observer: Any) -> Any:
    """A class of observers: all values but the outermost at each end."""

    class PercentileObserver(histogram_observer):  # type: ignore[misc]  # comes without types
        """Leaves out the share `_TAIL` of the values at each end."""

        def calculate_qparams(self) -> Any:
            share_B = self.histogram.cumsum(0) / self.histogram.sum()
            first, last = int((share_B < _TAIL).sum()), int((share_B < 1 - _TAIL).sum())
            width = (self.max_val - self.min_val) / self.bins
            return self._calculate_qparams(self.min_val + width * first, self.min_val + width * (last + 1))

    return PercentileObserver


def _asked(module: GraphModule) -> Ask:
    """Asks a traced net as if it were a program."""
    import torch

    def ask(images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            logits_NK: NDArray[np.float32] = module(torch.from_numpy(images_NCHW)).numpy()
        return logits_NK

    return ask


def _answers(ask: Ask, calibration: CalibrationImages, size: int) -> NDArray[np.float32]:
    """Logits of all images, ``size`` at once."""
    parts = []
    for start in range(0, len(calibration), size):
        part_NCHW = np.asarray(calibration[start : start + size], dtype=np.float32)
        full_NCHW = np.concatenate([part_NCHW, np.repeat(part_NCHW[-1:], size - len(part_NCHW), axis=0)])
        parts.append(ask(full_NCHW)[: len(part_NCHW)])
    return np.concatenate(parts)
