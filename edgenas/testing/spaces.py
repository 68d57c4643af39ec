"""What every search space must pass: subclass and give a fixture ``space``."""

# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from edgenas.errors import ArchError
from edgenas.spaces import Genes, SearchSpace, unique_rows


def rng(seed: int = 0) -> np.random.Generator:
    """A fresh generator."""
    return np.random.default_rng(seed)


class SpaceConformance:
    """Contract of a search space. Spaces of more than ``max_enumerated`` networks are only sampled."""

    max_enumerated = 100_000

    @pytest.fixture
    def space(self) -> SearchSpace:
        """The space under test."""
        raise NotImplementedError

    @pytest.fixture
    def rows(self, space: SearchSpace) -> Genes:
        """Both extremes and some draws."""
        return np.concatenate([space.extreme(largest=False), space.sample(64, rng()), space.extreme(largest=True)])

    def test_cardinality_counts_what_enumeration_yields_once(self, space: SearchSpace) -> None:
        every_AG = self._every(space)
        assert len(every_AG) == len(unique_rows(every_AG)) == space.cardinality
        space.require_valid(every_AG)

    def test_draws_are_canonical_rows_of_the_space(self, space: SearchSpace) -> None:
        drawn_AG = space.sample(50, rng())
        assert drawn_AG.shape == (50, space.num_genes)
        assert drawn_AG.dtype == np.int16
        space.require_valid(drawn_AG)
        assert np.array_equal(drawn_AG, space.sample(50, rng()))
        assert space.sample(0, rng()).shape == (0, space.num_genes)

    def test_draws_are_uniform_over_networks(self, space: SearchSpace) -> None:
        every_AG, num = self._every(space), 20_000
        drawn_AG = space.sample(num, rng())
        for column, choice in enumerate(space.choices):
            for option in range(-1, len(choice.options)):
                share = float((every_AG[:, column] == option).mean())
                drawn = float((drawn_AG[:, column] == option).mean())
                assert abs(drawn - share) <= 5 * (share * (1 - share) / num) ** 0.5, f"{choice.name}, option {option}"

    def test_canonical_rows_stay_and_the_argument_is_not_touched(self, space: SearchSpace, rows: Genes) -> None:
        before_AG = rows.copy()
        assert np.array_equal(space.canonical(rows), rows)
        assert not np.shares_memory(space.canonical(rows), rows)
        # Only a conditional gene may be missing.
        lowest = [0 if choice.active_when is None else -1 for choice in space.choices]
        noise_AG = rng(1).integers(lowest, [len(choice.options) for choice in space.choices], size=(50, space.num_genes))
        space.require_valid(space.canonical(noise_AG.astype(np.int16)))
        assert np.array_equal(rows, before_AG)

    @pytest.mark.parametrize("prob", [0.0, 0.2, 1.0])
    def test_mutation_stays_in_the_space(self, space: SearchSpace, rows: Genes, prob: float) -> None:
        before_AG = rows.copy()
        for seed in range(5):
            mutants_AG = space.mutate(rows, rng(seed), prob=prob)
            assert mutants_AG.shape == rows.shape
            space.require_valid(mutants_AG)
            assert np.array_equal(mutants_AG, space.mutate(rows, rng(seed), prob=prob))
            assert prob > 0 or np.array_equal(mutants_AG, rows)
        space.require_valid(space.mutate(rows, rng(), prob=np.linspace(0, 1, space.num_genes)))
        assert np.array_equal(rows, before_AG)

    def test_crossover_takes_every_gene_from_a_parent(self, space: SearchSpace, rows: Genes) -> None:
        for seed in range(5):
            other_AG = space.sample(len(rows), rng(seed + 100))
            children_AG = space.crossover(rows, other_AG, rng(seed))
            space.require_valid(children_AG)
            inherited_AG = (children_AG == rows) | (children_AG == other_AG)
            assert (inherited_AG | (children_AG < 0)).all()
        assert np.array_equal(space.crossover(rows, rows, rng()), rows)

    def test_readable_architectures_round_trip_as_text(self, space: SearchSpace, rows: Genes) -> None:
        texts = [json.dumps(space.to_json(row_G), allow_nan=False) for row_G in rows]
        for row_G, text in zip(rows, texts, strict=True):
            assert np.array_equal(space.from_json(json.loads(text)), row_G[None])
        assert len(set(texts)) == len(unique_rows(rows))

    def test_extremes_are_the_first_and_the_last_options(self, space: SearchSpace) -> None:
        for largest in (False, True):
            row_AG = space.extreme(largest=largest)
            assert row_AG.shape == (1, space.num_genes)
            space.require_valid(row_AG)
            for choice, gene in zip(space.choices, row_AG[0], strict=True):
                assert gene in (-1, len(choice.options) - 1 if largest else 0), choice.name

    def test_every_missing_gene_is_named(self, space: SearchSpace) -> None:
        with pytest.raises(ArchError) as caught:
            space.from_json({})
        self._assert_every_gene_is_named(space, caught.value)

    def test_every_gene_with_an_unknown_value_is_named(self, space: SearchSpace, rows: Genes) -> None:
        with pytest.raises(ArchError) as caught:
            space.from_json({name: _spoilt(value) for name, value in space.to_json(rows[-1]).items()})
        self._assert_every_gene_is_named(space, caught.value)

    def test_every_unknown_gene_is_named(self, space: SearchSpace, rows: Genes) -> None:
        for row_G in rows[:3]:
            with pytest.raises(ArchError) as caught:
                space.from_json({**space.to_json(row_G), "no_such_gene": 1, "nor_this_one": [2]})
            assert "no_such_gene" in str(caught.value)
            assert "nor_this_one" in str(caught.value)

    def test_options_that_do_not_exist_are_refused(self, space: SearchSpace, rows: Genes) -> None:
        for column, choice in enumerate(space.choices):
            for option in (len(choice.options), -2):
                wrong_AG = rows[:1].copy()
                wrong_AG[0, column] = option
                with pytest.raises(ArchError) as caught:
                    space.require_valid(wrong_AG)
                assert choice.name in str(caught.value)

    def _every(self, space: SearchSpace) -> Genes:
        if space.cardinality > self.max_enumerated:
            pytest.skip(f"{space.cardinality} networks are too many to enumerate")
        return space.enumerate()

    @staticmethod
    def _assert_every_gene_is_named(space: SearchSpace, error: ArchError) -> None:
        """Genes without a condition at least; whether the others exist cannot be known."""
        for choice in space.choices:
            if choice.active_when is None:
                assert any(problem.startswith(choice.name) for problem in error.problems), choice.name


def _spoilt(value: Any) -> Any:
    """The same structure with an unknown option at every leaf, and lists one entry too long."""
    if isinstance(value, dict):
        return {key: _spoilt(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_spoilt(item) for item in [*value, None]]
    return "no such option"
