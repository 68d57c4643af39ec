"""What a training's steps cost beside plain nets': a sandwich step, waiting for data, evaluations, memory.

Ratios of what runs in turn in one process, many short visits, with quartiles; CPU time of a thread by default, which other work on
the machine disturbs least. Memory is the peak of a process of its own for every training.

    python -m benchmarks.training_speed --visits 20 --output speed.json
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import re
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgenas.cli import main as edgenas
from edgenas.data.batches import TrainBatches
from edgenas.runs import write_json
from edgenas.runs.versions import versions
from edgenas.spaces import SearchSpace, get_space
from edgenas.supernets import build_net, build_supernet
from edgenas.training.distillation import TrainingLoss
from edgenas.training.loop import LoopSettings, start
from edgenas.training.step import Stepper

Genes = tuple[int, ...]
LEARNING_RATE = 1e-3


@dataclass(frozen=True, slots=True)
class Case:
    """A space and how many images a step takes."""

    space: str
    batch_size: int


CASES = (Case("pvt-elastic-nano", 64), Case("autoformer-nano", 64), Case("vitas-nano", 64), Case("autoformer-tiny", 8))
SHARE_RULES = ("even", "sandwich")


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of visits in turn: median and quartiles, the median seconds of what is measured, and the number of visits."""

    value: float
    low: float
    high: float
    seconds: float
    visits: int

    @classmethod
    def of(cls, seconds: Sequence[float], others: Sequence[float]) -> Ratio:
        """Of ``seconds`` over ``others``, visit by visit."""
        low, value, high = np.quantile(np.divide(seconds, others), (0.25, 0.5, 0.75)).tolist()
        return cls(value, low, high, float(np.median(seconds)), len(seconds))


class Steps:
    """Optimiser steps with labels alone, AdamW, clipping and a moving average, always of the same images.

    Args:
        net: a supernet, or a plain net.
        space: that it is of; says how large the images are.
        batch_size: images a step.
        subnets: that learn in a step of a supernet; may be exchanged between steps.
    """

    def __init__(self, net: nn.Module, space: SearchSpace, batch_size: int, subnets: Sequence[Genes] = ()) -> None:
        task = space.default_task
        self.state = start(net, LoopSettings(epochs=1, learning_rate=LEARNING_RATE), torch.device("cpu"))
        self.subnets = list(subnets)
        generator = torch.Generator().manual_seed(0)
        size_px = task.image_px
        self.images_NCHW = torch.randn((batch_size, task.in_channels, size_px, size_px), generator=generator)
        self.labels_N = torch.randint(task.num_classes, (batch_size,), generator=generator)
        draw = (lambda rng, step: self.subnets) if subnets else None
        objective = TrainingLoss(smoothing=0.05)
        self.stepper = Stepper(objective, 0, 1.0, None, draw, in_place=False, device=torch.device("cpu"), amp=None)

    def __call__(self) -> None:
        """One step."""
        self.stepper(self.state, self.images_NCHW, self.labels_N, LEARNING_RATE)


def sandwich_ratio(case: Case, visits: int, clock: Callable[[], float]) -> Ratio:
    """A supernet's step of the largest, a random and the smallest subnet over the sum of these plain nets' steps, in turn."""
    space = get_space(case.space)
    ends = [_genes(space.extreme(largest=largest)[0]) for largest in (True, False)]
    ours = Steps(build_supernet(space, space.default_task), space, case.batch_size, ends)
    plain_ends = [_plain(space, genes, case.batch_size) for genes in ends]
    seconds, others = [], []
    for row in space.sample(visits, np.random.default_rng(0)):
        drawn = _genes(row)
        ours.subnets = [ends[0], drawn, ends[1]]
        plain = [plain_ends[0], _plain(space, drawn, case.batch_size), plain_ends[1]]
        for each in (ours, *plain):
            each()  # what is built at the first step is not measured
        seconds.append(_seconds(ours, clock))
        others.append(sum(_seconds(each, clock) for each in plain))
    return Ratio.of(seconds, others)


def _genes(row: Any) -> Genes:
    return tuple(int(gene) for gene in row)


def _plain(space: SearchSpace, genes: Genes, batch_size: int) -> Steps:
    return Steps(build_net(space, space.default_task, genes), space, batch_size)


def _seconds(step: Callable[[], None], clock: Callable[[], float]) -> float:
    began = clock()
    step()
    return clock() - began


def peaks_mib(case: Case, steps: int) -> dict[str, float]:
    """Peak memory of training the largest net alone and a supernet by sandwich, in MiB above what the process had before."""
    context = multiprocessing.get_context("spawn")
    peaks = {}
    for kind in ("plain", "sandwich"):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_train_and_tell, args=(sender, kind, case, steps))
        process.start()
        sender.close()
        peaks[kind] = receiver.recv()
        process.join()
    return peaks


def _train_and_tell(sender: Any, kind: str, case: Case, steps: int) -> None:
    """Of a process of its own: train a little and send how much memory it took at most."""
    torch.set_num_threads(1)
    space = get_space(case.space)
    largest, smallest = (_genes(space.extreme(largest=each)[0]) for each in (True, False))
    before = _status_mib("VmRSS")
    if kind == "plain":
        step = _plain(space, largest, case.batch_size)
    else:
        step = Steps(build_supernet(space, space.default_task), space, case.batch_size, [largest])
    for row in space.sample(steps, np.random.default_rng(0)):
        step.subnets = [largest, _genes(row), smallest]
        step()
    sender.send(_status_mib("VmHWM") - before)


def _status_mib(name: str) -> float:
    """A line of what Linux tells of this process; the peak of `resource` would be that of the process that started it."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"/proc/self/status has no {name}")
    return int(found[1]) / 1024


@contextlib.contextmanager
def waiting() -> Iterator[list[float]]:
    """Seconds until every training batch was there, while the context lasts."""
    waits: list[float] = []
    plain = TrainBatches.__call__

    def timed(batches: TrainBatches, epoch: int, first_step: int = 0) -> Generator[tuple[Tensor, Tensor], None, None]:
        with contextlib.closing(plain(batches, epoch, first_step)) as stream:
            while True:
                began = time.perf_counter()
                batch = next(stream, None)
                waits.append(time.perf_counter() - began)
                if batch is None:
                    return
                yield batch

    TrainBatches.__call__ = timed  # type: ignore[method-assign]
    try:
        yield waits
    finally:
        TrainBatches.__call__ = plain  # type: ignore[method-assign]


def shares(run: Path, rule: str, asked: argparse.Namespace) -> dict[str, float]:
    """Which shares of a supernet's training go to waiting for batches and to evaluating on select; the first epoch counts."""
    images = ("--data", asked.data, "--max-per-class", str(asked.per_class))
    _command("init", *images, "--space", CASES[0].space, "--run", str(run))
    sets = (f"train.epochs={asked.epochs}", f"train.sampling={rule}", "train.kd_weight=0", "train.threads=1", "train.flip=false")
    sets = (*sets, *asked.set)
    if rule == "sandwich":
        sets = (*sets, "train.num_random=1")
    with waiting() as waits:
        _command("train", "--run", str(run), *(part for each in sets for part in ("--set", each)))
    log = (run / "supernet" / "log.jsonl").read_text().splitlines()
    return shares_of([json.loads(line) for line in log], sum(waits))


def shares_of(log: Sequence[dict[str, Any]], waited_s: float) -> dict[str, float]:
    """Of all seconds that a log tells of; its epochs' own seconds leave evaluations out."""
    whole, steps = float(log[-1]["elapsed_s"]), sum(float(epoch["seconds"]) for epoch in log)
    return {"seconds": whole, "waiting": waited_s / whole, "evaluation": 1 - steps / whole}


def _command(*arguments: str) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        edgenas([*arguments, "--json"])
    answer = json.loads(out.getvalue())
    if answer["exit_code"]:
        raise RuntimeError(f"{' '.join(arguments)}: {answer['error']}")


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Everything that is asked for."""
    clock = time.perf_counter if asked.clock == "wall" else time.process_time
    torch.set_num_threads(1)
    cases = [case for case in CASES if case.space in asked.spaces]
    with tempfile.TemporaryDirectory() as folder:
        rules = SHARE_RULES if asked.epochs else ()
        return {
            "sandwich": {case.space: asdict(sandwich_ratio(case, asked.visits, clock)) for case in cases},
            "shares": {rule: shares(Path(folder) / rule, rule, asked) for rule in rules},
            "peak_mib": {case.space: peaks_mib(case, asked.memory_steps) for case in cases},
        }


def lines(measured: dict[str, Any]) -> list[str]:
    """The rows of a report's table."""
    cases = {case.space: case.batch_size for case in CASES}
    rows = []
    for space, ratio in measured["sandwich"].items():
        spread = f"{ratio['value']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
        rows.append(f"| a sandwich step of `{space}`, batch {cases[space]}, over its plain nets' | {spread} |")
    for rule, each in measured["shares"].items():
        rows.append(f"| waiting for data, `{rule}` | {100 * each['waiting']:.1f} % |")
        rows.append(f"| evaluating shown nets, `{rule}` | {100 * each['evaluation']:.1f} % |")
    for space, peaks in measured["peak_mib"].items():
        both = f"{peaks['sandwich']:.0f} MiB, {peaks['plain']:.0f} MiB, {peaks['sandwich'] / peaks['plain']:.2f}"
        rows.append(f"| peak memory of `{space}`: sandwich, plain loop of its largest net, ratio | {both} |")
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, show the table's rows and write the numbers."""
    asked = _parse(arguments)
    measured = measure(asked)
    for line in lines(measured):
        print(line)  # noqa: T201 - a script's screen
    if asked.output is not None:
        command = "python -m benchmarks.training_speed " + " ".join(sys.argv[1:] if arguments is None else arguments)
        write_json(asked.output, {"schema_version": 1, "command": command, "versions": versions(), **measured})
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--spaces", nargs="+", default=[case.space for case in CASES], help="of the steps and of the memory")
    parser.add_argument("--visits", type=int, default=20, help="pairs of steps of every space")
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu", help="of the steps")
    parser.add_argument("--memory-steps", type=int, default=6, help="after which the peak is read")
    parser.add_argument("--data", default="fashion-mnist", help="source of the training whose shares are told")
    parser.add_argument("--per-class", type=int, default=600, help="images of a class of that training")
    parser.add_argument("--epochs", type=int, default=4, help="of that training; 0 for none")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="setting of that training")
    parser.add_argument("--output", type=Path, help="JSON file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
