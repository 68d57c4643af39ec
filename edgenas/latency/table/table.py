"""Latency tables: measured costs of components with their context, calibration and proven accuracy, as one JSON file."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from edgenas.costs import CostModel, count_params, decompose, sum_of_components
from edgenas.errors import LatencyTableError, RunFolderError
from edgenas.latency.fit import MILLION, Again, Bound, Calibration, Promise
from edgenas.latency.table.content import Claims, content_problems
from edgenas.latency.table.entries import Entry, component_key, entry_keys
from edgenas.latency.table.kinds import Kind, kind_of_table, name_of_file
from edgenas.latency.table.moments import hours_of, moment_of
from edgenas.latency.table.plausible import implausible
from edgenas.latency.timing import Context
from edgenas.records import BoundNet, CheckedNet, JsonRecord, ReferenceNet, TableMeasuring, TableSession, TableValidation
from edgenas.runs import jsonable, read_json, sha256_json, write_json
from edgenas.spaces import SearchSpace, Task

SCHEMA_VERSION = 1  # 1: first version; later ``sessions``, which earlier readers leave out: their bounds are of the first alone
Part = TypeVar("Part", bound=JsonRecord)
_HINT = "measure again with `edgenas profile`, or take another table with --table"


@dataclass(frozen=True, slots=True)
class LatencyTable:
    """What `edgenas profile` found out about one device, runtime, precision, batch size and space.

    Attributes:
        context: where it was measured.
        task: classes, channels, resolution.
        space: name of the search space.
        space_sha256: of its choices.
        entries: costs before calibration.
        calibration: from whole nets.
        validation: how true predictions are of nets that fitted nothing.
        reference: the net that was returned to.
        measuring: how it was measured, and when.
        bound_nets: nets that fitted nothing, which promises come from; a table without them makes none.
        sessions: later ones, on other hours or days, by `table.later`: the bound nets and validation nets, or a part, once more.
    """

    context: Context
    task: Task
    space: str
    space_sha256: str
    entries: tuple[Entry, ...]
    calibration: Calibration
    validation: TableValidation
    reference: ReferenceNet
    measuring: TableMeasuring
    bound_nets: tuple[BoundNet, ...] = ()
    sessions: tuple[TableSession, ...] = ()
    _sealed: str | None = field(default=None, init=False, repr=False, compare=False)  # of the file that it was read from, as it is

    @property
    def file_name(self) -> str:
        """``<device>_<runtime>_<precision>_b<batch>_<space>.json``, with the scope at the end where it is not ``end_to_end``."""
        return name_of_file(self.context, self.space)

    @property
    def level_ms(self) -> float:
        """Milliseconds of the reference net: what later measurements are compared with."""
        return float(self.reference.level_ms)

    @property
    def checks(self) -> tuple[CheckedNet, ...]:
        """The nets that were measured to see how true predictions are; they fitted nothing."""
        return self.validation.rows

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of the content, independent of layout; stored in the file."""
        return sha256_json(self._content()) if self._sealed is None else self._sealed

    def _content(self) -> dict[str, Any]:
        content = {
            "schema_version": SCHEMA_VERSION,
            "context": self.context.as_json(),
            "task": asdict(self.task),
            "space": {"name": self.space, "sha256": self.space_sha256},
            "calibration": asdict(self.calibration),
            "validation": self.validation,
            "reference": self.reference,
            "measuring": self.measuring,
            "entries": [asdict(entry) for entry in self.entries],
        }
        if self.bound_nets:
            content["promise"] = {"nets": self.bound_nets, "bounds": [bound.as_json() for bound in self.promise.bounds()]}
        if self.sessions:
            content["sessions"] = self.sessions
        plain: dict[str, Any] = jsonable(content)
        return plain

    def save(self, folder: Path) -> Path:
        """Write the table into ``folder`` under its own name, return the path; an earlier one of its kind is replaced.

        Where the name belongs to a table of other threads, of another task or from a kit, the name says what is different.

        Raises:
            RunFolderError: if it cannot be written.
        """
        own, path = self.kind, folder / self.file_name
        details: list[str] = []
        while path.exists() and (other := _kind_of_file(path)) not in (own, None):
            assert other is not None
            fresh = [text for text in own.words_beside(other) if text not in details]
            details += fresh or [self.sha256[: 8 + len(details)]]
            path = folder / f"{'_'.join([Path(self.file_name).stem, *details])}.json"
        self.write(path)
        return path

    @property
    def kind(self) -> Kind:
        """What tells it from other tables in a folder."""
        return kind_of_table(self.context, self.task, self.space_sha256)

    def write(self, path: Path) -> None:
        """Write the table into a file of any name.

        Raises:
            RunFolderError: if it cannot be written.
        """
        content = self._content()
        write_json(path, content | {"sha256": sha256_json(content)})

    @classmethod
    def load(cls, path: Path) -> LatencyTable:
        """Read a table and check that nobody changed it.

        Raises:
            LatencyTableError: missing, truncated, edited or of another schema; one line with the file and what to do.
        """
        try:
            content = read_json(path, schema_version=SCHEMA_VERSION)
        except RunFolderError as error:
            raise LatencyTableError(error.message, hint=_HINT) from error
        stored = content.pop("sha256", None)
        try:
            intact = stored == sha256_json(content)
        except ValueError:  # text that is no Unicode, numbers beyond JSON
            intact = False
        if not intact:
            raise LatencyTableError(f"{path} was edited or damaged: its content does not match its sha256", hint=_HINT)
        try:
            claims = Claims.of(content)
            problems = content_problems(claims) or list(implausible(claims))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LatencyTableError(f"{path} is not a latency table: {error}", hint=_HINT) from error
        if problems:
            raise LatencyTableError(f"{path} is not a latency table", problems=problems, hint=_HINT)
        try:
            table = cls._of(claims)
        except RunFolderError as error:
            raise LatencyTableError(f"{path} is not a latency table", problems=error.problems, hint=_HINT) from error
        object.__setattr__(table, "_sealed", stored)
        return table

    @classmethod
    def _of(cls, claims: Claims) -> LatencyTable:
        """The table that a file claims to be.

        Raises:
            RunFolderError: naming what is of another type than its parts have.
        """
        return cls(
            context=claims.context,
            task=claims.task,
            space=claims.space,
            space_sha256=claims.space_sha256,
            entries=claims.entries,
            calibration=claims.calibration,
            validation=_part(TableValidation, claims.validation, "validation"),
            reference=_part(ReferenceNet, claims.reference, "reference"),
            measuring=_part(TableMeasuring, claims.measuring, "measuring"),
            bound_nets=tuple(_part(BoundNet, net, f"bound net {number}") for number, net in enumerate(claims.bound_nets, 1)),
            sessions=tuple(_part(TableSession, each, f"session {number}") for number, each in enumerate(claims.sessions, 2)),
        )

    def to_cost_model(self, space: SearchSpace, task: Task) -> CostModel:
        """Predicted ``latency_ms`` of every architecture of ``space``; unknown where a component was never measured."""
        known, calibration = self._costs(), self.calibration
        each_ms = calibration.weights_ms / calibration.scale / MILLION

        def cost(component: Hashable) -> float:
            return known.get(component_key(component), np.nan) + each_ms * count_params(space, component)

        terms = decompose(space, task)
        return sum_of_components("latency_ms", "ms", terms, cost, scale=calibration.scale, offset=calibration.offset_ms)

    @property
    def promise(self) -> Promise:
        """What bounds on quantiles of calls come from."""
        dates = [moment_of(str(date)) for date in (self.measuring.date, *(session.date for session in self.sessions))]
        later = tuple(
            Again(session.nets, session.checks, hour) for session, hour in zip(self.sessions, hours_of(dates)[1:], strict=True)
        )
        known = [moment for moment in dates if moment is not None]
        hours = (max(known) - min(known)).total_seconds() / 3600 if known else math.inf
        return Promise(self.bound_nets, self.checks, later, hours)

    def upper(self, space: SearchSpace, task: Task, bound: Bound | None = None) -> CostModel:
        """``latency_ms_upper``: a bound of `promise`, by default the calibration's own on the level that was fitted."""
        model = self.to_cost_model(space, task)
        factor = self.calibration.upper_factor if bound is None else bound.factor
        return CostModel("latency_ms_upper", "ms", model.factors, model.scale * factor, model.offset * factor)

    def _costs(self) -> dict[str, float]:
        """Milliseconds per component; those of one entry share its cost evenly, as they only occur together."""
        costs: dict[str, float] = {}
        for entry in self.entries:
            for key in entry_keys(entry):
                costs[key] = costs.get(key, 0.0) + entry.ms / len(entry.components)
        return costs

    def require_matches(
        self,
        *,
        space: SearchSpace,
        task: Task,
        device: str | None = None,
        runtime: str | None = None,
        precision: str | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
        scope: str | None = None,
        runtime_version: str | None = None,
        allow_foreign: bool = False,
        name: str = "the latency table",
    ) -> tuple[str, ...]:
        """Refuse a table that was measured for something else; what is None is not compared.

        Args:
            space: that will be searched; its choices are compared.
            task: classes, channels and resolution.
            device: name of the processor or GPU.
            runtime: its entry-point name.
            precision: of the computation.
            batch_size: images a call.
            threads: on a CPU.
            scope: ``end_to_end`` or ``compute``.
            runtime_version: another patch version only warns; another major or minor version is another runtime.
            allow_foreign: differences of the context become warnings; those of space and task never do.
            name: of the table, for messages.

        Returns:
            Warnings.

        Raises:
            LatencyTableError: naming every difference.
        """
        wanted = {
            "device": device,
            "runtime": runtime,
            "precision": precision,
            "batch_size": batch_size,
            "threads": threads,
            "scope": scope,
        }
        foreign = [
            f"{key}: measured on {getattr(self.context, key)}, asked for {value}"
            for key, value in wanted.items()
            if value is not None and value != getattr(self.context, key)
        ]
        measured = self.context.runtime_version
        here = measured if runtime_version is None else runtime_version
        if minor_version(here) != minor_version(measured):
            foreign.append(f"runtime_version: measured on {measured}, asked for {here}")
        other = self._other_net(space, task)
        if other or (foreign and not allow_foreign):
            hint = "run `edgenas profile` here" + ("" if other else ", or pass --allow-foreign-table to use it all the same")
            raise LatencyTableError(f"{name} does not fit", problems=[*foreign, *other], hint=hint)
        warnings = [f"{name} is foreign: {difference}" for difference in foreign]
        if here != measured and minor_version(here) == minor_version(measured):
            warnings.append(f"{name} was measured with {self.context.runtime} {measured}, here is {here}")
        return tuple(warnings)

    def _other_net(self, space: SearchSpace, task: Task) -> list[str]:
        problems = []
        if space.name != self.space:
            problems.append(f"space: measured for {self.space}, asked for {space.name}")
        elif space_hash(space) != self.space_sha256:
            problems.append(f"space: the choices of {space.name} have changed since it was measured")
        for key, value in asdict(task).items():
            if value != getattr(self.task, key):
                problems.append(f"{key}: measured for {getattr(self.task, key)}, asked for {value}")
        return problems


def _part(kind: type[Part], value: Any, owner: str) -> Part:
    """A part of a table as its file says it.

    Raises:
        RunFolderError: naming the part and what of it is of another type.
    """
    try:
        return kind.from_json(value)
    except RunFolderError as error:
        raise RunFolderError(error.message, problems=[f"{owner}: {problem}" for problem in error.problems]) from error


def _kind_of_file(path: Path) -> Kind | None:
    """The kind of the table in a file; None where it cannot be used."""
    try:
        return LatencyTable.load(path).kind
    except LatencyTableError:
        return None


def space_hash(space: SearchSpace) -> str:
    """Hex SHA-256 of a space's choices."""
    choices = [
        {
            "name": choice.name,
            "options": choice.options,
            "active_when": None if choice.active_when is None else asdict(choice.active_when),
        }
        for choice in space.choices
    ]
    return sha256_json({"family": space.family, "choices": choices})


def minor_version(version: str) -> tuple[str, ...]:
    """Major and minor of a version, e.g. of ``1.23.2+cu12``."""
    return tuple(version.split("+")[0].split(".")[:2])
