"""What is counted of every net of a space."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from edgenas.costs.model import CostModel, Term, sum_of_components


@dataclass(frozen=True, slots=True, eq=False)
class CostModels(Mapping[str, CostModel]):
    """The costs of a space's nets that are known: fields for who knows which, a mapping for names that limits and rankings give.

    Attributes:
        params: parameters of the extracted net.
        macs: multiply-accumulates that the extracted net runs.
        reference_macs: multiply-accumulates in the literature's convention.
        ancestor_macs: multiply-accumulates by the rule of the space's own publication; None where it has none that works.
        latency_ms: predicted by a table; None without one.
    """

    params: CostModel
    macs: CostModel
    reference_macs: CostModel
    ancestor_macs: CostModel | None = None
    latency_ms: CostModel | None = None

    @property
    def latency_or_macs(self) -> CostModel:
        """What nets are ordered by from fast to slow: the predicted latency, without a table the multiply-accumulates."""
        return self.latency_ms if self.latency_ms is not None else self.macs

    def __getitem__(self, name: str) -> CostModel:
        model: CostModel | None = getattr(self, name) if name in _NAMES else None
        if model is None:
            raise KeyError(name)
        return model

    def __iter__(self) -> Iterator[str]:
        return (name for name in _NAMES if getattr(self, name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


Count = Callable[[Hashable], float]  # of one component


def counted(
    terms: Sequence[Term], *, params: Count, macs: Count, reference_macs: Count, ancestor_macs: Count | None = None
) -> CostModels:
    """What is counted component by component, from the terms of the family's decomposition."""
    return CostModels(
        params=sum_of_components("params", "params", terms, params),
        macs=sum_of_components("macs", "MACs", terms, macs),
        reference_macs=sum_of_components("reference_macs", "MACs", terms, reference_macs),
        ancestor_macs=None if ancestor_macs is None else sum_of_components("ancestor_macs", "MACs", terms, ancestor_macs),
    )


_NAMES = tuple(each.name for each in fields(CostModels))
