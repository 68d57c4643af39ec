"""Scores of many nets: the mean over fresh supernets, bit for bit the same however many are scored at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from edgenas.proxies import PROXIES, DssProxy, WeightNorms, dss_as_published, scored
from edgenas.spaces import Task, get_space
from edgenas.supernets import Supernet, build_supernet

TASKS = {"autoformer-nano": Task(5, 3, 32), "pvt-nano": Task(5, 1, 32), "vitas-nano": Task(5, 3, 32)}


def fresh(name: str, seed: int) -> Supernet:
    torch.manual_seed(seed)
    supernet: Any = build_supernet(get_space(name), TASKS[name]).eval()
    return supernet


@pytest.mark.parametrize("name", list(TASKS))
@pytest.mark.parametrize("proxy", ["dss", "dss-released"])
def test_a_score_is_the_mean_over_supernets_whatever_the_number_of_threads(name: str, proxy: str) -> None:
    nets, rows_AG = [fresh(name, seed) for seed in range(2)], get_space(name).sample(3, np.random.default_rng(0))
    before = torch.get_num_threads()
    alone, together = scored(PROXIES[proxy], nets, 1)(rows_AG), scored(PROXIES[proxy], nets, 3)(rows_AG)
    assert torch.get_num_threads() == before
    assert alone.tobytes() == together.tobytes()
    torch.set_num_threads(1)
    try:
        genes = [tuple(int(gene) for gene in row) for row in rows_AG]
        expected = [np.mean([PROXIES[proxy](net, each) for net in nets]) for each in genes]
    finally:
        torch.set_num_threads(before)
    assert alone.tolist() == expected
    assert (alone > 0).all()


def test_weights_are_judged_once_and_the_parts_of_q_k_and_v_only_where_asked() -> None:
    net, rows = fresh("autoformer-nano", 0), get_space("autoformer-nano").sample(2, np.random.default_rng(0))
    whole, some = WeightNorms(), WeightNorms()
    for row in rows:
        genes = tuple(int(gene) for gene in row)
        split, stacked = dss_as_published(net, genes, whole), dss_as_published(net, genes, some, is_split=False)
        assert split.stacked == stacked.stacked
        assert split.split > 0
        assert math.isnan(stacked.split)
    assert 0 < len(some.known) < len(whole.known)


def test_any_function_of_a_subnet_is_a_proxy() -> None:
    space, net = get_space("pvt-nano"), fresh("pvt-nano", 0)
    rows_AG = space.sample(5, np.random.default_rng(0))
    assert scored(lambda supernet, genes: sum(genes), [net], 2)(rows_AG).tolist() == rows_AG.sum(axis=1).tolist()
    assert scored(DssProxy("published"), [net], 2)(rows_AG[:0]).shape == (0,)
