"""A worker that hangs or is lost ends the test run, whatever it has forked."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFTEST = """
from tests.workers import Worker

def pytest_configure(config):
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(Worker(config))
"""
LIVES = """
import socket

def test_sends_at_once(pytestconfig):
    assert pytestconfig.failures_db.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
"""
HANGS = """
import os, time
from pathlib import Path
import pytest

@pytest.mark.timeout(0.5)
def test_hangs():
    if os.fork() == 0:
        while not Path("ended").exists():
            time.sleep(0.1)
        os._exit(0)
    time.sleep(1000)
"""
UNUSED = ("hydra_pytest", "kgb", "anyio", "hypothesispytest")  # plug-ins, which take time to import


def test_a_test_that_hangs_when_it_is_asked_once_more_ends_the_run(tmp_path: Path) -> None:
    """pytest-timeout ends its first attempt; the worker is ended in its second one, and has left processes behind."""
    own = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]["addopts"].split()
    restarts = own[own.index("--max-worker-restart") :][:2]
    modules = {"conftest": CONFTEST, "test_0": LIVES, "test_1": LIVES, "test_hangs": HANGS, "test_lives": LIVES}
    for name, text in modules.items():  # the worker that is lost has done other work before
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntimeout = 600\n")
    options = ["-n", "2", "--dist", "loadfile", "--reruns", "1", *restarts, *(f"-pno:{name}" for name in UNUSED)]
    without = ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_ADDOPTS")
    environment = {name: value for name, value in os.environ.items() if name not in without} | {"PYTHONPATH": str(ROOT)}
    try:
        with (tmp_path / "said").open("w") as said:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *options],
                cwd=tmp_path,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=120,
            )
    finally:
        (tmp_path / "ended").touch()
    text = (tmp_path / "said").read_text()
    assert done.returncode == 1, text
    assert "crashed while running 'test_hangs.py::test_hangs" in text
    assert 'test_hangs.py", line 12 in test_hangs' in text  # where it hung
    assert " 3 passed" in text
