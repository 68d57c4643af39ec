"""Which subnets of a run's supernet learn in a step, and what its checkpoint says of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgenas.costs import CostModel, cost_models, decompose, shape_models
from edgenas.errors import InfeasibleError, MissingInputError
from edgenas.project.opening import Project
from edgenas.project.run_tables import run_table
from edgenas.records import CheckpointFacts, SamplingFacts, SpreadFacts
from edgenas.spaces import Task
from edgenas.spaces.even import EvenPool, even_pool, resolutions_of
from edgenas.supernets.bilateral import require_sides
from edgenas.training.folder import STATE, WEIGHTS
from edgenas.training.headers import facts_in
from edgenas.training.sampling import (
    SAMPLING_RULES,
    SINGLE_PATH,
    OverPool,
    OverSteps,
    SamplingRule,
    Subnets,
    WithIdentities,
    share_of_identities,
    with_identities,
)
from edgenas.training.step import Subnets as Draw

MACS = "macs"
HALF = 0.5  # of all blocks, as ViTAS begins


@dataclass(frozen=True, slots=True)
class Sampling:
    """The rule of a run.

    Attributes:
        draw: subnets of a step.
        facts: what a checkpoint says of it.
    """

    draw: Draw
    facts: SamplingFacts


def sampling_of(project: Project, task: Task, *, anew: bool) -> Sampling:
    """The sampling rule that the settings name.

    A rule that draws from a pool, as ``even`` does, spreads it over latencies where the run has a table, else over MACs; a training
    that has begun keeps what it began with, also if a table came meanwhile.

    Args:
        project: with settings and run folder.
        task: classes, channels and resolution.
        anew: an earlier training does not matter.

    Raises:
        MissingInputError: if ``train.latency_ms`` is set and there is no table.
    """
    settings, space = project.settings.train, project.space
    named = SAMPLING_RULES.find(settings.sampling)
    num_random = 1 if settings.sampling in SINGLE_PATH else settings.num_random
    over: SpreadFacts | None = None
    share: float | None = None
    if isinstance(named, (OverPool, OverSteps)):
        pool, over = _pool(project, task, None if anew else _begun_with(project.run.supernet))
        rule_at = named.make(pool, settings.seed) if isinstance(named, OverSteps) else _always(named.make(pool))
    elif isinstance(named, WithIdentities):
        share = _share(project, task)
        rule_at = _always(with_identities(share))
    else:
        rule_at = _always(named)

    def draw(rng: np.random.Generator, step: int) -> Subnets:
        return rule_at(step)(space, rng, num_random)

    facts = SamplingFacts(sampling=settings.sampling, even_over=over, identities=share, num_random=num_random)
    return Sampling(draw, facts)


def _always(rule: SamplingRule) -> Callable[[int], SamplingRule]:
    return lambda step: rule


def _share(project: Project, task: Task) -> float:
    """The share of identities with which nets have ``train.min_macs`` to ``train.max_macs`` on average; a half without these.

    Raises:
        InfeasibleError: if no share does.
    """
    settings, space = project.settings.train, project.space
    if settings.min_macs is None or settings.max_macs is None:
        return HALF
    macs = cost_models(space, task)[MACS]
    return share_of_identities(space, macs, settings.min_macs, settings.max_macs, seed=settings.seed)


def _begun_with(supernet: Path) -> str | None:
    """The cost of an earlier or unfinished training: macs or the hash of a table; None if there is none."""
    for name in (STATE, WEIGHTS):
        over = CheckpointFacts.said_by(supernet / name, facts_in(supernet / name)).even_over
        if over is not None:
            return over.cost
    return None


def _pool(project: Project, task: Task, begun_with: str | None) -> tuple[EvenPool, SpreadFacts]:
    settings, space = project.settings.train, project.space
    if settings.latency_ms is not None and begun_with == MACS:
        begun_with = None  # a limit is new, so is what nets are spread over
    require_table(project, task, begun_with)
    cost, name = cost_of(project, task, begun_with)
    depth = shape_models(decompose(space, task)).depth
    rng = np.random.default_rng(settings.seed)
    strata = resolutions_of(space)
    pool = even_pool(space, cost, depth, rng, limit=settings.latency_ms, near_share=settings.near_share, strata=strata)
    near_share = settings.near_share if settings.latency_ms is not None else None
    by_resolution = True if strata is not None else None
    return pool, SpreadFacts(cost=name, latency_ms=settings.latency_ms, near_share=near_share, by_resolution=by_resolution)


def require_rule(project: Project, task: Task) -> None:
    """Check the sampling rule before anything is trained.

    Raises:
        UsageError: if there is no such rule, or it runs both sides of subnets that have one.
        InfeasibleError: if no share of identities makes nets cost what is asked for, or no net is within ``train.latency_ms``.
        PluginError: naming the package that brings it, if it cannot be used.
    """
    rule = SAMPLING_RULES.find(project.settings.train.sampling)
    if isinstance(rule, WithIdentities):
        if rule.both_sides:
            require_sides(project.space)
        _share(project, task)
    elif isinstance(rule, (OverPool, OverSteps)):
        _require_reachable(project, task)


def _require_reachable(project: Project, task: Task) -> None:
    """Check that some net is as fast as ``train.latency_ms`` asks, where there is a table that tells."""
    limit_ms, (cost, name) = project.settings.train.latency_ms, cost_of(project, task)
    if limit_ms is None or name == MACS:
        return
    least_ms = float(cost(project.space.corners(largest=False)).min())
    pool = even_pool(project.space, cost, cost, np.random.default_rng(project.settings.train.seed))
    least_ms = min(least_ms, float(cost(pool.genes_AG).min()))
    if least_ms > limit_ms:
        raise InfeasibleError(
            f"train.latency_ms is {limit_ms:g}, but no net of {project.space.name} is known to take less than {least_ms:.4g} ms",
            hint="loosen the limit, or take another space",
        )


def require_table(project: Project, task: Task, begun_with: str | None = None) -> None:
    """Check that nets can be drawn near ``train.latency_ms`` where it counts.

    Raises:
        MissingInputError: if there is no table that tells latencies.
    """
    limit_ms = project.settings.train.latency_ms
    if limit_ms is None or not isinstance(SAMPLING_RULES.find(project.settings.train.sampling), OverPool):
        return
    if cost_of(project, task, begun_with)[1] == MACS:
        raise MissingInputError(
            f"train.latency_ms is {limit_ms:g}, but {project.run.latency} holds no latency table",
            hint="run `edgenas profile` first",
        )


def cost_of(project: Project, task: Task, begun_with: str | None = None) -> tuple[CostModel, str]:
    """What nets are spread over: predicted latency with its table's hash, or MACs."""
    table = None if begun_with == MACS else run_table(project, task, begun_with)
    if table is None:
        return cost_models(project.space, task).macs, MACS
    return table.predicted, table.table.sha256
