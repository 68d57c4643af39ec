"""What ``--with`` names: rivals by kind, as they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from edgenas.errors import UsageError
from edgenas.project.trainings.outsiders import ONNX, RUN
from edgenas.runs.outside import MAX_MODEL_BYTES, MAX_WEIGHTS_BYTES, OutsideError, require_regular
from edgenas.training.earlier import is_run
from edgenas.training.timm_nets import STRIDES, cached_weights, nearest_names

AUTO, HAND, CNN, TIMM = "auto", "hand", "cnn", "timm:"
WORDS = (AUTO, HAND, CNN)
CACHED = "cached"  # in the place of a file: what timm has fetched earlier
FORMS = "auto, hand, cnn, timm:NAME[@SIDE[/STRIDE]][=FILE], a run folder, onnx:FILE"
_TIMM = re.compile(r"timm:(?P<name>[^@=/]+)(@(?P<side>\d+)(/(?P<stride>\d+))?)?(=(?P<file>.+))?")


@dataclass(frozen=True, slots=True)
class Asked:
    """One rival that was asked for.

    Attributes:
        kind: ``auto``, ``hand``, ``cnn``, ``timm``, ``run`` or ``onnx``.
        text: as it was written.
        name: of timm's model.
        file: of its weights, the ONNX file, or the run folder.
        image_px: side that timm's net is to read; None takes the images'.
        stem_stride: that timm's net is to have; None leaves it to the settings.
    """

    kind: str
    text: str
    name: str = ""
    file: Path | None = None
    image_px: int | None = None
    stem_stride: int | None = None


def parse_rivals(texts: Sequence[str]) -> tuple[Asked, ...]:
    """Rivals from ``--with``, several in one text apart by commas; each once.

    Raises:
        UsageError: listing everything that is wrong, with the nearest spelling.
    """
    items = [item.strip() for text in texts for item in text.split(",") if item.strip()]
    problems: list[str] = []
    asked = []
    for item in dict.fromkeys(items):
        found = _parsed(item, problems)
        asked += [found] if found is not None else []
    if problems:
        hint = f"rivals are written {FORMS}"
        raise UsageError(problems[0] if len(problems) == 1 else "rivals cannot be", problems=problems[1:] and problems, hint=hint)
    if not asked:
        raise UsageError("no rival is named", hint=f"rivals are written {FORMS}")
    return tuple(asked)


def _parsed(item: str, problems: list[str]) -> Asked | None:
    if item in WORDS:
        return Asked(item, item)
    if item.startswith(TIMM):
        return _timm(item, problems)
    if item.startswith(ONNX):
        path = Path(item.removeprefix(ONNX))
        _require_file(path, MAX_MODEL_BYTES, problems)
        return Asked("onnx", item, file=path)
    path = Path(item.removeprefix(RUN))
    if is_run(path):
        return Asked("run", item, file=path)
    problems.append(f"{item!r} is no rival and no run folder{_near(item)}")
    return None


def _timm(item: str, problems: list[str]) -> Asked | None:
    found = _TIMM.fullmatch(item)
    if found is None:
        problems.append(f"{item!r} is not written timm:NAME, timm:NAME@SIDE or timm:NAME@SIDE/STRIDE, with =FILE for weights")
        return None
    problems += _wrong(item, found)
    side, stride, file = found["side"], found["stride"], _file(found, problems)
    return Asked(
        "timm",
        item,
        found["name"],
        file,
        int(side) if side is not None else None,
        int(stride) if stride is not None else None,
    )


def _wrong(item: str, found: re.Match[str]) -> Iterator[str]:
    import timm

    if not timm.is_model(found["name"]):
        near = nearest_names(found["name"])
        yield f"timm has no model {found['name']!r}" + (f"; similar are {', '.join(near)}" if near else "")
    if found["side"] is not None and not 16 <= int(found["side"]) <= 4096:
        yield f"{item}: a side of {found['side']} px; allowed is 16 to 4096"
    if found["stride"] is not None and int(found["stride"]) not in STRIDES:
        yield f"{item}: a stem of stride {found['stride']}; allowed is {', '.join(map(str, STRIDES))}"


def _file(found: re.Match[str], problems: list[str]) -> Path | None:
    """The file of weights; None without one."""
    text = found["file"]
    if text is None:
        return None
    path = cached_weights(found["name"]) if text == CACHED else Path(text)
    if path is None:
        problems.append(f"timm has fetched no weights of {found['name']} here")
    else:
        _require_file(path, MAX_WEIGHTS_BYTES, problems)
    return path


def _require_file(path: Path, max_bytes: int, problems: list[str]) -> None:
    try:
        require_regular(path, max_bytes)
    except OutsideError as error:
        problems.append(f"{path} {error}")


def _near(item: str) -> str:
    """The word or model of timm that may be meant."""
    near = get_close_matches(item, WORDS, n=1) or [f"{TIMM}{name}" for name in nearest_names(item, 1)]
    return f"; did you mean {near[0]!r}?" if near else ""
