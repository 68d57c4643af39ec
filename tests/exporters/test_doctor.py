"""`edgenas doctor`, beside the other tests that import what every format and runtime needs."""

from __future__ import annotations

from pathlib import Path

from tests.plugins.installing import on_the_path
from tests.plugins.test_plugins import install_all
from tests.recipes.budgets import edgenas_in


def test_the_doctor_tells_of_everything_that_packages_bring_and_that_cannot_be_used(tmp_path: Path) -> None:
    install_all(tmp_path)
    with on_the_path(tmp_path):
        code, value, _ = edgenas_in(tmp_path, "doctor")
    assert code == 0
    told = "\n".join(value["warnings"])
    for words in (
        "the search algorithm 'evolution' of package edgenas-numbers 0.1",
        "the search algorithm 'toy-twice' is brought by edgenas-numbers 0.1 and by edgenas-others 0.1",
        "the sampling rule 'absent' of package",
        "the data source 'number' of package",
    ):
        assert words in told
    works = {row["name"]: row["works"] for row in (*value["result"]["runtimes"], *value["result"]["formats"])}
    assert works.items() >= {"toy-cpu": True, "toy-onnx": True, "onnxruntime-cpu": True, "absent": False}.items()
