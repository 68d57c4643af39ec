"""Where and on what a measurement was made: processor, governor, load, GPU state, versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from edgenas import __version__
from edgenas.deploy.contracts import RunnerInfo
from edgenas.latency.timing.gpu import gpu_state
from edgenas.portable.facts import machine_facts
from edgenas.records import Details

SCOPE = "end_to_end"
_PACKAGES = ("numpy", "torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx", "openvino")


@dataclass(frozen=True, slots=True)
class Context:
    """What must agree between a table and its use, and details that explain a number.

    Attributes:
        device: name of the processor or GPU.
        device_kind: ``cpu`` or ``cuda``.
        runtime: name of the runtime.
        runtime_version: of its package.
        precision: of the computation.
        batch_size: images a call.
        threads: on a CPU, None on a GPU.
        scope: ``end_to_end``: input and output in host memory; ``trtexec``: what that tool calls latency; then, where it was so,
            the pace (``_30fps``) and ``_settled`` under load.
        spinning: whether idle threads spin.
        details: load, governor, clocks, versions and the like; compared with nothing.
    """

    device: str
    device_kind: str
    runtime: str
    runtime_version: str
    precision: str
    batch_size: int
    threads: int | None
    scope: str
    spinning: bool | None
    details: Details = field(default_factory=dict)

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells contexts apart, whatever the versions: a kit makes another one, and so do other graphs."""
        key = (self.device, self.runtime, self.precision, self.batch_size, self.threads, self.scope, "kit" in self.details)
        return (*key, self.rewrites) if self.rewrites else key

    @property
    def rewrites(self) -> tuple[str, ...]:
        """How the timed graphs were rewritten; empty in a table of before graphs were."""
        return tuple(self.details.get("rewrites", ()))

    def __str__(self) -> str:
        threads = "" if self.threads is None else f", {self.threads} thread{'s' if self.threads > 1 else ''}"
        scope = "" if self.scope == SCOPE else f", {self.scope.replace('_', ' ')}"
        kit = ", by a kit" if "kit" in self.details else ""
        return f"{self.device}, {self.runtime} {self.precision}, batch {self.batch_size}{threads}{scope}{kit}"

    def as_json(self) -> dict[str, Any]:
        """The contract's ``context``."""
        return {name: getattr(self, name) for name in self.__slots__}


def context_of(
    info: RunnerInfo,
    *,
    batch_size: int = 1,
    scope: str = SCOPE,
    details: Details | None = None,
    machine: Details | None = None,
) -> Context:
    """The context of a live runner on this machine, now.

    Args:
        info: what the session says of itself.
        batch_size: images a call.
        scope: of what is timed.
        details: more to keep, e.g. the opset.
        machine: facts about the machine; None reads those of this one.
    """
    return Context(
        device=info.device,
        device_kind=info.device_kind,
        runtime=info.runtime,
        runtime_version=info.runtime_version,
        precision=info.precision,
        batch_size=batch_size,
        threads=info.threads,
        scope=scope,
        spinning=info.spinning,
        details=dict(info.details) | dict(machine_details(info.device_kind) if machine is None else machine) | dict(details or {}),
    )


def graph_details(opset: int, rewrites: Sequence[str]) -> Details:
    """What a context keeps of the graphs that were timed."""
    return {"opset": opset, **({"rewrites": list(rewrites)} if rewrites else {})}


def machine_details(device_kind: str) -> Details:
    """Processor, governor, affinity, load and versions; on CUDA what NVML says. What cannot be read is left out."""
    details = {**machine_facts(()), "edgenas": __version__, "versions": _versions()}
    return details | ({"gpu": gpu_state()} if device_kind == "cuda" else {})


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
