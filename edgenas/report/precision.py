"""What files compute in, by the notes of their exporters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from edgenas.records import ExportedModel


def precision_lines(files: Sequence[ExportedModel]) -> Iterator[Text]:
    """Shares of the work by precision, what stayed in another one and why, and how far several builds of an engine differ.

    Files with the same notes share a line.
    """
    shares: dict[str, None] = {}
    builds: dict[str, None] = {}
    for each in files:
        notes = each.file.notes
        if "precision_share" in notes:
            proof = f" (proof: {notes['precision_proof']})" if "precision_proof" in notes else ""
            rest = f"; not: {notes['precision_rest']}" if "precision_rest" in notes else ""
            shares[f"precision: {notes['precision_share']}{proof}{rest}"] = None
        if "rebuild_words" in notes:
            builds[f"{each.file.path.rsplit('/', 1)[-1]}: {notes['rebuild_words']}"] = None
    yield from (Text(words) for words in (*shares, *builds))
