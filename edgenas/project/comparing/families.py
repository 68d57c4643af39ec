"""Families of timm that a user would look at for a small device: of each the largest net that fits, as measured."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from edgenas.errors import UsageError
from edgenas.latency import Memory
from edgenas.latency.measuring import Measured, OtherNet
from edgenas.project.measuring import measure_archs
from edgenas.project.opening import Project
from edgenas.project.run_tables import RunTable
from edgenas.records import Arch, LeftOut, PromisedQuantile, Quantile, limit_text
from edgenas.runs import Note, Record
from edgenas.spaces import Task
from edgenas.training.timm_nets import TimmNet, deployable

# by family, small to large; names that this timm does not have are passed over. Plain convolutions come first: they do most
# multiply-accumulates a millisecond, by which nets of the others are known to be too slow untimed
FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ResNet": ("resnet10t", "resnet14t", "resnet18", "resnet26", "resnet34", "resnet50"),
        "MobileNetV4": (
            *("mobilenetv4_conv_small_035", "mobilenetv4_conv_small_050", "mobilenetv4_conv_small"),
            *("mobilenetv4_conv_medium", "mobilenetv4_conv_large"),
        ),
        "RepViT": ("repvit_m0_9", "repvit_m1_0", "repvit_m1_1", "repvit_m1_5", "repvit_m2_3"),
        "EfficientFormerV2": ("efficientformerv2_s0", "efficientformerv2_s1", "efficientformerv2_s2", "efficientformerv2_l"),
        "StarNet": ("starnet_s050", "starnet_s100", "starnet_s150", "starnet_s1", "starnet_s2", "starnet_s3", "starnet_s4"),
        "EfficientNet-Lite": tuple(f"tf_efficientnet_lite{size}" for size in range(5)),
        "MobileNetV3": (
            *("mobilenetv3_small_050", "mobilenetv3_small_075", "mobilenetv3_small_100"),
            *("mobilenetv3_large_075", "mobilenetv3_large_100"),
        ),
    }
)
COUNTED_PX = 64  # side at which work is counted
FASTER = 3.0
_PREFIXES = {
    "MobileNetV4": ("mobilenetv4",),
    "RepViT": ("repvit",),
    "EfficientFormerV2": ("efficientformerv2",),
    "StarNet": ("starnet",),
    "EfficientNet-Lite": ("efficientnet_lite", "tf_efficientnet_lite"),
    "MobileNetV3": ("mobilenetv3", "tf_mobilenetv3"),
    "ResNet": ("resnet",),
}


def family_of(model: str) -> str:
    """The family of a model of timm, in words; its own name's first part where it is of none of these."""
    for family, prefixes in _PREFIXES.items():
        if model.startswith(prefixes):
            return family
    return model.partition("_")[0]


@dataclass(frozen=True, slots=True)
class LatencyLimit:
    """What rivals may take.

    Attributes:
        ms: milliseconds.
        quantile: of calls.
    """

    ms: float
    quantile: Quantile

    def __str__(self) -> str:
        return f"{self.ms:.3g} ms" if self.quantile == "p50" else f"{self.ms:.3g} ms ({self.quantile})"

    def of(self, measured: Measured) -> float:
        """What of a measurement is compared with it."""
        return measured.quantile_ms(self.quantile)

    def told(self, measured: Measured) -> PromisedQuantile | None:
        """The same where it is not the median, which is always told."""
        return None if self.quantile == "p50" else PromisedQuantile(quantile=self.quantile, ms=self.of(measured))


@dataclass(frozen=True, slots=True)
class Looker:
    """Looks for the nets that fit.

    Attributes:
        winner: readable, timed beside every net, so that all are given at the same speed.
        task: of the images.
        sides, stem_stride: as the settings say.
        memory: keeps what was measured and counted.
        caps: most ``params`` and ``macs`` by limits of the search; nets beyond them are not looked at.
    """

    project: Project
    task: Task
    winner: Arch
    table: RunTable
    limit: LatencyLimit
    sides: Sequence[int]
    stem_stride: int | None
    memory: Memory
    caps: Mapping[str, float] = field(default_factory=dict)

    def look(self) -> Generator[Record, None, tuple[list[TimmNet], list[LeftOut]]]:
        """Find every family's net of most multiply-accumulates whose latency fits, and the families of which none does."""
        looked, left_out, best_rate = [], [], 0.0
        for family, names in FAMILIES.items():
            seen = yield from self._largest(family, names, best_rate)
            best_rate = max(best_rate, seen.rate)
            if seen.net is None:
                left_out.append(_left_out(family, seen.latency_ms, self.limit, self.caps))
            else:
                yield Note(f"{family}: {seen.net} takes {seen.latency_ms:.3g} ms and is the largest that fits {self.limit}")
                looked.append(seen.net)
        return looked, left_out

    def _largest(self, family: str, names: Sequence[str], best_rate: float) -> Generator[Record, None, _Seen]:
        """The largest net that fits; without one, what the smallest that was timed takes.

        Nets are halved by their multiply-accumulates: one of more is taken to be no faster. Those are taken to be too slow untimed
        that would have to do `FASTER` times as many in a millisecond as the best net so far, of any family, to fit. One that
        cannot be built at a side is passed over.
        """
        work = self._work(names)
        nets = sorted(work, key=lambda net: (work[net], net.image_px))
        seen = _Seen(None, None, best_rate)
        while nets:
            middle = len(nets) // 2
            net = nets[middle]
            if middle and seen.rate and work[net] / self.limit.ms > FASTER * seen.rate:
                nets = nets[:middle]
                continue
            try:
                taken_ms = yield from self._taken(net, family)
            except UsageError:
                del nets[middle]
                continue
            rate = max(seen.rate, work[net] / taken_ms)
            if taken_ms <= self.limit.ms:
                seen, nets = _Seen(net, taken_ms, rate), nets[middle + 1 :]
            else:
                seen, nets = _Seen(seen.net, seen.latency_ms if seen.net is not None else taken_ms, rate), nets[:middle]
        return seen

    def _work(self, names: Sequence[str]) -> dict[TimmNet, float]:
        """Multiply-accumulates of every net at every side; counted at one side, and taken to grow with the images' area."""
        import timm

        work: dict[TimmNet, float] = {}
        for name in names:
            costs = self._costs(TimmNet(name, COUNTED_PX, self.stem_stride)) if timm.is_model(name) else None
            if costs is not None and costs[0] <= self.caps.get("params", math.inf):
                work |= {TimmNet(name, side, self.stem_stride): costs[1] * (side / COUNTED_PX) ** 2 for side in self.sides}
        return {net: macs for net, macs in work.items() if macs <= self.caps.get("macs", math.inf)}

    def _costs(self, net: TimmNet) -> tuple[int, int] | None:
        """Parameters and multiply-accumulates of one image; None where the net cannot be built."""
        costs = self.memory.recall(f"costs {net}")
        if costs is None:
            try:
                costs = [*net.costs(self.task)]
            except UsageError:
                costs = []
            self.memory.record(f"costs {net}", costs)
        return (int(costs[0]), int(costs[1])) if costs else None

    def _taken(self, net: TimmNet, family: str) -> Generator[Record, None, float]:
        """What a net takes, by the limit's quantile, timed beside the winner.

        Raises:
            UsageError: if it cannot be built at its side.
        """
        key = f"taken {net} {self.limit.quantile}"
        known = self.memory.recall(key)
        if known is not None:
            return float(known)
        other = OtherNet(deployable(net.untrained(self.task)), net.image_px)
        nets = yield from measure_archs(
            *(self.project, self.task, self.project.space.from_json(self.winner)),
            label=f"looking at {family}",
            table=self.table,
            others={str(net).replace("/", "-"): other},
            attempts=1,
        )
        assert nets is not None  # that the device is here was asked before
        taken_ms = self.limit.of(nets[-1])
        self.memory.record(key, taken_ms)
        return taken_ms


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was found of a family so far.

    Attributes:
        net: the largest that fits.
        latency_ms: that it takes; without one, what the smallest that was timed takes.
        rate: most multiply-accumulates a millisecond of any net that was timed.
    """

    net: TimmNet | None
    latency_ms: float | None
    rate: float


def _left_out(family: str, latency_ms: float | None, limit: LatencyLimit, caps: Mapping[str, float]) -> LeftOut:
    if latency_ms is None and caps:
        asked = ", ".join(limit_text(name, f"{value:,.12g}") for name, value in caps.items())
        return LeftOut(name=family, reason=f"timm has none with {asked} that can be built for these sides")
    if latency_ms is None:
        return LeftOut(name=family, reason="timm has none that can be built for these sides")
    reason = f"its smallest takes {latency_ms:.3g} ms, more than {limit}"
    return LeftOut(name=family, reason=reason, latency_ms_measured=latency_ms)
