"""What races save is told from the same searches with and without them."""

from __future__ import annotations

from benchmarks.search_races import Run, lines, search
from benchmarks.search_replay import QUANTILES, scene
from benchmarks.search_table import load
from edgenas.search import EvolutionSettings

SMALL = EvolutionSettings(num_generations=3, population=16, num_parents=4, num_mutations=8, num_crossovers=8)


def test_bold_races_predict_less_and_none_predict_everything() -> None:
    at = scene(load(), 0.5)
    plain, bold = search("evolution", at, 0, SMALL, None), search("evolution", at, 0, SMALL, (0.5, 1, 3.0))
    assert plain.share == 1
    assert bold.share < 0.8
    assert bold.lost <= bold.ahead


def test_every_setting_has_a_row_under_every_limit() -> None:
    done = {(quantile, "random", race): [Run(0.5, 3)] for quantile in QUANTILES for race in (None, (0.2, 4, 0.0))}
    told = list(lines(load(), done))
    assert sum(line.startswith("## At most") for line in told) == 2
    assert sum(line.startswith("| random | 0.2 | 4 | 0 | 50 % | 1 of 1 | 1 of 1 | 0.00 ± nan") for line in told) == 2
