"""The ground floor in the oldest Python that a kit may meet, and without anything but Python's own library."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.latency.kits import old_python

ROOT = Path(__file__).parent.parent.parent


def test_every_module_is_imported_by_python_3_8_alone() -> None:
    python = old_python()
    if python is None:
        pytest.skip("there is no Python 3.8 here")
    names = sorted(f"edgenas.portable.{path.stem}" for path in (ROOT / "edgenas" / "portable").glob("*.py"))
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); [__import__(name) for name in {names}]"
    code += "; from edgenas.portable.machine import Watch; print(sorted(Watch().end())[0])"
    done = subprocess.run([python, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "frequency_max_mhz\n"), done.stderr
