"""Searched, hand-designed and plain: what the difference on test is, which net is to be deployed, and what each has cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from edgenas.percents import percent
from edgenas.project.net_facts import BASELINE
from edgenas.project.nets import PROOF_SHARE
from edgenas.project.opening import Project
from edgenas.project.results import searched
from edgenas.project.retraining.ways import Bench, Try, right_on
from edgenas.project.training_settings import AUTO
from edgenas.project.trainings.teacher_choice import teacher_probe
from edgenas.project.trainings.teaching import needs_teacher, probed_teaching
from edgenas.records import ChosenBy, SearchResult, StageCosts
from edgenas.stats import Proportion, wilson
from edgenas.training.folder import epochs_of, seconds_of, weights_sha256

CHOSEN_ON = ("select", "confirm")


def choose(bench: Bench, winner: Try, baseline: Try, *, baseline_fits: bool = True) -> tuple[str, ChosenBy]:
    """Which of the two is to be deployed, by their accuracy on images that are not of test; of equal ones the searched.

    A net that misses more floors than the other is not chosen, however accurate, and one that breaks the limits never.

    Args:
        bench: with the project.
        winner: as it was trained best.
        baseline: the hand-designed net, likewise.
        baseline_fits: whether it meets the limits on costs.

    Returns:
        ``searched`` or ``baseline``, and why.
    """
    shares: dict[str, Proportion] = {}
    for name, each in (("searched", winner), (BASELINE, baseline)):
        right_N = right_on(each.load(bench.project.space).to(bench.device), each.net.images, *CHOSEN_ON)
        shares[name] = wilson(int(right_N.sum()), right_N.size)
    low = {"searched": winner.low_floors, BASELINE: baseline.low_floors}
    breaks = {"searched": False, BASELINE: not baseline_fits}
    chosen = min(shares, key=lambda name: (breaks[name], len(low[name]), -shares[name].value))
    words = " and ".join(f"{_TITLES[name]} {percent(share.value)}" for name, share in shares.items())
    words += "".join(f", {_TITLES[name]} misses {', '.join(names)} on confirm" for name, names in low.items() if names)
    words += "" if baseline_fits else f", {_TITLES[BASELINE]} breaks the limits"
    return chosen, ChosenBy(
        splits=CHOSEN_ON,
        **shares,
        low_floors=low,
        weights_sha256={"searched": weights_sha256(winner.folder), BASELINE: weights_sha256(baseline.folder)},
        words=f"on {' and '.join(CHOSEN_ON)} {words}: {_TITLES[chosen]} is to be deployed",
    )


def proof_words(search: SearchResult | None, best: Try) -> Iterator[str]:
    """That the proof which chose the net was much shorter than its training from fresh weights, if it was.

    On 1,150 training images of Fashion-MNIST proofs of 9 epochs chose a net that is worse after 60 by 1.3 points than that of a
    proof of 36 (docs/measurements/compare_star-long).
    """
    proven = [row.proof.epochs for row in search.finalists if row.proof is not None] if search is not None else []
    epochs = best.way.epochs
    if not proven or best.way.weights != "scratch" or max(proven) >= SHORT_PROOF * epochs:
        return
    asked = f"search.proof_epochs={math.ceil(PROOF_SHARE * epochs)}"
    yield (
        f"its proof trained nets for {max(proven)} epochs, and {epochs} followed: short proofs rank those low that learn late "
        f"(`edgenas search` with {asked} asks again)"
    )


SHORT_PROOF = 0.4  # of the epochs that follow: what is told
_TITLES = {"searched": "the searched net", BASELINE: "the hand-made net"}


def remarks(chosen: str, better: str, better_than_cnn: Sequence[str] = ()) -> Iterator[str]:
    """What must be said beside the numbers: that test disagrees with the choice, that the plain CNN is better than both.

    Args:
        chosen: ``searched`` or ``baseline``.
        better: of these on test, or ``neither``.
        better_than_cnn: which is better, the searched net or the plain CNN, and the hand-designed net or the plain CNN.
    """
    if better not in ("neither", chosen):
        yield (
            f"on test {_TITLES[better]} is the better one; {_TITLES[chosen]} was chosen on select and confirm and stays, "
            f"export --net {better} takes the other"
        )
    if better_than_cnn and all(name == "cnn" for name in better_than_cnn):
        yield "the plain CNN of equal latency is better than both; it is of no space and is not exported"


def costs(
    bench: Bench, winner: Sequence[Try], raced: Sequence[Try], baseline: Sequence[Try], kept: Try | None, *, from_search: bool
) -> dict[str, StageCosts]:
    """Seconds and epochs that the searched and the hand-designed net have cost here, by logs; null where none says.

    Args:
        bench: with the run folder.
        winner: its final trainings.
        raced: short trainings of hand-designed nets.
        baseline: their final trainings.
        kept: of those; it has cost the supernet, too, if it started from its weights. None without a baseline.
        from_search: whether a search chose the winner, which then has cost the supernet wherever its last training started.
    """
    taught, teaches = "teacher" in bench.teachings, needs_teacher(bench.project.settings.train)
    inherits = from_search or any(each.way.weights == "finetuned" for each in winner)
    stages = _stages(bench.project, teacher=taught or (inherits and teaches), supernet=inherits)
    if from_search:
        search = searched(bench.project.run)
        stages |= {"search_s": search.seconds if search else None, "search_epochs": search.proof_epochs if search else None}
    else:
        stages |= {"search_s": 0.0, "search_epochs": 0}
    spent: dict[str, StageCosts] = {"searched": _totalled({**stages, **_spent_on("final", winner)})}
    if kept is not None:
        inherits = kept.way.weights == "finetuned"
        stages = _stages(bench.project, teacher=taught or (inherits and teaches), supernet=inherits)
        spent[BASELINE] = _totalled({**stages, **_spent_on("race", raced), **_spent_on("final", baseline)})
    return spent


def _totalled(stages: StageCosts) -> StageCosts:
    """With the sums of all stages that are known."""
    totals = {
        f"total_{unit}": sum(value for name, value in stages.items() if name.endswith(f"_{unit}") and value is not None)
        for unit in ("s", "epochs")
    }
    return {**stages, **totals}


def _spent_on(stage: str, tries: Sequence[Try]) -> dict[str, float | None]:
    """Seconds and epochs of trainings."""
    seconds = sum(each.seconds for each in tries if each.seconds is not None)
    return {f"{stage}_s": seconds, f"{stage}_epochs": sum(each.way.epochs for each in tries)}


def _stages(project: Project, *, teacher: bool, supernet: bool) -> dict[str, float | None]:
    """Seconds and epochs of the trainings that a net rests on; 0 of those that it does not need."""
    run, stages = project.run, _probes(project, teacher=teacher)
    for name, folder, needed in (("teacher", run.teacher, teacher), ("supernet", run.supernet, supernet)):
        stages |= {f"{name}_s": seconds_of(folder) if needed else 0.0, f"{name}_epochs": epochs_of(folder) if needed else 0}
    return stages


def _probes(project: Project, *, teacher: bool) -> dict[str, float | None]:
    """Seconds and epochs of the short trainings that chose the teacher, if it counts, and how every net is taught."""
    train = project.settings.train
    asked = AUTO in (train.kd_weight, train.flip)
    probed = [teacher_probe(project) if teacher else None, probed_teaching(project) if asked else None]
    rows = [row for each in probed if each is not None for row in each.rows]
    seconds = [row.seconds for row in rows]
    known = [value for value in seconds if value is not None]
    return {"probes_s": sum(known) if known or not rows else None, "probes_epochs": sum(row.epochs for row in rows)}
