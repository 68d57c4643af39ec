"""Training several rivals at once, a process each, with Ray.

Every process opens the run folder for itself and trains whole rivals there with the threads that a single process has, so that
weights have the same bits. What a lost process has saved is gone on from; processes on other machines must see the run folder
under the same path.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgenas.config import Flags
from edgenas.data.images import decode
from edgenas.errors import EdgeNASError
from edgenas.project.comparing.rivals import Rival, timm_rivals
from edgenas.project.comparing.training import Clock, all_trained, bench_for
from edgenas.project.opening import open_images, open_project
from edgenas.project.retraining.ways import Bench, fit_all
from edgenas.project.searching.ray_workers import RETRIES, ClusterError, Workers, cluster
from edgenas.runs import Note, Progress, Record
from edgenas.training.devices import torch_device
from edgenas.training.timm_nets import TimmNet
from edgenas.training.ways import Way

LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class RivalOrder:
    """One rival that a process is to train.

    Attributes:
        run, flags, overrides: of the command, so that every process opens the same project.
        net, file: of the rival, as `timm_rivals` takes them.
        ways: in which it is trained.
        teachings: of the bench.
    """

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    net: TimmNet
    file: Path | None
    ways: tuple[Way, ...]
    teachings: tuple[str, ...]


def train_apart(
    bench: Bench, rivals: Sequence[tuple[Rival, tuple[Way, ...]]], orders: Sequence[RivalOrder], workers: Workers, clock: Clock
) -> Generator[Record, None, None]:
    """Train what is not trained yet of several rivals; once the clock is over, what is under way ends at its last saved state.

    Raises:
        MissingBackendError: if Ray is not installed.
        ClusterError: if there is no cluster, or a process is lost again and again.
        EdgeNASError: what a process reports.
    """
    left = [order for (rival, ways), order in zip(rivals, orders, strict=True) if not all_trained(bench, rival.net, ways)]
    if not left or clock.is_over:
        return
    with cluster(workers) as ray:
        train = ray.remote(num_cpus=1, num_gpus=int(bench.device == "cuda"), max_retries=RETRIES)(_train)
        waiting = {train.remote(order): order for order in left}
        yield Note(f"{len(left)} rivals are trained at once as far as there are workers")
        done = 0
        while waiting and not clock.is_over:
            ready, _ = ray.wait(list(waiting), num_returns=1, timeout=LOOK_EVERY_S)
            for each in ready:
                done += 1
                _require_done(ray, each, waiting.pop(each))
            yield Progress("training rivals", done, len(left))


def _require_done(ray: Any, each: Any, order: RivalOrder) -> None:
    try:
        why = ray.get(each)
    except ray.exceptions.RayError as error:
        text = str(error).strip().partition("\n")[0]
        raise ClusterError(f"the process that trained {order.net} was lost: {text}", hint="the same command goes on") from error
    if why is not None:
        raise EdgeNASError(f"{order.net}: {why}")


def _train(order: RivalOrder) -> str | None:
    """What a process does; in words why it could not, or None."""
    try:
        project = open_project(order.run, order.flags, order.overrides)
        device = torch_device(project.settings.retrain.device)
        images = open_images(project)
        for _ in decode(images, "train"):
            pass
        bench = replace(Bench.open(project, images, device, force=False), teachings=order.teachings)
        (rival,) = timm_rivals(bench, [(order.net, order.file)])
        for _ in fit_all(bench_for(bench, rival), rival.net, order.ways):
            pass
    except EdgeNASError as error:
        return str(error)
    return None
