"""What nets may cost: limits on parameters, MACs and on the latency of one device or of several, each with its own table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgenas.costs import CostModel, CostModels, cost_models
from edgenas.errors import InfeasibleError, LatencyTableError, MissingInputError, UsageError
from edgenas.latency import Bound, LatencyTable, named_table
from edgenas.latency.fit import CONFIDENCE
from edgenas.latency.measuring import is_here, version_changes
from edgenas.percents import percent
from edgenas.project.opening import Project
from edgenas.project.run_tables import RunTable, as_run_table, find_table
from edgenas.project.settings import THIS_DEVICE
from edgenas.records import (
    AT_LEAST,
    Costs,
    JsonRecord,
    Latencies,
    Nearest,
    NetCosts,
    OtherSpace,
    PromisedBound,
    SpaceFacts,
    TableFacts,
)
from edgenas.runs import Note
from edgenas.search import CostLimit, Feasibility, LowerLimit, UpperLimit, closest, cost_of
from edgenas.search.limits import LATENCY, OF_TABLES, SENSITIVITY, in_reach
from edgenas.spaces import Genes, SearchSpace, Task


@dataclass(frozen=True, slots=True)
class DeviceTable:
    """A latency table at work.

    Attributes:
        alias: that its limit was given under; empty for the limit without a name.
        table: with its cost models; ``upper`` is the promise's where one is asked for.
        limit_ms: most milliseconds; None where there is no such limit.
        bound: the quantile and confidence that are promised; None where the prediction itself is limited.
        least_ms: fewest milliseconds, of the prediction and of the median call; None where there is no such limit.
        images_per_s: fewest images a second, which ``limit_ms`` keeps; None where there is no such limit.
    """

    alias: str
    table: RunTable
    limit_ms: float | None
    bound: Bound | None
    least_ms: float | None = None
    images_per_s: float | None = None

    @property
    def name(self) -> str:
        """As in the contract's ``limits``."""
        return f"latency_ms[{self.alias}]" if self.alias else "latency_ms"

    @property
    def limits(self) -> list[CostLimit]:
        """On its latency."""
        limits: list[CostLimit] = []
        if self.limit_ms is not None:
            limits.append(UpperLimit(self.name, self.limit_ms, self.limited))
        if self.least_ms is not None:
            limits.append(LowerLimit(self.name, self.least_ms, self.table.predicted))
        return limits

    @property
    def label(self) -> str:
        """What tells it from others for a reader."""
        return self.alias or self.table.path.stem

    @property
    def limited(self) -> CostModel:
        """What must stay below the limit."""
        return self.table.predicted if self.bound is None else self.table.upper

    @property
    def is_here(self) -> bool:
        """Whether the table was measured on this machine's device."""
        return is_here(self.table.table)

    def values(self, row_AG: Genes) -> Latencies:
        """Latencies of one row, not measured yet."""
        predicted, upper = (float(model(row_AG)[0]) for model in (self.table.predicted, self.table.upper))
        return Latencies(predicted_ms=predicted, upper_ms=upper, measured_ms=None)


@dataclass(frozen=True, slots=True)
class Costing:
    """Costs of a space's nets and the limits on them.

    Attributes:
        devices: the one without a name first, else as given; empty without a latency table.
        costs: with ``latency_ms`` of the first device where there is a table.
        limits: on costs.
    """

    space: SearchSpace
    devices: tuple[DeviceTable, ...]
    costs: CostModels
    limits: tuple[CostLimit, ...]

    @property
    def identity(self) -> list[list[str]]:
        """What tells these tables from others, JSON-ready."""
        return [[device.alias, device.table.table.sha256] for device in self.devices]

    @property
    def has_names(self) -> bool:
        """Whether limits were given by name."""
        return any(device.alias for device in self.devices)

    @property
    def main_limit(self) -> UpperLimit | None:
        """What candidates are spread over and drawn against: the upper limit on a latency, else the first on anything."""
        upper = [limit for limit in self.limits if isinstance(limit, UpperLimit)]
        return min(upper, key=lambda limit: not limit.name.startswith(LATENCY), default=None)  # the first of equals

    def describe(self, genes_G: Genes) -> Costs:
        """Architecture and costs of one net, not measured yet; ``latencies`` by name where there are names."""
        row_AG = genes_G[None]
        values = {device.label: device.values(row_AG) for device in self.devices}
        first = next(iter(values.values()), None)
        return Costs(
            arch=self.space.to_json(genes_G),
            params=int(self.costs.params(row_AG)[0]),
            macs=int(self.costs.macs(row_AG)[0]),
            latency_ms_predicted=None if first is None else first.predicted_ms,
            latency_ms_upper=None if first is None else first.upper_ms,
            latencies=values if self.has_names else None,
        )

    @property
    def table(self) -> TableFacts | None:
        """What results say of the first device's table; None without one."""
        return self.devices[0].table.facts if self.devices else None

    @property
    def tables(self) -> dict[str, TableFacts]:
        """What results say of tables, by device."""
        return {device.label: device.table.facts for device in self.devices}

    @property
    def promises(self) -> dict[str, PromisedBound]:
        """What results say of promises, by the name of their limit."""
        bounds = {device.name: device.bound for device in self.devices}
        return {name: PromisedBound.from_json(bound.as_json()) for name, bound in bounds.items() if bound is not None}

    def notes(self) -> Iterator[Note]:
        """What a user must know of tables and promises before anything is looked for."""
        for device in self.devices:
            for warning in device.table.warnings:
                yield Note(warning, is_warning=True)
            context = device.table.table.context
            where = "this device" if device.is_here else "another device: nets are not measured there"
            if device.alias:
                yield Note(f"{device.alias}: {context}, {where}")
            else:
                yield Note(f"latency by {device.table.path.name}: {context}")
            if device.images_per_s is not None:
                batch, asked = device.table.table.context.batch_size, f"{device.images_per_s:g} images/s in batches of"
                yield Note(f"{device.label}: at least {asked} {batch} is {device.name} <= {1000 * batch / device.images_per_s:.4g}")
            if device.bound is not None:
                yield Note(f"{device.label}: {device.bound}")
                if device.bound.is_coarse:
                    text = f"{device.label}: {device.bound.num_runs} calls a net are few for {device.bound.quantile}"
                    yield Note(f"{text}; profile with more visits", is_warning=True)


def open_costing(project: Project, task: Task, tables: Mapping[str, str], *, allow_foreign: bool = False) -> Costing:
    """The limits of ``[search]`` with the tables that they need.

    Args:
        project: with flags applied.
        task: classes, channels and resolution.
        tables: names or files by alias; under `THIS_DEVICE` the one for the limit without a name.
        allow_foreign: the limit without a name may use a table of another device, runtime, precision or batch size; one with a
            name, which may be of any device, a table of this device and another version of the runtime.

    Raises:
        UsageError: if a table has no limit of its own, or there is no such quantity.
        MissingInputError, LatencyTableError: if a table is missing, does not fit or cannot give the confidence.
    """
    settings = project.settings.search
    devices = _devices(project, task, tables, allow_foreign=allow_foreign)
    if not devices and settings.latency_quantile is not None:
        raise MissingInputError(f"{project.run.latency} holds no table to promise from", hint="run `edgenas profile` first")
    costs = cost_models(project.space, task)
    if devices:
        costs = replace(costs, latency_ms=devices[0].table.predicted)
    limits = [limit for device in devices for limit in device.limits]
    for asked in settings.all_limits:
        if asked.kind not in (*OF_TABLES, SENSITIVITY):
            cost = cost_of(asked.kind, project.space, task)
            kind = UpperLimit if asked.is_upper else LowerLimit
            limits.append(kind(asked.kind, asked.value, cost))
    return Costing(project.space, tuple(devices), costs, tuple(limits))


def _devices(project: Project, task: Task, tables: Mapping[str, str], *, allow_foreign: bool) -> list[DeviceTable]:
    """One device a name that latency is limited under, the nameless first; without any the run's own, if there is one."""
    search = project.settings.search
    most, least, throughputs = search.latency_limits, search.least_latencies, search.least_throughputs
    goals = [goal.subject for goal in search.goals if goal.kind == LATENCY]
    asked = dict.fromkeys((*most, *least, *throughputs, *goals))
    unused = [alias or tables[alias] for alias in tables if asked and alias not in asked]
    unused += [alias for alias in tables if alias and not asked]
    if unused:
        raise UsageError(f"no latency limit goes with the table {', '.join(unused)}", hint="write --latency-ms NAME=MS for each")
    devices = []
    for alias in sorted(asked or (THIS_DEVICE,), key=bool):  # stable
        is_limited = alias in most or alias in least or alias in throughputs
        what = f"the limit on {alias}" if is_limited else f"the objective {LATENCY}[{alias}]"
        of_alias = _table_of(project, task, alias, tables, what, allow_foreign=allow_foreign)
        if of_alias is not None:
            per_s = throughputs.get(alias)
            limit_ms = _tightest(most.get(alias), per_s, of_alias.table.context.batch_size)
            devices.append(_with_bound(project, task, DeviceTable(alias, of_alias, limit_ms, None, least.get(alias), per_s)))
        elif alias in asked:
            raise MissingInputError(f"{project.run.latency} holds no latency table", hint="run `edgenas profile` first")
    return devices


def _tightest(limit_ms: float | None, images_per_s: float | None, batch_size: int) -> float | None:
    """Most milliseconds of a call that keep both limits; None without one."""
    limits = [limit_ms] if limit_ms is not None else []
    limits += [1000 * batch_size / images_per_s] if images_per_s is not None else []
    return min(limits, default=None)


def _table_of(
    project: Project, task: Task, alias: str, tables: Mapping[str, str], what: str, *, allow_foreign: bool
) -> RunTable | None:
    """The table of a limit or an objective; one with a name may be of any device, only space and task must fit."""
    if not alias:
        return find_table(project, task, tables.get(alias), allow_foreign=allow_foreign)
    name = tables.get(alias, alias)
    path = project.run.latency / f"{name.removesuffix('.json')}.json"
    try:
        path = path if path.is_file() else named_table(name)
    except LatencyTableError as error:
        hint = f"write --table {alias}=FILE, or {error.hint}"
        raise LatencyTableError(f"{what}: {error.message}", hint=hint) from error
    table = LatencyTable.load(path)
    warnings = table.require_matches(space=project.space, task=task, name=f"{alias} ({path})")
    if is_here(table):
        warnings += version_changes(path, table, project.space, allow_foreign=allow_foreign)
    return as_run_table(project.space, task, path, table, warnings)


def _with_bound(project: Project, task: Task, device: DeviceTable) -> DeviceTable:
    """The device with the promise that ``latency_quantile`` and ``confidence`` ask for, if any."""
    settings = project.settings.search
    is_of_floors = bool(settings.floors) and device.limit_ms is None  # then the confidence is theirs alone
    if settings.latency_quantile is None and (settings.confidence is None or is_of_floors):
        return device
    quantile = settings.latency_quantile if settings.latency_quantile is not None else "p50"
    confidence = settings.confidence if settings.confidence is not None else CONFIDENCE
    try:
        bound = device.table.table.promise.bound(quantile, confidence)
    except LatencyTableError as error:
        raise LatencyTableError(f"{device.table.path}: {error.message}", hint=error.hint) from error
    upper = device.table.table.upper(project.space, task, bound)
    return replace(device, bound=bound, table=replace(device.table, upper=upper))


def space_facts(costing: Costing, surveyed: Feasibility) -> SpaceFacts:
    """The contract's ``space``: smallest, median and largest net of what was looked at, by latency or MACs."""
    order, latency_ms = np.argsort(costing.costs.latency_or_macs(surveyed.genes_AG), kind="stable"), costing.costs.latency_ms

    def net(position: int) -> NetCosts:
        row_AG = surveyed.genes_AG[order[position]][None]
        return NetCosts(
            arch=costing.space.to_json(row_AG[0]),
            params=int(costing.costs.params(row_AG)[0]),
            macs=int(costing.costs.macs(row_AG)[0]),
            latency_ms=None if latency_ms is None else float(latency_ms(row_AG)[0]),
        )

    return SpaceFacts(
        name=costing.space.name,
        num_subnets=costing.space.cardinality,
        feasible_share=surveyed.share,
        is_exact=surveyed.is_exact,
        smallest=net(0),
        median=net(len(order) // 2),
        largest=net(-1),
    )


def survey_line(costing: Costing, surveyed: Feasibility) -> str:
    """How much the limits leave, in words."""
    looked = "all" if surveyed.is_exact else "a sample of"
    limits = ", ".join(str(limit) for limit in costing.limits) or "no limits"
    spans = []
    for device in costing.devices:
        values_A = device.table.predicted(surveyed.genes_AG)
        on = f" on {device.alias}" if device.alias else ""
        spans.append(f"; predicted latency{on} {values_A.min():.3g} to {values_A.max():.3g} ms, median {np.median(values_A):.3g}")
    mended = f"; none of it meets them, {surveyed.feasible_A.sum():,} that were repaired do" if surveyed.is_mended else ""
    of = f"{looked} {len(surveyed.genes_AG):,} nets of {costing.space.name}"
    if surveyed.counted is not None:
        counted = surveyed.counted
        share = f"{counted.value:.3g}" if counted.value > 0 or counted.high == 0 else f"at most {counted.high:.2g}"
        of = f"all {costing.space.cardinality:.3g} nets of {costing.space.name}, counted"
    else:
        share = percent(surveyed.share)
    return f"feasible: {share} of {of} ({limits}){mended}{''.join(spans)}"


def nearest_of(costing: Costing, surveyed: Feasibility) -> dict[str, Nearest]:
    """The nearest that can be had of each limit that nothing meets, by its name."""
    return {
        name: Nearest(asked=net.asked, achievable=net.achievable, arch=costing.space.to_json(net.genes_G))
        for name, net in closest(costing.limits, surveyed).items()
    }


def _achievable(name: str, entry: Nearest) -> str:
    """What can be had of a limit: never rounded to what cannot be."""
    value, is_lower = entry.achievable, name.endswith(AT_LEAST)
    if value is None:
        return "achievable is not known"
    meets = value >= entry.asked if is_lower else value <= entry.asked
    return f"achievable {in_reach(value, is_lower=is_lower)}{', but not with the other limits' if meets else ''}"


def infeasible(
    costing: Costing, surveyed: Feasibility, nearest: Mapping[str, Nearest], others: Sequence[OtherSpace], result: JsonRecord
) -> InfeasibleError:
    """That nothing meets the limits.

    Args:
        costing: with the limits.
        surveyed: by the survey.
        nearest: what can be had of each limit.
        others: spaces with nets that meet them.
        result: what is known all the same.
    """
    problems = [f"{name}: asked {entry.asked:.12g}, {_achievable(name, entry)}" for name, entry in nearest.items()]
    alone = " and ".join(surveyed.impossible)
    why = f"no net of {costing.space.name} meets {alone}, whatever the other limits: " if alone and len(costing.limits) > 1 else ""
    is_proven = surveyed.is_exact or bool(surveyed.impossible) or (surveyed.counted is not None and surveyed.counted.high == 0)
    meets = "meets" if is_proven else "was found that meets"
    return InfeasibleError(
        f"no architecture of {costing.space.name} {meets} {', '.join(str(limit) for limit in costing.limits)}",
        problems=problems,
        hint=f"{why}loosen the limit, or take another space{_spaces(others, costing)}",
        result=result.as_json(),
    )


def _spaces(others: Sequence[OtherSpace], costing: Costing) -> str:
    """Other spaces in words, those first in which every limit was looked at."""
    if not others:
        devices = {device.name for device in costing.devices}
        is_timed = any(limit.name.removesuffix(AT_LEAST) in devices for limit in costing.limits)
        tables = ", but latency is known of those with a table alone: `edgenas plan --spaces` tries all of them on this device"
        return f"; no other shipped space is known to meet these limits either{tables if is_timed else ''}"
    groups: dict[tuple[str, ...], list[str]] = {}
    for other in sorted(others, key=lambda each: len(each.not_looked_at)):  # stable
        groups.setdefault(other.not_looked_at, []).append(other.space)
    texts = []
    for missing, names in groups.items():
        apart = f", {' and '.join(missing)} apart, for which there is no table of theirs" if missing else ""
        texts.append(f"{', '.join(names)} meet{'s' if len(names) == 1 else ''} them{apart}")
    return f": {'; '.join(texts)}"
