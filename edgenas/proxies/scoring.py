"""Scoring many subnets without training: what they share is computed once, and several are scored at a time.

Shapes: A nets, S supernets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgenas.proxies.dss import WeightNorms, dss_as_published, dss_as_released
from edgenas.spaces import Genes
from edgenas.supernets import Supernet

Row = tuple[int, ...]
Proxy = Callable[[Supernet, Row], float]  # of one subnet of a fresh supernet; larger for what should be better


@runtime_checkable
class Preparing(Protocol):
    """A proxy that does part of its work once for all subnets of a supernet."""

    def on(self, supernet: Supernet, /) -> Callable[[Row], float]:
        """The score of the subnets of a supernet whose weights do not change meanwhile."""
        ...


@dataclass(frozen=True, slots=True)
class DssProxy:
    """DSS of one subnet, q, k and v as one matrix; of many with the norms of their weights computed once.

    Attributes:
        rule: as published, or as its authors' code sums it.
    """

    rule: Literal["published", "released"]

    def __call__(self, supernet: Supernet, genes: Row) -> float:
        """The score of one subnet."""
        return self.on(supernet)(genes)

    def on(self, supernet: Supernet, /) -> Callable[[Row], float]:
        """As `Preparing.on`."""
        norms = WeightNorms()

        def score(genes: Row) -> float:
            if self.rule == "published":
                return dss_as_published(supernet, genes, norms, is_split=False).stacked
            return dss_as_released(supernet, genes, norms).stacked

        return score


def scored(proxy: Proxy, supernets: Sequence[Supernet], num_workers: int) -> Callable[[Genes], NDArray[np.float64]]:
    """A score of rows of genes: the mean over several supernets, in threads that compute one net each.

    Each net is computed on one thread whatever ``num_workers`` is, so that its score has the same bits.

    Args:
        proxy: of one subnet.
        supernets: fresh ones of several seeds; their weights do not change while the score is in use.
        num_workers: nets at a time.
    """
    of_each = [proxy.on(net) if isinstance(proxy, Preparing) else _calling(proxy, net) for net in supernets]

    def mean(genes: Row) -> float:
        return float(np.mean([score(genes) for score in of_each]))

    def score_all(genes_AG: Genes) -> NDArray[np.float64]:
        rows = [tuple(int(gene) for gene in row_G) for row_G in genes_AG]
        with _one_thread_each(), ThreadPoolExecutor(max(1, num_workers)) as pool:
            return np.array(list(pool.map(mean, rows)), dtype=np.float64)

    return score_all


def _calling(proxy: Proxy, supernet: Supernet) -> Callable[[Row], float]:
    return lambda genes: float(proxy(supernet, genes))


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """PyTorch computes on the calling thread alone meanwhile."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
