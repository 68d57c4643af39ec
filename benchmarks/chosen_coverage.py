"""How often the bounds of a latency table hold for nets that searches chose, beside random nets, at another hour or day.

A search takes nets that promise much accuracy for their predicted time, so it may take those that are predicted too fast. What
bends coverage is which nets are taken near the limit, not what they are good at: so no weights are needed. Searches run as
`edgenas search` does, by evolution under a limit on predicted latency, with a score in place of accuracy that rises with parameters
and MACs (what a net computes costs time whether it is predicted or not) and has an effect of every option, drawn anew for every
seed. Nets that the table was made, bounded or validated with are left out of both groups.

Chosen and random nets are timed in the same rounds, with as many calls as the table's. Everything is kept in a journal: the same
command goes on. Another ``--session`` times the same nets at another hour; the report pools and tells them apart.

    python -m benchmarks.chosen_coverage --table TABLE --minutes 20 --session evening --output docs/measurements
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.chosen_coverage_report import coverage_report, stem_of, write
from edgenas.costs import cost_models
from edgenas.errors import EdgeNASError
from edgenas.latency import LatencyTable
from edgenas.latency import PrefixedMemory as Part
from edgenas.latency.measuring import Workshop
from edgenas.latency.nets import components_of, reference_net
from edgenas.latency.table import SAME_SPEED, same_timing
from edgenas.latency.timing import Session, fps_of, probe_visit, time_nets
from edgenas.portable.budget import round_seconds
from edgenas.project.measuring import graphs_of, workshop_in
from edgenas.project.of_table import open_table, runtime_of
from edgenas.runs import Journal, RunFolder
from edgenas.search import EvolutionSettings, UpperLimit, evolve
from edgenas.spaces import Genes, SearchSpace, unique_rows

SIZES = EvolutionSettings(num_generations=20, population=50, num_parents=10, num_mutations=25, num_crossovers=25)
EFFECTS = 0.1  # standard deviation of what options add up to, beside sizes from 0 to 1: as much as sizes of random nets scatter
SHARES = tuple(np.linspace(0.05, 0.95, 10))  # of random nets that are predicted faster than a search's limit
PER_SEARCH = 2  # of the best nets of a search
DEEPEST = 8.0  # logarithm of likelihoods between the best score there may be and the worst that is told apart
IMAGES = 8

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Study:
    """What is measured.

    Attributes:
        table: whose bounds are judged.
        num: nets of each group; fewer where ``minutes`` do not allow them.
        minutes: that timing may take in a session.
        session: name of this one.
    """

    table: LatencyTable
    space: SearchSpace
    num: int
    minutes: float
    session: str
    seed: int


@dataclass(frozen=True, slots=True)
class Score:
    """Stands for accuracy: a search's evaluator of one image's likelihood, the same on a few images.

    Attributes:
        sizes: parameters and MACs of rows of genes, in logarithms from the smallest net's to the largest's, weighted.
        effects_GO: of every option of every gene; the last column is of an inactive gene.
        best: no net scores more.
    """

    sizes: Callable[[Genes], Floats]
    effects_GO: Floats
    best: float

    @classmethod
    def drawn(cls, study: Study, rng: np.random.Generator) -> Score:
        """A score of its own for every search."""
        costs, share = cost_models(study.space, study.table.task), float(rng.uniform(0.2, 0.8))
        ends_AG = np.concatenate([study.space.extreme(largest=largest) for largest in (False, True)])

        def size(name: str, genes_AG: Genes) -> Floats:
            low, high = np.log(costs[name](ends_AG))
            return np.asarray((np.log(costs[name](genes_AG)) - low) / (high - low))

        def sizes(genes_AG: Genes) -> Floats:
            return share * size("params", genes_AG) + (1 - share) * size("macs", genes_AG)

        options = max(len(choice.options) for choice in study.space.choices)
        effects_GO = rng.normal(0.0, EFFECTS / np.sqrt(len(study.space.choices)), (len(study.space.choices), options + 1))
        return cls(sizes, effects_GO, 1.0 + float(effects_GO.max(axis=1).sum()))

    def __call__(self, genes_AG: Genes, image_indices: NDArray[np.int64], /) -> NDArray[np.float16]:
        """Probabilities, shape (archs, images, 2): never right, so that the likelihood of class 0 alone decides."""
        own_A = self.sizes(genes_AG) + self.effects_GO[np.arange(genes_AG.shape[1]), genes_AG].sum(axis=1)
        likely_A = 0.49 * np.exp(np.maximum(-DEEPEST, own_A - self.best))
        dither_N = 1.0 - 1e-4 * image_indices  # float16 rounds every image elsewhere
        likely_AN = likely_A[:, None] * dither_N
        return np.stack([likely_AN, 1.0 - likely_AN], axis=2).astype(np.float16)


def choose(study: Study, *, log: Any) -> tuple[Genes, list[dict[str, Any]]]:
    """Nets that searches chose, and which search chose them: under limits over the whole range, a score for each."""
    space, predicted = study.space, study.table.to_cost_model(study.space, study.table.task)
    sample_A = predicted(space.sample(2000, np.random.default_rng([study.seed, 0])))
    known, rows, origins = _known(study), [], []
    for number in range(4 * study.num):
        rng = np.random.default_rng([study.seed, 1, number])
        limit_ms = float(np.quantile(sample_A, SHARES[number % len(SHARES)]))
        limit = UpperLimit("latency_ms", limit_ms, predicted)
        *_, last = evolve(space, Score.drawn(study, rng), np.zeros(IMAGES, dtype=np.int64), [limit], rng=rng, settings=SIZES)
        fresh = [candidate for candidate in last.elite[:PER_SEARCH] if _new(study, np.array(candidate.genes, np.int16), known)]
        rows += [candidate.genes for candidate in fresh]
        origins += [{"search": number, "limit_ms": limit_ms} for _ in fresh]
        log(f"\rsearches: {number + 1}, nets chosen: {len(rows)}/{study.num} ")
        if len(rows) >= study.num:
            break
    return np.array(rows[: study.num], dtype=np.int16), origins[: study.num]


def draw(study: Study) -> Genes:
    """As many random nets, none of which the table knows."""
    rows_AG = unique_rows(study.space.sample(8 * study.num, np.random.default_rng([study.seed, 2])))
    known = _known(study)
    return np.array([genes_G for genes_G in rows_AG if _new(study, genes_G, known)][: study.num])


def _known(study: Study) -> set[tuple[Any, ...]]:
    table = study.table
    nets = (table.checks, table.bound_nets, table.measuring.calibration_rows or ())
    genes_AG = np.concatenate([study.space.from_json(net.arch) for group in nets for net in group])
    return {components_of(study.space, genes_G, table.task) for genes_G in genes_AG}


def _new(study: Study, genes_G: Genes, known: set[tuple[Any, ...]]) -> bool:
    """Whether a net was not known; now it is."""
    chain = components_of(study.space, genes_G, study.table.task)
    fresh = chain not in known
    known.add(chain)
    return fresh


def run(study: Study, folder: RunFolder, *, log: Any) -> dict[str, Any]:
    """Choose, draw, time in this session, and judge all sessions so far."""
    table, context = study.table, study.table.context
    memory = Journal(folder.path / "chosen_coverage.jsonl", _identity(study))
    if memory.recall("chosen") is None:
        chosen_AG, origins = choose(study, log=log)
        memory.record("chosen", {"genes": chosen_AG.tolist(), "origins": origins})
        memory.record("random", draw(study).tolist())
    groups = {"chosen": memory.recall("chosen")["genes"], "random": memory.recall("random")}  # type: ignore[index]
    num = min(map(len, groups.values()))
    pairs = zip(*(rows[:num] for rows in groups.values()), strict=True)
    genes_AG = np.array([row for pair in pairs for row in pair], dtype=np.int16)
    opset, rewrites = graphs_of(context)
    with workshop_in(
        *(folder, study.space, table.task, runtime_of(table), context.precision, context.batch_size), opset=opset, rewrites=rewrites
    ) as workshop:
        _time(study, workshop, genes_AG, memory, log)
    sessions = {name: memory.recall(f"session {name}") for name in memory.recall("sessions") or []}
    memory.close()
    report = coverage_report(table, study.space, genes_AG, sessions)
    command = shlex.join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]])
    return {"date": datetime.now(UTC).isoformat(timespec="seconds"), "command": command, **report}


def _identity(study: Study) -> dict[str, Any]:
    """Nets and timings are of the table whatever sessions it has: these can be added between those of the study."""
    return {"table": replace(study.table, sessions=()).sha256, "num": study.num, "seed": study.seed}


def _time(study: Study, workshop: Workshop, genes_AG: Genes, memory: Journal, log: Any) -> None:
    """Time what the minutes allow of the nets, chosen and random in turn; what this session timed is not timed again."""
    name, part = f"session {study.session}", Part(memory, f"timing {study.session} ")
    if memory.recall(name) is not None:
        log(f"session {study.session} is done; another --session times the nets at another hour\n")
        return
    table = study.table
    timing = replace(same_timing(table), visits=2 * same_timing(table).visits)  # as many calls as behind its quantiles
    chains = [components_of(study.space, genes_G, table.task) for genes_G in genes_AG]
    beside = reference_net(study.space, table.task)
    for record in workshop.prepare_chains([beside, *chains]):
        _say(record, log)
    target, reference = workshop.target(table.context.threads, fps_of(table.context.scope)), workshop.build(beside)
    plan = part.recall("plan")
    if plan is None:
        seconds = timing.visits * round_seconds(1, timing.reference_every, probe_visit(target, reference, timing))
        num = min(len(chains), 2 * max(1, int(60 * study.minutes / seconds) // 2))
        plan = {"num": num, "began": datetime.now(UTC).isoformat(timespec="seconds"), "about_s": num * seconds}
        part.record("plan", plan)
    log(f"timing {plan['num']} of {len(chains)} nets, {timing.visits} visits each: about {plan['about_s'] / 60:.0f} min\n")
    sources, rng = [workshop.build(chain) for chain in chains[: plan["num"]]], np.random.default_rng([study.seed, 3])
    session = _followed(time_nets(target, sources, reference, timing, rng=rng, memory=part), log)
    quantiles = [[timing.quantile_ms(share) for share in (0.5, 0.9, 0.95, 0.99)] for timing in session.timings]
    speed = session.reference.median_ms / table.level_ms
    if not 1 / (1 + SAME_SPEED) <= speed <= 1 + SAME_SPEED:
        log(f"\nthe machine took {speed:.2f} times as long as for the table: `profile --again` would not take such a session\n")
    found = {"began": plan["began"], "ms": quantiles, "speed": speed, "calls": session.timings[0].num_runs}
    memory.record(name, {**found, "machine": session.machine.as_json(), "runtime_version": session.info.runtime_version})
    memory.record("sessions", [*(memory.recall("sessions") or []), study.session])


def _followed(records: Iterator[Any], log: Any) -> Session:
    for record in records:
        if isinstance(record, Session):
            return record
        _say(record, log)
    raise AssertionError("a series of rounds ends with its session")


def _say(record: Any, log: Any) -> None:
    if record.done % 100 == 0 or record.done == record.total:
        log(f"\r{record.label}: {record.done}/{record.total} ")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a session of the study and write its report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", required=True, metavar="NAME|FILE", help="a table of this device with nets behind bounds")
    parser.add_argument("--num", type=int, default=120, help="nets of each group")
    parser.add_argument("--minutes", type=float, default=20.0, help="that timing may take: fewer nets where more would not fit")
    parser.add_argument("--session", default="first", help="name of this session")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", type=Path, default=Path("chosen-coverage"), help="folder for journal and graphs")
    parser.add_argument("--output", type=Path, default=Path("docs/measurements"))
    options = parser.parse_args(arguments)
    try:
        _, table, space = open_table(options.run, options.table)
        study = Study(table, space, options.num, options.minutes, options.session, options.seed)
        options.run.mkdir(parents=True, exist_ok=True)
        report = run(study, RunFolder(options.run), log=sys.stderr.write)
    except EdgeNASError as error:
        raise SystemExit(str(error)) from error
    for path in write(report, options.output, stem_of(report)):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
