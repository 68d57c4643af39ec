"""A server in a thread: bound before it starts, stopped with what it has begun done."""

from __future__ import annotations

import errno
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import uvicorn

from edgenas.errors import EdgeNASError
from edgenas.serving.connections import HEAD_S, Connection

if TYPE_CHECKING:
    from fastapi import FastAPI

KEEP_ALIVE_S = 15
GRACE_S = 8  # for requests that have begun; containers are killed after 10
START_S = 30.0
MAX_CONNECTIONS = 512


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Its connections send each part of an answer at once (``TCP_NODELAY``, which they get from it): otherwise a body waits some
    40 ms for the client to say that it has the head. asyncio sees to that only for sockets that it made itself.

    Args:
        host: name or address.
        port: 0 takes a free one.

    Raises:
        EdgeNASError: if the port is taken or not allowed, or there is no such host.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.create_server(address[:2], family=family, backlog=128)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise EdgeNASError(
                f"port {port} of {host} is in use", hint="--port N takes another one, --port 0 a free one"
            ) from error
        words = f"{host}:{port} cannot be listened on: {error.strerror or error}"
        raise EdgeNASError(words, hint="give an address of this machine as --host, and as --port a number above 1023") from error


def address_of(host: str, bound: socket.socket) -> str:
    """Where a browser finds it."""
    port = bound.getsockname()[1]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class Running:
    """A server in a thread of its own, so that the main thread hears signals.

    Args:
        app: answers.
        bound: where it listens.
        head_s: seconds that a client has to say what it wants.
    """

    def __init__(self, app: FastAPI, bound: socket.socket, *, head_s: float = HEAD_S) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                ws="none",
                loop="asyncio",
                http=partial(Connection, head_s=head_s),  # type: ignore[arg-type] # called, never asked for its class
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._bound = bound
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [bound]}, name="server")

    def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            EdgeNASError: if it does not.
        """
        self._thread.start()
        ends = time.monotonic() + START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > ends:
                self.stop()
                raise EdgeNASError("the server did not start")
            time.sleep(0.01)

    def stop(self, *, at_once: bool = False) -> None:
        """Take no more requests, and end when those that have begun are answered; ``at_once``: without waiting for them."""
        self._server.should_exit = True
        self._server.force_exit = self._server.force_exit or at_once

    def is_alive(self, wait_s: float = 0.0) -> bool:
        """Whether it still runs, after some seconds at most."""
        self._thread.join(wait_s)
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait for its end, and free the port."""
        self._thread.join()
        self._bound.close()
