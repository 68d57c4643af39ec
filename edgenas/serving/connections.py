"""Connections that are closed where their client does not say what it wants."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 15.0


class Connection(H11Protocol):
    """One that ends where a request's head has not come in time, byte by byte or not at all; uvicorn alone waits for ever.

    So nobody keeps others out by opening as many connections as the server takes. How long a body may take is for the application.

    Args:
        head_s: seconds from the beginning, or from the last answer, to the end of the next request's head.
        settings: as uvicorn gives them.
    """

    def __init__(self, *settings: Any, head_s: float = HEAD_S, **named: Any) -> None:
        super().__init__(*settings, **named)
        self._head_s = head_s
        self._ends: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Wait no more once a request is being answered."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next request, which may have come already."""
        self._wait()
        super().on_response_complete()

    def _wait(self) -> None:
        self._stop_waiting()
        self._ends = self.loop.call_later(self._head_s, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._ends is not None:
            self._ends.cancel()
            self._ends = None
