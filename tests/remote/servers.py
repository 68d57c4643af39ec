"""A server of OpenSSH on a free port of this machine, and the configuration that clients reach it with."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgenas.remote import Address

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
HAS_ALL = SSHD is not None and all(shutil.which(name) for name in ("ssh", "ssh-keygen"))
SETTINGS = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/{key}
AuthorizedKeysFile {folder}/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
"""
CLIENT = """
Host *
    IdentityFile {folder}/user
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known
    GlobalKnownHostsFile /dev/null
"""


@dataclass
class Server:
    """A server that may be stopped and started; `config` is what its clients read."""

    folder: Path
    port: int
    key: str = "host"
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def config(self) -> Path:
        return self.folder / "config"

    def address(self, **settings: Any) -> Address:
        own = {"python": sys.executable, "folder": str(self.folder / "there")}
        return Address("127.0.0.1", getpass.getuser(), self.port, **{**own, **settings})

    def start(self) -> None:
        """Serve until it is stopped."""
        path = self.folder / "sshd_config"
        path.write_text(SETTINGS.format(port=self.port, folder=self.folder, key=self.key))
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where it locks itself in
        assert SSHD is not None
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(path)], stderr=log, stdin=subprocess.DEVNULL)
        ends = time.monotonic() + 120
        while time.monotonic() < ends:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        """End the server and its lines."""
        if self.process is not None:
            self.drop()
            self.process.kill()
            self.process.wait()
            self.process = None

    def drop(self) -> int:
        """End the lines that are open, without a word; how many there were."""
        assert self.process is not None
        lines = [pid for pid, parent in _parents() if parent == self.process.pid]
        for pid in lines:
            os.kill(pid, signal.SIGKILL)
        return len(lines)

    def know(self, *, key: str = "host") -> None:
        """Make clients know a host key."""
        kind, text = (self.folder / f"{key}.pub").read_text().split()[:2]
        (self.folder / "known").write_text(f"[127.0.0.1]:{self.port} {kind} {text}\n")


def _parents() -> Iterator[tuple[int, int]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, _, rest = path.read_text().partition(" (")
        except OSError:
            continue
        yield int(pid), int(rest.rpartition(") ")[2].split()[1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server whose key its clients know."""
    for name in ("host", "other", "user", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized").write_bytes((folder / "user.pub").read_bytes())
    (folder / "config").write_text(CLIENT.format(folder=folder))
    server = Server(folder, free_port())
    server.know()
    server.start()
    try:
        yield server
    finally:
        server.stop()
