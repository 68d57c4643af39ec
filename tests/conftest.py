"""What several test modules share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def fixture_json() -> Any:
    """Reads a JSON fixture by name."""
    return lambda name: json.loads((FIXTURES / name).read_text(encoding="utf-8"))
