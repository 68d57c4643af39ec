"""What a net of a run folder must show when it is retrained and exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from edgenas.deploy.parity import Gates, floor_gate
from edgenas.errors import ConfigError, GateError
from edgenas.project.results import searched
from edgenas.project.settings import GateSettings
from edgenas.records import Gate, Metrics
from edgenas.runs import RunFolder
from edgenas.search import floors_of


def gates_of(settings: GateSettings, floors: Floors | None = None) -> Gates:
    """The gates of `edgenas.toml`, and the floors of the search that the net comes from.

    Raises:
        ConfigError: if a limit is out of range.
    """
    shares, confidence = (floors.shares, floors.confidence) if floors is not None else ({}, None)
    try:
        return Gates(
            **asdict(settings),
            floors=shares,
            floor_confidence=confidence,
        )
    except ValueError as error:
        raise ConfigError(f"[gates] {error}") from error


@dataclass(frozen=True, slots=True)
class Floors:
    """Least sensitivities that a search was asked for.

    Attributes:
        shares: by class.
        confidence: of the interval whose lower end must reach them; None where the share itself must.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    confidence: float | None = None

    def judge(self, metrics: Metrics) -> tuple[Gate, ...]:
        """A gate for every floor, by what a report says of a split."""
        sensitivities = {name: metrics.sensitivity[name] for name in self.shares}
        return tuple(
            floor_gate(name, round(share.value * share.n) if share.n else 0, share.n, self.shares[name], self.confidence)
            for name, share in sensitivities.items()
        )


def floors_in(run: RunFolder, class_names: Sequence[str]) -> Floors:
    """The floors of the run's last search; none without one."""
    result = searched(run)
    if result is None:
        return Floors()
    return Floors({floor.class_name: floor.floor for floor in floors_of(result.limits, class_names)}, result.floor_confidence)


def failure_of(gates: Sequence[Gate]) -> GateError | None:
    """The error that makes a command exit 4, where a gate failed or is undecided."""
    left = [f"{gate.name} {gate.verdict}: {gate.reason}" for gate in gates if gate.verdict in ("failed", "undecided")]
    if not left:
        return None
    hint = "search again with more room in the limits, train longer, or lower the floor"
    return GateError(left[0] if len(left) == 1 else "floors are not shown on test", problems=left[1:] and left, hint=hint)
