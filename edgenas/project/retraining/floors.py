"""The search's floors on sensitivities, held to nets that are trained to the end as they are to finalists that are proven."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from edgenas.data.images import decode
from edgenas.project.retraining.ways import Bench, Try
from edgenas.runs import Record
from edgenas.training.evaluation import predict
from edgenas.training.ranks import current


def held_to_floors(bench: Bench, tries: Sequence[Try]) -> Generator[Record, None, list[Try]]:
    """The trainings with the floors of the bench that each misses on confirm; that split is read only where there are any."""
    judged = []
    for each in tries:
        missed: tuple[str, ...] = ()
        if bench.floors:
            yield from decode(each.net.images, "confirm")
            images_NCHW, labels_N = each.net.images.arrays("confirm")
            p_NC = predict(each.load(bench.project.space).to(bench.device), images_NCHW)
            low = tuple(floor.name for floor in bench.floors if floor.violation(p_NC[None], labels_N)[0] > 0)
            missed = current().first(low)  # all ranks choose alike
        judged.append(replace(each, low_floors=missed))
    return judged


def floor_words(tries: Sequence[Try]) -> Iterator[str]:
    """That trainings of hand-made nets to the end miss floors, if some do."""
    low = [each for each in tries if each.low_floors]
    if not low:
        return
    names = ", ".join(dict.fromkeys(name for each in low for name in each.low_floors))
    text = f"{len(low)} of {len(tries)} trainings of hand-made nets miss {names} on confirm"
    yield f"{text} and rank behind those that do not" if len(low) < len(tries) else f"{text}: none of them meets what was asked for"
