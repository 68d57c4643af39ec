"""`edgenas compare`: the searched net beside what its user would take instead, on the same images, device and budget."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from edgenas.config import Flags
from edgenas.data.images import Images, decode
from edgenas.errors import MissingInputError
from edgenas.latency import Memory
from edgenas.latency.measuring import is_here
from edgenas.project.comparing.asking import Asked, parse_rivals
from edgenas.project.comparing.caps import cap_remarks, caps_of, held_to
from edgenas.project.comparing.contenders import Contender, Ours
from edgenas.project.comparing.families import LatencyLimit, Looker
from edgenas.project.comparing.files import NetFiles
from edgenas.project.comparing.judging import judge_all, measure, named_apart
from edgenas.project.comparing.outsiders import outsider
from edgenas.project.comparing.ray_training import RivalOrder, train_apart
from edgenas.project.comparing.rivals import Rival, timm_rivals, ways_for
from edgenas.project.comparing.training import (
    Clock,
    EqualEffort,
    as_ours,
    bench_for,
    budgeted,
    expected,
    train_cnn,
    train_hand,
    train_rival,
)
from edgenas.project.comparing.verdict import remarks, verdict, winner_of
from edgenas.project.journals import JOURNAL, journal
from edgenas.project.opening import Project, open_images, open_project
from edgenas.project.paging.writing import page_beside
from edgenas.project.results import RESULT
from edgenas.project.retraining.baselines import BaselineLimits, limits_for, table_of
from edgenas.project.retraining.ways import Bench, fresh_rates
from edgenas.project.rival_nets import keep_compare
from edgenas.project.run_tables import RunTable
from edgenas.project.searching.ray_workers import Workers, require_address
from edgenas.records import ComparedNet, ComparePicture, CompareResult, LeftOut
from edgenas.runs import Note, Outcome, Picture, Record, locked, scratch
from edgenas.runs.stages import typed
from edgenas.spaces import SearchSpace
from edgenas.training.devices import torch_device
from edgenas.training.timm_nets import TimmNet

PICTURES = ("compare.png", "compare.svg")
LOOKED_AT = "looked-at.jsonl"  # nets of timm that were counted and timed; of use to every run with the same table
PACES = "paces.jsonl"  # epochs that take the same time
NetAndFile = tuple[TimmNet, Path | None]  # a net of timm with the weights that are given for it


@dataclass(frozen=True, slots=True)
class CompareConfig:
    """What `edgenas compare` was asked for.

    Attributes:
        force: train rivals again that are there.
        workers: processes that train rivals; None takes this one, or with an address all that the cluster has.
        ray_address: of a Ray cluster that runs; None starts one for more than one worker.
    """

    run: Path
    flags: Flags
    overrides: tuple[str, ...] = ()
    force: bool = False
    workers: int | None = None
    ray_address: str | None = None


def run(config: CompareConfig) -> Iterator[Record]:
    """Choose rivals, train each with what the searched net has had, time all in turn, then read the test split once.

    What was trained and looked at before is kept: a stopped command goes on.

    Raises:
        UsageError: if a rival is not known, with the nearest spelling.
        MissingInputError: if the winner was not trained to the end, or ``auto`` has nothing to measure with.
        CheckpointError: if a file of weights, or another run, does not fit.
    """
    project = open_project(config.run, config.flags, config.overrides)
    settings = project.settings.compare
    asked = parse_rivals(settings.rivals)
    if config.ray_address is not None:
        require_address(config.ray_address)
    device = torch_device(project.settings.retrain.device)
    images = open_images(project)
    ours, clock = Ours.of(project, images), Clock.of(settings.budget_min)
    with locked(project.run), ExitStack() as stack:
        bench = Bench.open(project, images, device, force=config.force)
        bench = as_ours(bench, ours)
        limits, table = _limits(bench, ours), table_of(project, images)
        limit = _limit(project.space, limits, ours, table)
        device_facts = {"table": None if table is None else table.table.sha256, "classes": len(images.class_names)}
        looked_at = stack.enter_context(journal(project.run.compare / LOOKED_AT, device_facts, keep=True))
        paces = stack.enter_context(journal(project.run.compare / PACES, {"splits": images.splits.sha256}, keep=True))
        budget = EqualEffort(settings.equal, ours.epochs, ours.seconds, clock, paces)
        yield from _told(budget, fresh_rates(bench.project.settings))
        outsiders = [outsider(bench, each) for each in asked if each.kind in ("run", "onnx")]  # before anything is trained
        caps = caps_of(project.run, from_search=ours.contender.search_s is not None)
        nets, left_out = yield from _timm_nets(bench, ours, asked, table, limit, looked_at, caps)
        trained = yield from _trained(config, bench, ours, asked, nets, limits, budget)
        contenders = named_apart([ours.contender, *(each for each in trained if isinstance(each, Contender)), *outsiders])
        left_out += [each for each in trained if isinstance(each, LeftOut)]
        identity = {"nets": [[each.name, each.image_px] for each in contenders], "searched": ours.sha256, **device_facts}
        timings = stack.enter_context(journal(project.run.compare / JOURNAL, identity))
        files = NetFiles(project, stack.enter_context(scratch(project.run.path)))
        measured = yield from measure(project, contenders, ours.arch, table, timings, files)
        rows = yield from judge_all(project, contenders, measured, limit, files)
        rows, is_timed = [held_to(caps, row) for row in rows], measured[0] is not None
        result = _result(project, ours, limit, table if is_timed else None, rows, left_out, images.splits.sha256)
        result = replace(result, remarks=(*result.remarks, *cap_remarks(caps, rows), *_not_held_to(limits, result)))
        yield from _shown(project, images, result)


def _result(
    project: Project,
    ours: Ours,
    limit: LatencyLimit | None,
    table: RunTable | None,
    rows: Sequence[ComparedNet],
    left_out: Sequence[LeftOut],
    splits_sha256: str,
) -> CompareResult:
    """Who won and what is to be said of it; ``table`` is None where nothing was timed."""
    return CompareResult(
        limit_ms=limit.ms if limit is not None else None,
        quantile=limit.quantile if limit is not None and limit.quantile != "p50" else None,
        equal=project.settings.compare.equal,
        epochs=ours.epochs,
        seconds=ours.seconds,
        table=table.facts if table is not None else None,
        nets=tuple(rows),
        left_out=tuple(left_out),
        winner=winner_of(rows),
        verdict=verdict(rows, limit, partial(typed, project.run)),
        remarks=tuple(remarks(rows, limit, left_out)),
        splits_sha256=splits_sha256,
        searched_sha256=ours.sha256,
    )


def _not_held_to(limits: BaselineLimits, result: CompareResult) -> Iterator[str]:
    """Limits of the search that rivals are not held to; hand-designed nets are, as predicted."""
    if len(result.nets) == 1:
        return
    if limits.elsewhere:
        what = ", ".join(limits.elsewhere)
        yield f"{what}: nothing is timed for that here, so nets of other families are not held to it"
    yield from (f"not applied: {text}" for text in limits.not_applied)


def _shown(project: Project, images: Images, result: CompareResult) -> Iterator[Record]:
    """Write the result and what shows it."""
    folder = project.run.compare
    keep_compare(project.run, result)
    paths = tuple(folder / name for name in PICTURES)
    yield Picture(ComparePicture(result, f"{project.space.name} and its rivals on {project.settings.data.source}"), paths)
    for text in result.remarks:
        yield Note(text, in_view=True)
    page = yield from page_beside(project, images)
    yield Outcome(result, {"result": folder / RESULT, "compare_png": paths[0], "compare_svg": paths[1]} | page)


def _limits(bench: Bench, ours: Ours) -> BaselineLimits:
    """What hand-designed nets and rivals may cost: the search's limits, or where it had none the searched net's own latency."""
    net = ours.net(bench.project.run)
    return limits_for(bench.project, bench.images, net, from_search=ours.contender.search_s is not None)


def _limit(space: SearchSpace, limits: BaselineLimits, ours: Ours, table: RunTable | None) -> LatencyLimit | None:
    """The limit on a measured latency; None where nothing can be measured, or nothing limits it."""
    if table is None or not is_here(table.table):
        return None
    named = next((limit for limit in limits.costs if limit.name == limits.here), None)
    if named is None:
        own_ms = ours.contender.num_members * float(table.predicted(space.from_json(ours.arch))[0])
        return LatencyLimit(own_ms, "p50")
    return LatencyLimit(named.limit, limits.quantile or "p50")


def _told(budget: EqualEffort, rates: Sequence[float]) -> Iterator[Note]:
    took = "" if budget.seconds is None else f", which took {budget.seconds / 60:.1f} minutes"
    text = f"the searched net's weights have seen {budget.epochs} epochs{took}"
    yield Note(f"{text}; every rival that is trained here gets the same {budget.equal}")
    if len(rates) > 1:
        yield Note(
            f"fresh weights are tried at learning rates of {', '.join(f'{rate:g}' for rate in rates)}, as the searched net's were"
        )
    else:
        hint = "`retrain` with several `retrain.scratch_learning_rates` gives all a choice"
        yield Note(f"fresh weights learn at {rates[0]:g}, the learning rate of the searched net's space ({hint})")
    if budget.equal == "time" and budget.seconds is None:
        yield Note("no log says how long the searched net was trained: rivals get the same epochs instead", is_warning=True)


def _timm_nets(
    bench: Bench,
    ours: Ours,
    asked: Sequence[Asked],
    table: RunTable | None,
    limit: LatencyLimit | None,
    memory: Memory,
    caps: Mapping[str, float],
) -> Generator[Record, None, tuple[list[NetAndFile], list[LeftOut]]]:
    """Nets of timm that were named, and those that ``auto`` finds, each once; and families without one that fits.

    Raises:
        MissingInputError: if ``auto`` has nothing to measure with.
    """
    settings = bench.project.settings.compare
    left_out: list[LeftOut] = []
    own_px = bench.images.preprocess.image_px
    nets: list[NetAndFile] = []
    for each in asked:
        if each.kind == "timm":
            stride = each.stem_stride if each.stem_stride is not None else settings.stem_stride
            net = TimmNet(each.name, each.image_px if each.image_px is not None else own_px, stride)
            net.untrained(bench.images.task)  # so that what cannot be built is told before anything is trained
            nets.append((net, each.file))
        elif each.kind == "auto":
            if table is None or limit is None:
                raise MissingInputError(
                    "auto measures nets, and there is no latency table of this device",
                    hint="run `edgenas profile`, or name rivals: --with timm:NAME",
                )
            most = {name: caps[name] for name in ("params", "macs") if name in caps}
            device = (table, limit, settings.sides, settings.stem_stride)
            looker = Looker(bench.project, bench.images.task, ours.arch, *device, memory, most)
            fitting, left_out = yield from looker.look()
            nets += [(net, None) for net in fitting]
    return list(dict.fromkeys(nets)), left_out


def _trained(
    config: CompareConfig,
    bench: Bench,
    ours: Ours,
    asked: Sequence[Asked],
    nets: Sequence[NetAndFile],
    limits: BaselineLimits,
    budget: EqualEffort,
) -> Generator[Record, None, list[Contender | LeftOut]]:
    """Every rival that is trained here, in turn, or nets of timm in several processes where that is asked for."""
    yield from decode(bench.images, "train")
    rivals = timm_rivals(bench, nets)
    if not budget.clock.is_over:
        yield from expected(bench, rivals, budget)
    if config.workers is not None or config.ray_address is not None:
        yield from _train_apart(config, bench, rivals, nets, budget)
    kinds = {each.kind for each in asked}
    trained: list[Contender | LeftOut] = []
    if "hand" in kinds:
        trained.append((yield from train_hand(bench, ours, limits, budget)))
    if "cnn" in kinds:
        trained.append((yield from train_cnn(bench, ours, limits, budget, budget.memory)))
    for rival in rivals:
        trained.append((yield from train_rival(bench, rival, budget)))
    return trained


def _train_apart(
    config: CompareConfig, bench: Bench, rivals: Sequence[Rival], nets: Sequence[NetAndFile], budget: EqualEffort
) -> Generator[Record, None, None]:
    """Train nets of timm in several processes; what is then left is found trained."""
    pairs, orders = [], []
    for rival, (net, file) in zip(rivals, nets, strict=True):
        ways = ways_for(bench.project.settings, rival.facts, bench.teachings, budget.epochs)
        ways = yield from budgeted(bench_for(bench, rival), rival.net, ways, budget)
        pairs.append((rival, ways))
        file = None if file is None else file.resolve()
        orders.append(RivalOrder(config.run.resolve(), config.flags, config.overrides, net, file, ways, bench.teachings))
    yield from train_apart(bench, pairs, orders, Workers(config.workers, config.ray_address), budget.clock)
