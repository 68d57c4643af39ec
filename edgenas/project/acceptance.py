"""The plans by which a run folder's exports are judged: sealed before test is read, and none of them forgotten.

``export/acceptance.json`` is the last plan. ``export/acceptance.jsonl`` is their history, a line each, whose hash includes the line
before: what is changed or taken out of it shows. The same plan for the same images takes the line that it has.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgenas import stats
from edgenas.data.hashing import content_hashes
from edgenas.data.images import Images
from edgenas.deploy.acceptance import ACCEPTANCE, changes_between, images_sha256
from edgenas.deploy.contracts import ExportSpec
from edgenas.deploy.parity import Gates
from edgenas.errors import GateError, RunFolderError
from edgenas.records import (
    AcceptanceFacts,
    AcceptancePlan,
    Check,
    DecisionRule,
    Manifest,
    PlanLine,
    PlannedFile,
    PlannedImages,
    PlannedNeed,
)
from edgenas.runs import Note, RunFolder, dump_json, sha256_json, write_text
from edgenas.runs.files import jsonable
from edgenas.runs.outside import MAX_JSON_BYTES, OutsideError, parse_json, read_regular

if TYPE_CHECKING:
    from edgenas.project.deployed import FinalNet

HISTORY = "acceptance.jsonl"
_HINT = "put it back as it was; moved away, a new history starts, and the artefacts that are there are taken into it"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A plan that is in force.

    Attributes:
        hashes_N: SHA-256 of every image that will judge, as it is stored.
    """

    plan: AcceptancePlan
    facts: AcceptanceFacts
    hashes_N: tuple[str, ...]

    def notes(self) -> Iterator[Note]:
        """What is to be known of it before test is read."""
        if self.facts.was_changed:
            yield Note(self.facts.words, is_warning=True, in_view=True)
        if any(file.precision != "fp32" for file in self.plan.files):
            few = [need for need in self.plan.needs if need.has < need.needs]
            for need in few:
                yield Note(
                    f"{need.gate} needs {need.needs} {need.kind} where numbers change, {self.plan.images.split} has {need.has}: "
                    "margins may decide it, else it stays undecided"
                )


def decision_of(positive: str | None, final: FinalNet) -> DecisionRule:
    """The rule that ships with a net."""
    zone = None if final.choice is None else final.choice.refer
    return DecisionRule(
        rule="argmax" if final.threshold is None else "threshold",
        positive=positive,
        threshold=final.threshold,
        choice=final.choice,
        refer=None if zone is None else (zone.low, zone.high),
    )


def require_threshold(final: FinalNet) -> None:
    """Check that a net's threshold is a number, before work is done for it.

    Raises:
        GateError: if its answers to calibrate are none.
    """
    if final.threshold is not None and not math.isfinite(final.threshold):
        raise GateError("the net's answers to calibrate are not finite numbers: there is no threshold", hint="train it again")


def seal_plan(
    run: RunFolder,
    images: Images,
    final: FinalNet,
    gates: Gates,
    *,
    format_name: str,
    specs: Sequence[ExportSpec],
    versions: dict[str, str],
    hashes_N: Sequence[str] | None = None,
) -> Sealed:
    """Lay down what an export's files will be held to on test, of which nothing but the bytes' hashes is looked at.

    Raises:
        RunFolderError: if the history was edited or damaged, or the folder cannot be written.
        DataError: naming an image that cannot be read.
    """
    if hashes_N is None:
        hashes_N = content_hashes(images.source, images.splits["test"])
    labels_N, positive = images.labels("test"), images.positive
    plan = AcceptancePlan(
        gates=gates.limits,
        floor_confidence=gates.floor_confidence,
        decision=decision_of(None if positive is None else images.class_names[positive], final),
        images=PlannedImages(
            split="test",
            num=len(hashes_N),
            num_positives=None if positive is None else int((labels_N == positive).sum()),
            sha256=images_sha256(hashes_N),
            labels_sha256=sha256_json([images.class_names[label] for label in labels_N]),
        ),
        net=final.source,
        weights_sha256=final.sha256,
        format=format_name,
        files=tuple(PlannedFile(precision=spec.precision, batch_size=spec.batch_size, targets=spec.targets) for spec in specs),
        needs=tuple(_needs(gates, labels_N, positive, images.class_names)),
        versions=versions,
    )
    plan = AcceptancePlan.from_json(jsonable(plan.as_json()))  # as it will be read: tuples and numbers are those of JSON
    return Sealed(plan, _kept(run, plan), tuple(hashes_N))


def _needs(gates: Gates, labels_N: NDArray[np.integer], positive: int | None, class_names: Sequence[str]) -> Iterator[PlannedNeed]:
    """How many images every gate on a share takes, if not one is decided otherwise, and how many there are."""
    num_positives = 0 if positive is None else int((labels_N == positive).sum())
    counts = {"images": len(labels_N), "positives": num_positives, "others": len(labels_N) - num_positives}
    shares = {"min_agreement": ("images", 1 - gates.agreement), "accuracy_margin": ("images", gates.accuracy_loss)}
    if gates.min_top1_agreement is not None:
        shares |= {"min_top1_agreement": ("images", 1 - gates.min_top1_agreement)}
    if positive is not None:
        for name, kind, share in (
            ("max_new_false_negative_share", "positives", gates.max_new_false_negative_share),
            ("sensitivity_margin", "positives", gates.sensitivity_loss),
            ("max_new_false_positive_share", "others", gates.max_new_false_positive_share),
            ("min_sensitivity", "positives", None if gates.min_sensitivity is None else 1 - gates.min_sensitivity),
        ):
            if share is not None:
                shares[name] = (kind, share)
    for name, (kind, share) in shares.items():
        if name not in gates.followed and 0 < share < 1:
            yield PlannedNeed(gate=name, kind=kind, needs=stats.trials_to_prove(1 - share), has=counts[kind])
    for name, floor in gates.floors.items() if gates.floor_confidence is not None else ():
        has = int((labels_N == class_names.index(name)).sum())
        needs = stats.trials_to_prove(floor, confidence=gates.floor_confidence or 0.95)
        yield PlannedNeed(gate=f"sensitivity[{name}]", kind=f"images of {name}", needs=needs, has=has)


def _kept(run: RunFolder, plan: AcceptancePlan) -> AcceptanceFacts:
    """The plan in the history, once, and what there is to say of it."""
    path = run.export / HISTORY
    lines = list(read_history(path))
    known = {line.plan.sha256 for line in lines}
    unwritten = [other for other in _in_artefacts(run) if other.sha256 not in known]
    new = {other.sha256: other for other in unwritten} | ({} if plan.sha256 in known else {plan.sha256: plan})
    for each in new.values():
        at = datetime.now(tz=UTC).isoformat(timespec="seconds") if each is plan else None
        lines.append(PlanLine(previous=_hash(lines[-1]) if lines else "", sealed_at=at, plan=each))
    if new:
        write_text(path, "".join(f"{_text(line)}\n" for line in lines))
    plan.write(run.export / ACCEPTANCE)
    return facts_of(lines, plan)


def facts_of(lines: Sequence[PlanLine], plan: AcceptancePlan) -> AcceptanceFacts:
    """What the history says of one of its plans."""
    mine = next(line for line in lines if line.plan.sha256 == plan.sha256)
    images = (plan.images.sha256, plan.images.labels_sha256)
    alike = [line.plan for line in lines if (line.plan.images.sha256, line.plan.images.labels_sha256) == images]
    terms = {each.terms_sha256: each.terms for each in reversed(alike)}
    order = list(dict.fromkeys(each.terms_sha256 for each in alike))
    place = order.index(plan.terms_sha256)
    return AcceptanceFacts(
        path=ACCEPTANCE,
        plan_sha256=plan.sha256,
        line_sha256=_hash(mine),
        sealed_at=mine.sealed_at,
        number=place + 1,
        num_plans=len(order),
        num_nets=len({each.weights_sha256 for each in alike}),
        changes=changes_between(terms[order[place - 1]], plan.terms) if place else None,
    )


def read_history(path: Path) -> Iterator[PlanLine]:
    """The plans of a run folder, the first one first; nothing where there is no history.

    Raises:
        RunFolderError: naming the line that was edited or damaged, or does not follow the one before.
    """
    if not path.exists():
        return
    try:
        text = read_regular(path, MAX_JSON_BYTES).decode()
    except OutsideError as error:
        raise RunFolderError(f"{path} {error}", hint=_HINT) from error
    except UnicodeDecodeError as error:
        raise RunFolderError(f"{path} cannot be read: {error}", hint=_HINT) from error
    before = ""
    for number, each in enumerate(text.removesuffix("\n").split("\n"), 1):  # a name may hold what else ends a line
        try:
            value = parse_json(each)
            if not isinstance(value, dict):
                raise ValueError("is no object")
            stored = value.pop("sha256", None)
            if stored != sha256_json(value):
                raise ValueError("was edited or damaged: it does not match its sha256")
            line = PlanLine.from_json(value)
        except (ValueError, RunFolderError) as error:
            raise RunFolderError(f"{path} line {number} {error}", hint=_HINT) from error
        if line.previous != before:
            raise RunFolderError(f"{path} line {number} does not follow the line before: one was taken out or changed", hint=_HINT)
        before = stored
        yield line


def _in_artefacts(run: RunFolder) -> Iterator[AcceptancePlan]:
    """Plans of the run folder's artefacts, so that a history that was taken away comes back; what cannot be read is left out."""
    for path in sorted(run.export.glob(f"*/{ACCEPTANCE}")):
        try:
            yield AcceptancePlan.read(path)
        except RunFolderError:
            continue


def _text(line: PlanLine) -> str:
    return dump_json({**line.as_json(), "sha256": _hash(line)}, indent=None)


def _hash(line: PlanLine) -> str:
    return sha256_json(line.as_json())


def plan_of(folder: Path, manifest: Manifest) -> AcceptancePlan | None:
    """The plan in an artefact folder; None where there is none, or not the one that its manifest names."""
    if manifest.acceptance is None:
        return None
    try:
        plan = AcceptancePlan.read(folder / manifest.acceptance.path)
    except RunFolderError:
        return None
    return plan if plan.sha256 == manifest.acceptance.plan_sha256 else None


def history_checks(run: RunFolder, folder: Path, manifest: Manifest) -> list[Check]:
    """Whether the history of the run folder that an artefact lies in, ``run`` or another, knows its plan; nothing of others."""
    facts, run = manifest.acceptance, _run_around(folder) or run
    if facts is None or folder.resolve().parent != run.export.resolve():
        return []
    path = run.export / HISTORY
    name = f"{run.export.name}/{HISTORY}"
    if not path.exists():
        return [Check(name, "acceptance", "failed", "the history of plans is gone, which the artefact's plan stood in")]
    try:
        lines = list(read_history(path))
    except RunFolderError as error:
        return [Check(name, "acceptance", "failed", error.message)]
    if facts.line_sha256 not in map(_hash, lines):
        return [Check(name, "acceptance", "failed", "the artefact's plan is not in it")]
    plan = next(line.plan for line in lines if _hash(line) == facts.line_sha256)
    now = facts_of(lines, plan).num_plans
    since = f", {now - facts.num_plans} of them later" if now > facts.num_plans else ""
    others = f"; these images have {now} plans in all{since}" if now > 1 else ""
    return [Check(name, "acceptance", "passed", f"the history knows the plan{others}")]


def _run_around(folder: Path) -> RunFolder | None:
    """The run folder among whose exports an artefact lies; None where that is none."""
    inside = folder.resolve().parent
    run = RunFolder(inside.parent)
    return run if run.config.is_file() and run.export.resolve() == inside else None
