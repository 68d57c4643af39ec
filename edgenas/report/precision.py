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
        share, by, left, rebuilt = map(
            each.file.notes.get, ("precision_share", "precision_proof", "precision_rest", "rebuild_words")
        )
        if share is not None:
            proof = f" (proof: {by})" if by is not None else ""
            rest = f"; not: {left}" if left is not None else ""
            shares[f"precision: {share}{proof}{rest}"] = None
        if rebuilt is not None:
            builds[f"{each.file.path.rsplit('/', 1)[-1]}: {rebuilt}"] = None
    yield from (Text(words) for words in (*shares, *builds))
