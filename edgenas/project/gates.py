"""What an export of a run folder must show."""

from __future__ import annotations

from edgenas.deploy.parity import Gates
from edgenas.errors import ConfigError
from edgenas.project.settings import GateSettings


def gates_of(settings: GateSettings) -> Gates:
    """The gates of `edgenas.toml`.

    Raises:
        ConfigError: if a limit is out of range.
    """
    try:
        return Gates(settings.min_top1_agreement, settings.max_new_false_negatives, settings.min_sensitivity)
    except ValueError as error:
        raise ConfigError(f"[gates] {error}") from error
