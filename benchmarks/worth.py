"""Is the search worth it? The whole path on Fashion-MNIST against hand-designed nets and a plain CNN, at equal latency.

One run folder a subset of the training images (a seed), one supernet in it, several limits; every limit is searched and retrained
with `--baseline`. All of it is what a user would type; the test split is read by `retrain` alone. What is done is kept: the same
command goes on. Limits are given as shares of the space that they leave, so that they mean the same on every machine.

    python -m benchmarks.worth --seeds 0 1 2 --shares 0.001 0.05 0.45 --hours 2 --processes 2 --folder worth

`--ablation` repeats the middle limit without each part of the recipe, in folders of their own, once the seed's runs with the whole
recipe are done: what does not depend on the part is copied from there, and only the searched net is trained to the end.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.worth_report import write
from edgenas.latency import LatencyTable, find_tables
from edgenas.project.training_settings import TrainSettings
from edgenas.runs import read_json, write_json
from edgenas.spaces import Task, get_space

SPACE, DATA, POSITIVE = "pvt-elastic-nano", "fashion-mnist", "shirt"
TASK = Task(10, 3, 32)
NUM_DRAWN = 200_000  # nets that the limits are quantiles of


@dataclass(frozen=True, slots=True)
class Ablation:
    """The recipe without one of its parts.

    Attributes:
        sets: settings that leave it out.
        keeps: folders of the run with the whole recipe that do not depend on it and are copied.
    """

    sets: tuple[str, ...]
    keeps: tuple[str, ...] = ()


ABLATIONS: Mapping[str, Ablation] = {
    "teacher: the space's largest net, weight 0.9": Ablation(("teacher.name=self", "train.kd_weight=0.9", "train.temperature=2.0")),
    "teacher: none (labels)": Ablation(("train.kd_weight=0.0",)),
    "sampling: sandwich, one random net": Ablation(("train.sampling=sandwich", "train.num_random=1"), ("teacher",)),
    "schedule: 3 epochs of warm-up, no flip, rate 0.002": Ablation(
        ("train.warmup_epochs=3.0", "train.flip=false", "train.learning_rate=0.002"), ("teacher",)
    ),
    "teaching: no pasted images": Ablation(("train.cutmix=0",), ("teacher", "supernet")),
    "search: no proof": Ablation(("search.proof_epochs=0",), ("teacher", "supernet")),
}


@dataclass(frozen=True, slots=True)
class Study:
    """What is run.

    Attributes:
        limits_ms: by the share of the space that they leave.
        sets: settings of every command.
        ends: on the monotonic clock; no command begins after it.
    """

    folder: Path
    per_class: int
    limits_ms: Mapping[float, float]
    sets: tuple[str, ...]
    ends: float


class Stopped(Exception):  # noqa: N818 - no error: the time is spent
    """The hours are over; what is done is kept."""


def edgenas(study: Study, run: Path, name: str, *arguments: str, sets: Sequence[str] = ()) -> dict[str, Any]:
    """The result of one command, from its kept answer or run now.

    Raises:
        Stopped: if the hours are over.
        RuntimeError: with the command's error.
    """
    kept = run / "worth" / f"{name}.json"
    if kept.is_file():
        result: dict[str, Any] = read_json(kept)["result"]
        return result
    if time.monotonic() > study.ends:
        raise Stopped(f"{run}: {name}")
    command = [sys.executable, "-m", "edgenas", *arguments, "--run", str(run), "--json"]
    command += [part for setting in (*study.sets, *sets) for part in ("--set", setting)]
    began = time.monotonic()
    log = study.folder / "logs" / f"{run.name}-{name}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as stderr:
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False)
    answer = json.loads(ended.stdout)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)}: {answer['error']}")
    write_json(kept, {"command": command, "seconds": time.monotonic() - began, **answer})
    return dict(answer["result"])


def measure_device(folder: Path) -> Path:
    """The table that all runs rest on, measured alone on the machine, on one thread."""
    run = folder / "device"
    study = Study(folder, 1000, {}, ("profile.threads=1",), time.monotonic() + 3600)
    if not find_tables(run / "latency"):
        edgenas(study, run, "init", "init", "--data", DATA, "--space", SPACE)
        edgenas(study, run, "profile", "profile", "--device", "cpu")
    return find_tables(run / "latency")[0]


def limits_of(table: Path, shares: Sequence[float]) -> dict[float, float]:
    """Predicted latency that so large a share of the space stays within, to three digits."""
    space = get_space(SPACE)
    latency = LatencyTable.load(table).to_cost_model(space, TASK)
    values_A = latency(space.sample(NUM_DRAWN, np.random.default_rng(0)))
    return {share: float(f"{np.quantile(values_A, share):.3g}") for share in shares}


def prepare(study: Study, run: Path, seed: int, table: Path) -> None:
    """A subset, its teacher and its supernet."""
    asked = ("--data", DATA, "--space", SPACE, "--positive", POSITIVE, "--max-per-class", str(study.per_class), "--seed", str(seed))
    edgenas(study, run, "init", "init", *asked)
    (run / "latency").mkdir(exist_ok=True)
    shutil.copy(table, run / "latency" / table.name)
    edgenas(study, run, "train", "train", sets=(f"train.seed={seed}",))


def try_limit(study: Study, run: Path, seed: int, share: float, *flags: str, sets: Sequence[str] = ()) -> None:
    """Search and retrain under one limit; ``flags`` are of `retrain`."""
    own = (*sets, f"train.seed={seed}", f"search.seed={seed}", f"retrain.seed={seed}")
    edgenas(study, run, f"search-{share:g}", "search", "--latency-ms", str(study.limits_ms[share]), sets=own)
    edgenas(study, run, f"retrain-{share:g}", "retrain", *flags, sets=own)


def run_seed(study: Study, seed: int, table: Path, shares: Sequence[float]) -> str | None:
    """Everything of one subset; in words why it ended early, or None."""
    run = study.folder / f"seed-{seed}"

    def work() -> None:
        prepare(study, run, seed, table)
        for share in shares:
            try_limit(study, run, seed, share, "--baseline")

    return ended_early(work)


def run_without(study: Study, seed: int, share: float, number: int) -> str | None:
    """One ablation of one subset; in words why it ended early, or None."""
    ablation, whole = list(ABLATIONS.values())[number], study.folder / f"seed-{seed}"
    run = study.folder / f"seed-{seed}-ablation-{number}"
    if not (whole / "worth" / f"retrain-{share:g}.json").is_file():
        return f"{run}: the whole recipe comes first"
    if not run.is_dir():
        staged = run.with_name(f".{run.name}")
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        shutil.copy(whole / "edgenas.toml", staged)
        for name in ("data", "latency", *ablation.keeps):
            shutil.copytree(whole / name, staged / name)
        staged.rename(run)

    def work() -> None:
        edgenas(study, run, "train", "train", sets=(*ablation.sets, f"train.seed={seed}"))
        try_limit(study, run, seed, share, sets=ablation.sets)

    return ended_early(work)


def ended_early(work: Callable[[], None]) -> str | None:
    """In words why the work ended early, or None."""
    try:
        work()
    except Stopped as stopped:
        return f"stopped before {stopped}"
    except (RuntimeError, ValueError) as error:
        return f"failed: {error}"
    return None


def collect(folder: Path) -> list[dict[str, Any]]:
    """Every search and retraining that is done, a row a seed, limit and variant."""
    rows = []
    for path in sorted(folder.glob("seed-*/worth/retrain-*.json")):
        run = path.parents[1]
        share = path.stem.removeprefix("retrain-")
        _, seed, *variant = run.name.split("-", 2)
        found = {name: read_json(path.parent / f"{name}-{share}.json") for name in ("search", "retrain")}
        train = read_json(path.parent / "train.json")
        rows.append(
            {
                "seed": int(seed),
                "variant": variant[0] if variant else "",
                "share": float(share),
                "limit_ms": found["search"]["result"]["limits"]["latency_ms"],
                "train": train["result"],
                "search": found["search"]["result"],
                "retrain": found["retrain"]["result"],
                "seconds": {"train": train["seconds"], **{name: value["seconds"] for name, value in found.items()}},
                "versions": found["retrain"].get("versions", {}),
            }
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing within the hours, then report whatever is there."""
    asked = _parse(arguments)
    began = time.monotonic()
    asked.folder.mkdir(parents=True, exist_ok=True)
    table = asked.table if asked.table is not None else measure_device(asked.folder)
    sets = ("train.threads=1", "profile.threads=1", *asked.set)
    study = Study(asked.folder, asked.per_class, limits_of(table, asked.shares), sets, began + asked.hours * 3600)
    middle = sorted(asked.shares)[len(asked.shares) // 2]
    jobs = {f"seed {seed}": partial(run_seed, study, seed, table, asked.shares) for seed in asked.seeds}
    if asked.ablation:
        numbers = [(seed, number) for seed in asked.seeds for number in range(len(ABLATIONS))]
        jobs = {f"seed {seed} without {number}": partial(run_without, study, seed, middle, number) for seed, number in numbers}
    with ThreadPoolExecutor(asked.processes) as pool:
        futures = {name: pool.submit(job) for name, job in jobs.items()}
        ended = {name: future.result() for name, future in futures.items()}
    for name, why in ended.items():
        if why is not None:
            print(f"{name}: {why}", file=sys.stderr)  # noqa: T201 - a script's screen
    rows_found = collect(asked.folder)
    facts = {
        "command": "python -m benchmarks.worth " + " ".join(sys.argv[1:] if arguments is None else arguments),
        "limits_ms": {f"{share:g}": limit for share, limit in study.limits_ms.items()},
        "sets": list(sets),
        "per_class": asked.per_class,
        "ablations": list(ABLATIONS),
        "num_asked": len(asked.seeds) * len(asked.shares),
        "device": str(LatencyTable.load(table).context),
        "defaults": {"epochs": TrainSettings().epochs},
    }
    for path in write(rows_found, facts, asked.output):
        print(path)  # noqa: T201 - a script's screen
    return 0 if all(why is None for why in ended.values()) else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, default=Path("worth"), help="run folders, logs and answers")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the subsets and of everything else")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.001, 0.05, 0.45], help="of the space, per limit")
    parser.add_argument("--per-class", type=int, default=700, help="training images of every class, before they are divided")
    parser.add_argument("--hours", type=float, default=2.0, help="no command begins after them")
    parser.add_argument("--processes", type=int, default=1, help="subsets at a time, on a core each")
    parser.add_argument("--table", type=Path, help="latency table of this machine; measured first by default")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="setting of every command")
    parser.add_argument("--ablation", action="store_true", help="the middle limit without each part of the recipe")
    parser.add_argument("--output", type=Path, default=Path("docs/measurements"), help="folder of report and plots")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
