"""Training-free indicators of how good an architecture is."""

from __future__ import annotations

from edgenas.proxies.dss import Dss, WeightNorms, dss_as_published, dss_as_released, nuclear_norm
from edgenas.proxies.scoring import DssProxy, Proxy, scored
from edgenas.registries import Registry

dss = DssProxy("published")
dss_released = DssProxy("released")

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
    "DssProxy",
    "Proxy",
    "WeightNorms",
    "dss",
    "dss_as_published",
    "dss_as_released",
    "dss_released",
    "nuclear_norm",
    "scored",
]
