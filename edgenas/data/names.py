"""Names of classes, patients and sites: how they are spelled, which look alike, and which say that a value is missing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

# as programs write what they have no value for, in lower case
_MISSING = frozenset({"", "nan", "-nan", "none", "null", "na", "n/a", "#n/a", "#na", "<na>", "nat", "nil", "1.#qnan", "-1.#ind"})
_NUMBER = re.compile(r"([+-]?)0*([0-9]*)(?:\.([0-9]*?)0*)?")
_POWER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)e[+-]?[0-9]{1,2}")
# Letters and signs that are drawn as those of ASCII, in lower case; of two of one script no two become one.
_DRAWN_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u043a\u043c\u0442\u043d\u0432"  # Cyrillic
    "\u03bf\u03b1\u03c1\u03b9\u03b5\u03ba\u03c4\u03c7\u03b2"  # Greek
    "\u2010\u2011\u2012\u2013\u2014\u2212\u2018\u2019\u02bc",
    "aeopcyxijskmthboapiektxb" + "-" * 6 + "'" * 3,
)
_TRUTHS = {"true": "1", "false": "0"}  # which programs write beside each other in one column
_FLOAT = re.compile(r"([0-9]+)\.0+")


def tidy(name: str) -> str:
    """A name as it is kept: composed (Unicode's NFC), without spaces and invisible characters at its ends."""
    composed = unicodedata.normalize("NFC", name)
    start, end = 0, len(composed)
    while start < end and _is_unseen(composed[start]):
        start += 1
    while end > start and _is_unseen(composed[end - 1]):
        end -= 1
    return composed[start:end]


def _is_unseen(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) == "Cf"


def look(name: str) -> str:
    """What names that look alike have in common: compatible forms, case, spaces and invisible characters do not count.

    Coarser than Unicode's NFKC, case folding and stripping one after another. Cyrillic and Greek letters count as the Latin ones
    that they are drawn as, dashes as hyphens. Numbers are taken by their value, so that 1, 1.0, 01 and 1e0 look alike, and True.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).casefold()
    seen = unicodedata.normalize("NFKC", "".join(char for char in folded if unicodedata.category(char) != "Cf"))
    text = " ".join(seen.split()).translate(_DRAWN_ALIKE)
    text = _TRUTHS.get(text, text)
    if _POWER.fullmatch(text) is not None:
        text = f"{Decimal(text):f}"
    number = _NUMBER.fullmatch(text)
    if number is None or not any(char in "0123456789" for char in text):
        return text
    sign, whole, fraction = number.group(1), number.group(2) or "0", number.group(3) or ""
    minus = "-" if sign == "-" and (whole, fraction) != ("0", "") else ""
    return f"{minus}{whole}.{fraction}" if fraction else f"{minus}{whole}"


def is_missing(name: str) -> bool:
    """Whether a cell holds nothing, or a word that programs write for nothing, as ``nan`` and ``NULL``."""
    return tidy(name).lower() in _MISSING


def whole_number(name: str) -> str | None:
    """``1`` of ``1.0``: what a program that keeps numbers as floats was given; None for anything else."""
    number = _FLOAT.fullmatch(name)
    return number.group(1) if number is not None else None


@dataclass(frozen=True, slots=True)
class Spelling:
    """Names that look alike.

    Attributes:
        names: as they are spelled, in order of first sight.
        one: what all of them are called, where that is sure; None where they may be different things.
    """

    names: tuple[str, ...]
    one: str | None


def spellings(names: Iterable[str]) -> list[Spelling]:
    """Every name once, together with those that look like it.

    What only differs in Unicode form or in spaces around it is one name; so are ``1`` and ``1.0``, since programs that keep numbers
    as floats write so. Whatever else looks alike (case, ``01`` and ``1``, full-width letters) may be meant to differ.
    """
    alike: dict[str, dict[str, None]] = {}
    for name in names:
        alike.setdefault(look(name), {})[name] = None
    return [Spelling(tuple(group), _one_of(group)) for group in alike.values()]


def _one_of(names: Iterable[str]) -> str | None:
    kept = list(dict.fromkeys(tidy(name) for name in names))
    whole = {number if (number := whole_number(name)) is not None else name for name in kept}
    if len(kept) == 1:
        return kept[0]
    return whole.pop() if len(whole) == 1 else None


def one_spelling(names: Sequence[str]) -> tuple[list[str], list[Spelling]]:
    """The first spelling of every name for all that look like it, and what was spelled in several ways.

    For patients and sites: taking two for one costs nothing but freedom to divide, taking one for two leaks.
    """
    groups = spellings(names)
    first = {name: tidy(group.names[0]) for group in groups for name in group.names}
    return [first[name] for name in names], [group for group in groups if len(group.names) > 1]
