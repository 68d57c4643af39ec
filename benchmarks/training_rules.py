"""One factor of training at a time: sampling rules, lessons and the ancestors' claims, on Fashion-MNIST at equal steps.

Every arm trains a supernet of its own with the settings that it is about, everything else as it is by default; a seed is a subset
of the training images, and its teacher is trained once for all arms. Judged are the smallest, the median and the largest subnet
on the test split, inherited and, for the median, fine-tuned. What is done is kept: the same command goes on.

    python -m benchmarks.training_rules --seeds 0 1 --hours 2 --folder rules
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.training_rules_report import write
from edgenas.cli import main as edgenas
from edgenas.costs import cost_models
from edgenas.project.nets import load_supernet
from edgenas.project.opening import Project, open_images, open_project
from edgenas.runs import read_json, write_json
from edgenas.spaces import SearchSpace, Task
from edgenas.supernets import build_net
from edgenas.training.checkpoints import load_weights
from edgenas.training.evaluation import SupernetEvaluator, predict

DATA = "fashion-mnist"
DEFAULT = "even"
NUM_DRAWN = 2001  # nets that the median is the middle of
NETS = ("smallest", "median", "largest")


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train.

    Attributes:
        factor: that it is about.
        sets: settings of `train` that make it.
        space: whose supernet is trained.
        against: the arm that it is compared with; None for one that others are.
        times: as many epochs as the others' arms.
        source: whose weights it starts from, one of `SOURCES`; None for drawn ones.
    """

    factor: str
    sets: tuple[str, ...] = ()
    space: str = "pvt-elastic-nano"
    against: str | None = DEFAULT
    times: float = 1
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A larger net that is trained alone, on other images than an arm's, once for all arms.

    Attributes:
        data: what `init` takes.
        net: of timm.
        epochs: of its training.
    """

    data: tuple[str, ...]
    net: str
    epochs: int


LABELS = ("train.kd_weight=0", "train.flip=false")
TAUGHT = ("train.kd_weight=0.9", "train.temperature=2.0", "train.flip=false")
SOURCES: Mapping[str, Source] = {  # of the width 192 in 12 blocks, where AutoFormer's nano space has 24 in 3
    "digits": Source(("--data", "digits", "--image-px", "32"), "timm:vit_tiny_patch16_224", epochs=30),
}
AUTOFORMER = "uniform of AutoFormer"
UNIFORM = (*LABELS, "train.sampling=uniform-genes")
ARMS: Mapping[str, Arm] = {
    DEFAULT: Arm("default", TAUGHT, against=None),
    "sandwich": Arm("sampling", (*TAUGHT, "train.sampling=sandwich", "train.num_random=1")),
    "uniform": Arm("sampling", (*TAUGHT, "train.sampling=uniform")),
    "uniform-genes": Arm("sampling", (*TAUGHT, "train.sampling=uniform-genes")),
    "adjacent": Arm("sampling", (*TAUGHT, "train.sampling=adjacent")),
    "labels": Arm("teaching", LABELS),
    "hard": Arm("teaching", (*TAUGHT, "train.kd=hard", "train.kd_weight=0.5")),
    "alpha-divergence": Arm("teaching", (*TAUGHT, "train.kd=alpha-divergence", "train.temperature=1.0")),
    "in-place": Arm(
        "teaching", (*LABELS, "train.in_place=true", "train.sampling=sandwich", "train.num_random=1"), against="sandwich"
    ),
    "in-place, projected": Arm(
        "teaching",
        (*LABELS, "train.in_place=true", "train.project=true", "train.sampling=sandwich", "train.num_random=1"),
        against="in-place",
    ),
    "AutoSlim": Arm("ViTAS", (*LABELS, "train.sampling=left-only"), space="vitas-nano", against=None),
    "BCNet": Arm("ViTAS", (*LABELS, "train.sampling=bilateral"), space="vitas-nano", against="AutoSlim"),
    "sandwich of AutoFormer": Arm(
        "AutoFormer", (*LABELS, "train.sampling=sandwich", "train.num_random=1"), space="autoformer-nano", against=None
    ),
    AUTOFORMER: Arm("AutoFormer", UNIFORM, space="autoformer-nano", against="sandwich of AutoFormer"),
    "AutoSlim, 5 times as long": Arm("ViTAS", (*LABELS, "train.sampling=left-only"), "vitas-nano", against=None, times=5),
    "BCNet, 5 times as long": Arm(
        "ViTAS", (*LABELS, "train.sampling=bilateral"), "vitas-nano", against="AutoSlim, 5 times as long", times=5
    ),
    "uniform of AutoFormer, 3 times as long": Arm(  # as many passes of subnets as the sandwich
        "AutoFormer", UNIFORM, "autoformer-nano", against="sandwich of AutoFormer", times=3
    ),
    "labels, sandwich": Arm("teaching", (*LABELS, "train.sampling=sandwich", "train.num_random=1"), against="sandwich"),
    "sandwich, as many passes": Arm("sampling", (*TAUGHT, "train.sampling=sandwich", "train.num_random=1"), times=0.75),
    **{
        f"start: {how} of a ViT of digits": Arm(
            "start", (*UNIFORM, f"train.init_selection={how}"), "autoformer-nano", against=AUTOFORMER, source="digits"
        )
        for how in ("leading", "even", "importance")
    },
}


def command(*arguments: str, sets: Sequence[str] = ()) -> dict[str, Any]:
    """The result of one command.

    Raises:
        RuntimeError: with the command's error.
    """
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        edgenas([*arguments, *(part for each in sets for part in ("--set", each)), "--json"])
    answer = json.loads(out.getvalue())
    if answer["exit_code"]:
        raise RuntimeError(f"{' '.join(arguments)}: {answer['error']}")
    result: dict[str, Any] = answer["result"]
    return result


def shown_nets(space: SearchSpace, task: Task) -> dict[str, tuple[int, ...]]:
    """The smallest, the largest and a net of median MACs."""
    drawn_AG = space.sample(NUM_DRAWN, np.random.default_rng(0))
    macs_A = cost_models(space, task)["macs"](drawn_AG)
    rows = {
        "smallest": space.extreme(largest=False)[0],
        "median": drawn_AG[np.argsort(macs_A, kind="stable")[NUM_DRAWN // 2]],
        "largest": space.extreme(largest=True)[0],
    }
    return {name: tuple(int(gene) for gene in row) for name, row in rows.items()}


def base_of(folder: Path, seed: int, space: str, per_class: int, sets: Sequence[str]) -> Path:
    """A project on the seed's subset; with a teacher where the space's arms have one."""
    run = folder / f"{space}-seed-{seed}"
    if not run.exists():
        staged = run.with_name(f".{run.name}")
        shutil.rmtree(staged, ignore_errors=True)
        asked = ("--data", DATA, "--space", space, "--max-per-class", str(per_class), "--seed", str(seed), "--run", str(staged))
        command("init", *asked)
        if any(arm.space == space and "train.kd_weight=0" not in arm.sets for arm in ARMS.values()):
            command("train", "--only", "teacher", "--run", str(staged), sets=(*sets, f"train.seed={seed}"))
        staged.rename(run)
    return run


def source_of(folder: Path, name: str, sets: Sequence[str]) -> Path:
    """The file of a source's weights, trained unless that is done."""
    source, run = SOURCES[name], folder / f"source-{name}"
    if not run.exists():
        staged = run.with_name(f".{run.name}")
        shutil.rmtree(staged, ignore_errors=True)
        command("init", *source.data, "--space", "autoformer-nano", "--seed", "0", "--run", str(staged))
        own = (*sets, f"teacher.epochs={source.epochs}")
        command("train", "--only", "teacher", "--teacher", source.net, "--run", str(staged), sets=own)
        staged.rename(run)
    return run / "teacher" / "weights.safetensors"


def try_arm(folder: Path, name: str, seed: int, per_class: int, epochs: int, sets: Sequence[str]) -> None:
    """Train, fine-tune and judge one arm on one seed, if that is not done; ``epochs`` are those of an arm of the usual length."""
    arm = ARMS[name]
    base = base_of(folder, seed, arm.space, per_class, sets)
    run = folder / f"arm-{list(ARMS).index(name)}-seed-{seed}"
    if (run / "rules.json").is_file():
        return
    if not run.exists():
        shutil.copytree(base, run)
    own = (
        *sets,
        f"train.epochs={round(arm.times * epochs)}",
        *arm.sets,
        f"train.seed={seed}",
        f"retrain.seed={seed}",
        "retrain.start=inherited",
        "retrain.teaching=auto",
    )
    init = () if arm.source is None else ("--init", str(source_of(folder, arm.source, sets).resolve()))
    began = time.monotonic()
    trained = command("train", *init, "--run", str(run), sets=own)
    seconds = time.monotonic() - began
    project = open_project(run, {}, own)
    images = open_images(project)
    nets = shown_nets(project.space, images.task)
    right = _inherited(project, nets)
    arch = project.space.to_json(np.array(nets["median"], dtype=np.int16))
    write_json(run / "median.json", arch)
    command("retrain", "--arch", str(run / "median.json"), "--run", str(run), sets=own)
    right["median, fine-tuned"] = _right(project, nets["median"])
    np.savez_compressed(run / "right.npz", **right)
    teacher = trained.get("teacher")
    steps = _steps(run / "supernet" / "log.jsonl")
    content = {"arm": name, "seed": seed, "seconds": seconds, "epochs": steps, "teacher": teacher, "sets": list(own)}
    write_json(run / "rules.json", content)


def _steps(log: Path) -> int:
    return len(log.read_text().splitlines())


def _inherited(project: Project, nets: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.bool_]]:
    """Which test images every net gets right with the supernet's weights."""
    images = open_images(project)
    images_NCHW, labels_N = images.arrays("test")
    evaluator = SupernetEvaluator(load_supernet(project, images), images_NCHW, training_NCHW=images.norm_images())
    p_ANC = evaluator(np.array(list(nets.values()), dtype=np.int16), np.arange(len(labels_N)))
    return {name: p_NC.argmax(axis=1) == labels_N for name, p_NC in zip(nets, p_ANC, strict=True)}


def _right(project: Project, genes: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which test images the retrained net gets right."""
    images = open_images(project)
    task = project.space.task_of(genes, images.task)
    net = build_net(project.space, images.task, genes)
    load_weights(project.run.retrain / "weights.safetensors", net)
    images_NCHW, labels_N = images.at(task.image_px).arrays("test")
    right_N: NDArray[np.bool_] = predict(net.eval(), images_NCHW).argmax(axis=1) == labels_N
    return right_N


def collect(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Every arm that is done, with which test images its nets got right; of an arm in several folders, the first's."""
    rows: dict[str, dict[str, Any]] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("arm-*/rules.json"))):
        if path.parent.name not in rows:
            with np.load(path.with_name("right.npz")) as right:
                rows[path.parent.name] = {
                    **read_json(path),
                    "images": _images(path.with_name("supernet") / "log.jsonl"),
                    "right": {name: right[name] for name in right.files},
                }
    return list(rows.values())


def _images(log: Path) -> int:
    """Images of an epoch."""
    epoch = json.loads(log.read_text().splitlines()[-1])
    return round(epoch["images_per_second"] * epoch["seconds"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing within the hours, then report whatever is there."""
    asked = _parse(arguments)
    ends = time.monotonic() + asked.hours * 3600
    asked.folder.mkdir(parents=True, exist_ok=True)
    sets = ("train.threads=1", f"train.epochs={asked.epochs}", f"retrain.epochs={asked.tune_epochs}", *asked.set)
    for seed in asked.seeds:
        for name in asked.arms or ARMS:
            if time.monotonic() > ends:
                break
            try_arm(asked.folder, name, seed, asked.per_class, asked.epochs, sets)
    facts = {
        "command": "python -m benchmarks.training_rules " + " ".join(sys.argv[1:] if arguments is None else arguments),
        "per_class": asked.per_class,
        "epochs": asked.epochs,
        "sets": list(sets),
        "arms": {name: {"factor": arm.factor, "space": arm.space, "against": arm.against} for name, arm in ARMS.items()},
    }
    earlier = None if asked.earlier is None else read_json(asked.earlier)
    for path in write(collect([asked.folder, *asked.also]), facts, asked.output, earlier):
        print(path)  # noqa: T201 - a script's screen
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, default=Path("rules"), help="run folders")
    parser.add_argument("--also", type=Path, nargs="+", default=[], help="folders of other parts of the study, which are only read")
    parser.add_argument("--earlier", type=Path, help="numbers of an earlier report, for arms whose folders are not at hand")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="of the subsets and of everything else")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), help="default: all")
    parser.add_argument("--per-class", type=int, default=400, help="images of every class, before they are divided")
    parser.add_argument("--epochs", type=int, default=15, help="of the supernets")
    parser.add_argument("--tune-epochs", type=int, default=3, help="of the median net with inherited weights")
    parser.add_argument("--hours", type=float, default=2.0, help="no arm begins after them")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="setting of every command")
    parser.add_argument("--output", type=Path, default=Path("docs/measurements"), help="folder of report and picture")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
