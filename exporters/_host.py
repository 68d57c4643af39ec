"""What this machine is: usable cores, processor and GPU names."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

NO_GPU = "there is no usable CUDA GPU: PyTorch finds none"


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first CUDA GPU: its name and its architecture, e.g. ``sm86``."""

    name: str
    target: str


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def cpu_name() -> str:
    """The processor's model name, or its architecture where the system does not tell."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model") and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()


def find_gpu() -> Gpu | None:
    """The GPU that PyTorch can use, None without one."""
    import torch

    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability()
    return Gpu(torch.cuda.get_device_name(), f"sm{major}{minor}")
