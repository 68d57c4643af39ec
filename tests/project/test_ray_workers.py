"""Subnets evaluated by workers of a local cluster, one of which is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from edgenas.errors import MissingBackendError
from edgenas.project.searching.ray_workers import (
    STARTS,
    ClusterError,
    RayEvaluator,
    Workers,
    _await_all,
    answer_of,
    cluster,
    require_address,
)
from edgenas.search import EvolutionSettings, Raced, evolve
from edgenas.spaces import Genes, Task, get_space
from edgenas.supernets import build_supernet
from edgenas.training.evaluation import SupernetEvaluator
from tests.project.losing import LostError, TaskError, ray_that_gives

SPACE, TASK = get_space("pvt-nano"), Task(3, 3, 32)
LABELS = np.random.default_rng(0).integers(3, size=300)
SIZES = EvolutionSettings(num_generations=2, population=8, num_parents=4, num_mutations=4, num_crossovers=4)


class Killing:
    """Ends a process of a worker in the middle of a search."""

    def __init__(self, evaluate: RayEvaluator, ray: Any) -> None:
        self.evaluate, self.ray, self.num_calls = evaluate, ray, 0

    def __call__(self, genes_AG: Genes, image_indices: Any, /) -> Any:
        self.num_calls += 1
        if self.num_calls == 2:
            os.kill(self.ray.get(self.evaluate.workers[0].process.remote()), signal.SIGKILL)
        return self.evaluate(genes_AG, image_indices)


@pytest.mark.slow
def test_two_workers_one_of_them_killed_take_the_way_of_one_process(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray")
    torch.manual_seed(0)
    supernet = build_supernet(SPACE, TASK)
    images_NCHW = np.random.default_rng(1).standard_normal((300, 3, 32, 32)).astype(np.float32)

    def way(evaluate: Any, *, race: bool) -> list[Any]:
        asked = Raced(evaluate, error=0.2, keep=4) if race else evaluate
        generations = evolve(SPACE, asked, LABELS, (), rng=np.random.default_rng(3), settings=SIZES)
        return [(c.genes, c.rank, c.probabilities_NC.tobytes()) for generation in generations for c in generation.fresh]

    expected = {race: way(SupernetEvaluator(supernet, images_NCHW), race=race) for race in (False, True)}
    with cluster(Workers(2)) as ray:
        evaluator = RayEvaluator(ray, supernet, SPACE, TASK, images_NCHW, device="cpu", training_NCHW=None, num_workers=2)
        killing = Killing(evaluator, ray)
        assert way(killing, race=False) == expected[False]
        assert killing.num_calls > 2
        assert way(evaluator, race=True) == expected[True]
        row = SPACE.sample(1, np.random.default_rng(9))
        alone, divided = (evaluate(row, np.arange(300)) for evaluate in (SupernetEvaluator(supernet, images_NCHW), evaluator))
        assert np.array_equal(alone, divided)  # one net is divided between the two at a batch's end
        started = evaluator.workers[0].process.remote()
        ray.get(started)
        never = ray.remote(num_cpus=1000)(lambda: None).remote()
        with pytest.raises(ClusterError, match=r"^1 of 2 workers have started, and no other one for 1 s"):
            _await_all(ray, [started, never], limit_s=1.0)
    assert "core_worker" not in capfd.readouterr().err  # Ray writes there what it thinks of actors with arguments


def test_a_worker_answers_before_it_imports_pytorch() -> None:
    code = "import sys, edgenas.project.searching.ray_worker as it; it.Worker().process(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_cluster_that_does_not_start_in_time_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")

    tries = []

    def late(**_: object) -> None:
        tries.append(1)
        raise Exception("The current node timed out during startup.\nMore of that.")

    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(ClusterError, match=r"^Ray does not start here: The current node timed out during startup\. the machine"):
        cluster(Workers(2, None)).__enter__()
    assert len(tries) == STARTS
    monkeypatch.setattr(ray, "init", lambda **_: late() if len(tries) == STARTS else None)
    with cluster(Workers(2, None)):  # in time when it is tried again
        pass


def test_without_ray_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingBackendError, match="Ray, which is not installed"), cluster(Workers(2)):
        pass


def test_an_address_where_nothing_answers_is_told_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ClusterError, match=f"nothing answers at 127.0.0.1:{port}: "):
        require_address(f"127.0.0.1:{port}")
    for left_to_ray in (None, "auto", "nonsense"):
        require_address(left_to_ray)


def test_a_task_whose_process_is_lost_again_and_again_is_told_and_what_it_raises_goes_on() -> None:
    told = {"process": "the process that counts", "goes_on": "where it was"}
    assert answer_of(ray_that_gives(3), None, **told) == 3
    text = r"^the process that counts was lost 6 times: it died\. the same command goes on where it was; where memory"
    with pytest.raises(ClusterError, match=text):
        answer_of(ray_that_gives(LostError("it died\nmore")), None, **told)
    with pytest.raises(TaskError, match=r"^its own$"):
        answer_of(ray_that_gives(TaskError("its own")), None, **told)
