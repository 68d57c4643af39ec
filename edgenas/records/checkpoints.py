"""What checkpoints say of themselves, as far as anybody asks; they say more, which is only compared."""

from __future__ import annotations

from dataclasses import dataclass

from edgenas.records.codec import Arch, JsonRecord
from edgenas.records.training import InitFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadFacts(JsonRecord):
    """What the subnets of a training are spread over: ``macs``, or the hash of a latency table."""

    cost: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedFor(JsonRecord):
    """Of the settings of a training, how long it was."""

    epochs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFacts(JsonRecord):
    """What a checkpoint says of its net; None or False where it does not say.

    Attributes:
        arch: readable.
        weights: where they started, ``finetuned`` or ``scratch``.
        from_search: whether the net is a search's winner.
        supernet_sha256: of the supernet that they started from.
        teacher: name of the net, of a teacher.
        checkpoint: file that a teacher's weights come from.
        init: where a supernet's weights started.
        even_over: what its subnets are spread over.
        settings: of the training.
    """

    arch: Arch | None = None
    weights: str | None = None
    from_search: bool = False
    supernet_sha256: str | None = None
    teacher: str | None = None
    checkpoint: str | None = None
    init: InitFacts | None = None
    even_over: SpreadFacts | None = None
    settings: TrainedFor | None = None
