"""Whether an artefact folder was judged by the plan that was sealed before test was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgenas.deploy.gates import Gates
from edgenas.deploy.recorded import read_answers
from edgenas.errors import ArtefactError, RunFolderError
from edgenas.records import AcceptancePlan, Check, FileParity, Manifest, ParityFile
from edgenas.runs import read_json, sha256_json

ACCEPTANCE = "acceptance.json"
_NO_LIMIT = "none"


def images_sha256(hashes_N: Sequence[str]) -> str:
    """A hash of many contents' SHA-256, in order."""
    return sha256_json(list(hashes_N))


def changes_between(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    """What two plans' terms differ in, a few words each, e.g. ``min_agreement 0.9 instead of 0.99``."""
    names = dict.fromkeys((*before, *after))
    return tuple(
        f"{name} {_shown(after.get(name))} instead of {_shown(before.get(name))}"
        for name in names
        if before.get(name) != after.get(name)
    )


def _shown(value: object) -> str:
    if value is None:
        return _NO_LIMIT
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def check_acceptance(folder: Path, manifest: Manifest) -> list[Check]:
    """A check of the plan against manifest, gates and images; none for folders of before there were plans."""
    facts = manifest.acceptance
    if facts is None:
        return []
    try:
        plan = AcceptancePlan.read(folder / facts.path, hint="edgenas export makes it again")
        problems = list(_contradictions(folder, manifest, plan))
    except (RunFolderError, ArtefactError) as error:
        return [Check(facts.path, "acceptance", "failed", error.message)]
    if problems:
        return [Check(facts.path, "acceptance", "failed", "; ".join(problems))]
    return [Check(facts.path, "acceptance", "passed", facts.words)]


def _contradictions(folder: Path, manifest: Manifest, plan: AcceptancePlan) -> Iterator[str]:
    """What is other in the folder than the plan says."""
    facts = manifest.acceptance
    if facts is None or plan.sha256 != facts.plan_sha256:
        yield "it is not the plan that was sealed: the manifest knows another hash"
        return
    try:
        Gates.from_limits(plan.gates, plan.floor_confidence)
    except ValueError as error:
        yield f"nothing can be held to its gates: {error}"
    gates = changes_between(plan.gates, manifest.gates or {})
    if gates:
        yield f"the manifest's gates are not those of the plan: {', '.join(gates)}"
    listed = ParityFile.from_json(read_json(folder / "parity.json")).files
    if [each.path for each in listed] != [each.path for each in manifest.files]:
        yield "parity.json is of other files than the manifest's"
    judged = _judged_by(listed, plan)
    if judged:
        yield f"the files were judged by other limits than the plan's: {', '.join(judged)}"
    rule = manifest.decision
    if rule != plan.decision or (manifest.positive, manifest.threshold) != (plan.decision.positive, plan.decision.threshold):
        yield "the manifest's decision rule is not the plan's"
    if manifest.weights.sha256 != plan.weights_sha256:
        yield "the weights are not those that the plan is for"
    if manifest.answers is not None:
        answers = read_answers(folder, manifest.answers, len(manifest.classes))
        if images_sha256(answers.hashes_N) != plan.images.sha256:
            yield f"{manifest.answers.path} holds answers to other images than the plan's"


def _judged_by(listed: Sequence[FileParity], plan: AcceptancePlan) -> list[str]:
    """Limits in ``parity.json`` that are other than the plan's."""
    parities = [shown for file in listed for shown in (file.parity, file.parity.emulated) if shown is not None]
    limits = {(gate.name, gate.limit) for parity in parities for gate in parity.gates if gate.name in plan.gates}
    return sorted(f"{name} {limit:g}, planned {plan.gates[name]:g}" for name, limit in limits if limit != plan.gates[name])
