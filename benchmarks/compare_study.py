"""Does the search earn its keep? Searched nets of several spaces beside timm's families, hand-made nets and a plain CNN.

One run folder a data set, space and seed; in it one supernet, several limits, and for every limit a search, a retraining and two
comparisons, with equal epochs and with equal time. All of it is what a user would type; test is read by `retrain` and `compare`
alone. What is done is kept: the same command goes on. Limits are given as shares of the first space that they leave.

    python -m benchmarks.compare_study --data fashion-mnist --spaces pvt-elastic-nano pvt-mobile-nano --seeds 0 1 2 \\
        --shares 0.001 0.05 0.45 --hours 8 --folder compare-study

Data sets beside a subset of Fashion-MNIST: ``digits-10`` has ten training images a class of scikit-learn's digits, and ``rare``
three classes of Fashion-MNIST at 64 px of which shirts are ten times rarer and must not be missed. `--dry-run` tells the commands.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.compare_study_report import write
from benchmarks.worth import Stopped, Study, edgenas, ended_early
from edgenas.data import ImageSource, open_source
from edgenas.errors import MissingInputError
from edgenas.latency import LatencyTable, find_tables
from edgenas.recipes.compare import LOOKED_AT
from edgenas.runs import read_json
from edgenas.spaces import SPACES, get_space

EQUAL = ("epochs", "time")
NUM_DRAWN = 100_000  # nets that the limits are quantiles of
TEST, VAL = 100, 20  # images a class of the digits that judge
RARE_CLASSES = ("t-shirt", "dress", "shirt")


@dataclass(frozen=True, slots=True)
class DataSet:
    """Images that nets are compared on.

    Attributes:
        positive: class that must not be missed.
        image_px: side that nets of a space read; None takes the source's.
        folder: writes images below a folder for a seed; None for a source that edgenas reads itself.
        per_class: whether a seed draws as many images of every class as the study is asked for.
    """

    positive: str
    image_px: int | None = None
    folder: Callable[[Path, int], None] | None = None
    per_class: bool = False


def digits_of_ten(folder: Path, seed: int) -> None:
    """Ten digits a class to train on, twenty to choose by, a hundred to judge by."""
    source = open_source("digits")
    rng = np.random.default_rng(seed)
    for label, name in enumerate(source.class_names):
        drawn = rng.permutation(np.flatnonzero(source.labels_N == label))
        parts = {"train": drawn[:10], "val": drawn[10 : 10 + VAL], "test": drawn[10 + VAL : 10 + VAL + TEST]}
        for part, indices in parts.items():
            _write(source, indices, folder / part / name)


def rare_shirts(folder: Path, seed: int) -> None:
    """Three hundred t-shirts and dresses and thirty shirts to train on, half as many to choose by; all of the published test."""
    source = open_source("fashion-mnist")
    rng = np.random.default_rng(seed)
    parts = np.array(source.published_split or ())
    for name in RARE_CLASSES:
        label = source.class_names.index(name)
        num = 30 if name == "shirt" else 300
        drawn = rng.permutation(np.flatnonzero((source.labels_N == label) & (parts == "train")))
        for part, indices in (("train", drawn[:num]), ("val", drawn[num : num + num // 2])):
            _write(source, indices, folder / part / name)
        _write(source, np.flatnonzero((source.labels_N == label) & (parts == "test")), folder / "test" / name)


def _write(source: ImageSource, indices: NDArray[np.int64], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in indices:
        source.load(int(index)).save(folder / f"{index}.png")


DATA: Mapping[str, DataSet] = {
    "fashion-mnist": DataSet("shirt", per_class=True),
    "digits-10": DataSet("8", folder=digits_of_ten),
    "rare": DataSet("shirt", image_px=64, folder=rare_shirts),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One run folder: a data set, a space and a seed."""

    data: str
    space: str
    seed: int

    def folder(self, root: Path) -> Path:
        """Of the run."""
        return root / self.data / self.space / f"seed-{self.seed}"

    def init(self, root: Path, per_class: int) -> tuple[str, ...]:
        """The command that divides its images."""
        data = DATA[self.data]
        source = self.data if data.folder is None else f"folder:{(root / self.data / f'images-{self.seed}').resolve()}"
        asked: tuple[str, ...] = (
            "init",
            "--data",
            source,
            "--space",
            self.space,
            "--positive",
            data.positive,
            "--seed",
            str(self.seed),
        )
        asked += ("--image-px", str(data.image_px)) if data.image_px is not None else ()
        return (*asked, "--max-per-class", str(per_class)) if data.per_class else asked

    def steps(
        self, limits_ms: Mapping[float, float], rivals: str, equal: Sequence[str] = EQUAL
    ) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Name and command of everything that comes after its images and its latency table are there.

        The supernet is trained for the loosest limit, as someone who has a limit would: most of its nets are drawn near it.
        """
        own = tuple(part for table in ("train", "search", "retrain") for part in ("--set", f"{table}.seed={self.seed}"))
        yield "train", ("train", "--latency-ms", f"{max(limits_ms.values()):g}", *own)
        for share, limit_ms in limits_ms.items():
            yield f"search-{share:g}", ("search", "--latency-ms", f"{limit_ms:g}", *own)
            yield f"retrain-{share:g}", ("retrain", "--baseline", *own)
            for what in equal:
                yield f"compare-{share:g}-{what}", ("compare", "--with", rivals, "--equal", what, *own)


def run_job(
    study: Study, job: Job, limits_ms: Mapping[float, float], rivals: str, device: Path, equal: Sequence[str] = EQUAL
) -> str | None:
    """Everything of one run folder; in words why it ended early, or None."""
    run, data = job.folder(study.folder), DATA[job.data]
    images = study.folder / job.data / f"images-{job.seed}"

    def work() -> None:
        if data.folder is not None and not images.is_dir():
            staged = images.with_name(f".{images.name}")
            shutil.rmtree(staged, ignore_errors=True)
            data.folder(staged, job.seed)
            staged.rename(images)
        edgenas(study, run, "init", *job.init(study.folder, study.per_class))
        (run / "latency").mkdir(exist_ok=True)
        for table in find_tables(device / "latency"):
            shutil.copy(table, run / "latency" / table.name)
        traced = device / "latency" / "components"
        if traced.is_dir():  # so that finalists are not traced again
            shutil.copytree(traced, run / "latency" / traced.name, dirs_exist_ok=True)
        looked_at = device / LOOKED_AT  # nets of timm that an earlier job with this table has timed
        if looked_at.is_file() and not (run / "compare" / LOOKED_AT).is_file():
            (run / "compare").mkdir(exist_ok=True)
            shutil.copy(looked_at, run / "compare" / LOOKED_AT)
        for name, command in job.steps(limits_ms, rivals, equal):
            if not name.startswith("compare"):
                edgenas(study, run, name, *command)
                continue
            earlier = next(compared_before(study.folder, job, name), None)
            if earlier is not None and "auto" in rivals.split(","):
                share_trained(earlier, run)
                found = read_json(earlier / "worth" / f"{name}.json")["result"]
                command = tuple(part if part != rivals else same_rivals(rivals, found) for part in command)
            edgenas(study, run, name, *command)
            if (run / "compare" / LOOKED_AT).is_file():
                shutil.copy(run / "compare" / LOOKED_AT, looked_at)

    return ended_early(work)


def compared_before(root: Path, job: Job, name: str) -> Iterator[Path]:
    """Run folders of other spaces on the same images in which the comparison of a name is done, with rivals of timm."""
    for path in sorted((root / job.data).glob(f"*/seed-{job.seed}/worth/{name}.json")):
        has_rivals = any(net["kind"] == "timm" for net in read_json(path)["result"]["nets"])
        if path.parents[1] != job.folder(root) and has_rivals:
            yield path.parents[1]


def same_rivals(rivals: str, found: Mapping[str, Any]) -> str:
    """Rivals with the nets that ``auto`` found for another space by name: within the same limit they are the same for all."""
    named = [_named(net) for net in found["nets"] if net["kind"] == "timm"]
    asked = [part for each in rivals.split(",") for part in (named if each == "auto" else [each])]
    return ",".join(dict.fromkeys(asked))


def _named(net: Mapping[str, Any]) -> str:
    stride = net.get("stem_stride")
    return f"timm:{net['name'].partition('@')[0]}@{net['image_px']}" + ("" if stride is None else f"/{stride}")


def share_trained(earlier: Path, run: Path) -> None:
    """Copy what is trained of nets of no space; `compare` takes of it what was trained as it would train it."""
    for folder in (*earlier.glob("compare/tries/*@*"), *earlier.glob("retrain/tries/cnn-*")):
        kept = run / folder.relative_to(earlier)
        if not kept.exists():
            shutil.copytree(folder, kept)


def measure(study: Study, job: Job) -> Path:
    """A run folder with the latency table of a space on a data set's images, measured alone on the machine, on one thread."""
    device = study.folder / job.data / job.space / "device"
    if not find_tables(device / "latency"):
        images = study.folder / job.data / f"images-{job.seed}"
        data = DATA[job.data]
        if data.folder is not None and not images.is_dir():
            data.folder(images, job.seed)
        edgenas(study, device, "init", *job.init(study.folder, study.per_class))
        edgenas(study, device, "profile", "profile", "--device", "cpu")
    return device


def limits_of(device: Path, space_name: str, shares: Sequence[float]) -> dict[float, float]:
    """Predicted latency that so large a share of a space stays within, to three digits."""
    table = LatencyTable.load(find_tables(device / "latency")[0])
    space = get_space(space_name)
    values_A = table.to_cost_model(space, table.task)(space.sample(NUM_DRAWN, np.random.default_rng(0)))
    return {share: float(f"{np.quantile(values_A, share):.3g}") for share in shares}


def collect(folder: Path, data: str) -> list[dict[str, Any]]:
    """Every comparison that is done on a data set, a row a space, seed, limit and kind of equality."""
    rows = []
    for path in sorted((folder / data).glob("*/seed-*/worth/compare-*.json")):
        run = path.parents[1]
        _, share, equal = path.stem.split("-", 2)
        kept = read_json(path)
        seconds = {name: read_json(run / "worth" / f"{name}.json")["seconds"] for name in ("train", f"search-{share}")}
        row = {"data": data, "space": run.parent.name, "seed": int(run.name.removeprefix("seed-")), "share": float(share)}
        rows.append({**row, "equal": equal, "result": kept["result"], "seconds": {**seconds, "compare": kept["seconds"]}})
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing within the hours, then report whatever is there."""
    asked = _parse(arguments)
    jobs = [Job(asked.data, space, seed) for seed in asked.seeds for space in asked.spaces]
    if asked.dry_run:
        for job in jobs:
            limits = {share: float("nan") for share in asked.shares}
            commands = [("init", job.init(asked.folder, asked.per_class)), *job.steps(limits, asked.rivals, asked.equal)]
            for _, command in commands:
                print("edgenas", *command, "--run", job.folder(asked.folder))  # noqa: T201 - a script's screen
        return 0
    asked.folder.mkdir(parents=True, exist_ok=True)
    sets = ("train.threads=1", "profile.threads=1", *asked.set)
    study = Study(asked.folder, asked.per_class, {}, sets, time.monotonic() + asked.hours * 3600)
    ended: list[str] = []
    try:
        devices = {space: measure(study, Job(asked.data, space, asked.seeds[0])) for space in asked.spaces}
        limits_ms = limits_of(devices[asked.spaces[0]], asked.spaces[0], asked.shares)
        whys = (run_job(study, job, limits_ms, asked.rivals, devices[job.space], asked.equal) for job in jobs)
        ended += [why for why in whys if why is not None]
    except Stopped as stopped:
        limits_ms = {}
        ended.append(f"stopped before {stopped}")
    for why in ended:
        print(why, file=sys.stderr)  # noqa: T201 - a script's screen
    facts = {
        "command": "python -m benchmarks.compare_study " + " ".join(sys.argv[1:] if arguments is None else arguments),
        "data": asked.data,
        "per_class": asked.per_class if DATA[asked.data].per_class else None,
        "positive": DATA[asked.data].positive,
        "limits_ms": {f"{share:g}": limit for share, limit in limits_ms.items()},
        "sets": list(sets),
        "num_asked": len(jobs) * len(asked.shares) * len(asked.equal),
        "ended_early": ended,
    }
    for path in write(collect(asked.folder, asked.data), facts, asked.output):
        print(path)  # noqa: T201 - a script's screen
    return 1 if ended else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, default=Path("compare-study"), help="run folders, logs and answers")
    parser.add_argument("--data", choices=DATA, default="fashion-mnist", help="images that nets are compared on")
    parser.add_argument("--spaces", nargs="+", default=["pvt-elastic-nano"], help="searched; limits are shares of the first")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the subsets and of everything else")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.001, 0.05, 0.45], help="of the first space, per limit")
    parser.add_argument("--rivals", default="auto,hand,cnn", help="as `edgenas compare --with` takes them")
    parser.add_argument("--equal", nargs="+", choices=EQUAL, default=EQUAL, help="what rivals get as much of as the searched net")
    parser.add_argument("--per-class", type=int, default=700, help="training images of every class, before they are divided")
    parser.add_argument("--hours", type=float, default=8.0, help="no command begins after them")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="setting of every command")
    parser.add_argument("--output", type=Path, default=Path("docs/measurements"), help="folder of the report")
    parser.add_argument("--dry-run", action="store_true", help="tell the commands and run none")
    asked = parser.parse_args(arguments)
    unknown = [space for space in asked.spaces if space.partition("[")[0] not in SPACES]
    if unknown:
        parser.error(f"there is no space {', '.join(unknown)}; there are {', '.join(SPACES)}")
    return asked


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MissingInputError as error:
        sys.exit(str(error))
