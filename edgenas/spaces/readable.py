"""The readable form of an architecture: names such as ``blocks[0].num_heads`` as places in nested lists and objects."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

MAX_SHOWN = 80  # characters of a wrong value in a message


def brief(value: Any) -> str:
    """A value for a message; what a file holds may be long."""
    text = value if isinstance(value, str) else reprlib.repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


@cache  # names are those of choices, and a row after another has them
def tokens_of(name: str) -> tuple[str | int, ...]:
    """The keys and indices that a name is made of, e.g. ``blocks``, 0 and ``num_heads``."""
    return tuple(int(token) if token.isdigit() else token for token in re.findall(r"[^.\[\]]+", name))


def put_at(tree: Any, tokens: Sequence[str | int], value: Any) -> None:
    """Put a value at a place, making the lists and objects on the way."""
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        fresh: Any = value if following is None else ([] if isinstance(following, int) else {})
        if isinstance(token, int):
            while len(tree) <= token:
                tree.append(None)
            if tree[token] is None:
                tree[token] = fresh
            tree = tree[token]
        else:
            tree = tree.setdefault(token, fresh)


def value_at(tree: Any, tokens: Sequence[str | int]) -> Any:
    """What is at a place; None where there is none."""
    for token in tokens:
        try:
            tree = tree[token]
        except (KeyError, IndexError, TypeError):
            return None
    return tree


def common_length(tree: Any, names: Sequence[str]) -> Any:
    """The length that all of these lists have; text where they differ, None where there is none of them."""
    lists = [value_at(tree, tokens_of(name)) for name in names]
    lengths = dict.fromkeys(len(items) for items in lists if isinstance(items, (list, tuple)))
    return " or ".join(map(str, lengths)) if len(lengths) > 1 else next(iter(lengths), None)


def is_same(option: Any, value: Any) -> bool:
    """Whether ``value`` is the readable ``option``."""
    if isinstance(option, dict):
        return isinstance(value, Mapping) and set(option) == set(value) and all(is_same(option[key], value[key]) for key in option)
    if isinstance(option, list):
        return isinstance(value, (list, tuple)) and len(option) == len(value) and all(map(is_same, option, value))
    return not isinstance(value, bool) and isinstance(value, (int, float, str)) and option == value


def surplus(given: Any, known: Any, where: str = "") -> list[str]:
    """Keys and list entries of ``given`` that ``known`` lacks."""
    if isinstance(given, Mapping) and isinstance(known, Mapping):
        problems = [f"{where}{brief(key)} is unknown" for key in given if key not in known]
        for key in known:
            problems += surplus(given.get(key), known[key], f"{where}{key}.")
        return problems
    if isinstance(given, (list, tuple)) and isinstance(known, list):
        if len(given) != len(known):
            return [f"{where.rstrip('.')} has {len(given)} entries; allowed: {len(known)}"]
        pairs = enumerate(zip(given, known, strict=True))
        return [problem for index, pair in pairs for problem in surplus(*pair, f"{where.rstrip('.')}[{index}].")]
    return []
