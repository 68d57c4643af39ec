"""A runtime whose nets cost what a formula says, on a clock that nothing else moves."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import Precision, Probe, RunnerInfo, SourceKind
from edgenas.latency import Target
from edgenas.spaces import autoformer
from edgenas.spaces.pvt import BlockSpec


def true_ms(component: Hashable) -> float:
    """A product of one factor per gene for blocks, one number for everything else."""
    if isinstance(component, BlockSpec):
        return (
            0.01
            * component.grid
            * (1 + component.qkv_dim / 64)
            * (1 + component.mlp_hidden / 100)
            * (1 + component.reduction_size / 20)
        )
    if isinstance(component, autoformer.BlockSpec):
        return 0.002 * component.embed_dim * (1 + component.qkv_dim / 64) * (1 + component.mlp_hidden / 100)
    if isinstance(component, (autoformer.EmbedSpec, autoformer.HeadSpec)):
        return 0.003 * component.embed_dim
    return 0.05


@dataclass
class ToyClock:
    """Nanoseconds that only running nets and loading them moves."""

    now: int = 0

    def __call__(self) -> int:
        return self.now

    def spend(self, ms: float) -> None:
        self.now += round(ms * 1e6)


@dataclass
class ToyNet:
    """Stands for a module; what it computes is its cost."""

    chain: tuple[Hashable, ...]
    ms: float = field(init=False)

    def __post_init__(self) -> None:
        self.ms = sum(map(true_ms, self.chain))


@dataclass
class ToyRunner:
    runtime: ToyRuntime
    net: ToyNet

    @property
    def info(self) -> RunnerInfo:
        return RunnerInfo("Toy 3000 (R) CPU", self.runtime.device_kind, self.runtime.name, "1.2.3", "fp32", 2, True)

    def __call__(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        noise = 1 + self.runtime.noise * self.runtime.rng.exponential() if self.runtime.noise else 1.0
        slow = self.runtime.times if self.runtime.slow(self.runtime.clock.now) else 1.0
        self.runtime.clock.spend(self.net.ms * noise * slow)
        return np.zeros((1, 2), dtype=np.float32)

    def compute_ms(self, images_NCHW: NDArray[np.float32]) -> float | None:
        return self.runtime.compute

    def close(self) -> None:
        self.runtime.live -= 1


@dataclass
class ToyRuntime:
    noise: float = 0.0
    slow: Callable[[int], bool] = lambda now: False
    times: float = 1.5
    name: str = "toy"
    device_kind: Literal["cpu", "cuda"] = "cpu"
    accepts: tuple[SourceKind, ...] = ("module",)
    precisions: tuple[Precision, ...] = ("fp32",)
    compute: float | None = None
    clock: ToyClock = field(default_factory=ToyClock)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    live: int = 0
    most_live: int = 0
    loads: list[Any] = field(default_factory=list)

    def probe(self) -> Probe:
        return Probe(works=True, reason="toy")

    def load(self, source: Any, *, precision: Precision = "fp32", threads: int | None = None, spinning: bool = True) -> ToyRunner:
        self.live += 1
        self.most_live = max(self.live, self.most_live)
        self.loads.append(source)
        self.clock.spend(5.0)
        return ToyRunner(self, source)

    def target(self, **changes: Any) -> Target:
        return Target(self, np.zeros((1, 3, 32, 32), dtype=np.float32), clock=self.clock, **changes)  # type: ignore[arg-type]


def build(chain: Sequence[Hashable]) -> Any:
    return ToyNet(tuple(chain))
