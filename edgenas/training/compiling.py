"""`torch.compile` for plain nets that are trained."""

from __future__ import annotations

import os
import shutil

import torch
from torch import nn

from edgenas.errors import MissingBackendError


def compile_net(model: nn.Module, device: torch.device) -> None:
    """Let PyTorch translate a net at its first call, in place: parameters keep their names, files hold nothing of it.

    Raises:
        MissingBackendError: if what translates is not there: a C++ compiler on a CPU, triton on a GPU.
    """
    if device.type == "cpu" and shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("clang++") is None:
        raise MissingBackendError(
            "retrain.compile needs a C++ compiler here, and there is none", hint="install g++, or leave retrain.compile out"
        )
    if device.type == "cuda" and not torch.utils._triton.has_triton():
        raise MissingBackendError("retrain.compile needs triton here, which is not usable", hint="leave retrain.compile out")
    model.compile()
