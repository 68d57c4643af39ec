"""Workers of pytest-xdist of which none can keep a test run from its end, nor waits for nothing."""

from __future__ import annotations

import faulthandler
import os
import socket
from collections.abc import Generator
from typing import Any

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

PATIENCE = 1.5  # times what a test may take: its worker then says where it stands, and ends


class Worker:
    """What a worker does beyond its tests.

    - Where a test fails and is asked once more, pytest-timeout watches the first attempt alone, and it cannot stop code that never
      comes back to Python. So each phase of each attempt is watched by a clock that needs no Python.
    - A worker is known to be gone by the end of its line to the main process. A process that was forked from it holds that line
      open as well, unless it lets go of it.
    - Before and after each test pytest-rerunfailures sends a few bytes to the main process. The second of two such messages waits
      40 ms for the receipt of the first, which its reader delays, unless the connection sends at once.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_sessionstart(self) -> None:
        """Set up both connections to the main process."""
        answers = getattr(getattr(self.config, "failures_db", None), "sock", None)
        if isinstance(answers, socket.socket):
            answers.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for plugin in self.config.pluginmanager.get_plugins():
            line = getattr(getattr(getattr(plugin, "channel", None), "gateway", None), "_io", None)
            if line is not None:
                _let_go_in_forks(line.outfile.fileno())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Watch what prepares a test."""
        return (yield from self._watched(item))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Watch a test."""
        return (yield from self._watched(item))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Watch what clears up after a test."""
        return (yield from self._watched(item))

    def _watched(self, item: pytest.Item) -> Generator[None, Any, Any]:
        own = item.get_closest_marker("timeout")
        seconds = float(own.args[0] if own is not None else self.config.getini("timeout"))
        faulthandler.dump_traceback_later(PATIENCE * seconds, exit=True, file=self.config.stash[fault_handler_stderr_fd_key])
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()


def _let_go_in_forks(descriptor: int) -> None:
    """Put nothing at the place of a descriptor in every process that is forked from this one."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.register_at_fork(after_in_child=lambda: os.dup2(nothing, descriptor, inheritable=False))
