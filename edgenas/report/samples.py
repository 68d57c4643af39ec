"""Some images of every class, as their files show them above what nets read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgenas.records import SamplePair, SamplePicture
from edgenas.runs import atomic_path

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

_CELL_PX = 150  # side of an image
_GAP_PX, _LINE_PX, _LEFT_PX = 8, 16, 110
_HEAD_PX = 3 * _LINE_PX
_LONGEST = 24  # characters of a name
_INK, _PAPER, _RIM = (20, 20, 20), (255, 255, 255), (120, 120, 120)


def samples_plot(shown: SamplePicture, paths: Sequence[Path]) -> None:
    """Draw two rows a class: every image as its file shows it, and below it as nets read it.

    Drawn by Pillow: a page of a hundred plots would take as long as reading the images.

    Args:
        shown: images before and after preprocessing.
        paths: files to write; the suffix chooses the format.
    """
    import matplotlib as mpl
    from PIL import Image, ImageDraw, ImageFont

    classes: dict[str, list[SamplePair]] = {}
    for pair in shown.pairs:
        classes.setdefault(pair.class_name, []).append(pair)
    columns = max(len(pairs) for pairs in classes.values())
    width = max(640, _LEFT_PX + columns * (_CELL_PX + _GAP_PX))
    sheet = Image.new("RGB", (width, _HEAD_PX + len(classes) * _block_px()), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.font = ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", 11)
    more = f" ({shown.num_more} more classes are not shown)" if shown.num_more else ""
    _write(pen, (_GAP_PX, 4), f"{plain(shown.title, 80, from_end=True)}{more}")
    _write(pen, (_GAP_PX, 4 + _LINE_PX), f"above: the file; below: what a net reads ({shown.how})")
    for row, (name, pairs) in enumerate(classes.items()):
        top = _HEAD_PX + row * _block_px()
        _write(pen, (_GAP_PX, top + _LINE_PX), plain(name, 14))
        for column, pair in enumerate(pairs):
            left = _LEFT_PX + column * (_CELL_PX + _GAP_PX)
            _write(pen, (left, top), plain(pair.words, _LONGEST))
            for line, pixels_HW3 in enumerate((pair.before_HW3, pair.after_HW3)):
                image = Image.fromarray(pixels_HW3)
                scale = _CELL_PX / max(image.size)
                image = image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.NEAREST)
                place = (left, top + _LINE_PX + line * (_CELL_PX + _GAP_PX))
                sheet.paste(image, place)
                pen.rectangle((*place, place[0] + image.width - 1, place[1] + image.height - 1), outline=_RIM)
            _write(pen, (left, top + _block_px() - _LINE_PX - _GAP_PX), plain(pair.image, _LONGEST, from_end=True))
    for path in paths:
        with atomic_path(path) as temporary:
            sheet.save(temporary, format=path.suffix.lstrip("."))


def _block_px() -> int:
    """Height of a class."""
    return 2 * (_CELL_PX + _GAP_PX) + 2 * _LINE_PX + _GAP_PX


def _write(pen: ImageDraw, place: tuple[int, int], text: str) -> None:
    pen.text(place, text, fill=_INK)


def plain(text: str, longest: int, *, from_end: bool = False) -> str:
    """Text as it is drawn: what cannot be printed is shown by its code, and long texts are cut."""
    readable = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    if len(readable) <= longest:
        return readable
    return f"…{readable[-longest:]}" if from_end else f"{readable[:longest]}…"
