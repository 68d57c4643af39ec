"""Resizing with antialias in OpenVINO's models.

ONNX' `Resize` has an attribute for it that the converter of OpenVINO takes over, and the CPU plug-in computes another function: it
differs by as much as the image where it makes an image smaller. Its modes after Pillow compute what PyTorch and ONNX Runtime do.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from edgenas.errors import ExportError

_ZERO = (0, 0, 0, 0)
_PILLOW = {"linear": "bilinear_pillow", "linear_onnx": "bilinear_pillow", "cubic": "bicubic_pillow"}
_KEYS = 0.5  # minus the coefficient of Pillow's cubic kernel


def resize_as_pillow(model: Any) -> int:
    """Give every ``Interpolate`` with antialias the mode of OpenVINO that computes it; how many there were.

    Args:
        model: an ``openvino.Model``, changed in place.

    Raises:
        ExportError: for one that no such mode computes.
    """
    found = [node for node in model.get_ops() if node.get_type_name() == "Interpolate" and _is_antialiased(node)]
    for node in found:
        _replace(node)
    if found:
        model.validate_nodes_and_infer_types()
    return len(found)


def _is_antialiased(node: Any) -> bool:
    about = node.get_attributes()
    return bool(about.get("antialias")) and not str(about["mode"]).endswith("_pillow")


def _replace(node: Any) -> None:
    about = node.get_attributes()
    mode = _PILLOW.get(about["mode"], "")
    before, after = node.get_input_partial_shape(0), node.get_output_partial_shape(0)
    if not (
        mode
        and (mode != "bicubic_pillow" or about["cube_coeff"] == -_KEYS)
        and about["coordinate_transformation_mode"] == "half_pixel"
        and about["shape_calculation_mode"] == "sizes"
        and not any((*about["pads_begin"], *about["pads_end"]))
        and len(before) == len(after) == len(_ZERO)
        and before[1] == after[1]
        and after[2].is_static
        and after[3].is_static
    ):
        raise ExportError(
            f"OpenVINO does not compute the antialias of {node.get_friendly_name()} ({about['mode']}), its answers would be others",
            hint="use onnxruntime-cpu, or resize images before the net",
        )
    sizes = [after[2].get_length(), after[3].get_length()]
    made = import_module("openvino.opset11").interpolate(
        node.input_value(0),
        np.array(sizes, np.int64),
        mode,
        "sizes",
        pads_begin=list(_ZERO),
        pads_end=list(_ZERO),
        coordinate_transformation_mode="half_pixel",
        antialias=True,
        cube_coeff=-_KEYS,
        axes=np.array([2, 3], np.int64),
    )
    made.set_friendly_name(node.get_friendly_name())
    import_module("openvino.utils").replace_node(node, made)
