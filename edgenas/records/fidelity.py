"""What nets that were trained alone say of cheap rankings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from edgenas.records.codec import OMITTED, Arch, JsonRecord, SealedRecord
from edgenas.records.proportion import Proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedNet(JsonRecord):
    """A net that was trained alone, and what it was expected to be before; accuracies and sensitivities are fractions.

    Attributes:
        in_band: whether it is one of those of nearly equal cost.
        inherited: accuracy with the supernet's weights.
        alone: accuracy with its own.
        inherited_sensitivity, alone_sensitivity: of the class that must not be missed; None without one.
        scores: of training-free proxies, by name.
    """

    arch: Arch
    params: int
    macs: int
    latency_ms_predicted: float | None
    in_band: bool
    inherited: float
    alone: float
    alone_log_likelihood: float
    inherited_sensitivity: Annotated[float | None, OMITTED] = None
    alone_sensitivity: Annotated[float | None, OMITTED] = None
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class FidelityReport(SealedRecord):
    """What `edgenas fidelity` answers.

    Attributes:
        splits_sha256: of the splits that it read.
        supernet_sha256: of the weights that nets inherited.
        num_nets: trained alone.
        epochs: that each of them was trained for.
        images: that judged them, of select and confirm.
        cost: what the band is of: ``latency_ms`` or ``macs``.
        band: lowest and highest cost of the nets of nearly equal cost; None where they are too few.
        num_band: how many these are.
        tau: Kendall's with the accuracy alone, by ranking.
        tau_band: over the nets of the band.
        tau_sensitivity: with the sensitivity alone of the class that must not be missed; empty without one.
        regret: accuracy alone of the best net minus that of the one which is best by inherited accuracy, paired over images.
        rows: one a net.
        seconds: that their trainings took.
    """

    kind: ClassVar[str] = "fidelity report"
    schema_version: ClassVar[int] = 1

    splits_sha256: str
    supernet_sha256: str
    num_nets: int
    epochs: int
    images: int
    cost: str
    band: tuple[float, float] | None
    num_band: int
    tau: Mapping[str, Proportion]
    tau_band: Mapping[str, Proportion]
    tau_sensitivity: Mapping[str, Proportion]
    regret: Proportion
    rows: tuple[RankedNet, ...]
    seconds: float

    @property
    def inherited(self) -> Proportion:
        """Kendall's tau of inherited accuracy, over all nets."""
        return self.tau["inherited"]

    @property
    def ranks_better_than_macs(self) -> bool:
        """Whether inherited accuracy says more than MACs do."""
        return self.inherited.value > self.tau["macs"].value
