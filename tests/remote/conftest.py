"""One server for the tests of a session; each test gets it up, with its own key, and an empty folder on the device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgenas.remote.line import CONFIG
from tests.remote.servers import HAS_ALL, Server, serving


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not HAS_ALL:
        pytest.skip("needs OpenSSH's server and client")
    with serving(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def server(running_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv(CONFIG, str(running_server.config))
    try:
        yield running_server
    finally:
        running_server.key = "host"
        running_server.know()
        if running_server.process is None:
            running_server.start()
