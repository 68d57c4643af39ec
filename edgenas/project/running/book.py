"""Which stages of `edgenas run` are done, and for what: a stage counts while its settings and all that it rests on are the same."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgenas.project.settings import ProjectSettings
from edgenas.records import Estimate, RunState, StageKept
from edgenas.runs import RunFolder, sha256_file, sha256_json
from edgenas.runs.stages import ORDER, product

_NETS = ("data", "space", "teacher", "train")
_TABLES: Mapping[str, tuple[str, ...]] = {  # of the settings, that a stage reads
    "profile": ("data", "space", "profile", "export"),
    "plan": (*_NETS, "profile", "search", "retrain"),
    "train": _NETS,
    "search": (*_NETS, "profile", "search"),
    "retrain": (*_NETS, "profile", "search", "retrain"),
    "evaluate": ("data", "export"),
    "export": ("data", "export", "gates"),
    "report": (),
}


@dataclass(slots=True)
class Book:
    """The state of a run, written after every change; it changes while the run goes on.

    Attributes:
        run: whose stages it is about.
        flags: of this call, as far as settings do not hold them.
        state: what is known.
    """

    run: RunFolder
    flags: Mapping[str, Any]
    state: RunState = field(default_factory=RunState)

    @classmethod
    def open(cls, run: RunFolder, flags: Mapping[str, Any]) -> Book:
        """The book of a run folder.

        Raises:
            RunFolderError: if it is damaged.
        """
        path = _path(run)
        return cls(run, flags, RunState.read(path) if path.is_file() else RunState())

    def identity(self, stage: str, settings: ProjectSettings) -> str:
        """Hash of everything that a stage's result depends on."""
        tables = asdict(settings)
        earlier = {name: _hash(self.run, name) for name in ORDER[: ORDER.index(stage)]}
        chosen = {name: tables[name] for name in _TABLES[stage]}
        return sha256_json({"settings": chosen, "rests_on": earlier, "flags": dict(self.flags.get(stage, {}))})

    def is_done(self, stage: str, settings: ProjectSettings) -> bool:
        """Whether an earlier call came to the end of a stage, and nothing that it depends on has changed since."""
        kept = self.state.stages.get(stage)
        if kept is None or not kept.is_done or kept.product_sha256 != _hash(self.run, stage):
            return False
        return kept.identity == self.identity(stage, settings)

    def kept(self, stage: str) -> StageKept | None:
        """What is known of a stage."""
        return self.state.stages.get(stage)

    @contextmanager
    def timed(self, stage: str, identity: str) -> Iterator[None]:
        """Count the time of a block as the stage's, also where it is interrupted or fails."""
        before, began = self.kept(stage), time.monotonic()
        spent = before.seconds if before is not None and before.identity == identity and not before.is_done else 0.0
        try:
            yield
        finally:
            seconds = spent + time.monotonic() - began
            self._write(stage, StageKept(identity=identity, product_sha256=None, seconds=seconds, is_done=False, words=""))

    def finish(self, stage: str, words: str) -> None:
        """Write down that a stage is done, and what it found."""
        kept = self.state.stages[stage]
        self._write(stage, replace(kept, product_sha256=_hash(self.run, stage), is_done=True, words=words))

    def expect(self, estimates: Mapping[str, Estimate]) -> None:
        """Write down how long stages are going to take."""
        self.state = replace(self.state, estimates=dict(estimates))
        self.state.write(_path(self.run))

    def _write(self, stage: str, kept: StageKept) -> None:
        self.state = replace(self.state, stages={**self.state.stages, stage: kept})
        if self.run.path.is_dir():
            self.state.write(_path(self.run))


def _path(run: RunFolder) -> Path:
    return run.path / "run.json"


def _hash(run: RunFolder, stage: str) -> str | None:
    path = product(run, stage)
    return None if path is None else sha256_file(path)
