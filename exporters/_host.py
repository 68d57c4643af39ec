"""What this machine is: usable cores, processor and GPU names."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgenas.portable import facts
from edgenas.portable.quota import usable_threads

NO_GPU = "there is no usable CUDA GPU: PyTorch finds none"


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first CUDA GPU: its name and its architecture, e.g. ``sm86``."""

    name: str
    target: str


def usable_cores() -> int:
    """Cores that this process can use at once, by affinity and quota."""
    return usable_threads()


@cache
def cpu_name() -> str:
    """The processor's name, as latency tables and kits call it."""
    return facts.cpu_model()


def find_gpu() -> Gpu | None:
    """The GPU that PyTorch can use, None without one; PyTorch is not imported where there is no driver for one."""
    if "torch" not in sys.modules and not _has_driver():
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability()
    return Gpu(torch.cuda.get_device_name(), f"sm{major}{minor}")


def _has_driver() -> bool:
    """Whether CUDA's driver can be loaded, or AMD's is there: PyTorch, which takes seconds to import, finds no GPU without."""
    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()
    return True
