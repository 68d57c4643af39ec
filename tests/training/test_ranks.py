"""Several processes that train one net."""

from __future__ import annotations

import functools
import multiprocessing
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgenas.errors import RankError, UsageError
from edgenas.runs.place import Place, first_host, leave_others, place_of, processes_here
from edgenas.training import ranks as ranks_module
from edgenas.training.checkpoints import TrainState, load_state, save_state
from edgenas.training.distillation import TrainingLoss
from edgenas.training.loop import LoopSettings, StepRecord, start, train
from edgenas.training.ranks import ALONE, Ranks, join
from edgenas.training.sampling import Subnets, sandwich
from tests.training.tiny import CPU, LARGEST, SMALLEST, SPACE, tiny_images, tiny_net, tiny_supernet

SETTINGS = LoopSettings(epochs=5, learning_rate=2e-3, seed=7)  # 4 steps an epoch: 20 in all
OBJECTIVE = TrainingLoss(smoothing=0.1, kd_weight=0.4, temperature=2.0, class_weights_C=torch.tensor([0.3, 1.0, 2.5]))


@dataclass(frozen=True)
class Parts:
    """A rank's part of batches of 9, 9, 9 and 5 images, in double precision or single."""

    ranks: Ranks
    dtype: torch.dtype
    num_batches: int = 4

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        images_NCHW, labels_N = tiny_images(32)
        order_N = np.random.default_rng(epoch).permutation(32)
        for step in range(first_step, self.num_batches):
            chosen_N = order_N[step * 9 : (step + 1) * 9]
            mine_N = chosen_N[self.ranks.rows(len(chosen_N))]
            yield torch.from_numpy(images_NCHW[mine_N]).to(self.dtype), torch.from_numpy(labels_N[mine_N])


def trained(
    ranks: Ranks,
    *,
    dtype: torch.dtype = torch.float64,
    steps: int = 20,
    project: bool = False,
    subnets: Callable[[np.random.Generator, int], Subnets] | None = None,
    resume: Path | None = None,
    save: Path | None = None,
) -> TrainState:
    """A supernet after some steps, possibly from a saved state."""
    torch.set_num_threads(1)
    state = start(tiny_supernet().to(dtype), SETTINGS, CPU)
    if resume is not None:
        load_state(resume, state, {})
    drawn = subnets if subnets is not None else lambda rng, step: sandwich(SPACE, rng, 1)
    batches, teacher = Parts(ranks, dtype), tiny_net(LARGEST, seed=5).to(dtype)
    for record in train(
        state, batches, OBJECTIVE, SETTINGS, teacher=teacher, subnets=drawn, project=project, in_place=project, ranks=ranks
    ):
        if isinstance(record, StepRecord) and record.step >= steps:
            break
    if save is not None and ranks.rank == 0:
        save_state(save, state, {})
    return state


@functools.cache
def uninterrupted() -> dict[str, Tensor]:
    """What one process has after 9 steps."""
    return tensors(trained(ALONE, steps=9))


def tensors(state: TrainState) -> dict[str, Tensor]:
    """The weights, and those of their moving average."""
    assert state.average is not None
    average = {f"average.{name}": value for name, value in state.average.module.state_dict().items()}
    return {**{name: value.detach() for name, value in state.model.state_dict().items()}, **average}


def free_port() -> int:
    """Free now and, as no connection is given one of its range by itself, a moment later too."""
    for port in np.random.default_rng().permutation(np.arange(15000, 32000)).tolist():
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return int(port)
    raise AssertionError("no port is free")


def together(folder: Path, size: int, work: Callable[[Ranks], Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What ``work`` gives in every one of several processes, which must all end well."""
    port = free_port()

    def run(rank: int) -> None:
        place = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in place.items()})
        torch.save(dict(work(join("cpu"))), folder / f"rank-{rank}.pt")
        os._exit(0)

    with warnings.catch_warnings(action="ignore"):  # of forks beside threads, which the children have not
        processes = [multiprocessing.get_context("fork").Process(target=run, args=(rank,)) for rank in range(size)]
        for process in processes:
            process.start()
    for process in processes:
        process.join(timeout=400)
    codes = [process.exitcode for process in processes]
    assert codes == [0] * size
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in range(size)]


def furthest(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    return max((value - second[name]).abs().max().item() for name, value in first.items() if value.is_floating_point())


@pytest.mark.parametrize(("size", "steps", "project"), [(2, 6, False), pytest.param(3, 6, True, marks=pytest.mark.slow)])
def test_ranks_train_what_one_process_does(tmp_path: Path, size: int, steps: int, project: bool) -> None:
    """In double precision, with class weights, a teacher, unequal parts of a batch and clipped gradients."""
    alone = tensors(trained(ALONE, steps=steps, project=project))
    found = together(tmp_path, size, lambda ranks: tensors(trained(ranks, steps=steps, project=project)))
    assert furthest(found[0], alone) < 1e-10
    assert all(furthest(each, found[0]) == 0 for each in found[1:])  # and all ranks have the same bits


def test_in_single_precision_logits_are_alike(tmp_path: Path) -> None:
    def logits(state: TrainState) -> dict[str, Tensor]:
        images_NCHW = torch.from_numpy(tiny_images(16, seed=3)[0])
        with torch.no_grad():
            return {str(genes): state.model.eval()(images_NCHW, genes) for genes in (SMALLEST, LARGEST)}

    alone = logits(trained(ALONE, dtype=torch.float32, steps=6))
    found = together(tmp_path, 2, lambda ranks: logits(trained(ranks, dtype=torch.float32, steps=6)))
    assert furthest(found[0], alone) < 1e-4


def test_what_no_rank_uses_is_not_moved(tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in tiny_supernet().double().named_parameters()}

    def work(ranks: Ranks) -> dict[str, Tensor]:
        state = trained(ranks, steps=4, subnets=lambda rng, step: [SMALLEST])
        return {name: value.detach() for name, value in state.model.named_parameters()}

    alone = {name: value for name, value in work(ALONE).items() if torch.equal(value, before[name])}
    assert len(alone) > 50  # blocks that the smallest net has not
    for found in together(tmp_path, 2, work):
        assert all(torch.equal(found[name], before[name]) for name in alone)


@pytest.mark.parametrize(
    ("first", "second"), [(2, 1), *(pytest.param(*each, marks=pytest.mark.slow) for each in ((1, 2), (2, 3), (3, 2)))]
)
def test_a_training_goes_on_with_another_number_of_ranks(tmp_path: Path, first: int, second: int) -> None:
    whole = uninterrupted()
    path = tmp_path / "state"

    def begin(ranks: Ranks) -> dict[str, Tensor]:
        return tensors(trained(ranks, steps=6, save=path))

    def go_on(ranks: Ranks) -> dict[str, Tensor]:
        return tensors(trained(ranks, steps=9, resume=path))

    if first == 1:
        begin(ALONE)
    else:
        together(tmp_path, first, begin)
    ended = go_on(ALONE) if second == 1 else together(tmp_path, second, go_on)[0]
    assert furthest(ended, whole) < 1e-10


def test_another_that_is_gone_is_one_line_and_the_state_is_whole(tmp_path: Path) -> None:
    def work(ranks: Ranks) -> dict[str, Any]:
        torch.set_num_threads(1)
        state = start(tiny_supernet(), SETTINGS, CPU)
        steps = train(
            state, Parts(ranks, torch.float32), TrainingLoss(), SETTINGS, subnets=lambda rng, step: [LARGEST], ranks=ranks
        )
        began = time.monotonic()
        try:
            for record in steps:
                if isinstance(record, StepRecord) and record.step == 3 and ranks.rank == 1:
                    torch.save({}, tmp_path / "rank-1.pt")
                    os._exit(0)  # as a killed process is: nothing is said to anyone
        except RankError as error:
            kept = tensors(state)
            assert all(value.isfinite().all() for value in kept.values() if value.is_floating_point())
            return {"text": str(error), "step": state.step, "seconds": time.monotonic() - began}
        raise AssertionError("nobody noticed")

    found = together(tmp_path, 2, work)[0]
    assert "another process of this training is gone" in found["text"]
    assert "same command" in found["text"]
    assert found["step"] in (3, 4)
    assert found["seconds"] < 300


def test_an_epoch_whose_end_another_rank_does_not_see_is_ended_again(tmp_path: Path) -> None:
    """Its evaluation counts once, as if nothing had happened."""
    path = tmp_path / "state"

    def steps_of(state: TrainState, ranks: Ranks, evaluate: Callable[[nn.Module], Mapping[str, float]]) -> Iterator[Any]:
        batches, subnets = Parts(ranks, torch.float64), lambda rng, step: [LARGEST]
        return train(state, batches, OBJECTIVE, SETTINGS, subnets=subnets, evaluate=evaluate, ranks=ranks)

    def work(ranks: Ranks) -> dict[str, Any]:
        torch.set_num_threads(1)
        state = start(tiny_supernet().double(), SETTINGS, CPU)

        def evaluate(net: nn.Module) -> dict[str, float]:
            if ranks.rank == 1:
                torch.save({}, tmp_path / "rank-1.pt")
                os._exit(0)
            time.sleep(1)
            return {"all": 0.25}

        with pytest.raises(RankError):
            list(steps_of(state, ranks, evaluate))
        save_state(path, state, {})
        return {"epoch": state.epoch, "step": state.step, "sums": dict(state.sums), "history": list(state.history)}

    found = together(tmp_path, 2, work)[0]
    assert (found["epoch"], found["step"], found["history"]) == (0, 4, [])
    whole, again = (start(tiny_supernet().double(), SETTINGS, CPU) for _ in range(2))
    load_state(path, again, {})
    ends = [
        [each for each in steps_of(state, ALONE, lambda net: {"all": 0.25}) if not isinstance(each, StepRecord)]
        for state in (whole, again)
    ]
    assert [each.epoch for each in ends[1]] == [each.epoch for each in ends[0]] == [1, 2, 3, 4, 5]
    assert again.history == whole.history
    assert furthest(tensors(again), tensors(whole)) < 1e-10


def test_ranks_that_would_do_other_work_are_refused(tmp_path: Path) -> None:
    def work(ranks: Ranks) -> dict[str, str]:
        try:
            ranks.require_same("supernet", ["seed", ranks.rank])
        except RankError as error:
            return {"text": str(error)}
        return {"text": ""}

    first, second = together(tmp_path, 2, work)
    assert first["text"] == ""
    assert "rank 1 is about to do other work than rank 0 in supernet" in second["text"]


def test_statistics_of_batch_norms_become_their_mean(tmp_path: Path) -> None:
    def work(ranks: Ranks) -> dict[str, Tensor]:
        norm, constant = nn.BatchNorm1d(2), nn.Module()
        norm.running_mean.fill_(float(ranks.rank))  # type: ignore[union-attr]
        constant.register_buffer("value", torch.full((3,), float(ranks.rank)))
        ranks.average_statistics(nn.Sequential(norm, constant))
        return {**norm.state_dict(), **constant.state_dict(), "rank": torch.tensor([ranks.rank])}

    for found in together(tmp_path, 2, work):
        assert found["running_mean"].tolist() == [0.5, 0.5]
        assert found["value"].tolist() == 3 * found["rank"].tolist()  # what is no statistic keeps its bits


def test_alone_nothing_is_exchanged() -> None:
    tensor = torch.ones(3)
    ALONE.add_up([tensor])
    ALONE.spread(nn.Linear(2, 2))
    assert tensor.tolist() == [1, 1, 1]
    assert ALONE.first("x") == "x"
    assert ALONE.total(1.5, 2, device=CPU) == (1.5, 2)
    assert join("cpu") is ranks_module.current() is ALONE


def test_the_parts_of_a_batch_are_the_batch() -> None:
    for num in range(1, 40):
        for size in range(1, 9):
            rows = [range(num)[Ranks(rank, size).rows(num)] for rank in range(size)]
            assert [position for part in rows for position in part] == list(range(num))
            assert max(map(len, rows)) - min(map(len, rows)) <= 1


TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "gpu1", "MASTER_PORT": "29400"}
SLURM = {"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "16", "SLURM_LOCALID": "5", "SLURM_STEP_NODELIST": "gpu[03-04]"}


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, None),
        (TORCHRUN, Place(3, 4, 1, "gpu1", 29400)),
        ({**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"}, None),
        ({**SLURM, "SLURM_JOB_ID": "41234"}, Place(5, 16, 5, "gpu03", 29734)),
        ({**SLURM, "MASTER_ADDR": "a", "MASTER_PORT": "7"}, Place(5, 16, 5, "a", 7)),
        ({**SLURM, "SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, None),  # within a job, but no step of several tasks
    ],
)
def test_a_place_is_what_the_launcher_says(environment: dict[str, str], place: Place | None) -> None:
    assert place_of(environment) == place


@pytest.mark.parametrize("environment", [TORCHRUN, SLURM])
def test_a_process_that_leaves_the_others_is_alone(environment: dict[str, str]) -> None:
    own = {**environment, "LOCAL_WORLD_SIZE": "2", "PATH": "/bin"}
    leave_others(own)
    assert place_of(own) is None  # nor is a process that it starts one of several
    assert processes_here(own) == 1
    assert own["PATH"] == "/bin"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"MASTER_ADDR": ""}, "MASTER_ADDR is not set"),
        ({"RANK": "x"}, "RANK is 'x'"),
        ({"RANK": "4"}, "rank 4 of 4"),
        ({"MASTER_PORT": "no"}, "MASTER_PORT is 'no'"),
    ],
)
def test_a_place_that_cannot_be_is_refused(changes: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match="torchrun") as caught:
        place_of({**TORCHRUN, **changes})
    assert words in str(caught.value)


def test_the_first_machine_of_slurms_list() -> None:
    assert [first_host(text) for text in ("gpu[03-05,09],cpu1", "node7,node8", "a1", "")] == ["gpu03", "node7", "a1", ""]


def test_more_ranks_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="local rank 1 finds 1 GPU on its machine"):
        join("auto")
