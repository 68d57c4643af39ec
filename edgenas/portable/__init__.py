"""The ground floor of measuring: what this machine and a device that has no PyTorch do alike.

`latency/` imports these modules, and kits carry them in their ``measure.py``. They need Python 3.8 and its library alone, and
import nothing of edgenas but each other.
"""
