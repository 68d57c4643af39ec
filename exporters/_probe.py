"""The tiny net on which every runtime proves that it works: a 1×1 convolution and a global mean, computed by hand in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import Probe, Runner
from edgenas.errors import EdgeNASError

if TYPE_CHECKING:
    import onnx
    from torch import nn

_WEIGHT_OI = np.array([[1.0, -2.0, 0.5], [0.25, 1.5, -1.0]], dtype=np.float32)
_BIAS_O = np.array([0.5, -0.25], dtype=np.float32)
_IMAGE_NCHW = np.linspace(-1.0, 1.0, 48, dtype=np.float32).reshape(1, 3, 4, 4)
_TOLERANCE = 5e-3  # of numbers up to 3; half precision stays within 2e-3


def tiny_onnx() -> onnx.ModelProto:
    """The net as ONNX: ``image`` (1, 3, 4, 4) to ``logits`` (1, 2)."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Conv", ["image", "weight", "bias"], ["features"], name="conv"),
        helper.make_node("GlobalAveragePool", ["features"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["logits"], name="flatten"),
    ]
    graph = helper.make_graph(
        nodes,
        "probe",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(_WEIGHT_OI[:, :, None, None], "weight"), numpy_helper.from_array(_BIAS_O, "bias")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def tiny_module() -> nn.Module:
    """The same net as a module."""
    import torch
    from torch import nn

    conv = nn.Conv2d(3, 2, 1)
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(_WEIGHT_OI[:, :, None, None]))
        conv.bias.copy_(torch.from_numpy(_BIAS_O))  # type: ignore[union-attr]
    return nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def expected() -> NDArray[np.float32]:
    """Logits of the probe image, shape (1, 2)."""
    result: NDArray[np.float32] = _IMAGE_NCHW.mean(axis=(2, 3)) @ _WEIGHT_OI.T + _BIAS_O
    return result


def try_runner(load: Callable[[], Runner], *, what: str) -> Probe:
    """Load the tiny net with ``load``, run it and check its numbers; never raises for what may be missing.

    Args:
        load: loads the net; its typed errors become the reason.
        what: the runtime and its package, for the reason.
    """
    try:
        runner = load()
    except EdgeNASError as error:
        return Probe(works=False, reason=error.message, fix=error.hint)
    try:
        logits_NC = runner(_IMAGE_NCHW)
        info = runner.info
    except (EdgeNASError, RuntimeError, ValueError) as error:
        return Probe(works=False, reason=f"{what} loaded a tiny net but did not run it: {first_line(error)}")
    finally:
        runner.close()
    error_abs = float(np.abs(logits_NC - expected()).max()) if logits_NC.shape == (1, 2) else np.inf
    if not error_abs <= _TOLERANCE:
        return Probe(
            works=False,
            reason=f"{what} gave wrong numbers for a tiny net: {logits_NC.tolist()}, expected {expected().tolist()}",
            version=info.runtime_version,
            device=info.device,
        )
    reason = f"ran a tiny net, largest error {error_abs:.1g}"
    return Probe(works=True, reason=reason, version=info.runtime_version, device=info.device)


def first_line(error: BaseException) -> str:
    """The first line that says something of a library's message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
