"""What checkpoints say of themselves, as far as anybody asks; they say more, which is only compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from edgenas.errors import CheckpointError, RunFolderError
from edgenas.records.codec import OMITTED, Arch, JsonRecord
from edgenas.records.training import InitFacts

MAX_MEMBERS = 16  # nets that answer together


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadFacts(JsonRecord):
    """What the subnets of a training are spread over.

    Attributes:
        cost: ``macs``, or the hash of a latency table.
        latency_ms: near which most of them are drawn; None for no limit.
        near_share: of those that are.
        by_resolution: nets of like cost and depth are drawn from every resolution alike; None where they are not.
    """

    cost: str
    latency_ms: Annotated[float | None, OMITTED] = None
    near_share: Annotated[float | None, OMITTED] = None
    by_resolution: Annotated[bool | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingFacts(JsonRecord):
    """Which subnets learn in a step.

    Attributes:
        sampling: the rule's name.
        even_over: what they are spread over, if anything.
        identities: share of the blocks that are left out, where it is fitted.
        num_random: random ones of a step.
    """

    sampling: str
    even_over: Annotated[SpreadFacts | None, OMITTED] = None
    identities: Annotated[float | None, OMITTED] = None
    num_random: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedFor(JsonRecord):
    """How long a training was, as its settings say."""

    epochs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberFacts(JsonRecord):
    """One of those that teach together, or alone with an input of its own.

    Attributes:
        name: as ``teacher.name`` takes it.
        checkpoint: file that its weights come from.
        sha256: of its weights' file; None before it is trained.
        weight: in the mean of all.
        image_px, mean, std: of the images that it reads.
        columns: for every class of the project, the net's logit; None where they are in order.
    """

    name: str
    checkpoint: str | None = None
    sha256: str | None
    weight: float = 1.0
    image_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    columns: Annotated[tuple[int, ...] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFacts(JsonRecord):
    """What a checkpoint says of its net; None or False where it does not say.

    Attributes:
        arch: readable.
        weights: where they started, ``finetuned``, ``given`` or ``scratch``.
        from_search: whether the net is a search's winner.
        supernet_sha256: of the supernet that they started from.
        teacher: name of the net, of a teacher.
        checkpoint: file that a teacher's weights come from.
        members: who teaches, where that is no single net that was trained here.
        ensemble: nets of the architecture that answer together; None for a single one.
        init: where weights started, if not drawn or inherited.
        even_over: what its subnets are spread over.
        settings: of the training.
    """

    arch: Arch | None = None
    weights: str | None = None
    from_search: bool = False
    supernet_sha256: str | None = None
    teacher: str | None = None
    checkpoint: str | None = None
    members: tuple[MemberFacts, ...] | None = None
    ensemble: int | None = None
    init: InitFacts | None = None
    even_over: SpreadFacts | None = None
    settings: TrainedFor | None = None

    @classmethod
    def said_by(cls, path: Path, facts: Mapping[str, Any]) -> Self:
        """What a file says, which its ``facts`` are of.

        Raises:
            CheckpointError: naming the file and what in it edgenas does not write.
        """
        try:
            said = cls.from_json(facts)
        except RunFolderError as error:
            raise CheckpointError(f"{path} says of itself what edgenas does not write", problems=error.problems) from error
        if said.ensemble is not None and not 1 <= said.ensemble <= MAX_MEMBERS:
            raise CheckpointError(f"{path} says that it holds {said.ensemble} nets; from 1 to {MAX_MEMBERS} answer together")
        return said
