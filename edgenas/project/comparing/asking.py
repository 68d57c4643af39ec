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
        rival = _parsed(item, problems)
        asked += [rival] if rival is not None else []
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
    match = _TIMM.fullmatch(item)
    if match is None:
        problems.append(f"{item!r} is not written timm:NAME, timm:NAME@SIDE or timm:NAME@SIDE/STRIDE, with =FILE for weights")
        return None
    written = _Written.of(*match.group("name", "side", "stride", "file"))
    problems += _wrong(item, written)
    return Asked("timm", item, written.name, _file(written, problems), written.side, written.stride)


@dataclass(frozen=True, slots=True)
class _Written:
    """``timm:NAME@SIDE/STRIDE=FILE`` in its parts; None for what is left out."""

    name: str
    side: int | None
    stride: int | None
    file: str | None

    @classmethod
    def of(cls, name: str, side: str | None, stride: str | None, file: str | None) -> _Written:
        return cls(name, None if side is None else int(side), None if stride is None else int(stride), file)


def _wrong(item: str, written: _Written) -> Iterator[str]:
    import timm

    if not timm.is_model(written.name):
        near = nearest_names(written.name)
        yield f"timm has no model {written.name!r}" + (f"; similar are {', '.join(near)}" if near else "")
    if written.side is not None and not 16 <= written.side <= 4096:
        yield f"{item}: a side of {written.side} px; allowed is 16 to 4096"
    if written.stride is not None and written.stride not in STRIDES:
        yield f"{item}: a stem of stride {written.stride}; allowed is {', '.join(map(str, STRIDES))}"


def _file(written: _Written, problems: list[str]) -> Path | None:
    """The file of weights; None without one."""
    if written.file is None:
        return None
    path = cached_weights(written.name) if written.file == CACHED else Path(written.file)
    if path is None:
        problems.append(f"timm has fetched no weights of {written.name} here")
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
