"""Which net of a run folder is deployed, as its results and files say; without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgenas.errors import CheckpointError, MissingInputError
from edgenas.project.net_facts import BASELINE, HAND_DESIGNED, TaskAndSplits, facts_of, require_facts, told_by
from edgenas.project.opening import Project
from edgenas.project.results import RESULT, outdated_net, read_retrain, searched, winner_of
from edgenas.project.rival_nets import OWN, KeptRival, find_rival
from edgenas.records import Arch, CheckpointFacts, limit_text
from edgenas.runs import RunFolder
from edgenas.runs.stages import typed
from edgenas.search import FLOOR
from edgenas.training.folder import WEIGHTS, has_weights, weights_sha256


@dataclass(frozen=True, slots=True)
class ChosenNet:
    """Which net is deployed.

    Attributes:
        arch: readable.
        folder: of its own weights; None for those of the supernet.
        facts: that these say of themselves.
        rival: the net of a comparison that it is; None for one of `search` or `retrain`.
        outdated: which weights of `retrain` are not taken, and why; None where there are none such.
    """

    arch: Arch
    folder: Path | None = None
    facts: CheckpointFacts = field(default_factory=CheckpointFacts)
    source: str = "searched"
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    rival: KeptRival | None = None
    outdated: str | None = None

    @property
    def num_members(self) -> int:
        """Nets of the architecture that answer together."""
        return self.facts.ensemble if self.facts.ensemble is not None else 1


def chosen(project: Project, images: TaskAndSplits) -> ChosenNet:
    """The searched net, unless the hand-designed one is asked for, or was better where `retrain` chose.

    A net of an earlier winner or supernet is not taken by itself.
    """
    asked = project.settings.export.net
    if asked not in OWN:
        rival = find_rival(project, images, asked)
        return ChosenNet(rival.arch, rival.folder, source=asked, rival=rival)
    if asked == "baseline":
        return _hand_designed(project, images, (), _other_limits(project.run))
    choice = _searched(project, images)
    if choice.folder is None:
        return choice
    result = read_retrain(project.run)
    by = result.chosen_by if result is not None else None
    if by is None:
        return choice
    if result is None or result.chosen != "baseline":
        return replace(choice, notes=(by.words,))
    baseline = project.run.retrain / BASELINE
    if by.weights_sha256 != {"searched": weights_sha256(choice.folder), "baseline": weights_sha256(baseline)}:
        text = f"{project.run.retrain / RESULT} is of other weights than are there; taking the searched net: run `edgenas retrain`"
        return replace(choice, warnings=(*choice.warnings, text))
    other = _other_limits(project.run)
    if other and asked == "auto":
        texts = [f"{text}; taking the searched net: run `edgenas retrain --baseline`" for text in other]
        return replace(choice, warnings=(*choice.warnings, *texts))
    if asked == "searched":
        return replace(choice, notes=(f"taking the searched net as asked for; {by.words}",))
    return _hand_designed(project, images, (by.words,))


def _other_limits(run: RunFolder) -> tuple[str, ...]:
    """In words, that the hand-designed net was chosen under other limits than those of today's search; empty if it was not."""
    retrained, result = read_retrain(run), searched(run)
    baseline = retrained.baseline if retrained is not None else None
    if baseline is None or not baseline.limits or result is None:
        return ()
    chosen_under, today = baseline.limits, result.limits
    other = [limit_text(name, f"{limit:g}") for name, limit in chosen_under.items() if limit != today.get(name, limit)]
    other += [f"no {name}" for name in today if name.startswith(FLOOR) and name not in chosen_under]
    return (f"the hand-made net was chosen under {', '.join(other)}, not under the limits of the last search",) if other else ()


def _hand_designed(project: Project, images: TaskAndSplits, notes: tuple[str, ...], warnings: tuple[str, ...] = ()) -> ChosenNet:
    """The hand-designed net that `retrain --baseline` trained.

    Raises:
        MissingInputError: if there is none.
        CheckpointError: if it belongs to another project.
    """
    folder = project.run.retrain / BASELINE
    if not has_weights(folder):
        raise MissingInputError(
            f"{folder / WEIGHTS} does not exist: there is no hand-made net", hint="run `edgenas retrain --baseline`"
        )
    command = "edgenas retrain --baseline --force"
    arch, facts = _said_by(folder / WEIGHTS, facts_of(project.space, images, HAND_DESIGNED), command)
    return ChosenNet(arch, folder, facts, "baseline", warnings, notes)


def _said_by(path: Path, expected: Mapping[str, Any], command: str) -> tuple[Arch, CheckpointFacts]:
    """Architecture and facts of a trained net.

    Raises:
        CheckpointError: if it is of another project, or does not say what net it is.
    """
    plain = told_by(path)
    require_facts(plain, expected, path, command)
    facts = CheckpointFacts.said_by(path, plain)
    if facts.arch is None:
        raise CheckpointError(f"{path} does not say which net it holds", hint=f"run `{command}`")
    return facts.arch, facts


def _searched(project: Project, images: TaskAndSplits) -> ChosenNet:
    """`retrain`'s net if it is of today's winner and supernet, else the winner with inherited weights."""
    retrained = project.run.retrain / WEIGHTS
    is_searched, is_retrained = (project.run.search / RESULT).is_file(), has_weights(project.run.retrain)
    winner = winner_of(project.run) if is_searched or not is_retrained else None
    if is_retrained:
        arch, facts = _said_by(retrained, facts_of(project.space, images, "winner"), "edgenas retrain --force")
        outdated = outdated_net(project.run, facts, winner)
        if outdated is None:
            return ChosenNet(arch, project.run.retrain, facts)
        if winner is None or not facts.from_search:
            raise CheckpointError(f"{retrained} {outdated}", hint="run `edgenas retrain` again")
        why = f"{retrained} {outdated}"
        warnings = (f"{why}; taking the winner with inherited weights: run `{typed(project.run, 'retrain')}`",)
        return ChosenNet(winner.arch, warnings=warnings, outdated=why)
    assert winner is not None
    return ChosenNet(winner.arch)
