"""A quick look at spaces on this device: a few nets of each are composed, exported and timed, what fits is read off them.

Of every space and side the smallest net is timed first; where it fits, the median and the largest, unless they are certain to be
far above the limit, and then the net with most MACs that is estimated to fit, which corrects the estimate. From the largest side
down, a space is looked at until a net fits; one step further where few do. Spaces that would not be taken for these images are
looked at for less long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import CostModels, cost_models
from edgenas.errors import ArtefactError, ExportError
from edgenas.latency import Memory
from edgenas.latency.measuring import Workshop, time_quickly
from edgenas.latency.nets import components_of
from edgenas.latency.table import space_hash
from edgenas.project.choosing.fitting import Fit, estimated_ms, fit
from edgenas.records import LookedNet, LookedSpace, QuickTime, TrainingPace
from edgenas.runs import Note, Progress, sha256_json
from edgenas.search import UpperLimit
from edgenas.spaces import SearchSpace, Task

FAR = 4.0  # times the limit: what takes longer is timed with one call, what is certain to is not timed
FEW = 0.1  # share of the nets that fit below which the next smaller side is looked at as well
DRAWN = 512  # nets among which the one of median MACs is taken
SMALLEST, MEDIAN, LARGEST, BEST = "smallest", "median", "largest", "best"

Shop = Callable[[SearchSpace, Task], AbstractContextManager[Workshop]]
Ticks = Generator[None, None, None]  # work that can be stopped wherever it yields
Pacer = Callable[[SearchSpace, Task], Generator[None, None, TrainingPace]]


@dataclass(frozen=True, slots=True, eq=False)
class LookContext:
    """What a look needs of the device and the data.

    Attributes:
        limit_ms: most milliseconds of a call.
        num_classes: of the images.
        num_images: of the train split.
        images_px: side of the images as they are stored.
        shop: opens the workshop of a space and task.
        threads: of the runtime; None is its default.
        pace: times the training of a space; called where a net fits and there are images enough.
        memory: of latencies, which are not measured again.
        budget_s: seconds after which no space is begun that would not be taken for these images.
    """

    limit_ms: float
    num_classes: int
    num_images: int
    images_px: int
    shop: Shop
    threads: int | None
    pace: Pacer
    memory: Memory
    budget_s: float = 180.0

    def is_for(self, space: SearchSpace) -> bool:
        """Whether there are as many images as a space asks for."""
        return self.num_images >= space.needs_images


def look_at(
    spaces: Mapping[str, tuple[SearchSpace, Sequence[int]]], look: LookContext
) -> Generator[Progress | Note, None, list[LookedSpace]]:
    """Look at spaces, each at sides from its largest down; those that ask for more images than there are come last.

    A space with an operator that cannot be exported or run is told and left out; sides that are too small for its patches or
    strides are left out.

    Args:
        spaces: with their sides, by name.
        look: what to look for and with.

    Returns:
        A row for every space and side that was looked at, those of a space together.
    """
    rows: list[LookedSpace] = []
    order = sorted(spaces.values(), key=lambda each: not look.is_for(each[0]))  # stable
    begin = time.monotonic()
    for number, (space, sides) in enumerate(order):
        if not look.is_for(space) and time.monotonic() - begin > look.budget_s:
            left = ", ".join(each.name for each, _ in order[number:])
            yield Note(f"for want of time not looked at, as they ask for more images: {left}; `edgenas plan --spaces` goes on")
            break
        step = Progress("looking at spaces", number, len(spaces), {"at": space.name})
        yield step
        work = _at_sides(space, [side for side in sides if _has_nets(space, Task(look.num_classes, 3, side))], look, rows)
        try:
            for _ in work:
                yield step
        except (ExportError, ArtefactError) as error:
            yield Note(f"{space.name} is not looked at any further: {error}", is_warning=True)
    yield Progress("looking at spaces", len(spaces), len(spaces))
    return rows


def _has_nets(space: SearchSpace, task: Task) -> bool:
    """Whether a space has nets for such images."""
    try:
        cost_models(space, task)
    except ValueError:  # the layers' own word for images that are too small
        return False
    return True


def _at_sides(space: SearchSpace, sides: Sequence[int], look: LookContext, rows: list[LookedSpace]) -> Ticks:
    """Add rows of one space, from its largest side down."""
    own: list[LookedSpace] = []
    for side in sides:
        if side != sides[-1] and own and not own[-1].fits and _is_hopeless(own[-1], side, look.limit_ms):
            continue
        own.append((yield from _at_side(space, Task(look.num_classes, 3, side), look)))
        rows.append(own[-1])
        is_enough = own[-1].share >= FEW or not look.is_for(space) or sum(row.fits for row in own) > 1
        if own[-1].fits and is_enough:
            break


def _is_hopeless(above: LookedSpace, side: int, limit_ms: float) -> bool:
    """Whether the smallest net is too slow at a smaller side, too, if it takes as long for every pixel and half of that."""
    return above.least_ms * (side / above.image_px) ** 2 / 2 > limit_ms


def _at_side(space: SearchSpace, task: Task, look: LookContext) -> Generator[None, None, LookedSpace]:
    """Time nets of a space at one side, and tell what fits."""
    models = cost_models(space, task)
    with look.shop(space, task) as workshop:
        timed = _Timed(space, task, workshop, look, models)
        fitted = yield from _fitted(timed)
    training = None
    if fitted.best_G is not None and look.is_for(space):
        training = yield from look.pace(space, task)
    best = 0 if fitted.best_G is None else round(float(models.macs(fitted.best_G[None])[0]))
    return LookedSpace(
        space=space.name,
        purpose=space.purpose,
        image_px=task.image_px,
        num_subnets=space.cardinality,
        needs_images=space.needs_images,
        nets=timed.nets,
        least_ms=timed.nets[SMALLEST].latency_ms,
        share=fitted.share,
        num_fitting=max(1.0, fitted.share * space.cardinality) if best else 0.0,
        best_macs=best,
        training=training,
        is_ahead=(look.images_px <= space.ahead_px and look.num_images >= space.ahead_images) or None,
    )


def _fitted(timed: _Timed) -> Generator[None, None, Fit]:
    """Time the nets that tell what fits."""
    space, macs, limit_ms = timed.space, timed.models.macs, timed.look.limit_ms
    rng = np.random.default_rng(0)
    corners_AG = space.corners(largest=False)
    yield from timed.add(SMALLEST, corners_AG[int(np.argmin(macs(corners_AG)))])
    if timed.nets[SMALLEST].latency_ms > limit_ms:
        return Fit(0.0, None)
    drawn_AG = space.sample(DRAWN, rng)
    ends_AG = space.corners(largest=True)
    middle_G = drawn_AG[int(np.argsort(macs(drawn_AG))[len(drawn_AG) // 2])]
    for name, row_G in ((MEDIAN, middle_G), (LARGEST, ends_AG[int(np.argmax(macs(ends_AG)))])):
        if timed.at_least_ms(row_G) <= FAR * limit_ms:
            yield from timed.add(name, row_G)
    if LARGEST in timed.nets and timed.nets[LARGEST].latency_ms <= limit_ms:
        return Fit(1.0, timed.rows[LARGEST])
    fitted = fit(space, timed.limit(), macs, rng)
    if fitted.best_G is not None and timed.look.is_for(space):
        yield from timed.add(BEST, fitted.best_G)
        fitted = fit(space, timed.limit(), macs, rng)
    return Fit(fitted.share, timed.largest_fitting(fitted.best_G))


@dataclass(slots=True, eq=False)
class _Timed:
    """Nets of one space at one side with their latencies, one after the other."""

    space: SearchSpace
    task: Task
    workshop: Workshop
    look: LookContext
    models: CostModels
    nets: dict[str, LookedNet] = field(default_factory=dict)
    rows: dict[str, NDArray[np.int16]] = field(default_factory=dict)

    def add(self, name: str, genes_G: NDArray[np.int16]) -> Ticks:
        """Time one net, unless that was done before; one call of a net that is far above the limit says nothing of others."""
        key, far_ms = self._key(genes_G), FAR * self.look.limit_ms
        recalled = self.look.memory.recall(key)
        known = None if recalled is None else QuickTime.from_json(recalled)
        if known is None or (known.is_one_call and known.ms <= far_ms):
            chain = components_of(self.space, genes_G, self.task)
            for _ in self.workshop.prepare_chains([chain]):
                yield
            target = self.workshop.target(self.look.threads)
            yield
            latency_ms = time_quickly(target, self.workshop.build(chain), far_ms)
            known = QuickTime(ms=float(latency_ms), is_one_call=bool(latency_ms > far_ms))
            self.look.memory.record(key, known.as_json())
        self.rows[name] = genes_G
        self.nets[name] = LookedNet(
            image_px=self.space.task_of(genes_G, self.task).image_px,
            params=round(float(self.models.params(genes_G[None])[0])),
            macs=round(self._macs(genes_G)),
            latency_ms=known.ms,
        )

    def at_least_ms(self, genes_G: NDArray[np.int16]) -> float:
        """What a net takes if it is as fast for its MACs as a large net is beside a small one: half of proportional."""
        most = max(self.nets.values(), key=lambda net: net.macs)
        return most.latency_ms * self._macs(genes_G) / most.macs / 2

    def limit(self) -> UpperLimit:
        """The limit on what every net is estimated to take, by those that were timed."""
        timed = [(self.rows[name], net.latency_ms) for name, net in self.nets.items()]
        return UpperLimit("latency_ms", self.look.limit_ms, estimated_ms(self.space, self.task, timed))

    def largest_fitting(self, estimated_G: NDArray[np.int16] | None) -> NDArray[np.int16]:
        """The net of most MACs among one that is estimated to fit, if there is any, and those that were seen to."""
        seen = [self.rows[name] for name, net in self.nets.items() if net.latency_ms <= self.look.limit_ms]
        return max(seen if estimated_G is None else [*seen, estimated_G], key=self._macs)

    def _macs(self, genes_G: NDArray[np.int16]) -> float:
        return float(self.models.macs(genes_G[None])[0])

    def _key(self, genes_G: NDArray[np.int16]) -> str:
        asked = [space_hash(self.space), self.space.name, self.task.image_px, self.task.num_classes, genes_G.tolist()]
        return f"{self.space.name}@{self.task.image_px} {sha256_json(asked)[:16]}"
