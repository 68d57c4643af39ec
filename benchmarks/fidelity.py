"""How well a run's supernet ranks: nets trained alone and judged on training images that the run left out.

The proof of `search` measures fidelity on select and confirm, whose few hundred images tell near nets badly. Here nets are judged
on thousands of images that neither the run nor this script trains with or chooses by: those that `data.max_per_class` left out.
Half of the nets are within 5 % below a limit, drawn evenly over depth, the others come from everywhere; the winner of the run's
search and hand-designed nets within the limit are among them. The same nets on select and confirm show what a proof of so many
epochs could tell. What is trained already is kept: the same command goes on.

    python -m benchmarks.fidelity --run worth/seed-2 --search worth/seed-2/worth/search-0.05.json --num 20 --epochs 18
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.fidelity_report import text_of
from edgenas.costs import CostModel, cost_models, decompose, shape_models
from edgenas.data import open_source
from edgenas.data.base import ImageSource
from edgenas.data.images import Images
from edgenas.data.loaders import ImageStore, arrays
from edgenas.data.preprocess import Preprocess
from edgenas.project.net_facts import images_for
from edgenas.project.nets import load_supernet
from edgenas.project.opening import Project, open_images, open_project
from edgenas.project.run_tables import run_table
from edgenas.project.trainings.loaded_teacher import load_teacher
from edgenas.project.trainings.plain_nets import PlainNet, plain_job
from edgenas.project.trainings.teaching import teaching_of
from edgenas.runs import Progress, Record, atomic_path, read_json, sha256_json, write_json, write_text
from edgenas.runs.versions import versions
from edgenas.search.proof_scores import log_likelihoods
from edgenas.search.ranking import BAND, fidelity, fit_ranker
from edgenas.spaces import Genes
from edgenas.spaces.designed import hand_designed
from edgenas.spaces.even import even_pool
from edgenas.stats import kendall_tau, paired_difference
from edgenas.training.evaluation import SupernetEvaluator, predict
from edgenas.training.probing import clear, probe
from edgenas.training.teacher import remembering

NUM_HAND = 2  # of the nets
SPLIT = "left out"
PROOF_SPLITS = ("select", "confirm")
NUM_DRAWS = 300  # of images that judge as few as a proof has


@dataclass(frozen=True, slots=True)
class Bench:
    """What all nets are trained and judged with.

    Attributes:
        whole: the source with the images that the run left out.
        left_N: positions in it of the images that judge.
        latency: predicted, of genes.
    """

    project: Project
    images: Images
    whole: ImageSource
    left_N: NDArray[np.int64]
    latency: CostModel
    epochs: int
    folder: Path

    def judges(self, preprocess: Preprocess) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Images (N, C, H, W) and labels (N,) that judge, as a net of this preprocessing reads them."""
        return arrays(ImageStore(self.whole, preprocess), self.left_N)


def left_out(project: Project, images: Images, num: int) -> tuple[ImageSource, NDArray[np.int64]]:
    """The whole source and, in it, up to ``num`` positions of images that `data.max_per_class` left out, as many of every class.

    Raises:
        ValueError: if there are none.
    """
    source = open_source(project.settings.data.source, project.settings.data.map_label)
    free_M = np.array([images.splits.excluded.get(name, "").startswith("not drawn") for name in source.ids])
    free_N = np.flatnonzero(free_M)
    rng = np.random.default_rng(0)
    classes = np.unique(source.labels_N)
    kept = [rng.permutation(free_N[source.labels_N[free_N] == label])[: num // len(classes)] for label in classes]
    found_N = np.sort(np.concatenate(kept))
    if not len(found_N):
        raise ValueError("data.max_per_class left no image out")
    return source, found_N


def nets_of(bench: Bench, limit_ms: float, winner: Mapping[str, Any], num: int, seed: int) -> Genes:
    """The winner, hand-designed nets within the limit, half of all within 5 % of it, the others from everywhere."""
    space, rng = bench.project.space, np.random.default_rng(seed)
    hand_AG = np.concatenate([space.from_json(arch) for arch in hand_designed(space)])
    hand_AG = hand_AG[bench.latency(hand_AG) <= limit_ms]
    dearest = np.argsort(-cost_models(space, bench.images.task)["macs"](hand_AG), kind="stable")[:NUM_HAND]
    fixed_AG = np.concatenate([space.from_json(dict(winner)), hand_AG[dearest]])
    depth = shape_models(decompose(space, bench.images.task)).depth

    def in_band(genes_AG: Genes) -> NDArray[np.bool_]:
        cost_A = bench.latency(genes_AG)
        return (cost_A <= limit_ms) & (cost_A >= (1 - BAND) * limit_ms)

    near = even_pool(space, bench.latency, depth, rng, allowed=in_band)
    missing = max(0, -(-num // 2) - int(in_band(fixed_AG).sum()))
    near_AG = near.spread(missing, rng)
    spread_AG = even_pool(space, bench.latency, depth, rng).spread(num, rng)
    spread_AG = spread_AG[~in_band(spread_AG)]
    all_AG = np.concatenate([fixed_AG, near_AG, spread_AG])
    _, first = np.unique(all_AG, axis=0, return_index=True)
    return all_AG[np.sort(first)][:num]


@dataclass(frozen=True, slots=True)
class Judged:
    """A net that was trained alone.

    Attributes:
        left_NC: probabilities of the images that judge.
        proof_NC: of those of select and confirm.
    """

    left_NC: NDArray[np.float32]
    proof_NC: NDArray[np.float32]


def judged_alone(bench: Bench, genes_AG: Genes) -> Iterator[Judged]:
    """Each net, trained alone."""
    project, images = bench.project, bench.images
    teacher = remembering(load_teacher(project, images) if teaching_of(project)[0] else None)
    for position, genes_G in enumerate(genes_AG):
        arch = project.space.to_json(genes_G)
        job = plain_job(
            project,
            images,
            PlainNet(arch, kind="fidelity"),
            label=f"alone {position + 1}/{len(genes_AG)}",
            folder=bench.folder,
            epochs=bench.epochs,
            learning_rate=project.settings.train.learning_rate,
            teacher=teacher,
            device="cpu",
            seed=project.settings.search.seed,
            split=None,
        )
        job = replace(job, loop=replace(job.loop, schedule="cosine", keep_best=False, max_seconds=None))
        key = sha256_json(job.identity)[:16]
        kept = bench.folder / f"{key}.npz"
        if not kept.is_file():
            net = _shown(probe(replace(job, folder=bench.folder / key)))
            own = images_for(project.space, images, arch)
            proof_NC = np.concatenate([predict(net, own.arrays(name)[0]) for name in PROOF_SPLITS])
            with atomic_path(kept) as temporary, temporary.open("wb") as file:
                np.savez(file, left_NC=predict(net, bench.judges(own.preprocess)[0]), proof_NC=proof_NC)
            clear(bench.folder / key)
        with np.load(kept) as arrays_found:
            yield Judged(arrays_found["left_NC"], arrays_found["proof_NC"])


def _shown(work: Generator[Record, None, nn.Module]) -> nn.Module:
    """What a generator of records returns; its progress goes to the terminal."""
    while True:
        try:
            record = next(work)
        except StopIteration as ended:
            net: nn.Module = ended.value
            return net
        if isinstance(record, Progress):
            print(f"\r{record.label}: {record.done}/{record.total}", end="", file=sys.stderr)  # noqa: T201 - a script's screen


def judges_compared(logs_AN: NDArray[np.float64], right_AN: NDArray[np.bool_], num: int) -> dict[str, dict[str, float]]:
    """How well right answers and likelihoods of ``num`` images rank nets that all other images judge, means over random draws."""
    rng = np.random.default_rng(0)
    judges = {"right answers": right_AN.astype(np.float64), "log-likelihood": logs_AN}
    taus: dict[str, list[float]] = {name: [] for name in judges}
    lost: dict[str, list[float]] = {name: [] for name in judges}
    for _ in range(NUM_DRAWS):
        order_N = rng.permutation(right_AN.shape[1])
        worth_A = right_AN[:, order_N[num:]].mean(axis=1)
        for name, values_AN in judges.items():
            score_A = values_AN[:, order_N[:num]].mean(axis=1)
            taus[name].append(kendall_tau(score_A, worth_A).value)
            lost[name].append(float(worth_A.max() - worth_A[score_A.argmax()]))
    return {name: {"tau": float(np.mean(taus[name])), "regret": float(np.mean(lost[name]))} for name in judges}


def report(bench: Bench, genes_AG: Genes, judged: Sequence[Judged]) -> dict[str, Any]:
    """Tau of rankings with accuracy alone, over all nets and in the band, and the regret of the first net and of the proof's."""
    project, images = bench.project, bench.images
    left_N = bench.whole.labels_N[bench.left_N]
    right_AN = np.array([each.left_NC.argmax(axis=1) == left_N for each in judged])
    supernet = load_supernet(project, images)
    costs = cost_models(project.space, images.task)
    columns = {name: costs[name](genes_AG) for name in ("params", "macs")}
    for split, (images_NCHW, labels_N) in {"select": images.arrays("select"), SPLIT: bench.judges(images.preprocess)}.items():
        evaluator = SupernetEvaluator(supernet, images_NCHW, device=torch.device("cpu"), training_NCHW=images.norm_images())
        p_ANC = np.stack(list(evaluator(genes_AG, np.arange(len(labels_N)))))
        columns[f"inherited on {split}"] = (p_ANC.argmax(axis=2) == labels_N).mean(axis=1)
    proof_N = np.concatenate([images.labels(name) for name in PROOF_SPLITS])
    columns["proof"] = np.array([(each.proof_NC.argmax(axis=1) == proof_N).mean() for each in judged])
    columns["proof, log-likelihood"] = np.array([log_likelihoods(each.proof_NC, proof_N).mean() for each in judged])
    alone_A, latency_A = right_AN.mean(axis=1), bench.latency(genes_AG)
    features_AF = np.column_stack([columns["inherited on select"], np.log(columns["params"]), np.log(columns["macs"])])
    ranker = fit_ranker(features_AF, alone_A)
    found = fidelity(alone_A, columns | {"combined, held out": ranker.held_out_A}, latency_A)
    best = int(np.argmax(alone_A))
    regret = paired_difference(right_AN[best], right_AN[0], rng=np.random.default_rng(0))
    rows = [
        {
            "arch": project.space.to_json(genes_G),
            "latency_ms_predicted": float(latency_A[i]),
            "alone": float(alone_A[i]),
            **{name: float(values_A[i]) for name, values_A in columns.items()},
        }
        for i, genes_G in enumerate(genes_AG)
    ]
    logs_AN = np.array([log_likelihoods(each.left_NC, left_N) for each in judged])
    return {
        "judges": judges_compared(logs_AN, right_AN, min(len(proof_N), len(left_N) // 2)),
        "num_proof": min(len(proof_N), len(left_N) // 2),
        "num_draws": NUM_DRAWS,
        "tau": {name: tau.as_json() for name, tau in found.tau.items()},
        "tau_band": {name: tau.as_json() for name, tau in found.tau_band.items()},
        "band_ms": found.band,
        "num_band": found.num_band,
        "regret": regret.as_json(),
        "rows": rows,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing, then report."""
    asked = _parse(arguments)
    project = open_project(asked.run, {}, ("train.threads=1", *asked.set))
    torch.set_num_threads(1)
    images = open_images(project)
    search = read_json(asked.search)
    search = search.get("result", search)
    table = run_table(project, images.task, (search.get("table") or {}).get("sha256"))
    if table is None:
        raise SystemExit("the run has no latency table")
    folder = asked.folder / "alone"
    folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(project, images, *left_out(project, images, asked.images), table.predicted, asked.epochs, folder)
    limit_ms = search["limits"]["latency_ms"]
    genes_AG = nets_of(bench, limit_ms, search["winner"]["arch"], asked.num, asked.seed)
    found = report(bench, genes_AG, list(judged_alone(bench, genes_AG)))
    facts = {
        "command": "python -m benchmarks.fidelity " + " ".join(sys.argv[1:] if arguments is None else arguments),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "source": project.settings.data.source,
        "space": project.space.name,
        "limit_ms": limit_ms,
        "epochs": asked.epochs,
        "num_images": len(bench.left_N),
        "versions": versions(),
    }
    write_json(asked.folder / "fidelity.json", facts | found)
    write_text(asked.folder / "fidelity.md", text_of(facts | found))
    for name, tau in found["tau"].items():
        band = found["tau_band"].get(name)
        text = "" if band is None else f"; in the band {band['value']:.2f} [{band['low']:.2f}, {band['high']:.2f}]"
        print(f"{name}: tau {tau['value']:.2f} [{tau['low']:.2f}, {tau['high']:.2f}]{text}")  # noqa: T201 - a script's screen
    regret = {name: 100 * value for name, value in found["regret"].items() if name != "n"}
    print(f"regret of the winner: {regret['value']:.1f} [{regret['low']:.1f}, {regret['high']:.1f}] points")  # noqa: T201
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--run", type=Path, required=True, help="run folder with a trained supernet and a latency table")
    parser.add_argument("--search", type=Path, required=True, help="answer or result of `edgenas search --latency-ms` in it")
    parser.add_argument("--num", type=int, default=20, help="nets that are trained alone")
    parser.add_argument("--epochs", type=int, default=18, help="of each")
    parser.add_argument("--images", type=int, default=10_000, help="that judge, from those that the run left out")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of nets")
    parser.add_argument("--folder", type=Path, default=Path("fidelity"), help="what is done, and fidelity.json")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="settings as the run had them")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
