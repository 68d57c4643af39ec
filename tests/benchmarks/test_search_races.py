"""What races save is told from the same searches with and without them."""

from __future__ import annotations

from benchmarks.search_races import lines, search
from benchmarks.search_replay import scene
from benchmarks.search_table import load
from edgenas.search import EvolutionSettings

SMALL = EvolutionSettings(num_generations=3, population=12, num_parents=4, num_mutations=6, num_crossovers=6)


def test_bold_races_predict_less_and_none_predict_everything() -> None:
    at = scene(load(), 0.5)
    plain, bold = search(at, 0, SMALL, None), search(at, 0, SMALL, (0.5, 1, 3.0))
    assert plain.share == 1
    assert bold.share < 0.8


def test_every_setting_has_a_row_under_every_limit() -> None:
    told = list(lines(load(), 1, SMALL, [(0.2, 4, 0.0)]))
    assert sum(line.startswith("## At most") for line in told) == 2
    assert sum(line.startswith("| 0.2 | 4 | 0 |") for line in told) == 2
