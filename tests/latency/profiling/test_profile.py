from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.errors import LatencyTableError
from edgenas.latency import (
    LatencyTable,
    MeasuringSettings,
    ProfileResult,
    find_tables,
    make_plan,
    named_table,
    one_context,
    profile,
    tables_that_fit,
)
from edgenas.latency.fit.smoothing import split_skeletons
from edgenas.latency.nets.plan import components_of
from edgenas.latency.table import slug, space_hash
from edgenas.latency.table.store import Fitting
from edgenas.runs import Note, Progress
from edgenas.spaces import Choice, SearchSpace, get_space
from edgenas.spaces.pvt import PVT_COVIDX, PVT_NANO, BlockSpec
from tests.latency.toy import ToyRuntime, build, true_ms

TASK = PVT_NANO.default_task


def records_of(runtime: ToyRuntime, **changes: Any) -> list[Any]:
    settings = MeasuringSettings(**changes)
    return list(profile(PVT_NANO, TASK, runtime.target(), build, settings=settings, rng=np.random.default_rng(0)))


@pytest.fixture(scope="module")
def result() -> ProfileResult:
    last = records_of(ToyRuntime(noise=0.01))[-1]
    assert isinstance(last, ProfileResult)
    return last


@pytest.fixture
def table(result: ProfileResult) -> LatencyTable:
    return result.table


def test_validation_nets_are_new_and_every_block_is_in_a_whole_net() -> None:
    plan = make_plan(PVT_NANO, TASK, MeasuringSettings(), rng=np.random.default_rng(0))
    assert len(plan.validation) == len(plan.calibration) == 20
    assert not set(plan.validation_chains) & set(plan.calibration_chains)
    assert len(set(plan.validation_chains)) == 20
    for block, chain in plan.block_chains.items():
        assert [component for component in chain if isinstance(component, BlockSpec)] == [block] * 4
        assert (tuple(component for component in chain if not isinstance(component, BlockSpec)),) == plan.skeletons
    assert plan.num_nets in (77, 78)


@pytest.mark.parametrize("space", [PVT_NANO, PVT_COVIDX])
def test_the_tracing_chain_fits_together(space: SearchSpace) -> None:
    from edgenas.supernets.pvt_net import component_input_shape

    plan = make_plan(space, space.default_task, MeasuringSettings(), rng=np.random.default_rng(0))
    stage = 0
    ((chain, skeleton),) = plan.tracing
    assert (skeleton,) == plan.skeletons
    for component in chain:
        if type(component).__name__ == "PatchEmbedSpec":
            stage += 1
            width = component.embed_dim  # type: ignore[attr-defined]
        else:
            assert component_input_shape(component)[-1] == width  # type: ignore[arg-type]
    assert set(chain) == {c for chain in plan.first_chains for c in chain} | set(plan.block_chains)


def test_a_small_space_shares_its_nets_out() -> None:
    choices = tuple(replace(c, options=c.options[-1:]) if i > 2 else c for i, c in enumerate(PVT_NANO.choices))
    space = replace(PVT_NANO, choices=choices)
    plan = make_plan(space, TASK, MeasuringSettings(), rng=np.random.default_rng(0))
    assert len(plan.calibration) == len(plan.validation) == space.cardinality // 2


def test_a_profile_predicts_what_nets_cost(result: ProfileResult) -> None:
    validation = result.table.validation
    assert validation.num_subnets == 20
    assert validation.mape < 0.01
    assert validation.kendall_tau > 0.95
    assert validation.noise_floor_mape < 0.01
    genes_AG = PVT_NANO.sample(50, np.random.default_rng(9))
    truth = np.array([sum(map(true_ms, components_of(PVT_NANO, genes_G, TASK))) for genes_G in genes_AG])
    predicted = result.table.to_cost_model(PVT_NANO, TASK)(genes_AG)
    assert np.abs(predicted / truth - 1).max() < 0.05
    assert (result.table.upper(PVT_NANO, TASK)(genes_AG) >= predicted).all()
    assert result.table.to_cost_model(PVT_NANO, TASK).name == "latency_ms"


def test_the_table_predicts_what_its_validation_says(table: LatencyTable) -> None:
    genes_AG = np.concatenate([PVT_NANO.from_json(net.arch) for net in table.checks])
    predicted = table.to_cost_model(PVT_NANO, TASK)(genes_AG)
    np.testing.assert_allclose(predicted, [net.predicted_ms for net in table.checks], rtol=1e-9)
    np.testing.assert_allclose(table.upper(PVT_NANO, TASK)(genes_AG), [net.upper_ms for net in table.checks], rtol=1e-9)


def test_the_result_has_what_the_contract_names(result: ProfileResult) -> None:
    found = result.as_json()
    names = "device device_kind runtime runtime_version precision batch_size threads scope spinning"
    assert found["context"].keys() >= set(names.split())
    assert found.keys() == {"table_sha256", "context", "num_entries", "num_nets_timed", "seconds", "validation", "promises"}
    assert found["num_entries"] == 37
    assert found["context"]["scope"] == "end_to_end"


def test_progress_ends_at_its_total_and_the_plan_is_announced() -> None:
    records = records_of(ToyRuntime(), calibration_nets=4, validation_nets=4)
    steps = [record for record in records if isinstance(record, Progress)]
    assert [step.done for step in steps] == list(range(1, len(steps) + 1))
    assert {step.total for step in steps} == {len(steps)}
    notes = [record for record in records if isinstance(record, Note)]
    assert "timing 46 nets (36 blocks, 4 for calibration, 4 for validation), 6 visits each" in notes[0].text


def test_a_budget_means_fewer_visits_and_a_warning() -> None:
    notes = [r for r in records_of(ToyRuntime(), seconds=0.1) if isinstance(r, Note)]
    assert any(note.is_warning and "allowed 2 of 6 visits" in note.text for note in notes)
    assert any(note.is_warning and "more than the budget of 0.1 s" in note.text for note in notes)


def test_a_noisy_machine_is_called_noisy() -> None:
    notes = [r for r in records_of(ToyRuntime(noise=2.0)) if isinstance(r, Note) and r.is_warning]
    assert any("noisy" in note.text for note in notes)


def test_on_a_gpu_costs_stay_as_measured() -> None:
    table = records_of(ToyRuntime(noise=0.05, device_kind="cuda"), calibration_nets=4, validation_nets=4)[-1].table
    assert all(entry.ms == entry.raw_ms for entry in table.entries)


def test_a_table_survives_its_file(table: LatencyTable, tmp_path: Path) -> None:
    path = table.save(tmp_path)
    assert path.name == "toy-3000-cpu_toy_fp32_b1_pvt-nano.json"
    read = LatencyTable.load(path)
    assert read == table
    assert read.sha256 == table.sha256 == json.loads(path.read_text())["sha256"]


def test_an_edited_truncated_or_foreign_file_is_refused_in_one_line(table: LatencyTable, tmp_path: Path) -> None:
    path = table.save(tmp_path)
    text = path.read_text()
    for damaged, words in (
        (text.replace('"scale": ', '"scale": 1'), "was edited or damaged"),
        (text[: len(text) // 2], "is not JSON"),
        (text.replace('"schema_version": 1', '"schema_version": 2'), "schema_version 2"),
        ("[]", "no JSON object"),
        ('{"schema_version": 1}', "was edited or damaged"),
    ):
        path.write_text(damaged)
        with pytest.raises(LatencyTableError, match=words) as caught:
            LatencyTable.load(path)
        assert str(path) in str(caught.value)
        assert "edgenas profile" in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(LatencyTableError, match="does not exist"):
        LatencyTable.load(tmp_path / "none.json")


def test_another_context_is_refused_naming_every_difference(table: LatencyTable) -> None:
    wanted: dict[str, Any] = {"device": "Other", "runtime": "toy", "precision": "fp16", "batch_size": 8, "threads": 4}
    with pytest.raises(LatencyTableError) as caught:
        table.require_matches(space=PVT_NANO, task=TASK, **wanted)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["device", "precision", "batch_size", "threads"]
    assert "--allow-foreign-table" in caught.value.hint
    warnings = table.require_matches(space=PVT_NANO, task=TASK, allow_foreign=True, **wanted)
    assert len(warnings) == 4


def test_another_space_or_task_is_refused_even_where_foreign_tables_are_allowed(table: LatencyTable) -> None:
    with pytest.raises(LatencyTableError, match="space: measured for pvt-nano, asked for pvt-covidx"):
        table.require_matches(space=PVT_COVIDX, task=TASK, allow_foreign=True)
    with pytest.raises(LatencyTableError, match="image_px: measured for 32, asked for 64"):
        table.require_matches(space=PVT_NANO, task=replace(TASK, image_px=64), allow_foreign=True)
    changed = replace(PVT_NANO, choices=(*PVT_NANO.choices, Choice("extra", (1, 2))))
    assert space_hash(changed) != table.space_sha256
    with pytest.raises(LatencyTableError, match="have changed"):
        table.require_matches(space=changed, task=TASK)


def test_another_patch_version_only_warns_and_another_minor_version_is_refused(table: LatencyTable) -> None:
    assert table.require_matches(space=PVT_NANO, task=TASK, runtime_version="1.2.3", scope="end_to_end") == ()
    (warning,) = table.require_matches(space=PVT_NANO, task=TASK, runtime_version="1.2.4")
    assert "1.2.3, here is 1.2.4" in warning
    with pytest.raises(LatencyTableError, match=r"runtime_version: measured on 1\.2\.3, asked for 1\.3\.3"):
        table.require_matches(space=PVT_NANO, task=TASK, runtime_version="1.3.3")
    assert len(table.require_matches(space=PVT_NANO, task=TASK, runtime_version="2.0", allow_foreign=True)) == 1


def test_what_was_never_measured_says_so(table: LatencyTable) -> None:
    lacking = replace(table, entries=table.entries[:-1])
    with pytest.raises(LatencyTableError, match="edgenas profile"):
        lacking.to_cost_model(PVT_NANO, TASK)(PVT_NANO.sample(500, np.random.default_rng(0)))


def test_the_newest_table_that_fits_is_taken(table: LatencyTable, tmp_path: Path) -> None:
    import os

    other = replace(table, context=replace(table.context, device="Other"))
    old, new = table.save(tmp_path), other.save(tmp_path)
    os.utime(old, (1, 1))
    assert find_tables(tmp_path) == (new, old)

    def fitting(folder: Path, device: str) -> list[Path]:
        return [each.path for each in tables_that_fit(find_tables(folder), lambda _: device, space=PVT_NANO, task=TASK)]

    assert fitting(tmp_path, table.context.device) == [old]
    with pytest.raises(LatencyTableError) as caught:
        fitting(tmp_path, "Third")
    assert len(caught.value.problems) == 2
    with pytest.raises(LatencyTableError, match="there is no latency table"):
        fitting(tmp_path / "none", "Third")


def test_tables_of_several_contexts_are_not_chosen_from_by_their_age(table: LatencyTable, tmp_path: Path) -> None:
    def of(**changes: Any) -> Fitting:
        return Fitting(tmp_path / f"{changes}.json", replace(table, context=replace(table.context, **changes)), ())

    def usual(each: LatencyTable) -> bool:
        return each.context.batch_size == 1 and each.context.scope == "end_to_end"

    def chosen(*fitting: Fitting) -> Fitting:
        return one_context(fitting, usual, lambda each: each.context.threads == 2)

    one, four, paced, board = of(), of(batch_size=4), of(scope="end_to_end_30fps"), of(device="Board")
    assert chosen(one, of()) == one
    assert chosen(four, one, paced) == one
    assert chosen(four) == four
    assert chosen(of(threads=1), one, four) == one
    for several in ((four, paced), (board, one), (one, board)):
        with pytest.raises(LatencyTableError, match="there are latency tables of 2 contexts") as caught:
            chosen(*several)
        assert len(caught.value.problems) == 2
    assert "end to end 30fps" in str(paced.table.context)
    assert "batch 4" in str(four.table.context)


def test_a_table_replaces_only_one_of_its_kind(table: LatencyTable, tmp_path: Path) -> None:
    first = table.save(tmp_path)
    assert replace(table, reference=replace(table.reference, level_ms=2.0)).save(tmp_path) == first
    threaded = replace(table, context=replace(table.context, threads=1))
    assert threaded.save(tmp_path).name == f"{first.stem}_1-threads.json"
    assert threaded.save(tmp_path).name == f"{first.stem}_1-threads.json"
    large = replace(threaded, task=replace(table.task, image_px=64)).save(tmp_path)
    assert large.name == f"{first.stem}_1-threads_64px.json"
    details = {**table.context.details, "kit": {}}
    kit = replace(threaded, context=replace(threaded.context, details=details))
    assert kit.save(tmp_path / "only").name == first.name
    assert kit.save(tmp_path).name == f"{first.stem}_1-threads_kit.json"
    assert len(find_tables(tmp_path)) == 4
    sole = tmp_path / "sole"
    threaded.save(sole)
    assert kit.save(sole).name == f"{first.stem}_kit.json"
    assert kit.save(sole).name == f"{first.stem}_kit.json"


def test_tables_go_by_file_or_name(table: LatencyTable, tmp_path: Path) -> None:
    path = table.save(tmp_path)
    assert named_table(str(path)) == path
    with pytest.raises(LatencyTableError, match="there is no latency table 'nowhere'"):
        named_table("nowhere")
    assert slug("Intel(R) Xeon(R) CPU @ 2.50GHz") == "intel-xeon-cpu-2.50ghz"


def test_genes_may_change_what_is_around_the_blocks() -> None:
    space = get_space("autoformer-nano")
    runtime = ToyRuntime(noise=0.01)
    plan = make_plan(space, space.default_task, MeasuringSettings(), rng=np.random.default_rng(0))
    embed_dims = {chain[0].embed_dim for chain in plan.skeletons}  # type: ignore[attr-defined]
    assert len(plan.skeletons) == len(embed_dims) > 1
    assert all(chain[0].embed_dim == block.embed_dim for block, chain in plan.block_chains.items())  # type: ignore[attr-defined]
    *_, result = profile(
        space, space.default_task, runtime.target(), build, settings=MeasuringSettings(), rng=np.random.default_rng(0)
    )
    assert isinstance(result, ProfileResult)
    assert result.table.validation.mape < 0.01
    genes_AG = space.sample(50, np.random.default_rng(9))
    truth = np.array([sum(map(true_ms, components_of(space, genes_G, space.default_task))) for genes_G in genes_AG])
    predicted = result.table.to_cost_model(space, space.default_task)(genes_AG)
    assert np.abs(predicted / truth - 1).max() < 0.05


def test_skeletons_tell_their_parts_apart_as_far_as_they_come_apart() -> None:
    stems, transitions, heads = {"a": 1.0, "b": 2.0}, {("a", "x"): 3.0, ("b", "x"): 4.0, ("a", "y"): 5.0}, {"x": 6.0, "y": 7.0}
    truth = {**stems, **transitions, **heads}
    skeletons = [(first, (first, second), second) for first, second in transitions]
    found = split_skeletons(skeletons, [sum(truth[part] for part in skeleton) for skeleton in skeletons])
    for skeleton in skeletons:
        assert sum(found[part] for part in skeleton) == pytest.approx(sum(truth[part] for part in skeleton), rel=1e-4)
    assert min(found.values()) >= 0
    assert split_skeletons([("p", "q")], [3.0]) == pytest.approx({"p": 1.5, "q": 1.5})
