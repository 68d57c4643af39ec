"""What a manifest says that cannot be, or that it contradicts itself in, though every type is right and its hash fits.

A hash shows that nobody changed the text by mistake. Whoever changes it on purpose makes the hash anew; what is left to judge is
whether the figures can be figures of one net on one set of images.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TypeGuard, get_args

from edgenas.deploy._example import FILTERS, GROUND
from edgenas.errors import RunFolderError
from edgenas.records import (
    EQUAL_WORD,
    Check,
    DecisionRule,
    LatencyFacts,
    Manifest,
    Metrics,
    ParityFile,
    Proportion,
    SiteMetrics,
    Verdict,
)
from edgenas.runs import read_json

MAX_COUNT = 10**15  # of anything: images, parameters, multiply-accumulates
MAX_MS = 1e9  # of a call; eleven days
MAX_TEXT = 4096  # characters of a name
MAX_TARGET_PX = 16_384  # side of the square that images are resized to before its middle is cut out
MEANS, DEVIATIONS = (-1e6, 1e6), (1e-6, 1e6)  # of values that are about 0 to 1
PARITY = "parity.json"
ORDER = ("failed", "undecided", "not_run", "passed")  # of verdicts, the worst first
STATUS = {"failed": "rejected", "passed": "accepted"}  # by verdict; of the others it is unproven
_SLACK = 1e-9  # of rounding
_SHA256 = re.compile(r"([0-9a-f]{64})?")


def implausible(manifest: Manifest) -> Iterator[str]:
    """A line for each thing that no export says."""
    yield from _verdict(manifest)
    yield from _tensors(manifest)
    yield from _preprocessing(manifest.preprocessing, manifest.input.shape)
    yield from _decision(manifest)
    yield from _metrics("metrics", manifest.metrics.metrics, manifest.classes)
    yield from _latency(manifest.latency)
    counts = {"architecture.params": manifest.architecture.params, "architecture.macs": manifest.architecture.macs}
    counts |= {f"data.splits.{name}": count for name, count in manifest.data.splits.items()}
    counts["golden.seed"] = manifest.golden.seed
    if manifest.answers is not None:
        counts["answers.num_images"] = manifest.answers.num_images
        if manifest.answers.path not in {file.path for file in manifest.support_files}:
            yield f"answers.path {manifest.answers.path!r:.80} is not among support_files"
    if manifest.acceptance is not None:
        plan = manifest.acceptance
        counts |= {f"acceptance.{name}": getattr(plan, name) for name in ("number", "num_plans", "num_nets")}
    for name, count in counts.items():
        if not 0 <= count <= MAX_COUNT:
            yield f"{name} is {count!r:.40}, expected 0 to {MAX_COUNT:.0e}"
    for name, limit in (manifest.gates or {}).items():
        if not 0 <= limit <= MAX_COUNT:
            yield f"gates.{name:.40} is {limit!r:.40}, expected a share or a count"
    yield from _texts(manifest)


def _verdict(manifest: Manifest) -> Iterator[str]:
    verdict, words = manifest.verdict, get_args(Verdict)
    if verdict not in words:
        yield f"verdict is {verdict!r:.40}, expected {' or '.join(words)}"
        return
    expected = STATUS.get(verdict, "unproven")
    if manifest.status != expected:
        yield f"status is {manifest.status}, where the verdict {verdict} makes it {expected}"
    if manifest.word not in (None, verdict) and not (manifest.word == EQUAL_WORD and verdict == "passed"):
        yield f"word is {manifest.word!r:.40}, where the verdict is {verdict}"


def _tensors(manifest: Manifest) -> Iterator[str]:
    given, answer = manifest.input, manifest.output
    if (given.dtype, given.layout, answer.dtype) != ("float32", "NCHW", "float32"):
        yield f"input and output are {given.dtype!r:.20} {given.layout!r:.20} and {answer.dtype!r:.20}, expected float32, NCHW"
    if given.shape[:1] not in ((), (None,)):
        yield f"input.shape begins with {given.shape[0]!r:.40}, expected null"
    if answer.shape != (None, len(manifest.classes)):
        yield f"output.shape is {list(answer.shape)!r:.60}, expected [null, {len(manifest.classes)}]"


def _preprocessing(how: Mapping[str, object], shape: Sequence[int | None]) -> Iterator[str]:
    def wrong(name: str) -> str:
        return f"preprocessing.{name} is {how.get(name)!r:.40}"

    if how.get("image_px") not in shape[2:] or isinstance(how.get("image_px"), bool):
        yield f"{wrong('image_px')}, the input's shape {list(shape)!r:.60}"
    for name, (least, most) in (("mean", MEANS), ("std", DEVIATIONS)):
        values = how.get(name)
        if (
            not isinstance(values, list)
            or len(values) != 3
            or not all(_is_number(each) and least <= each <= most for each in values)
        ):
            yield f"{wrong(name)}, expected three numbers from {least:g} to {most:g}"
    share = how.get("crop_pct")
    sides = [size or 0 for size in shape[2:]]
    if not (_is_number(share) and 0 < share <= 1 and max(sides, default=0) <= MAX_TARGET_PX * share):
        yield f"{wrong('crop_pct')}, expected a share that leaves a square of at most {MAX_TARGET_PX} px"
    choices = {"resize": tuple(FILTERS), "resize_mode": ("squash", "crop", "letterbox"), "channels": ("RGB",)}
    for name, allowed in (choices | ({"background": tuple(GROUND)} if how.get("background") is not None else {})).items():
        if not isinstance(how.get(name), str) or how[name] not in allowed:
            yield f"{wrong(name)}, expected {' or '.join(allowed)}"
    ends = how.get("grey_range")
    if ends is not None and not (isinstance(ends, list) and len(ends) == 2 and all(map(_is_number, ends)) and ends[0] < ends[1]):
        yield f"{wrong('grey_range')}, expected two numbers, the lower one first"


def _decision(manifest: Manifest) -> Iterator[str]:
    rule = manifest.decision
    if manifest.threshold is not None and manifest.positive is None:
        yield "there is a threshold and no positive class"
    if rule is None:
        return
    own = DecisionRule(rule="argmax" if manifest.threshold is None else "threshold", threshold=manifest.threshold)
    if (rule.rule, rule.threshold, rule.positive) != (own.rule, own.threshold, manifest.positive):
        yield "decision is not the rule of positive and threshold"
    if rule.choice is not None:
        for name, value in (
            ("threshold", rule.choice.threshold),
            ("floor", rule.choice.floor),
            ("confidence", rule.choice.confidence),
        ):
            if value is not None and not 0 <= value <= 1:
                yield f"decision.choice.{name} is {value!r:.40}, expected a share in [0, 1]"
        for name, share in (("sensitivity", rule.choice.sensitivity), ("false_alarms", rule.choice.false_alarms)):
            yield from _share(f"decision.choice.{name}", share)


def _metrics(owner: str, metrics: Metrics | SiteMetrics, classes: Sequence[str]) -> Iterator[str]:
    if not 0 <= metrics.n <= MAX_COUNT:
        yield f"{owner}.n is {metrics.n!r:.40}"
        return
    for name, share in (("top1", metrics.top1), ("top1_decision", metrics.top1_decision)):
        yield from _share(f"{owner}.{name}", share)
        if share.n != metrics.n:
            yield f"{owner}.{name} is of {share.n!r:.40} images, where there are {metrics.n}"
    for name, share in metrics.sensitivity.items():
        yield from _share(f"{owner}.sensitivity.{name:.40}", share)
        if name not in classes:
            yield f"{owner}.sensitivity.{name:.40} is of no class"
    if sum(share.n for share in metrics.sensitivity.values()) > metrics.n:
        yield f"{owner}.sensitivity is of more images than the {metrics.n} that there are"
    if metrics.most_frequent is not None:
        yield from _share(f"{owner}.most_frequent", metrics.most_frequent.share)
    if isinstance(metrics, SiteMetrics):
        return
    for name, site in (metrics.sites or {}).items():
        yield from _metrics(f"{owner}.sites.{name:.40}", site, classes)
    yield from _table(owner, metrics, len(classes))
    for label, value in (("balanced_accuracy", metrics.balanced_accuracy), ("threshold", metrics.threshold)):
        if value is not None and not 0 <= value <= 1:
            yield f"{owner}.{label} is {value!r:.40}, expected a share in [0, 1]"
    if metrics.positive is not None and metrics.positive not in classes:
        yield f"{owner}.positive {metrics.positive!r:.40} is not among the classes"
    if metrics.confusion_matrix and tuple(metrics.sensitivity) == tuple(classes):
        yield from _sums(owner, metrics)


def _table(owner: str, metrics: Metrics, num_classes: int) -> Iterator[str]:
    """The confusion matrix: a row and a column a class, of as many images as there are."""
    rows = metrics.confusion_matrix
    if not rows:
        return
    if len(rows) != num_classes or any(len(row) != num_classes for row in rows):
        yield f"{owner}.confusion_matrix has not {num_classes} rows and columns"
    elif any(count < 0 for row in rows for count in row) or sum(map(sum, rows)) != metrics.n:
        yield f"{owner}.confusion_matrix counts {sum(map(sum, rows))!r:.40} images, where there are {metrics.n}"


def _sums(owner: str, metrics: Metrics) -> Iterator[str]:
    """Shares that are not what the confusion matrix counts."""
    rows = metrics.confusion_matrix
    if any(len(row) != len(rows) for row in rows):
        return  # which was said
    right = {"top1_decision": (metrics.top1_decision, sum(row[place] for place, row in enumerate(rows)), metrics.n)}
    right |= {
        f"sensitivity.{name:.40}": (share, row[place], sum(row))
        for place, (row, (name, share)) in enumerate(zip(rows, metrics.sensitivity.items(), strict=False))
    }
    for name, (share, count, num) in right.items():
        if share.n != num or (num and abs(share.value - count / num) > _SLACK):
            yield f"{owner}.{name} is {share.value!r:.20} of {share.n!r:.20}, the confusion matrix counts {count} of {num}"


def _share(name: str, share: Proportion) -> Iterator[str]:
    if share.n == 0 and math.isnan(share.value):
        return
    if (
        not 1 <= share.n <= MAX_COUNT
        or not -_SLACK <= share.low <= share.value + _SLACK <= share.high + 2 * _SLACK <= 1 + 3 * _SLACK
    ):
        words = f"{share.value!r:.20} [{share.low!r:.20}, {share.high!r:.20}] of {share.n!r:.20}"
        yield f"{name} is {words}, expected a share within its interval within [0, 1]"
    elif abs(share.value * share.n - round(share.value * share.n)) > 1e-6 * (1 + share.n * _SLACK):
        yield f"{name} is {share.value!r:.20}, which is no share of {share.n} images"


def _latency(latency: LatencyFacts | None) -> Iterator[str]:
    if latency is None:
        return
    for name in ("latency_ms_predicted", "latency_ms_upper", "latency_ms_measured"):
        value = getattr(latency, name)
        if value is not None and not 0 < value <= MAX_MS:
            yield f"latency.{name} is {value!r:.40}, expected milliseconds above 0"


def _texts(manifest: Manifest) -> Iterator[str]:
    hashes = {"weights.sha256": manifest.weights.sha256, "data.fingerprint": manifest.data.fingerprint}
    hashes |= {f"{file.path}: sha256": file.sha256 for file in manifest.files}
    hashes |= {f"{file.path}: sha256": file.sha256 for file in manifest.support_files}
    for name, value in hashes.items():
        if _SHA256.fullmatch(value) is None:
            yield f"{name} is {value!r:.40}, expected a SHA-256"
    texts = [manifest.created_by, manifest.architecture.space, manifest.weights.origin, manifest.data.source, *manifest.classes]
    texts += [manifest.input.name, manifest.output.name, manifest.metrics.split, *(file.runtime for file in manifest.files)]
    if any(len(text) > MAX_TEXT for text in texts):
        yield f"a name has more than {MAX_TEXT:,} characters"
    if manifest.created_on is not None and not _is_day(manifest.created_on):
        yield f"created_on is {manifest.created_on!r:.40}, expected a day as 2026-11-29"


def check_parity_file(folder: Path, manifest: Manifest) -> list[Check]:
    """A failed check where `parity.json` says something else than the manifest, or than its own gates; none where it agrees."""
    if PARITY not in {file.path for file in manifest.support_files}:
        return []
    try:
        said = ParityFile.from_json(read_json(folder / PARITY))
    except RunFolderError as error:
        why = "; ".join(error.problems) or error.message
        return [Check(PARITY, "parity", "failed", f"it cannot be read: {' '.join(why.split())[:200]}")]
    problems = list(_parity_problems(said, manifest))
    return [Check(PARITY, "parity", "failed", "; ".join(problems))] if problems else []


def _parity_problems(said: ParityFile, manifest: Manifest) -> Iterator[str]:
    if [each.path for each in said.files] != [file.path for file in manifest.files]:
        yield "it is of other files than the manifest's"
    verdicts = [each.parity.verdict for each in said.files]
    worst = next((verdict for verdict in ORDER if verdict in verdicts), None)
    if not said.verdict == worst == manifest.verdict:
        yield f"the manifest's verdict is {manifest.verdict}, of {PARITY} {said.verdict!r:.20}, of its worst file {worst}"
    for each in said.files:
        missed = [gate.name for gate in each.parity.gates if gate.verdict in ("failed", "undecided")]
        if each.parity.verdict == "passed" and missed:
            yield f"{each.path:.80} passed, and its gates {', '.join(missed)[:200]} did not"


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
