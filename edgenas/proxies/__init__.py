"""Training-free indicators of how good an architecture is."""

from __future__ import annotations

from collections.abc import Callable

from edgenas.proxies.dss import Dss, WeightNorms, dss_as_published, dss_as_released, nuclear_norm
from edgenas.registries import Registry
from edgenas.supernets import Supernet

Proxy = Callable[[Supernet, tuple[int, ...]], float]  # of one subnet of a fresh supernet; larger for what should be better


def dss(supernet: Supernet, genes: tuple[int, ...]) -> float:
    """DSS as published, q, k and v as one matrix."""
    return dss_as_published(supernet, genes).stacked


def dss_released(supernet: Supernet, genes: tuple[int, ...]) -> float:
    """DSS as its authors' code sums it."""
    return dss_as_released(supernet, genes).stacked


PROXIES: Registry[Proxy] = Registry(
    "proxy",
    "edgenas.proxies",
    {"dss": dss, "dss-released": dss_released},
    accepts=callable,
    expected="a function (supernet, genes) -> a number",
)

__all__ = [
    "PROXIES",
    "Dss",
    "Proxy",
    "WeightNorms",
    "dss",
    "dss_as_published",
    "dss_as_released",
    "dss_released",
    "nuclear_norm",
]
