"""Every algorithm takes the same way again: in another process, with another hash seed, and after it was killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from edgenas.search import ALGORITHMS

SCRIPT = """
import os, sys
from pathlib import Path
import numpy as np
from edgenas.project.journals import JournaledEvaluator, journal
from edgenas.search import ALGORITHMS, Accuracy, CostObjective, EvolutionSettings
from edgenas.testing.search import LABELS, TREE, ToyEvaluator, toy_cost, toy_limit

class Mortal(ToyEvaluator):
    def __call__(self, genes_AG, indices_N):
        if len(self.asked) == dies_after:
            os._exit(9)
        return super().__call__(genes_AG, indices_N)

folder, dies_after = Path(sys.argv[1]), int(sys.argv[2])
sizes = EvolutionSettings(3, population=12, num_parents=4, num_mutations=6, num_crossovers=6, num_samples=100)
goals = {"one": (Accuracy(),), "two": (Accuracy(), CostObjective("macs", toy_cost(TREE)))}
for name in ALGORITHMS.own:
    limit = 1 if name == "exhaustive" else 9
    for label, objectives in goals.items():
        with journal(folder / f"{name}-{label}.jsonl", {"name": name}, keep=True) as known:
            evaluate = JournaledEvaluator(Mortal(TREE), known, "select", len(LABELS))
            score = lambda genes_AG: np.maximum(genes_AG, 0).sum(axis=1) * 1.0
            told = ALGORITHMS[name](
                TREE, evaluate, LABELS, [toy_limit(TREE, limit)], rng=np.random.default_rng(5), settings=sizes,
                objectives=objectives, score=score,
            )
            print(name, label, [[(c.genes, c.origin, c.losses) for c in g.fresh] for g in told], flush=True)
"""


def trajectories(folder: Path, *, hash_seed: str, dies_after: int = -1) -> tuple[int, list[str]]:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", SCRIPT, str(folder), str(dies_after)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def test_equal_seeds_search_equally_whatever_the_hash_seed_and_after_every_kill(tmp_path: Path) -> None:
    code, whole = trajectories(tmp_path / "whole", hash_seed="1")
    assert code == 0
    assert [line.split()[0] for line in whole] == [name for name in ALGORITHMS.own for _ in range(2)]
    assert all("(" in line for line in whole)
    code, begun = trajectories(tmp_path / "killed", hash_seed="2", dies_after=21)
    assert (code, begun) == (9, [])  # in the first of them, with 21 nets in its journal
    code, again = trajectories(tmp_path / "killed", hash_seed="2")
    assert code == 0
    assert again == whole
