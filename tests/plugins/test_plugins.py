"""Everything that docs/extending.md says can be added, added by a package that edgenas does not know, through the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.errors import PluginError, UsageError
from edgenas.registries import Registry
from edgenas.search import ALGORITHMS, Algorithm
from edgenas.search.quantities import Checked
from edgenas.spaces import SPACES
from edgenas.testing.search import SearchConformance
from edgenas.training.headers import facts_in
from tests.plugins.installing import install, on_the_path
from tests.recipes.budgets import edgenas_in
from tests.recipes.test_end_to_end import edgenas_in as plainly_in

pytestmark = pytest.mark.usefixtures("short_pace")

TOYS = {
    "edgenas.algorithms": {"toy-rounds": "edgenas_toys:search"},
    "edgenas.sampling": {"toy-least": "edgenas_toys:least"},
    "edgenas.losses": {"toy-squares": "edgenas_toys:squares"},
    "edgenas.constraints": {"toy-heads": "edgenas_toys:heads"},
    "edgenas.sources": {"toy-digits": "edgenas_toys:SOURCE"},
    "edgenas.proxies": {"toy-logits": "edgenas_toys:proxy"},
    "edgenas.spaces": {"toy-pit": "edgenas_toys:SPACE"},
    "edgenas.exporters": {"toy-onnx": "edgenas_toys:ToyFormat"},
    "edgenas.runtimes": {"toy-cpu": "edgenas_toys:ToyRuntime"},
}
BROKEN = {group: {"absent": "edgenas_broken:anything", "number": "edgenas_numbers:FIVE"} for group in TOYS}
NUMBERS = {
    "edgenas.algorithms": {"evolution": "edgenas_numbers:FIVE", "toy-twice": "edgenas_numbers:FIVE"},
    "edgenas.sampling": {"toy-twice": "edgenas_numbers:FIVE"},
}
FAULTS = {
    "edgenas.algorithms": {name: f"edgenas_faults:{name}" for name in ("unlimited", "idle", "unlike")},
    "edgenas.sampling": {"unruly": "edgenas_faults:unruly"},
}
FAULTS_MODULE = """
from edgenas.search import evolve

def unlimited(space, evaluate, labels_N, constraints, floors, **others):
    yield from evolve(space, evaluate, labels_N, [], floors, **others)

def idle(*_, **others):
    yield from ()

def unlike(space):
    yield from ()

def unruly(space):
    return []
"""
USED_BY = {
    "edgenas.algorithms": ("search", "--set", "search.algorithm=NAME"),
    "edgenas.sampling": ("train", "--set", "train.sampling=NAME"),
    "edgenas.losses": ("train", "--set", "train.kd=NAME"),
    "edgenas.constraints": ("plan", "--limit", "NAME<=5"),
    "edgenas.sources": ("init", "--data", "NAME", "--run", "other"),
    "edgenas.proxies": ("plan", "--limit", "depth<=5", "--set", "search.proxy=NAME"),
    "edgenas.spaces": ("init", "--data", "digits", "--space", "NAME", "--run", "other"),
    "edgenas.exporters": ("export", "--format", "NAME"),
    "edgenas.runtimes": ("profile", "--set", "profile.runtime=NAME"),
}
QUICK = (
    "teacher.name=cnn",
    "teacher.epochs=1",
    "train.epochs=4",  # a net that has learned nothing passes no gate
    "train.kd_weight=0.5",
    "train.temperature=2.0",
    "train.flip=false",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three installed packages: one that works, one that does not, one that brings numbers."""
    folder = tmp_path_factory.mktemp("site")
    toys = (Path(__file__).parent / "edgenas_toys.py").read_text(encoding="utf-8")
    install(folder, "edgenas-toys", toys, TOYS)
    install(folder, "edgenas-broken", "import no_such_module\n", BROKEN)
    install(folder, "edgenas-numbers", "FIVE = 5\n", NUMBERS)
    install(folder, "edgenas-faults", FAULTS_MODULE, FAULTS)
    install(folder, "edgenas-others", "", {"edgenas.algorithms": {"toy-twice": "edgenas_others:nothing"}})
    with on_the_path(folder):
        yield folder


@pytest.fixture(scope="module")
def run(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on a package's images and space, its supernet trained with a package's rule and loss."""
    folder = tmp_path_factory.mktemp("work")
    code, value, _ = command(folder, "init", "--data", "toy-digits:30", "--space", "toy-pit", "--positive", "8")
    assert code == 0, value["error"]
    assert (value["result"]["num_images"], value["result"]["space"]["name"]) == (300, "toy-pit")
    sets = ("--set", "train.sampling=toy-least", "--set", "train.kd=toy-squares")
    code, value, _ = command(folder, "train", *sets)
    assert code == 0, value["error"]
    return folder


def command(folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    return edgenas_in(folder, *arguments, *(part for setting in QUICK for part in ("--set", setting)))


def toys() -> Any:
    return sys.modules["edgenas_toys"]


def test_a_packages_rule_and_loss_trained_the_supernet(run: Path) -> None:
    facts = facts_in(run / "edgenas-run" / "supernet" / "weights.safetensors")
    assert (facts["sampling"], facts["num_random"], facts["space"]) == ("toy-least", 2, "toy-pit")
    assert toys().CALLS["squares"] >= 3  # subnets of a step


def test_a_packages_limit_and_proxy_are_in_the_plan(run: Path) -> None:
    flags = ("--limit", "toy-heads>=5", "--limit", "toy-heads<=6", "--set", "search.proxy=toy-logits")
    code, value, _ = command(run, "plan", *flags)
    assert code == 0, value["error"]
    result = value["result"]
    assert result["limits"] == {"toy-heads>=": 5, "toy-heads": 6}
    every_AG = SPACES["toy-pit"].enumerate()
    heads_A = toys().heads(SPACES["toy-pit"], None)(every_AG)
    assert result["space"]["num_feasible"]["value"] == ((heads_A >= 5) & (heads_A <= 6)).sum()
    assert all(5 <= sum(net["arch"]["num_heads"]) <= 6 for net in result["nets"].values())
    assert all(net["proxies"]["toy-logits"] > 0 for net in result["nets"].values())


def test_a_packages_algorithm_finds_what_its_format_writes_and_its_runtime_runs(run: Path) -> None:
    code, value, _ = command(run, "search", "--limit", "toy-heads>=4", "--set", "search.algorithm=toy-rounds")
    assert code == 0, value["error"]
    rows = [json.loads(line) for line in (run / "edgenas-run" / "search" / "search.jsonl").read_text().splitlines()]
    assert {"toy", "capacity"} <= {row["origin"] for row in rows}
    assert all(sum(row["arch"]["num_heads"]) >= 4 for row in rows)
    code, value, _ = command(run, "export", "--format", "toy-onnx")
    assert code == 0, value["error"]
    (file,) = value["result"]["files"]
    assert (file["runtime"], file["parity"]["verdict"]) == ("toy-cpu", "passed")
    assert toys().CALLS["load"] >= 1


def test_a_packages_algorithm_that_knows_accuracy_alone_says_so(run: Path) -> None:
    code, value, _ = command(run, "search", "--minimize", "macs", "--set", "search.algorithm=toy-rounds")
    assert code == 1
    assert value["error"]["message"] == (
        "the search algorithm 'toy-rounds' of package edgenas-toys 0.1 (entry point toy-rounds = edgenas_toys:search in "
        "edgenas.algorithms) searches for accuracy alone, not for maximize or minimize"
    )


class TestThePackagesAlgorithm(SearchConformance):
    @pytest.fixture
    def search(self, site: Path) -> Algorithm:
        return ALGORITHMS["toy-rounds"]


@pytest.mark.parametrize("group", TOYS)
def test_what_is_broken_is_one_line_that_names_package_and_entry_point(run: Path, group: str) -> None:
    for name, why in (("absent", "ModuleNotFoundError: No module named 'no_such_module'"), ("number", "it is int, expected")):
        arguments = [part.replace("NAME", name) for part in USED_BY[group]]
        code, value, _ = command(run, *arguments)
        error = value["error"]
        assert (code, error["type"]) == (1, "PluginError"), error
        assert f"{name!r} of package edgenas-broken 0.1 (entry point {name} = " in error["message"]
        assert f"in {group}) cannot be used: {why}" in error["message"]
        assert "\n" not in error["message"]
        assert error["hint"] == "fix that package or remove it"


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("unlimited", "PluginError", "has evaluated a net that breaks the limits that it was given"),
        ("idle", "PluginError", "has evaluated no net"),
        ("unlike", "EdgeNASError", "a bug in edgenas, or in a package that it used: TypeError: unlike() got an unexpected"),
    ],
)
def test_an_algorithm_that_misbehaves_is_named_with_its_package(run: Path, name: str, kind: str, words: str) -> None:
    limit = f"toy-heads<={least_heads()}"  # which the smallest nets alone meet
    code, value, _ = command(run, "search", "--limit", limit, "--set", f"search.algorithm={name}")
    assert code != 0
    assert value["error"]["type"] == kind
    assert words in value["error"]["message"]
    assert f"the search algorithm {name!r} of package edgenas-faults 0.1" in value["error"]["message"]


def least_heads() -> int:
    return int(toys().heads(SPACES["toy-pit"], None)(SPACES["toy-pit"].enumerate()).min())


def test_a_rule_of_a_wrong_signature_is_named_with_its_package(run: Path) -> None:
    code, value, _ = command(run, "train", "--only", "supernet", "--force", "--set", "train.sampling=unruly")
    assert code == 1
    assert "the sampling rule 'unruly' of package edgenas-faults 0.1" in value["error"]["message"]


def test_what_two_packages_bring_or_edgenas_has_itself_is_said(run: Path) -> None:
    code, value, _ = command(run, "search", "--limit", "depth<=5", "--set", "search.algorithm=toy-twice")
    assert code == 1
    assert value["error"]["message"] == (
        "the search algorithm 'toy-twice' is brought by edgenas-numbers 0.1 and by edgenas-others 0.1"
    )
    assert ALGORITHMS["evolution"] is ALGORITHMS.own["evolution"]
    problems = ALGORITHMS.problems()
    assert set(problems) == {"absent", "number", "toy-twice", "evolution"}
    assert str(problems["evolution"]) == (
        "the search algorithm 'evolution' of package edgenas-numbers 0.1 (entry point evolution = edgenas_numbers:FIVE in "
        "edgenas.algorithms) is not used: edgenas has one of that name. give it another name"
    )


def test_the_doctor_tells_of_everything_that_packages_bring_and_that_cannot_be_used(run: Path) -> None:
    code, value, _ = command(run, "doctor")
    assert code == 0
    told = "\n".join(value["warnings"])
    for words in (
        "the search algorithm 'evolution' of package edgenas-numbers 0.1",
        "the search algorithm 'toy-twice' is brought by edgenas-numbers 0.1 and by edgenas-others 0.1",
        "the sampling rule 'absent' of package",
        "the data source 'number' of package",
    ):
        assert words in told


def test_names_of_packages_are_among_the_choices(run: Path) -> None:
    code, value, _ = command(run, "train", "--set", "train.sampling=toy-leest")
    assert code == 1
    (problem,) = value["error"]["problems"]
    assert problem.endswith("'bilateral', 'absent', 'number', 'toy-least', 'toy-twice', 'unruly'; did you mean 'toy-least'?")
    code, value, _ = command(run, "init", "--data", "toy-digit", "--run", "other")
    assert value["error"]["hint"].startswith("did you mean 'toy-digits'? known are: digits, ")
    assert value["error"]["hint"].endswith("toy-digits[:N]")


def test_a_limit_that_gives_no_number_a_net_is_named(site: Path) -> None:
    rows_AG = SPACES["toy-pit"].sample(3, np.random.default_rng(0))
    with pytest.raises(PluginError, match=r"'toy' gives numbers of shape \(2,\) for 3 architectures"):
        Checked("toy", lambda rows: [1.0, 2.0])(rows_AG)  # type: ignore[arg-type, return-value]
    with pytest.raises(PluginError, match="numbers that are not finite"):
        Checked("toy", lambda rows: [1.0, float("nan"), 2.0])(rows_AG)  # type: ignore[arg-type, return-value]


def test_a_package_on_the_path_of_a_process_is_found(site: Path, tmp_path: Path) -> None:
    paths = [str(site), str(Path(__file__).parent.parent.parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    call = [sys.executable, "-m", "edgenas", "spaces", "--json"]
    shown = subprocess.run(call, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    value = json.loads(shown.stdout)
    assert {"toy-pit", "pit-nano"} <= {space["name"] for space in value["result"]["spaces"]}
    assert ["'absent'" in value["warnings"][0], "'number'" in value["warnings"][1], len(value["warnings"])] == [True, True, 2]
    code, counted, _ = plainly_in(tmp_path, "count", "--space", "toy-pit", "--arch", "largest")
    assert (code, counted["result"]["rows"][0]["params"] > 0) == (0, True)


def test_the_page_on_extending_names_every_group_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith(("| a ", "| some"))]
    assert {group for line in table for group in re.findall(r"`(edgenas\.\w+)`", line)} == set(TOYS)


def test_an_empty_registry_says_so() -> None:
    empty: Registry[Any] = Registry("thing", "edgenas.no_such_group", {}, accepts=callable, expected="a function")
    assert (len(empty), list(empty), empty.problems(), empty.packages()) == (0, [], {}, {})
    with pytest.raises(UsageError, match=r"there is no thing 'x'\. known are: none"):
        empty.find("x")
