"""Which searches of a toy are run by default."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the plainer of two toys to `make slow`, for all but one algorithm: the other has genes that may be inactive."""
    for item in items:
        if "TestEveryAlgorithm" in item.nodeid and "line" in item.name and "evolution" not in item.name:
            item.add_marker(pytest.mark.slow)
