"""What a command's outcome looks like on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgenas.percents import numeral
from edgenas.records import (
    EQUAL_WORD,
    AcceptanceFacts,
    Check,
    DoctorResult,
    EvaluateResult,
    ExportedModel,
    ExportResult,
    InfoResult,
    InitResult,
    KitFacts,
    LookResult,
    Parity,
    PlanResult,
    ProbeRow,
    ProfileAnswer,
    TrainResult,
    VerifyResult,
)
from edgenas.report.bench import bench_lines
from edgenas.report.cells import interval, percent, table, verdict
from edgenas.report.compare import compare_view
from edgenas.report.decisions import always, metrics_tables, referral_lines, rule_of, scores_tables
from edgenas.report.demo import demo_view
from edgenas.report.fidelity import fidelity_view
from edgenas.report.looks import look_table, look_view
from edgenas.report.made import report_view
from edgenas.report.nets import (
    published_table,
    retrain_view,
    sites_table,
)
from edgenas.report.plan import plan_view, promises, sessions_table
from edgenas.report.precision import precision_lines
from edgenas.report.predict import predict_view, serve_view
from edgenas.report.recipes import recipes_view
from edgenas.report.running import run_view
from edgenas.report.search import search_view
from edgenas.report.settings import settings_view
from edgenas.report.spaces import count_view, spaces_view
from edgenas.report.tables import tables_view
from edgenas.runs import Outcome

MAX_CLASSES = 40  # listed one by one
NAMES = 14  # least columns of the names of files


def init_view(outcome: Outcome[InitResult]) -> Iterator[RenderableType]:
    """Images per class and split, and what they can prove."""
    result = outcome.result
    splits = table("class", *(f">{split}" for split in result.splits), title=f"{result.num_images:,} images of {result.data}")
    shown = [name for name in result.classes if len(result.classes) <= MAX_CLASSES or name == result.positive]
    for name in shown:
        mark = "  (positive)" if name == result.positive else ""
        splits.add_row(name + mark, *(f"{counts[name]:,}" for counts in result.splits.values()))
    if len(shown) < len(result.classes):
        counts = [sorted(counts.values()) for counts in result.splits.values()]
        splits.add_row(f"{len(result.classes)} classes", *(f"{column[0]:,} to {column[-1]:,}" for column in counts))
    yield splits
    for line in result.provable:
        yield Text(line)
    if result.num_problems:
        yield Text(f"{result.num_problems:,} odd thing(s) are listed in data/problems.csv")
    if result.look is not None:
        yield from look_table(result.look)


def doctor_view(outcome: Outcome[DoctorResult]) -> Iterator[RenderableType]:
    """Every runtime with what was tried."""
    runtimes = table("runtime", "works", "version", "on", "what was seen")
    for row in outcome.result.runtimes:
        runtimes.add_row(row.name, _works(row), row.version or "–", row.device or "–", _seen(row))
    yield runtimes
    formats = table("format", "can be written here", "what was seen")
    for row in outcome.result.formats:
        formats.add_row(row.name, _works(row), _seen(row))
    yield formats
    yield _done_here(outcome.result)


def _done_here(result: DoctorResult) -> Text:
    """In one line, what can be done here."""
    runtimes, formats = ([row.name for row in rows if row.works] for rows in (result.runtimes, result.formats))
    device = "the GPU" if "torch-cuda" in runtimes else "the CPU"
    measuring = [row.name for row in result.runtimes if row.works and row.measures is not False]
    parts = [f"train on {device}", f"measure with {_listed(measuring)}", f"export {_listed(formats)}"]
    broken = [row.name for row in (*result.runtimes, *result.formats) if not row.works]
    return Text(f"here you can {'; '.join(parts)}" + (f"; not {', '.join(broken)}" if broken else ""), style="bold")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"


def _works(row: ProbeRow) -> Text:
    return Text("yes", style="green") if row.works else Text("no", style="yellow")


def _seen(row: ProbeRow) -> Text:
    return Text(row.reason if row.works or not row.fix else f"{row.reason}\nwhat fixes it: {row.fix}")


def train_view(outcome: Outcome[TrainResult]) -> Iterator[RenderableType]:
    """Accuracy on the select split of the teacher and of three subnets."""
    rows = table("on select", ">top-1")
    teacher, supernet = outcome.result.teacher, outcome.result.supernet
    if teacher is not None:
        rows.add_row(f"teacher ({teacher.name})", interval(teacher.select_top1))
    for name, share in (supernet.select_top1 if supernet is not None else {}).items():
        rows.add_row(f"{name} subnet", interval(share))
    common = outcome.result.most_frequent
    if common is not None:
        rows.add_row(always(common), numeral(common.share.value), style="dim")
    yield rows
    for text in outcome.result.doubts:
        yield Text(text, style="bold yellow")


def profile_view(outcome: Outcome[ProfileAnswer | KitFacts]) -> Iterator[RenderableType]:
    """The table's context and how true its predictions are; of a kit, what is in it and what to do with it."""
    result = outcome.result
    if isinstance(result, KitFacts):
        yield from _kit_view(result)
        return
    context, validation = result.context.context, result.validation
    number = context.threads
    threads = f", {number} thread{'s' if number > 1 else ''}" if number else ""
    yield Text(
        f"{context.device}, {context.runtime} {context.runtime_version}, {context.precision}, "
        f"batch {context.batch_size}{threads}, scope {context.scope}"
    )
    rows = table("predicted against measured", ">value", title=f"{validation.num_subnets:,} random subnets that fitted nothing")
    rows.add_row("mean absolute error", percent(validation.mape))
    rows.add_row("noise floor (same nets measured twice)", percent(validation.noise_floor_mape))
    rows.add_row("within 5 %", percent(validation.within_5))
    rows.add_row("within 10 %", percent(validation.within_10))
    rows.add_row("95th percentile of the error", percent(validation.p95_error))
    tau = validation.kendall_tau
    rows.add_row("Kendall's tau", "–" if tau is None else f"{tau:.3f}")
    yield rows
    yield from promises(result.promises)
    if result.sessions is not None:
        yield from sessions_table(result.sessions)
        yield Text(f"{result.num_nets_timed:,} nets timed again in {result.seconds:.0f} s")
        return
    yield Text(f"{result.num_entries:,} entries from {result.num_nets_timed:,} nets in {result.seconds:.0f} s")


def _kit_view(kit: KitFacts) -> Iterator[RenderableType]:
    needs = "trtexec of TensorRT 10 or 11" if kit.runtime == "tensorrt" else "pip install onnxruntime numpy"
    yield Text(f"{kit.num_nets:,} nets, {kit.num_visits:,} visits, {kit.size_bytes / 2**20:.1f} MB")
    yield Text(f"on the device (Python 3.8 or later; {needs}):")
    yield Text(f"  unzip {kit.kit} -d kit && cd kit && python3 measure.py")
    yield Text("back here: edgenas profile --import results.json")


def plan_or_look(outcome: Outcome[PlanResult | LookResult]) -> Iterator[RenderableType]:
    """What limits leave of the space, or a look at all spaces."""
    result = outcome.result
    yield from look_view(Outcome(result)) if isinstance(result, LookResult) else plan_view(Outcome(result))


def evaluate_view(outcome: Outcome[EvaluateResult]) -> Iterator[RenderableType]:
    """Accuracy and sensitivity on one split, and the scores of every class."""
    result = outcome.result
    title = f"Split {result.split}, {result.metrics.n:,} images, {result.weights} weights"
    if result.scores is not None:
        yield from scores_tables(result.metrics, result.scores, title=title)
    else:
        yield from metrics_tables({result.weights: result.metrics}, title=f"{title}, 95 % intervals")
    yield from published_table(result.published or ())
    yield from sites_table(result.metrics)


def parity_table(files: Sequence[ExportedModel], *, title: str) -> Table:
    """One row a file: its verdict, and what its images showed here, itself or emulated."""
    shown_of = [p.emulated if p.emulated is not None and not p.gates else p for p in (each.parity for each in files)]
    positives = next((shown.num_positives for shown in shown_of if shown.num_positives is not None), None)
    others = None if positives is None else max(shown.num_images for shown in shown_of) - positives
    heads = [">missed", ">alarms"] if positives is None else [f">missed\nof {positives:,}", f">alarms\nof {others:,}"]
    rows = table("file", "parity", ">same\ndecision %", *heads, ">error", title=title, names=NAMES)
    for each, shown in zip(files, shown_of, strict=True):
        parity = each.parity
        missed, alarms, error = shown.new_false_negatives, shown.new_false_positives, shown.logits.max_abs
        cells = [
            interval(shown.decision.agreement),
            "–" if missed is None else str(missed),
            "–" if alarms is None else str(alarms),
            "–" if error is None else f"{error:.2g}",
        ]
        rows.add_row(each.file.path.rsplit("/", 1)[-1], verdict(parity.word), *cells)
    return rows


def export_view(outcome: Outcome[ExportResult]) -> Iterator[RenderableType]:
    """Files with their parity, artefact by artefact; what they took in turn, where they were timed."""
    result = outcome.result
    if result.only_timed:
        yield from bench_lines(result.bench)
        return
    for artefact in result.artifacts or (result,):
        yield from _artefact_lines(artefact, with_name=result.artifacts is not None)
    notes = "missed, alarms: positives that only the file misses, others that only it calls positive; error: of a logit"
    yield Text(notes, style="dim")
    if result.metrics is not None:
        yield Text(f"decided: {rule_of(result.metrics.metrics)}")
        choice = result.metrics.metrics.threshold_choice
        yield from [] if choice is None else [Text(f"threshold: {choice.words}", style="dim")]
        yield from referral_lines(result.metrics.metrics)
    doubts = result.metrics.metrics.doubts("the net on test") if result.metrics is not None else None
    if doubts is not None:
        yield Text(doubts, style="bold yellow")
    yield from bench_lines(result.bench)


def _artefact_lines(result: ExportResult, *, with_name: bool) -> Iterator[RenderableType]:
    """The files of one artefact with their parity."""
    parities = [each.parity for each in result.files]
    name = f" {result.artifact}" if with_name else ""
    yield Text.assemble(f"artefact{name}: ", verdict(result.word or result.verdict), f"  (weights: {result.weights})")
    num_images = max(parity.num_images or (parity.emulated or parity).num_images for parity in parities)
    yield parity_table(result.files, title=f"Each of the {num_images:,} test images through the source and through the file")
    emulated = [each for each in result.files if each.parity.emulated is not None]
    if emulated:
        what = "engines" if all(each.file.kind == "engine" for each in emulated) else "files that cannot run here"
        verdicts = sorted({each.parity.emulated.verdict for each in emulated if each.parity.emulated is not None})
        yield Text(f"{what}: numbers of their emulation on this CPU, {', '.join(verdicts)}")
    yield from precision_lines(result.files)
    equal = (parity.equality.words for parity in parities if parity.word == EQUAL_WORD and parity.equality is not None)
    for words in dict.fromkeys(equal):
        yield Text(f"{EQUAL_WORD}: {words}")
    yield from _evidence_lines(parities)
    yield from _plan_lines(result.acceptance)
    for reason in dict.fromkeys(parity.reason for parity in parities if parity.reason):
        yield Text(f"why: {reason}")
    if result.repair is not None and result.repair.verdict == "repaired":
        yield Text(f"repaired: {result.repair.words}")
    rewritten = {
        str(each.file.notes.get("rewrites")): each.file.notes.get("rewrites_proof", 0.0)
        for each in result.files
        if "rewrites" in each.file.notes
    }
    for counts, difference in rewritten.items():
        yield Text(f"graph rewritten: {counts}; outputs equal to {float(difference):.1g}", style="dim")


def _evidence_lines(parities: Sequence[Parity]) -> Iterator[RenderableType]:
    """What conversions that changed numbers may do to unseen images, and where in the net numbers part."""
    shown = [parity.emulated if parity.emulated is not None and not parity.gates else parity for parity in parities]
    changed = [parity for parity in shown if parity.word != EQUAL_WORD]
    unseen = [parity.unseen.words("images") for parity in changed if parity.unseen is not None]
    unseen += [parity.unseen_positives.words("positives") for parity in changed if parity.unseen_positives is not None]
    for words in dict.fromkeys(unseen):
        yield Text(f"unseen: {words}", style="dim")
    for words in dict.fromkeys(parity.blocks.words for parity in changed if parity.blocks is not None):
        yield Text(f"blocks: {words}", style="dim")


def _plan_lines(facts: AcceptanceFacts | None) -> Iterator[RenderableType]:
    """By which plan the files were judged."""
    if facts is not None:
        yield Text(f"plan {facts.plan_sha256[:8]}: {facts.words}", style="bold yellow" if facts.was_changed else "dim")


def verify_view(outcome: Outcome[VerifyResult]) -> Iterator[RenderableType]:
    """Every check of an artefact folder, and why those that did not pass did not."""
    rows = table("file", "sha256", "precision", "golden", "parity", names=NAMES)
    by_file: dict[str, dict[str, Check]] = {}
    for check in outcome.result.checks:
        if check.name == "acceptance" and check.verdict == "passed":
            continue
        by_file.setdefault(check.path, {})[check.name] = check
    for path, checks in by_file.items():
        if set(checks) == {"signature"}:
            continue
        cells = [
            verdict(checks[name].verdict) if name in checks else Text("–") for name in ("sha256", "precision", "golden", "parity")
        ]
        rows.add_row(path, *cells)
    yield rows
    if outcome.result.exported is not None:
        yield Text.assemble("as exported: ", verdict(outcome.result.exported))
    for check in outcome.result.checks:
        if check.name == "signature" and check.verdict == "passed":
            yield Text(f"signature: {check.reason}")
    for words in dict.fromkeys(c.reason for c in outcome.result.checks if c.name == "precision" and c.verdict == "passed"):
        yield Text(f"precision: {words}", style="dim")
    for words in dict.fromkeys(c.reason for c in outcome.result.checks if c.parity is not None and c.verdict == "passed"):
        yield Text(f"parity: {words}")
    for check in outcome.result.checks:
        if check.name == "acceptance" and check.verdict == "passed":
            yield Text(f"{check.path}: {check.reason}", style="dim")
        if check.verdict != "passed":
            yield Text(f"{check.path}: {check.name} {check.verdict.replace('_', ' ')}: {check.reason}", style="yellow")


def info_view(outcome: Outcome[InfoResult]) -> Iterator[RenderableType]:
    """Stages of the run folder, versions, settings."""
    result = outcome.result
    rows = table("stage", "state", "made", "next", title=result.run)
    for stage in result.stages:
        rows.add_row(stage.name, stage.state, stage.made or "–", stage.command)
    yield rows
    for name, word in (result.exports or {}).items():
        yield Text.assemble(f"export {name}: ", verdict(word))
    for text in result.doubts or ():
        yield Text(text, style="bold yellow")
    loader = result.loader
    if loader is not None:
        how = "from memory" if loader.cached else "decoded each time"
        how += f", {loader.workers} processes" if loader.workers else ""
        yield Text(f"training images: {loader.images_per_second:,.0f} a second, loaded alone ({how})")
    yield Text("  ".join(f"{name} {version}" for name, version in result.versions.items()), style="dim")


VIEWS: dict[str, Callable[[Outcome[Any]], Iterator[RenderableType]]] = {
    "init": init_view,
    "doctor": doctor_view,
    "spaces": spaces_view,
    "count": count_view,
    "recipes": recipes_view,
    "train": train_view,
    "profile": profile_view,
    "tables": tables_view,
    "plan": plan_or_look,
    "search": search_view,
    "retrain": retrain_view,
    "compare": compare_view,
    "fidelity": fidelity_view,
    "evaluate": evaluate_view,
    "export": export_view,
    "verify": verify_view,
    "report": report_view,
    "predict": predict_view,
    "serve": serve_view,
    "info": info_view,
    "demo": demo_view,
    "run": run_view,
    "settings": settings_view,
}
