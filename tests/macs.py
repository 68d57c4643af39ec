"""MACs as fvcore counts them on a real module, for tests."""

from edgenas.supernets.counting import fvcore_macs

__all__ = ["fvcore_macs"]
