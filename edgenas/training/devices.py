"""Where PyTorch computes."""

from __future__ import annotations

from edgenas.errors import MissingBackendError


def torch_device(name: str) -> str:
    """``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        MissingBackendError: for ``cuda`` without a GPU that PyTorch can use.
    """
    import torch

    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise MissingBackendError(
            "device cuda: PyTorch sees no usable GPU", hint="`edgenas doctor` says why; --device cpu goes without"
        )
    return "cuda"
