"""What values the images of a data set hold, and by which one rule for all of them they become 8 bits.

Shapes: H and W rows and columns, N images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgenas.data.preprocess import BACKGROUNDS, SHOWN, Background, has_alpha, is_wide, wide_values
from edgenas.data.problems import Problem
from edgenas.errors import DataError
from edgenas.percents import percent

Alpha = Literal["auto", "drop", "white", "grey", "black"]
GreyRange = Literal["auto", "full"] | tuple[float, ...]

RARE = 0.001  # share of an image's pixels at either end that do not decide a range: burnt-in marks, dead pixels
RARE_IMAGES = 0.01  # share of the images that do not, either
BIT_DEPTHS = (8, 10, 12, 14, 16)
DARK = 1 / 8  # of the range: where a typical image's bright pixels stay below, it is nearly black


@dataclass(frozen=True, slots=True)
class Tones:
    """What one image holds.

    Attributes:
        wide: grey values or colours of more than 8 bits.
        is_integer: whole numbers alone.
        lowest, highest: finite value of all, of an 8-bit image of any channel.
        low, high: values that all but a share of `RARE` of the pixels lie between; of 8-bit images as lowest and highest.
        shown: the file says itself how its values are shown.
        shown_span: share of the 256 levels that all but a share of `RARE` of the pixels then lie within; 1 where it does not.
        num_missing: values that are no finite numbers.
        alpha_light: brightness of what transparent pixels leave to see, 0 to 255, of a wide image one of its values; None for an
            opaque image.
        alpha_carries: whether the colours are all the same, so that alpha alone draws something.
        is_colour: colours, not grey values, of more than 8 bits.
    """

    wide: bool
    is_integer: bool
    lowest: float
    highest: float
    low: float
    high: float
    shown: bool = False
    shown_span: float = 1.0
    num_missing: int = 0
    alpha_light: float | None = None
    alpha_carries: bool = False
    is_colour: bool = False


def tones_of(image: Image.Image) -> Tones:
    """Look at an image as it was decoded."""
    if not is_wide(image):
        plain = image.convert("RGB") if image.mode in ("P", "PA", "CMYK", "YCbCr", "HSV", "LAB", "1") else image
        bands = plain.getextrema()
        several = isinstance(bands[0], tuple)
        pairs = list(cast(Sequence[tuple[float, float]], bands if several else (bands,)))[
            : 3 if plain.mode.startswith("RGB") else 1
        ]
        lowest, highest = float(min(low for low, _ in pairs)), float(max(high for _, high in pairs))
        light, carries = _alpha_of(image)
        return Tones(False, True, lowest, highest, lowest, highest, alpha_light=light, alpha_carries=carries)
    values = wide_values(image)
    flat_N = values.reshape(-1)
    finite_N = flat_N[np.isfinite(flat_N)]
    if not len(finite_N):
        raise DataError("none of its grey values is a finite number")
    low, high = np.quantile(finite_N, [RARE, 1 - RARE], method="nearest")
    light, carries = _alpha_of(image, values) if "A" in image.getbands() else (None, False)
    return Tones(
        wide=True,
        is_integer=values.dtype.kind in "iu" or bool((finite_N == np.floor(finite_N)).all()),
        lowest=float(finite_N.min()),
        highest=float(finite_N.max()),
        low=float(low),
        high=float(high),
        shown=SHOWN in image.info,
        shown_span=_span(np.asarray(image.info[SHOWN])) if SHOWN in image.info else 1.0,
        num_missing=len(flat_N) - len(finite_N),
        alpha_light=light,
        alpha_carries=carries,
        is_colour=values.ndim == 3,
    )


def _span(levels_HW: NDArray[np.uint8]) -> float:
    low, high = np.quantile(levels_HW, [RARE, 1 - RARE], method="nearest")
    return float(int(high) - int(low)) / 255


def _alpha_of(image: Image.Image, values: NDArray[Any] | None = None) -> tuple[float | None, bool]:
    """Brightness of what is to be seen, and whether only alpha draws; None where everything is opaque.

    Args:
        image: as it was decoded.
        values: its colours, shape (H, W, C), or grey (H, W), where they have more than 8 bits; the brightness is one of these.
    """
    if not has_alpha(image):
        return None, False
    rgba_HW4 = np.asarray(image.convert("RGBA"))
    alpha_HW = rgba_HW4[..., 3].astype(np.float64)
    if alpha_HW.min() == 255:
        return None, False
    if values is None:
        values = rgba_HW4[..., :3]
        grey_HW = np.asarray(Image.fromarray(values.copy()).convert("L"), dtype=np.float64)
    else:
        grey_HW = values.mean(axis=2) if values.ndim == 3 else values.astype(np.float64)
    total = alpha_HW.sum()
    light = float((grey_HW * alpha_HW).sum() / total) if total else float(grey_HW.mean())
    seen = values[alpha_HW > 0]
    return light, bool(alpha_HW.min() < alpha_HW.max() and (seen == seen[:1]).all())


@dataclass(frozen=True, slots=True)
class Conversion:
    """How the values of all images of a data set become 8 bits.

    Attributes:
        grey_range, background: as `edgenas.data.preprocess.to_rgb` takes them.
        notes: what was seen and decided, a line each.
        warnings: what looks wrong all the same.
        problems: of single images.
    """

    grey_range: tuple[float, float] | None = None
    background: Background | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = field(default=())


def decide(tones: Mapping[str, Tones], grey_range: GreyRange = "auto", alpha: Alpha = "auto") -> Conversion:
    """One rule for all images.

    Args:
        tones: of every image that is used, by its id.
        grey_range: ``full`` (of 16 bits), the values that become black and white, or ``auto``: of whole numbers from 0 on the
            fewest of `BIT_DEPTHS` bits that hold them, of floats between 0 and 1 just these, of others their own range; where
            every such file says itself how it is shown, what it says, unless that leaves a typical image less than `DARK` of
            the levels.
        alpha: what transparent pixels are laid on; ``drop`` ignores alpha, ``auto`` takes what the drawings stand out against.
    """
    wide = {name: each for name, each in tones.items() if each.wide}
    chosen, notes = _grey_range(wide, grey_range)
    background, more = _background([each for each in tones.values() if each.alpha_light is not None], alpha, chosen)
    notes += more
    warnings = _warnings(tones, wide, chosen, background)
    return Conversion(chosen, background, tuple(notes), tuple(warnings), tuple(_problems(tones, background)))


def _grey_range(wide: Mapping[str, Tones], asked: GreyRange) -> tuple[tuple[float, float] | None, list[str]]:
    if not wide:
        return (asked[0], asked[1]) if isinstance(asked, tuple) else None, []
    lowest, highest = min(each.lowest for each in wide.values()), max(each.highest for each in wide.values())
    kind = "whole" if all(each.is_integer for each in wide.values()) else "real"
    seen = f"{len(wide):,} image(s) have {kind} {_what(wide.values())} of more than 8 bits, from {lowest:g} to {highest:g}"
    if isinstance(asked, tuple):
        return (asked[0], asked[1]), [f"{seen}; data.grey_range shows {asked[0]:g} as black and {asked[1]:g} as white"]
    own = sum(each.shown for each in wide.values())
    if asked == "full":
        by_file = f" ({own:,} by the window in their headers)" if own else ""
        return None, [f"{seen}; data.grey_range full shows 0 as black and 65535 as white{by_file}"]
    levels = float(np.median([each.shown_span for each in wide.values()]))
    if own == len(wide) and levels >= DARK:
        return None, [f"{seen}; each is shown by the window in its header (data.grey_range sets one range for all)"]
    low, high = _own_range(list(wide.values()), kind == "whole")
    also = f"; {own:,} have a window in their header, which is not used, as the others have none" if own else ""
    if own == len(wide):
        also = f"; the windows in their headers are not used, as they leave {percent(levels)} of the levels to a typical image"
    words = f"{seen}; the value range {low:g} to {high:g} is shown from black to white (data.grey_range sets another){also}"
    return (low, high), [words]


def _what(wide: Iterable[Tones]) -> str:
    kinds = {each.is_colour for each in wide}
    return "grey values and colours" if len(kinds) == 2 else "colours" if True in kinds else "grey values"


def _own_range(wide: Sequence[Tones], is_whole: bool) -> tuple[float, float]:
    low = float(np.quantile([each.low for each in wide], RARE_IMAGES, method="lower"))
    high = float(np.quantile([each.high for each in wide], 1 - RARE_IMAGES, method="higher"))
    if high <= low:  # drawings so small that they are rare
        low, high = min(each.lowest for each in wide), max(each.highest for each in wide)
    if is_whole and low >= 0:
        top = next((2**bits - 1 for bits in BIT_DEPTHS if high < 2**bits), None)
        if top is not None and (low < top / 4 or high <= low):  # one value alone says nothing of a range
            return 0.0, float(top)
    if not is_whole and low >= 0 and high <= 1 and high - low > DARK:
        return 0.0, 1.0
    return (low, high) if high > low else (low, low + 1)


def _background(
    transparent: Sequence[Tones], asked: Alpha, chosen: tuple[float, float] | None
) -> tuple[Background | None, list[str]]:
    if asked == "drop" or (asked == "auto" and not transparent):
        return None, [f"{len(transparent):,} image(s) have transparent pixels; data.alpha drop ignores that"] if transparent else []
    if asked != "auto":
        return asked, [
            f"{len(transparent):,} image(s) have transparent pixels, laid on {asked} (data.alpha)"
        ] if transparent else []
    low, high = (0.0, 65535.0) if chosen is None else chosen
    lights_N = np.array([each.alpha_light for each in transparent], dtype=np.float64)
    wide_N = np.array([each.wide for each in transparent], dtype=bool)
    lights_N[wide_N] = 255 * (np.clip(lights_N[wide_N], low, high) - low) / (high - low)
    contrast = {name: float(np.abs(lights_N - value).min()) for name, value in BACKGROUNDS.items()}
    best = max(BACKGROUNDS, key=lambda name: contrast[name])  # of equals the first: white
    drawn = sum(each.alpha_carries for each in transparent)
    by_alpha = f" ({drawn:,} of them one colour that alpha alone draws with)" if drawn else ""
    words = f"{len(transparent):,} image(s) have transparent pixels{by_alpha}, laid on {best} (data.alpha sets another ground)"
    return cast(Background, best), [words]


def _warnings(
    tones: Mapping[str, Tones], wide: Mapping[str, Tones], chosen: tuple[float, float] | None, background: Background | None
) -> list[str]:
    lines = []
    ranged = [each for each in wide.values() if (chosen is not None or not each.shown) and not each.alpha_carries]
    if ranged:
        floats = any(not each.is_integer for each in ranged)
        low, high = chosen if chosen is not None else (0.0, 255.0 if floats else 65535.0)
        lines += _dark(
            [(each.high - low) / (high - low) for each in ranged], f"wide {_what(ranged)}", "data.grey_range = [low, high]"
        )
        lines += _outside(ranged, low, high)
    flat = sum(each.shown_span == 0 for each in wide.values()) if chosen is None else 0
    if flat:
        lines.append(f"{flat:,} image(s) are one grey in the window of their header: nothing is left to see (data.grey_range)")
    plain = [each for each in tones.values() if not each.wide and each.alpha_light is None]
    if plain:
        how = "they may hold fewer bits, or values of more bits that were cut to 8: scale them before `edgenas init`"
        lines += _dark([each.highest / 255 for each in plain], "8 bits", how)
    if background is None:
        drawn = sum(each.alpha_carries for each in tones.values())
        if drawn:
            lines.append(f"{drawn:,} image(s) are one colour without their alpha: nothing is left to see (data.alpha is drop)")
    missing = sum(each.num_missing > 0 for each in tones.values())
    if missing:
        lines.append(f"{missing:,} image(s) hold values that are no finite numbers; NaN and -inf become black, inf white")
    return lines


def _dark(brightest: Sequence[float], what: str, how: str) -> list[str]:
    """A line where a typical image's brightest pixels, as shares of the range, leave it nearly black."""
    typical = float(np.median(brightest))
    if typical >= DARK:
        return []
    return [f"{len(brightest):,} image(s) of {what} are nearly black: the brightest pixels reach {percent(typical)} ({how})"]


def _outside(wide: Sequence[Tones], low: float, high: float) -> list[str]:
    """A line where many images lie mostly on one side of the range."""
    lost = sum(each.high <= low or each.low >= high for each in wide)
    return [f"{lost:,} image(s) lie wholly outside the value range {low:g} to {high:g}: nothing is left to see"] if lost else []


def _problems(tones: Mapping[str, Tones], background: Background | None) -> list[Problem]:
    rows = []
    usual = Counter(each.wide for each in tones.values())
    for name, each in tones.items():
        if each.num_missing:
            rows.append(Problem(name, f"{each.num_missing:,} value(s) are no finite numbers", "NaN and -inf black, inf white"))
        if each.alpha_carries:
            done = f"laid on {background}" if background is not None else "alpha dropped"
            rows.append(Problem(name, "one colour that alpha alone draws with", done))
        if each.highest == each.lowest and each.alpha_light is None:
            rows.append(Problem(name, f"all of its values are {each.lowest:g}", "used as it is"))
        if len(usual) == 2 and (usual[each.wide], not each.wide) < (usual[not each.wide], each.wide):  # of as many the wide
            kind = f"{_what([each])} of more than 8 bits" if each.wide else "values of 8 bits"
            rows.append(Problem(name, f"{kind} among images of another depth", "used as it is"))
    return rows
