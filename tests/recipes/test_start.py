"""What commands of a whole run import, told as `tests/cli/test_start.py` tells it of those without one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.importing import OFTEN, Imported, commands
from tests.recipes.killing import Reference

LIGHT = {"numpy", "rich", "PIL"}
PYTORCH = {"torch", "sympy"}


@pytest.fixture(scope="module")
def imported() -> Iterator[Imported]:
    """What a command imports beside what is light."""
    with commands([*sorted(LIGHT), *OFTEN]) as run:
        yield run


@pytest.mark.parametrize(
    ("arguments", "allowed", "code"),
    [
        (("info",), set(), 0),
        (("tables", "list"), set(), 0),
        (("evaluate", "--set", "data.positive=11"), set(), 1),
        (("search", "--latency-ms", "5", "--min-sensitivity", "11=0.9"), set(), 1),
        (("evaluate",), PYTORCH, 0),
        (("report",), {"scipy.stats", "scipy.optimize"}, 0),
    ],
    ids=["info", "tables", "a wrong class", "a floor of a wrong class", "evaluate", "report"],
)
def test_a_command_imports_what_it_uses(
    arguments: tuple[str, ...], allowed: set[str], code: int, imported: Imported, reference: Reference
) -> None:
    exit_code, names = imported(*arguments, cwd=reference.after("retrain"))
    assert exit_code == code
    assert names <= LIGHT | allowed, names - LIGHT - allowed
