"""Tiny nets are fastest on one thread, by far where other processes use the machine."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="module")
def on_one_thread(one_thread: None) -> None:
    """Every module of this folder."""
