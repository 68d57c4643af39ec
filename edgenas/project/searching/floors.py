"""Floors on sensitivities: whether they can be shown at all, how they judge a net of a search, and what is said of them.

Without a confidence a floor is held against the share that the argmax finds on select. With one the positive class is decided as it
will be when the net is deployed, from a threshold on that is chosen for every net on calibrate, and the lower end of the share's
interval on select must reach the floor. On confirm the share itself must reach it: that split shows only that select was no luck.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edgenas.data.images import Images
from edgenas.errors import ConfigError, InfeasibleError
from edgenas.project.opening import SET_POSITIVE
from edgenas.project.settings import SearchSettings
from edgenas.records import CandidateRow, FloorRow, Nearest, SearchResult
from edgenas.runs import Note
from edgenas.search import Candidate, Evaluator, SensitivityFloor
from edgenas.search.finalists import Finalist
from edgenas.spaces import Genes
from edgenas.stats import decide, pick_threshold, trials_to_prove, wilson


def require_floors(settings: SearchSettings, images: Images) -> None:
    """Refuse floors of classes that are none, and those that the images of select cannot show whatever a net does.

    Raises:
        ConfigError: if a sensitivity is asked for without a positive class, or of no class of the data.
        InfeasibleError: naming how many images are needed.
    """
    if settings.floors and images.positive is None:
        raise ConfigError("a sensitivity is asked for, but no positive class is set", hint=SET_POSITIVE)
    unknown = [name for name in settings.floors if name not in images.class_names]
    if unknown:
        raise ConfigError(
            f"a sensitivity is asked for of no class of the data: {', '.join(unknown)}",
            hint=f"classes are: {', '.join(images.class_names)}",
        )
    labels_N = images.labels("select")
    num = {name: int((labels_N == images.class_names.index(name)).sum()) for name in settings.floors}
    needed = {name: num_needed(floor, settings.confidence) for name, floor in settings.floors.items()}
    short = {name: more for name, more in needed.items() if more is None or num[name] < more}
    if not short:
        return
    sure = "" if settings.confidence is None else f" with confidence {settings.confidence:g}"
    problems = [
        f"sensitivity[{name}] >= {settings.floors[name]:g}{sure} cannot be shown on the {num[name]} images of {name} in select: "
        + ("no number of them shows 1" if more is None else f"{more} without a miss are needed")
        for name, more in short.items()
    ]
    raise InfeasibleError(
        problems[0] if len(problems) == 1 else "floors cannot be shown on select, whatever a net does",
        problems=problems[1:] and problems,
        hint="put more images into select (data.select, data.select_per_class), or lower the floor or its confidence",
        result={
            "limits": {f"sensitivity[{name}]": floor for name, floor in settings.floors.items()},
            "needed": {f"sensitivity[{name}]": {"images": num[name], "needed": more} for name, more in short.items()},
        },
    )


def idle_notes(settings: SearchSettings) -> Iterator[Note]:
    """What was asked for of floors, or of a latency's promise, that there are none of."""
    if settings.floors:
        return
    if settings.strict_sensitivity:
        yield Note(
            "strict_sensitivity changes nothing: no sensitivity has a floor (--min-sensitivity CLASS=SHARE)", is_warning=True
        )
    if settings.confidence is not None and not settings.latency_limits:
        yield Note("confidence changes nothing: neither a latency nor a sensitivity is limited", is_warning=True)


def num_needed(floor: float, confidence: float | None) -> int | None:
    """How many images of a class without a miss show its floor; None where no number does."""
    if confidence is None:
        return 1
    return trials_to_prove(floor, confidence=confidence) if floor < 1 else None


def floors_asked(settings: SearchSettings, images: Images) -> tuple[SensitivityFloor, ...]:
    """The floors, the positive class decided by the argmax as yet (`with_thresholds`)."""
    return tuple(
        SensitivityFloor(name, images.class_names.index(name), floor, positive=None, threshold=None, confidence=settings.confidence)
        for name, floor in settings.floors.items()
    )


def are_thresholds_needed(floors: tuple[SensitivityFloor, ...], positive: int | None) -> bool:
    """Whether a floor judges nets by thresholds of their own."""
    return any(floor.confidence is not None and floor.class_index == positive for floor in floors)


def with_thresholds(
    floors: tuple[SensitivityFloor, ...], positive: int | None, calibrate: Evaluator, images: Images
) -> tuple[SensitivityFloor, ...]:
    """The floors, that of the positive class deciding from thresholds on that are chosen on calibrate.

    Args:
        floors: from `floors_asked`.
        positive: index of the class that must not be missed.
        calibrate: predicts on that split.
        images: whose labels they are.
    """
    labels_N = images.labels("calibrate")

    def one(floor: SensitivityFloor) -> SensitivityFloor:
        if floor.confidence is None or floor.class_index != positive:
            return floor
        thresholds = partial(_threshold, floor, calibrate, labels_N == positive)
        return replace(floor, positive=positive, thresholds=thresholds)

    return tuple(one(floor) for floor in floors)


def _threshold(floor: SensitivityFloor, calibrate: Evaluator, is_positive_N: NDArray[np.bool_], row_G: Genes) -> float:
    p_NC = calibrate(np.asarray(row_G, dtype=np.int16)[None], np.arange(len(is_positive_N)))[0]
    return pick_threshold(p_NC[:, floor.class_index], is_positive_N, min_sensitivity=floor.floor, confidence=floor.confidence)


def floor_confidence(floors: Sequence[SensitivityFloor]) -> float | None:
    """What all of them are held to; None where the shares themselves are."""
    return next((floor.confidence for floor in floors), None)


def nearest_floors(floors: Sequence[SensitivityFloor], finalists: Sequence[Finalist]) -> dict[str, Nearest]:
    """What the finalists come nearest to of each floor that one of them misses: the share, or the lower end of its interval."""
    nearest = {}
    for floor in floors:
        rows = [finalist.row for finalist in finalists if floor.name in finalist.row.rejected_by]
        if rows:
            best = max(rows, key=lambda row: _reached(row, floor))
            nearest[floor.name] = Nearest(asked=floor.floor, achievable=_reached(best, floor), arch=best.arch)
    return nearest


def _reached(row: CandidateRow, floor: SensitivityFloor) -> float:
    """What is held against the floor on select; 0 of no images."""
    judged = (row.floors or {}).get(floor.name)
    value = judged.sensitivity.low if judged is not None else row.sensitivity[floor.class_name].value
    return 0.0 if math.isnan(value) else value


def told_low(floors: Sequence[SensitivityFloor], result: SearchResult) -> Iterator[Note]:
    """That the winner misses floors, since every finalist does."""
    missed = result.winner.rejected_by if result.winner is not None else ()
    low = [str(floor) for floor in floors if floor.name in missed]
    if low:
        text = f"no finalist meets {', '.join(low)}: the nearest is taken, which retrain and export hold to it"
        yield Note(f"{text} (--strict-sensitivity makes this a failure)", is_warning=True, in_view=True)


def floor_rows(
    candidate: Candidate, floors: Sequence[SensitivityFloor], labels_N: NDArray[np.int64]
) -> Mapping[str, FloorRow] | None:
    """What floors with a confidence have judged of a net that has seen all images; None where there are none."""
    if candidate.images_M is not None:
        return None
    rows = {}
    for floor in floors:
        if floor.confidence is None:
            continue
        own = floor.of_net(np.array(candidate.genes, dtype=np.int16))
        mine_N = labels_N == own.class_index
        found_N = decide(candidate.probabilities_NC[mine_N], own.positive, own.threshold) == own.class_index
        share = wilson(int(found_N.sum()), int(mine_N.sum()), confidence=floor.confidence)
        rows[floor.name] = FloorRow(floor=floor.floor, confidence=floor.confidence, threshold=own.threshold, sensitivity=share)
    return rows or None
