"""Is the search worth it? The whole path on Fashion-MNIST against hand-designed nets and a plain CNN, at equal latency.

One run folder a subset of the training images (a seed), one supernet in it, several limits; every limit is searched and retrained
with `--baseline`. All of it is what a user would type; the test split is read by `retrain` alone. What is done is kept: the same
command goes on. Limits are given as shares of the space that they leave, so that they mean the same on every machine.

    python -m benchmarks.worth --seeds 0 1 2 --shares 0.001 0.05 0.45 --hours 2 --processes 2 --folder worth

`--ablation` repeats the middle limit without each part of the recipe, in folders of their own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.worth_report import write
from edgenas.latency import LatencyTable, find_tables
from edgenas.recipes.settings import TrainSettings
from edgenas.runs import read_json, write_json
from edgenas.spaces import Task, get_space

SPACE, DATA, POSITIVE = "pvt-elastic-nano", "fashion-mnist", "shirt"
TASK = Task(10, 3, 32)
NUM_DRAWN = 200_000  # nets that the limits are quantiles of
ABLATIONS: Mapping[str, tuple[str, ...]] = {
    "all": (),
    "teacher: the space's largest net, weight 0.9": ("teacher.name=self", "train.kd_weight=0.9", "train.temperature=2.0"),
    "teacher: none (labels)": ("teacher.name=self", "train.kd_weight=0.0"),
    "sampling: sandwich, one random net": ("train.sampling=sandwich", "train.num_random=1"),
    "schedule: 3 epochs of warm-up, light, no flip, rate 0.002": (
        "train.warmup_epochs=3.0",
        "train.augmentation=light",
        "train.flip=false",
        "train.learning_rate=0.002",
    ),
    "teaching: no pasted images": ("train.cutmix=0",),
    "search: no proof": ("search.proof_epochs=0",),
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


def prepare(study: Study, run: Path, seed: int, table: Path, sets: Sequence[str] = ()) -> None:
    """A subset, its teacher and its supernet."""
    asked = ("--data", DATA, "--space", SPACE, "--positive", POSITIVE, "--max-per-class", str(study.per_class), "--seed", str(seed))
    edgenas(study, run, "init", "init", *asked)
    (run / "latency").mkdir(exist_ok=True)
    shutil.copy(table, run / "latency" / table.name)
    edgenas(study, run, "train", "train", sets=(*sets, f"train.seed={seed}"))


def try_limit(study: Study, run: Path, seed: int, share: float, sets: Sequence[str] = ()) -> None:
    """Search and retrain under one limit."""
    own = (*sets, f"train.seed={seed}", f"search.seed={seed}", f"retrain.seed={seed}")
    edgenas(study, run, f"search-{share:g}", "search", "--latency-ms", str(study.limits_ms[share]), sets=own)
    edgenas(study, run, f"retrain-{share:g}", "retrain", "--baseline", sets=own)


def run_seed(study: Study, seed: int, table: Path, shares: Sequence[float], name: str = "", sets: Sequence[str] = ()) -> str | None:
    """Everything of one subset; in words why it ended early, or None."""
    run = study.folder / f"seed-{seed}{name}"
    try:
        prepare(study, run, seed, table, sets)
        for share in shares:
            try_limit(study, run, seed, share, sets)
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
    jobs = [(seed, asked.shares, "", ()) for seed in asked.seeds]
    if asked.ablation:
        middle = [sorted(asked.shares)[len(asked.shares) // 2]]
        rows = list(ABLATIONS.items())
        jobs = [(seed, middle, f"-ablation-{number}", own) for seed in asked.seeds for number, (_, own) in enumerate(rows)]
    with ThreadPoolExecutor(asked.processes) as pool:
        futures = [pool.submit(run_seed, study, seed, table, shares, name, own) for seed, shares, name, own in jobs]
        ended = [future.result() for future in futures]
    for (seed, _, name, _), why in zip(jobs, ended, strict=True):
        if why is not None:
            print(f"seed {seed}{name}: {why}", file=sys.stderr)  # noqa: T201 - a script's screen
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
    return 0 if all(why is None for why in ended) else 1


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
