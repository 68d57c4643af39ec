"""The page on half precision says of every operator what the converter does with it."""

from __future__ import annotations

import re
from pathlib import Path

from edgenas.graphs.steps import REST, WAYS

PAGE = Path(__file__).parents[2] / "docs" / "half-precision.md"
WORDS = {"reduced": "fp16", "moves": "fp16, not rounded again", "opened": "opened", "float32": "fp32"}


def test_the_table_of_operators_is_the_converters_own() -> None:
    rows = re.findall(r"^\| (`.*`) \| (.*?) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    said = {name: (way, why) for names, way, why in rows for name in re.findall(r"`(\w+)`", names)}
    assert said == {name: (WORDS[way], why) for name, (way, why) in WAYS.items()}
    assert f"| everything else, also of other domains | fp32 | {REST[1]} |" in PAGE.read_text(encoding="utf-8")
