"""Training-free indicators of how good an architecture is."""

from edgenas.proxies.dss import Dss, WeightNorms, dss_as_published, dss_as_released, nuclear_norm

__all__ = ["Dss", "WeightNorms", "dss_as_published", "dss_as_released", "nuclear_norm"]
