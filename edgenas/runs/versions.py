"""Versions of everything that has a part in a result."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    *("edgenas", "torch", "timm", "onnx", "onnxscript", "onnxruntime-gpu", "onnxruntime", "tensorrt", "tensorrt-rtx"),
    *("openvino", "executorch", "numpy"),
)


def versions() -> dict[str, str]:
    """Installed versions by package, Python first; packages that are missing are left out."""
    installed = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed
