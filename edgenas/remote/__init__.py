"""A device over the network, by OpenSSH: files go there, a command runs there, results come back.

`agent` is what runs at the other end: Python 3.8 and its library alone.
"""

from edgenas.remote.address import Address
from edgenas.remote.device import Device, DeviceFacts
from edgenas.remote.job import PYTHON, Job, clear, run_job
from edgenas.remote.refusals import RemoteError, UnreachableError

__all__ = ["PYTHON", "Address", "Device", "DeviceFacts", "Job", "RemoteError", "UnreachableError", "clear", "run_job"]
