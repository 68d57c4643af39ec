"""Two tables side by side, and one made of both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgenas.errors import LatencyTableError
from edgenas.latency import LatencyTable
from edgenas.latency.nets.plan import components_of
from edgenas.latency.table.check import check_table
from edgenas.latency.table.compare import compare_entries, compare_nets, differences
from edgenas.latency.table.merge import merge_tables
from edgenas.records import FittedNet
from tests.latency.tables import measured, nano, slower, toy_table
from tests.latency.toy import ToyRuntime, true_ms


def with_context(table: LatencyTable, **changes: Any) -> LatencyTable:
    return replace(table, context=replace(table.context, **changes))


def with_details(table: LatencyTable, **details: Any) -> LatencyTable:
    return with_context(table, details={**table.context.details, **details})


def scaled(table: LatencyTable, times: float) -> LatencyTable:
    """The same nets on a machine that was ``times`` slower throughout."""

    entries = tuple(replace(e, ms=e.ms * times, mad_ms=e.mad_ms * times, raw_ms=(e.raw_ms or 0) * times) for e in table.entries)
    rows = tuple(slower(net, times) for net in table.measuring.calibration_rows or ())
    return replace(
        table,
        entries=entries,
        reference=slower(table.reference, times),
        calibration=replace(table.calibration, offset_ms=table.calibration.offset_ms * times),
        validation=replace(table.validation, rows=tuple(slower(net, times) for net in table.checks)),
        bound_nets=tuple(slower(net, times) for net in table.bound_nets),
        measuring=replace(table.measuring, calibration_rows=rows, date="2030-01-01T00:00:00+00:00"),
    )


def test_equal_tables_have_no_differences() -> None:
    assert [str(d) for d in differences(toy_table(), toy_table(1)) if d.weight != "noted"] == []
    found = compare_nets(toy_table(), toy_table(), nano(), np.random.default_rng(0))
    assert (found.ratios.min, found.ratios.max, found.kendall_tau) == (1.0, 1.0, pytest.approx(1.0))


@pytest.mark.parametrize(
    ("changes", "key", "weight"),
    [
        ({"device": "Other"}, "device", "refused"),
        ({"runtime": "other"}, "runtime", "refused"),
        ({"precision": "fp16"}, "precision", "refused"),
        ({"batch_size": 8}, "batch_size", "refused"),
        ({"threads": 4}, "threads", "refused"),
        ({"scope": "compute"}, "scope", "refused"),
        ({"spinning": False}, "spinning", "refused"),
        ({"runtime_version": "1.3.0"}, "runtime_version", "refused"),
        ({"runtime_version": "1.2.4"}, "runtime_version", "warns"),
        ({"runtime_version": "1.2.3+cu13"}, "runtime_version", "warns"),
    ],
)
def test_differences_of_the_context_are_named_with_their_weight(changes: dict[str, Any], key: str, weight: str) -> None:
    table = toy_table()
    (found,) = differences(table, with_context(table, **changes))
    assert (found.key, found.weight) == (key, weight)
    assert str(found) == f"{key}: {getattr(table.context, key)} and {changes[key]}"


def test_a_driver_warns_and_other_details_are_noted() -> None:
    one = with_details(toy_table(), gpu={"driver": "580.1"}, governor="performance", versions={"numpy": "2.0"})
    other = with_details(toy_table(), gpu={"driver": "590.2", "power_w": 30}, governor="powersave", versions={"numpy": "2.1"})
    found = {difference.key: difference.weight for difference in differences(one, other)}
    assert found == {"driver": "warns", "governor": "noted", "version of numpy": "noted"}
    assert next(iter(differences(one, with_context(other, threads=9)))).key == "threads"


def test_ratios_of_entries_tell_which_moved() -> None:
    table = toy_table()
    moved = tuple(replace(e, ms=e.ms * (3.0 if at == 7 else 1.5)) for at, e in enumerate(table.entries[:-1]))
    found = compare_entries(table, replace(table, entries=moved))
    assert found.ratios is not None
    assert found.ratios.median == pytest.approx(1.5)
    assert found.ratios.mad == pytest.approx(0.0, abs=1e-12)
    assert (found.ratios.max, found.ratios.n) == (pytest.approx(3.0), len(moved))
    assert (found.only_first, found.only_second) == (1, 0)
    assert found.largest[0].components == table.entries[7].components
    assert found.largest[0].ratio == pytest.approx(3.0)


def test_a_merged_table_is_sound_and_predicts_better_than_its_parts() -> None:
    tables = [toy_table(seed, noise=0.3) for seed in (1, 2, 3, 4)]
    merged = merge_tables(tables, nano()).table
    assert [check.verdict for check in check_table(merged, nano())] == ["passed"] * 4
    genes_AG = nano().sample(300, np.random.default_rng(5))
    truth = np.array([sum(map(true_ms, components_of(nano(), genes_G, merged.task))) for genes_G in genes_AG])

    def error(table: LatencyTable) -> float:
        """Of the shape: a common factor is the level's, not the costs'."""
        ratio = table.to_cost_model(nano(), table.task)(genes_AG) / truth
        return float(np.abs(ratio / np.median(ratio) - 1).mean())

    assert error(merged) < np.mean([error(table) for table in tables])
    assert {entry.n for entry in merged.entries} == {4 * entry.n for entry in tables[0].entries}
    assert merged.measuring.visits == sum(table.measuring.visits for table in tables)
    assert [source.sha256 for source in merged.measuring.merged_from or ()] == [table.sha256 for table in tables]
    assert len(merged.measuring.machine or ()) == 8


def test_a_table_is_not_counted_twice_in_what_it_was_merged_into() -> None:
    tables = [toy_table(seed) for seed in (1, 2, 3)]
    week = merge_tables(tables[:2], nano()).table
    with pytest.raises(LatencyTableError, match="a table is given twice"):
        merge_tables([week, tables[1]], nano())
    assert len(merge_tables([week, tables[2]], nano()).table.measuring.merged_from or ()) == 2


def test_levels_are_reconciled_by_the_reference_net() -> None:
    table = toy_table()
    result = merge_tables([table, scaled(table, 1.5)], nano())
    assert result.table.reference.level_ms == pytest.approx(1.25 * table.reference.level_ms)
    genes_AG = nano().sample(100, np.random.default_rng(0))
    before, after = (t.to_cost_model(nano(), t.task)(genes_AG) for t in (table, result.table))
    np.testing.assert_allclose(after, 1.25 * before, rtol=5e-3)  # twice the visits: blocks are drawn less towards products
    assert any("ran 1.50 times slower" in warning for warning in result.warnings)
    assert result.table.validation.noise_floor_mape == pytest.approx(0.0, abs=1e-9)
    assert result.table.measuring.date.startswith("2030")


def test_weights_are_visits_not_runs() -> None:
    table = toy_table()
    more = measured(ToyRuntime(noise=0.02, rng=np.random.default_rng(8)))
    doubled = replace(
        more,
        entries=tuple(replace(entry, ms=2 * entry.ms, raw_ms=2 * (entry.raw_ms or 0), n=3 * entry.n) for entry in more.entries),
        measuring=replace(more.measuring, visits=3 * more.measuring.visits),
    )
    block = merge_tables([table, doubled], nano()).table.entries[0]
    one, other = table.entries[0].ms / table.reference.level_ms, doubled.entries[0].ms / more.reference.level_ms
    level_ms = (table.reference.level_ms + 3 * more.reference.level_ms) / 4
    assert block.ms == pytest.approx((one + 3 * other) / 4 * level_ms)
    long_visits = replace(doubled, measuring=replace(doubled.measuring, runs_per_visit=3 * more.measuring.runs_per_visit, visits=3))
    assert merge_tables([table, long_visits], nano()).table.entries[0].ms == pytest.approx(
        (one + other) / 2 * (table.reference.level_ms + more.reference.level_ms) / 2
    )


def test_what_one_table_measured_is_not_diluted_by_what_another_interpolated() -> None:
    table = toy_table()
    guessed = tuple(
        replace(e, origin="interpolated", n=0, raw_ms=None, ms=9 * e.ms) if at == 4 else e for at, e in enumerate(table.entries)
    )
    other = replace(toy_table(1), entries=guessed)
    merged = merge_tables([table, other], nano()).table
    assert merged.entries[4].origin == "measured"
    assert merged.entries[4].n == table.entries[4].n
    both = merge_tables([replace(table, entries=guessed), other], nano()).table
    assert both.entries[4].origin == "interpolated"
    lacking = replace(toy_table(1), entries=toy_table(1).entries[:-3])
    assert len(merge_tables([lacking, table], nano()).table.entries) == len(table.entries)


def test_nets_that_one_table_fitted_validate_no_other() -> None:
    one, other = toy_table(1, draws=0), toy_table(2, draws=1)
    merged = merge_tables([one, other], nano()).table
    fitted = [net.arch for table in (one, other) for net in table.measuring.calibration_rows or ()]
    assert merged.calibration.num_nets == len({str(arch) for arch in fitted}) == 16
    held_out = [net.arch for net in merged.checks]
    assert 8 < len(held_out) <= 16
    assert not [arch for arch in held_out if arch in fitted]
    again = merge_tables([merged, toy_table(5, draws=2)], nano()).table
    assert [check.verdict for check in check_table(again, nano())] == ["passed"] * 4


def test_other_contexts_are_refused_with_every_difference() -> None:
    table = toy_table()
    other = with_context(toy_table(1), device="Other", threads=7, runtime_version="2.0")
    with pytest.raises(LatencyTableError) as caught:
        merge_tables([table, other], nano())
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["device", "threads", "runtime_version"]
    with pytest.raises(LatencyTableError) as caught:
        merge_tables([table, toy_table(2), other], nano())
    assert caught.value.problems[0] == "tables 1 and 3: device: Toy 3000 (R) CPU and Other"
    with pytest.raises(LatencyTableError, match="image_px: 32 and 64"):
        merge_tables([table, replace(toy_table(1), task=replace(table.task, image_px=64))], nano())


def test_a_patch_version_and_a_driver_only_warn() -> None:
    other = with_context(toy_table(1), runtime_version="1.2.9")
    (warning,) = merge_tables([toy_table(), other], nano()).warnings
    assert warning == "runtime_version: 1.2.3 and 1.2.9"


def test_what_cannot_be_merged_says_why() -> None:
    table = toy_table()
    with pytest.raises(LatencyTableError, match="given twice"):
        merge_tables([table, table], nano())
    bare = replace(toy_table(1), measuring=replace(toy_table(1).measuring, calibration_rows=None))
    with pytest.raises(LatencyTableError, match="does not hold the nets it was calibrated on"):
        merge_tables([table, bare], nano())
    other = replace(toy_table(1), reference=replace(toy_table(1).reference, components=()))
    with pytest.raises(LatencyTableError, match="share no reference net"):
        merge_tables([table, other], nano())
    nameless = replace(toy_table(1), reference=replace(table.reference, components=None))
    with pytest.raises(LatencyTableError, match="share no reference net"):
        merge_tables([table, nameless], nano())
    swapped = replace(toy_table(1), validation=table.validation)
    rows = tuple(FittedNet(arch=net.arch, measured_ms=net.measured_ms, n=9) for net in table.checks)
    swapped = replace(swapped, measuring=replace(swapped.measuring, calibration_rows=rows))
    with pytest.raises(LatencyTableError, match="no net is left for validation"):
        merge_tables([table, swapped], nano())


def test_on_a_gpu_merged_costs_stay_averages() -> None:
    tables = [with_context(toy_table(seed, noise=0.2), device_kind="cuda", threads=None) for seed in (1, 2)]
    merged = merge_tables(tables, nano()).table
    for mine, first, second in zip(merged.entries, tables[0].entries, tables[1].entries, strict=True):
        level = merged.reference.level_ms
        expected = (first.ms / tables[0].reference.level_ms + second.ms / tables[1].reference.level_ms) / 2 * level
        assert mine.ms == pytest.approx(expected)


def test_promises_are_made_again_from_nets_that_fitted_and_checked_nothing() -> None:
    one, other = toy_table(1, bound=20), toy_table(2, bound=20, draws=1)
    merged = merge_tables([one, scaled(other, 1.3)], nano()).table
    assert [check.verdict for check in check_table(merged, nano())] == ["passed"] * 4
    archs = [net.arch for net in merged.bound_nets]
    assert 20 < len(archs) <= 40
    used = [*(net.arch for net in merged.measuring.calibration_rows or ()), *(net.arch for net in merged.checks)]
    assert not [arch for arch in used if arch in archs]
    factor = merged.promise.bound("p95", 0.95).factor
    assert factor == pytest.approx(one.promise.bound("p95", 0.95).factor, rel=0.05)
    assert merge_tables([one, toy_table(2)], nano()).table.bound_nets
    assert merge_tables([toy_table(1), toy_table(2)], nano()).table.bound_nets == ()
