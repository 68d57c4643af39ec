"""The README of an artefact folder, for whoever deploys the model and has never seen edgenas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgenas.deploy._elsewhere import beside, elsewhere, packages
from edgenas.deploy._quality import facts_table, intended_use, quality
from edgenas.escaping import markdown, markdown_code
from edgenas.percents import percent
from edgenas.records import LatencyFacts, Manifest, ModelFile, Parity, PreprocessFacts, RangeReport, Repair

_PRECISION_NOTES = ("precision_share", "precision_proof", "precision_rest", "rebuild_words")
_STATUS = {
    "accepted": "Every file passed every gate.",
    "rejected": "**Do not deploy this: a gate failed.** The reasons stand in `REJECTED`.",
    "unproven": "Not every gate is decided here; the table says which file and why.",
}


def readme(manifest: Manifest, parities: Sequence[Parity], ranges: RangeReport | None = None, extras: Sequence[str] = ()) -> str:
    """Markdown from a manifest, its files' parity in order, how far values reach in a reduced precision, what else is there."""
    written = f" on {manifest.created_on}" if manifest.created_on is not None else ""
    sections = [
        f"# Image classifier, {len(manifest.classes)} classes",
        f"Written by {manifest.created_by}{written}. {_STATUS[manifest.status]}",
        _quick(manifest),
        "## What is known of it",
        facts_table(manifest),
        "## Intended use",
        intended_use(manifest),
        "## Try it",
        f"```\npip install {packages(manifest.files)} numpy pillow\npython example.py IMAGE_OR_FOLDER...\n"
        "python example.py --benchmark\n```",
        f"Each line holds path, class and probability, separated by tabs{_marked(manifest)}; `--benchmark` times the model on the "
        "machine at hand, and `--help` says the rest.",
        "## Files",
        _table(manifest.files, parities),
        _notes(manifest.files),
        _precision(manifest.files),
        _reduced(manifest.repair, ranges),
        _graphs(manifest.files),
        beside(manifest, extras),
        "## Input",
        _input(manifest),
        "## Output",
        _output(manifest),
        _judged(manifest, parities),
        _latency(manifest.latency),
        elsewhere(manifest),
        "## Check it",
        "`edgenas verify .` compares every file with its SHA-256 in `manifest.json`, checks the precision and runs "
        f"`{manifest.golden.path}`: generated `images` and the `logits` they must give, to within "
        f"{_tolerances(manifest)} of the largest logit. They are noise, not images of the data set.{_repeat(manifest)}",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _quick(manifest: Manifest) -> str:
    """That the net was made to show the path; nothing where it was not."""
    if not manifest.quick:
        return ""
    return f"**Not for a decision: {', '.join(manifest.quick)} took a few steps only (`--quick`).**"


def _table(files: Sequence[ModelFile], parities: Sequence[Parity]) -> str:
    rows = ["| file | runtime | precision | batch | GPU | parity |", "|---|---|---|---|---|---|"]
    for file, parity in zip(files, parities, strict=True):
        batch = "any" if file.batch_size is None else str(file.batch_size)
        verdict = getattr(parity, "word", parity.verdict) + (f": {parity.reason}" if parity.reason else "")
        if parity.emulated is not None:
            verdict += f" (emulated: {parity.emulated.verdict})"
        targets = ", ".join(file.targets) or "–"
        names = " with ".join(map(markdown_code, (file.path, *(part.path for part in file.parts or ()))))
        cells = (names, *map(markdown, (file.runtime, file.precision, batch, targets, verdict)))
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _notes(files: Sequence[ModelFile]) -> str:
    names = sorted({file.emulation.path for file in files if file.emulation is not None})
    if not names:
        return ""
    listed = ", ".join(markdown_code(name) for name in names)
    return (
        f"{listed}: the same net as ONNX in float32, rounded wherever the file it stands for computes in half precision. "
        "It checks what cannot run on a machine without that GPU; do not deploy it."
    )


def _reduced(repair: Repair | None, ranges: RangeReport | None) -> str:
    """What the reduced precision does to the net, where that was looked at."""
    words = []
    if repair is not None and repair.verdict != "not_needed":
        words.append(markdown(f"{repair.words}."))
    reaching = ranges.reduced if ranges is not None else ()
    if ranges is not None and reaching:
        flushed = max(each.flushed for each in reaching)
        words.append(
            markdown(
                f"Of what {ranges.precision} holds, {reaching[0].words} ({ranges.limit:.6g}) on {ranges.num_images:,} images of "
                f"{ranges.split}; at most {percent(flushed)} of a tensor's values are too small for it."
            )
            + " `ranges.json` lists every tensor."
        )
    return " ".join(words)


def _integers(notes: Mapping[str, object]) -> str:
    """Which products of an int8 file are integers, on which images it was fitted, which layers stay float, what logits got."""
    adjustment = notes.get("logit_adjustment")
    notes = {key: markdown(str(value)) for key, value in notes.items()}
    words = f"{notes['int8_layers']} of {notes.get('int8_layers_possible', '?')} products in int8"
    if "calibration" in notes:
        words += f", ranges by {notes['calibration']}"
    if "int8_left_out" in notes:
        words += f"; stay float for what they change alone: {notes['int8_left_out']}"
    if isinstance(adjustment, float):
        words += f"; the logit of the class that must not be missed is raised by {adjustment:.3g} against their rounding"
    return words


def _precision(files: Sequence[ModelFile]) -> str:
    """What files of a reduced precision compute in, by which proof, and how far several builds of an engine differ."""
    lines = []
    for file in files:
        notes = {key: markdown(str(file.notes[key])) for key in _PRECISION_NOTES if key in file.notes}
        if "precision_share" in notes:
            proof = f", by the {notes['precision_proof']}" if "precision_proof" in notes else ""
            rest = f"; in another precision: {notes['precision_rest']}" if "precision_rest" in notes else ""
            lines.append(f"- {markdown_code(file.path)}: {notes['precision_share']}{proof}{rest}")
        if "int8_layers" in file.notes:
            lines.append(f"- {markdown_code(file.path)}: {_integers(file.notes)}")
        if "rebuild_words" in notes:
            lines.append(f"- {markdown_code(file.path)}: {notes['rebuild_words']}")
    return "What they compute in:\n\n" + "\n".join(lines) if lines else ""


def _graphs(files: Sequence[ModelFile]) -> str:
    """How files were rewritten, and how equal their answers stayed."""
    rewritten = [(markdown_code(file.path), file.notes) for file in files if file.notes.get("rewrites")]
    if not rewritten:
        return ""
    listed = "; ".join(f"{path}: {notes['rewrites']}" for path, notes in rewritten)
    worst = max(float(notes["rewrites_proof"]) for _, notes in rewritten)
    return (
        f"Graphs were rewritten so that they run faster and compute the same ({listed}): their outputs differ from those of the "
        f"traced graph by {worst:.1g} of the largest at most, on noise."
    )


def _input(manifest: Manifest) -> str:
    how = manifest.pixels
    target = f"floor({how.image_px} / {how.crop_pct}) px"
    if how.resize_mode == "crop":
        resize = f"resize the shorter side to {target} and the longer one in proportion, rounded down"
    elif how.resize_mode == "letterbox":
        resize = (
            f"resize the longer side to {target} and the shorter one in proportion, rounded down, and lay it in the middle of a "
            f"{'black' if how.background is None else how.background} square of {target}"
        )
    else:
        resize = f"resize to a square of {target}"
    sides = " × ".join(str(size) for size in manifest.input.shape[1:])
    return (
        f"`{manifest.input.name}`: float32, NCHW, {sides} an image. Apply the EXIF orientation, {_tones(how)}convert to 8-bit "
        f"{how.channels}, {resize} ({how.resize}, antialiased, as "
        f"Pillow does), crop the middle {how.image_px} × {how.image_px} px, divide by 255, subtract the mean "
        f"{list(how.mean)}, divide by the standard deviation {list(how.std)}. `example.py` does exactly this."
    )


def _tones(how: PreprocessFacts) -> str:
    """What is done with grey values of more than 8 bits and with transparent pixels, where that is settled."""
    words = ""
    if how.grey_range is not None:
        low, high = how.grey_range
        words += f"scale grey values of more than 8 bits so that {low:g} becomes 0 and {high:g} 255 (clipped, halves go up), "
    return words if how.background is None else f"{words}lay transparent pixels on {how.background}, "


def _output(manifest: Manifest) -> str:
    text = (
        f"`{manifest.output.name}`: float32, one number a class, in the order "
        f"{', '.join(map(markdown_code, manifest.classes))}. Softmax gives probabilities. "
    )
    if manifest.positive is None or manifest.threshold is None:
        return text + "Decide the most probable class."
    return text + (
        f"Decide {markdown_code(manifest.positive)} if its probability is at least {manifest.threshold:.6g}, "
        f"else the most probable of the others.{_refer(manifest)}"
    )


def _marked(manifest: Manifest) -> str:
    return "" if manifest.refer is None else "; a fourth column, `refer`, marks the images for a person"


def _refer(manifest: Manifest) -> str:
    """Which images are for a person, where any are."""
    if manifest.refer is None or manifest.positive is None:
        return ""
    low, high = manifest.refer
    return f" Let a person decide where the probability of {markdown_code(manifest.positive)} is from {low:.6g} to {high:.6g}."


def _latency(latency: LatencyFacts | None) -> str:
    """What was measured, with the number of calls that it rests on; nothing where nothing was."""
    if latency is None or latency.latency_ms_measured is None:
        return ""
    table = latency.table
    where = "" if table is None else markdown(f" on {table.device}, {table.runtime} {table.precision}")
    percentiles = [percentile.words(name) for name, percentile in (latency.percentiles or {}).items()]
    calls = f": {'; '.join(percentiles)}" if percentiles else ""
    return f"## Latency\n\nThe median call took {latency.latency_ms_measured:.3g} ms{where}{calls}."


def _judged(manifest: Manifest, parities: Sequence[Parity]) -> str:
    said = quality(manifest, parities)
    return f"## What was judged, and what not\n\n{said}" if said else ""


def _repeat(manifest: Manifest) -> str:
    """How parity is repeated, where the source's answers are there."""
    if manifest.answers is None:
        return ""
    return (
        f" With `--data SOURCE` it repeats parity on those images that `{manifest.answers.path}` knows by their SHA-256, "
        "against what the source answered to them."
    )


def _tolerances(manifest: Manifest) -> str:
    return ", ".join(f"{limit:g} ({name})" for name, limit in manifest.golden.max_error.items())
