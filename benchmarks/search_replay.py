"""Search algorithms at equal budget, replayed on a table of nets that were all evaluated once (`benchmarks.search_table`).

The space is the part of `pvt-elastic-nano` whose every net is in the table: a draw, a mutant or a child is a net with an answer,
none is mapped onto another. Every algorithm that is registered searches under limits on MACs, with as many seeds and as many nets
as the others, from draws alone: without the hand-designed and evenly spread nets that `edgenas search` starts with. It does so
twice: for accuracy alone and, where it takes several objectives, for accuracy and MACs. What is done is kept: the same command
goes on.

    python -m benchmarks.search_replay --seeds 50
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgenas.search
from benchmarks.search_replay_report import write
from benchmarks.search_table import LEVELS, TABLE, Table, load
from edgenas.costs import cost_models
from edgenas.errors import EdgeNASError
from edgenas.project.planning.pace import evolution_settings
from edgenas.project.settings import SearchSettings
from edgenas.runs import Journal
from edgenas.search import ALGORITHMS, Algorithm, EvolutionSettings, UpperLimit
from edgenas.search.hypervolume import hypervolume
from edgenas.spaces import Genes

QUANTILES = (0.25, 0.5)  # of the part's MACs: the limits
AIMS = ("accuracy", "front")
SCORED = {"training-free": "params"}  # what algorithms that need a score are given: a table holds no indicator
STEP = 16  # nets between two points of a curve
SPLIT = "select"


class Replay:
    """Answers from a table; an `edgenas.search.Evaluator` for the nets of its part.

    Of a net's probabilities the table has that of the right class and which class is the likeliest. Where that is the right one,
    the others share what is left; where it is not, it has all of it. So decisions and likelihoods are those of the net, the rest
    is not.

    Attributes:
        num_images: predictions so far, one a net and image.
    """

    def __init__(self, table: Table) -> None:
        on_N = table.split_N == SPLIT
        self.labels_N = table.labels_N[on_N]
        self.num_classes = int(table.labels_N.max()) + 1
        self.num_images = 0
        self._decided_AN = table.decided_AN[:, on_N]
        self._label_AN = table.label_AN[:, on_N]
        self._places = {row.tobytes(): place for place, row in enumerate(table.part.enumerate())}

    def places(self, genes_AG: Genes) -> NDArray[np.int64]:
        """Rows of the table that nets of the part are.

        Raises:
            KeyError: if one is not of the part.
        """
        return np.array([self._places[row.astype(np.int16).tobytes()] for row in genes_AG], dtype=np.int64)

    def __call__(self, genes_AG: Genes, image_indices: NDArray[np.int64], /) -> NDArray[np.float16]:
        """Class probabilities of shape (archs, images, classes), in order."""
        places_A, labels_N = self.places(genes_AG), self.labels_N[image_indices]
        decided_AN = self._decided_AN[places_A][:, image_indices].astype(np.int64)
        label_AN = self._label_AN[places_A][:, image_indices] / LEVELS
        is_right_AN = decided_AN == labels_N
        others_AN = np.where(is_right_AN, (1 - label_AN) / (self.num_classes - 1), 0.0)
        p_ANC = np.repeat(others_AN[:, :, None], self.num_classes, axis=2)
        rows, columns = np.indices(decided_AN.shape)
        p_ANC[rows, columns, decided_AN] = np.maximum(
            1 - label_AN, label_AN + 0.001
        )  # the likeliest, also where steps are too wide
        p_ANC[rows, columns, labels_N] = np.where(is_right_AN, np.maximum(label_AN, others_AN + 0.001), label_AN)
        self.num_images += decided_AN.size
        return p_ANC.astype(np.float16)


@dataclass(frozen=True, eq=False)
class Scene:
    """What is searched.

    Attributes:
        limit: most MACs.
        scores_A: accuracy of every net of the part on select.
        confirm_A: its accuracy on confirm.
        macs_A: its MACs.
    """

    table: Table
    quantile: float
    limit: float
    scores_A: NDArray[np.float64]
    confirm_A: NDArray[np.float64]
    macs_A: NDArray[np.float64]

    @property
    def best(self) -> float:
        """Accuracy of the best net within the limit."""
        return float(self.scores_A[self.macs_A <= self.limit].max())

    def volume(self, places: Sequence[int]) -> float:
        """The hypervolume of MACs and accuracy of some nets, as a share of that of all nets within the limit.

        The reference point is the limit, and the lowest accuracy of the part.
        """
        return self._volume(np.array(places, dtype=np.int64)) / self._whole

    @cached_property
    def _whole(self) -> float:
        return self._volume(np.flatnonzero(self.macs_A <= self.limit))

    def _volume(self, places_A: NDArray[np.int64]) -> float:
        losses_AO = np.stack([self.macs_A[places_A], -self.scores_A[places_A]], axis=1)
        return hypervolume(losses_AO, np.array([1.0000001 * self.limit, 1e-9 - float(self.scores_A.min())]))


def scene(table: Table, quantile: float) -> Scene:
    """The part of a table under a limit that a share of its nets meets."""
    num = int((table.origin_A == "part").sum())
    macs_A = table.macs_A[:num].astype(np.float64)
    scores_A, confirm_A = (table.right(split)[:num].mean(axis=1) for split in (SPLIT, "confirm"))
    return Scene(table, quantile, float(np.quantile(macs_A, quantile)), scores_A, confirm_A, macs_A)


def takes_objectives(algorithm: Algorithm) -> bool:
    """Whether an algorithm can be asked for more than accuracy."""
    return "objectives" in inspect.signature(algorithm).parameters


def extra_arguments(name: str, aim: str, at: Scene) -> dict[str, Any]:
    """What an algorithm is asked for beside the arguments that all have."""
    costs = cost_models(at.table.part, at.table.part.default_task)
    extra: dict[str, Any] = {"score": costs[SCORED[name]]} if name in SCORED else {}
    if aim == "front":
        from edgenas.search.objectives import Accuracy, CostObjective

        extra["objectives"] = (Accuracy(), CostObjective("macs", costs["macs"]))
    return extra


def replay(name: str, aim: str, at: Scene, seed: int, settings: EvolutionSettings) -> dict[str, Any]:
    """What an algorithm evaluates, in order, the net that it ends with, and how long it takes, JSON-ready."""
    part, evaluate = at.table.part, Replay(at.table)
    limits = [UpperLimit("macs", at.limit, cost_models(part, part.default_task)["macs"])]
    rng, extra = np.random.default_rng(seed), extra_arguments(name, aim, at)
    began, rows, winner = time.monotonic(), [], ()
    for generation in ALGORITHMS[name](part, evaluate, evaluate.labels_N, limits, rng=rng, settings=settings, **extra):
        rows += [candidate.genes for candidate in generation.fresh]
        winner = generation.elite[0].genes if generation.elite else ()
    places = evaluate.places(np.array(rows, dtype=np.int16))
    return {
        "places": places.tolist(),
        "winner": int(evaluate.places(np.array([winner], dtype=np.int16))[0]),
        "images": evaluate.num_images,
        "seconds": round(time.monotonic() - began, 3),
    }


def read(trail: Mapping[str, Any], at: Scene, budget: int) -> dict[str, Any]:
    """What of a replay is reported: accuracies, hypervolumes, and both while it went on."""
    places = trail["places"][:budget]
    ends = range(STEP, budget + 1, STEP)
    best_A = np.maximum.accumulate(at.scores_A[places])
    return {
        "evaluated": len(places),
        "best": float(best_A[-1]),
        "early": float(best_A[min(budget // 3, len(best_A)) - 1]),
        "confirm": float(at.confirm_A[trail["winner"]]),
        "volume": at.volume(places),
        "images": trail["images"],
        "best_curve": [float(best_A[min(end, len(best_A)) - 1]) for end in ends],
        "volume_curve": [at.volume(places[:end]) for end in ends],
    }


def source_sha256() -> str:
    """Of the code that searches, so that a replay of other code is not taken for one of this."""
    folder = Path(edgenas.search.__file__).parent
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.rglob("*.py")))).hexdigest()


def results(table: Table, seeds: int, settings: EvolutionSettings, journal: Journal) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """A row for each limit, algorithm, aim and seed, and why an algorithm was left out."""
    rows, refused = [], {}
    scenes = [scene(table, quantile) for quantile in QUANTILES]
    for at, (name, algorithm), aim in product(scenes, ALGORITHMS.usable().items(), AIMS):
        if aim == "front" and not takes_objectives(algorithm):
            continue
        for seed in range(seeds):
            key = f"{name} {aim} {at.quantile} {seed}"
            try:
                trail = journal.recall(key) or replay(name, aim, at, seed, settings)
            except EdgeNASError as error:
                refused[name] = error.message.replace(table.part.name, "the part")
                break
            if journal.recall(key) is None:
                journal.record(key, trail)
            rows.append({"algorithm": name, "aim": aim, "quantile": at.quantile, "seed": seed, **read(trail, at, settings.budget)})
        print(f"{name} for {aim} under the {at.quantile:.0%} quantile is done", file=sys.stderr)  # noqa: T201 - a script's screen
    return rows, refused


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay what is missing, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--journal", type=Path, default=Path("search-replay.jsonl"), help="of what is done")
    parser.add_argument("--output", type=Path, default=Path("docs/measurements"), help="folder of report and picture")
    asked = parser.parse_args(arguments)
    table, settings = load(asked.table), evolution_settings(SearchSettings())
    identity = {"table": hashlib.sha256(asked.table.read_bytes()).hexdigest(), "code": source_sha256(), "sizes": asdict(settings)}
    journal = Journal(asked.journal, identity)
    rows, refused = results(table, asked.seeds, settings, journal)
    journal.close()
    scenes = [scene(table, quantile) for quantile in QUANTILES]
    facts = {
        "command": "python -m benchmarks.search_replay " + " ".join(sys.argv[1:] if arguments is None else arguments),
        "table": table.facts,
        "seeds": asked.seeds,
        "budget": settings.budget,
        "step": STEP,
        "scored": SCORED,
        "sizes": asdict(settings),
        "refused": refused,
        "num_images": int((table.split_N == SPLIT).sum()),
        "scenes": [
            {"quantile": at.quantile, "limit": at.limit, "feasible": int((at.macs_A <= at.limit).sum()), "best": at.best}
            for at in scenes
        ],
    }
    for path in write(rows, facts, asked.output):
        print(path)  # noqa: T201 - a script's screen
    return 0


if __name__ == "__main__":
    sys.exit(main())
