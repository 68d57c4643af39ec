"""A table of what every subnet of a part of `pvt-elastic-nano` predicts on Fashion-MNIST, so that searches can be replayed.

The part is whole: it has one option of the heads, MLPs and three of the reductions, and every combination of the resolution, the
widths, the depths and the reduction of the third stage. An algorithm's mutants and children are then nets of the table, and no
answer is guessed. Beside it stand nets of the whole space: uniform draws, some even over cost, hand-designed ones. Of every
net and image the class that is decided and the probability of the right one are kept.

Two nets that begin alike are computed alike up to where they differ, and only once. What is done is kept: the same command goes on.

    python -m benchmarks.training_rules --arms even --seeds 0 --per-class 600 --epochs 20 --folder rules
    python -m benchmarks.search_table --run rules/arm-0-seed-0
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from edgenas.costs import cost_models, decompose, shape_models
from edgenas.data.images import Images
from edgenas.project.nets import load_supernet
from edgenas.project.opening import Project, open_images, open_project
from edgenas.runs import atomic_path
from edgenas.spaces import Genes, SearchSpace, get_space, pinned, unique_rows
from edgenas.spaces.designed import hand_designed_rows
from edgenas.spaces.even import even_pool
from edgenas.supernets.resize import resized
from edgenas.supernets.sliced import Setting, SlicedSupernet, skeleton
from edgenas.training.folder import weights_sha256

TABLE = Path("benchmarks/data/search-pvt-elastic-nano.npz")
FREE = (
    "resolution_px",
    "stages[2].reduction",
    *(f"stages[{stage}].{gene}" for stage in range(4) for gene in ("depth", "embed_dim")),
)
SPLITS = ("select", "confirm")
BATCH = 256
PIECE = 64  # nets between two files
LEVELS = 255  # of a probability


@dataclass(frozen=True, slots=True)
class Table:
    """What the nets of a table predicted.

    Attributes:
        space: that all rows are of.
        part: whose every net is among them, the first rows in the order of its enumeration.
        genes_AG: rows of ``space``.
        origin_A: ``part``, ``uniform``, ``even`` or ``hand``.
        params_A, macs_A: of every net.
        decided_AN: class of every image, uint8.
        label_AN: probability of the right class in steps of 1 / `LEVELS`, uint8.
        labels_N: right classes.
        split_N: ``select`` or ``confirm``, of every image.
        facts: how it was made.
    """

    space: SearchSpace
    part: SearchSpace
    genes_AG: Genes
    origin_A: NDArray[np.str_]
    params_A: NDArray[np.int64]
    macs_A: NDArray[np.int64]
    decided_AN: NDArray[np.uint8]
    label_AN: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    split_N: NDArray[np.str_]
    facts: dict[str, Any]

    def right(self, split: str) -> NDArray[np.bool_]:
        """Which images of a split every net gets right, shape (nets, images)."""
        on_N = self.split_N == split
        right_AN: NDArray[np.bool_] = self.decided_AN[:, on_N] == self.labels_N[on_N]
        return right_AN


def part_of(space: SearchSpace) -> SearchSpace:
    """The part of a space in which every choice that is not `FREE` has its middle option, the later one of an even number."""
    fixed = [choice for choice in space.choices if choice.name not in FREE]
    return pinned(space, [f"{choice.name}={choice.options[len(choice.options) // 2]}" for choice in fixed])


def widened(part: SearchSpace, space: SearchSpace, genes_AG: Genes) -> Genes:
    """Rows of a part of a space as rows of the space."""
    columns = []
    for mine, whole, gene_A in zip(part.choices, space.choices, genes_AG.T, strict=True):
        places = np.array([whole.options.index(option) for option in mine.options], dtype=np.int16)
        columns.append(np.where(gene_A < 0, np.int16(-1), places[gene_A]))
    return np.column_stack(columns).astype(np.int16)


def rows_of(space: SearchSpace, part: SearchSpace, num: int, seed: int) -> dict[str, Genes]:
    """Distinct rows of ``space`` by origin; ``num`` uniform draws and half as many evenly spread over MACs and depth."""
    shape = shape_models(decompose(space, space.default_task))
    rng = np.random.default_rng(seed)
    pool = even_pool(space, cost_models(space, space.default_task)["macs"], shape.depth, rng)
    asked = {
        "part": widened(part, space, part.enumerate()),
        "hand": hand_designed_rows(space),
        "uniform": space.sample(num, rng),
        "even": pool.spread(num // 2, rng),
    }
    seen: set[bytes] = set()
    result = {}
    for origin, rows_AG in asked.items():
        ordered_AG = rows_AG if origin == "part" else unique_rows(rows_AG)
        fresh = [row for row in ordered_AG if row.tobytes() not in seen]
        seen.update(row.tobytes() for row in fresh)
        result[origin] = np.array(fresh, dtype=np.int16)
    return result


class Chain:
    """Predicts with subnets one after the other and keeps what the last one computed, for the next that begins alike.

    The batches are those of `edgenas.training.evaluation`, so that the results are the same.

    Args:
        supernet: without batch norm.
        images_NCHW: normalised.
    """

    def __init__(self, supernet: SlicedSupernet[Any], images_NCHW: NDArray[np.float32]) -> None:
        some = next(supernet.parameters())
        self.supernet = supernet.eval()
        self.setting = Setting(some.device, some.dtype, False, 0)
        self.images = torch.from_numpy(images_NCHW).split(BATCH)
        self._kept: list[tuple[Hashable, tuple[torch.Tensor, ...]]] = []

    @torch.no_grad()
    def __call__(self, genes: tuple[int, ...]) -> NDArray[np.float16]:
        """Class probabilities, shape (images, classes)."""
        spec = self.supernet.spec(genes)
        links = zip(spec.components, self.supernet.sharing.parts(self.supernet, spec), strict=True)
        x = self._step(0, spec.task.image_px, lambda: tuple(resized(image, spec.task.image_px) for image in self.images))
        for depth, (component, part) in enumerate(links, 1):
            compute = skeleton(self.supernet.sharing.build_component, self.setting, component)
            given, before = part.given(part.weights), x
            x = self._step(depth, (part.prefix, component), lambda: tuple(compute(given, y) for y in before))  # noqa: B023 - called at once
        del self._kept[len(spec.components) + 1 :]
        p_NC: NDArray[np.float16] = softmax(torch.cat(x).numpy(), axis=1).astype(np.float16)
        return p_NC

    def _step(self, depth: int, key: Hashable, compute: Any) -> tuple[torch.Tensor, ...]:
        if depth < len(self._kept) and self._kept[depth][0] == key:
            return self._kept[depth][1]
        result: tuple[torch.Tensor, ...] = compute()
        self._kept[depth:] = [(key, result)]
        return result


def predict(
    chain: Chain, genes_AG: Genes, labels_N: NDArray[np.int64], folder: Path
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Decided classes and probabilities of the right ones, shape (nets, images), piece by piece; those in ``folder`` are read."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(genes_AG), PIECE):
        path = folder / f"{start:05d}.npz"
        rows_AG = genes_AG[start : start + PIECE]
        if not path.is_file():
            p_ANC = np.stack([chain(tuple(int(gene) for gene in row_G)) for row_G in rows_AG])
            of_label_AN = np.round(LEVELS * p_ANC[:, np.arange(len(labels_N)), labels_N].astype(np.float64)).astype(np.uint8)
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                np.savez(file, decided=p_ANC.argmax(axis=2).astype(np.uint8), label=of_label_AN, genes=rows_AG)
        with np.load(path) as done:
            if not np.array_equal(done["genes"], rows_AG):
                raise ValueError(f"{path} is of other nets; delete {folder}")
            yield done["decided"], done["label"]


def make(project: Project, folder: Path, output: Path, *, num: int, seed: int, command: str) -> None:
    """Evaluate what is missing, and write the table."""
    images = open_images(project)
    torch.set_num_threads(1)
    space, part = project.space, part_of(project.space)
    read = [images.arrays(split) for split in SPLITS]
    images_NCHW = np.concatenate([np.asarray(array) for array, _ in read])
    labels_N = np.concatenate([labels for _, labels in read])
    supernet = load_supernet(project, images)
    assert isinstance(supernet, SlicedSupernet)
    rows = rows_of(space, part, num, seed)
    genes_AG = np.concatenate(list(rows.values()))
    began, pieces = time.monotonic(), []
    for piece in predict(Chain(supernet, images_NCHW), genes_AG, labels_N, folder):
        pieces.append(piece)
        print(f"{PIECE * len(pieces)} of {len(genes_AG)} nets, {time.monotonic() - began:.0f} s", file=sys.stderr)  # noqa: T201 - a script's screen
    nets = {origin: len(rows_AG) for origin, rows_AG in rows.items()}
    facts = _facts(project, images, part, nets, command)
    costs = cost_models(space, images.task)
    kept = {
        "genes": genes_AG.astype(np.int8),
        "origin": np.concatenate([np.full(number, origin) for origin, number in nets.items()]),
        "params": costs["params"](genes_AG).astype(np.int64),
        "macs": costs["macs"](genes_AG).astype(np.int64),
        "decided": np.concatenate([decided_AN for decided_AN, _ in pieces]),
        "label": np.concatenate([label_AN for _, label_AN in pieces]),
        "labels": labels_N.astype(np.uint8),
        "split": np.concatenate([np.full(len(labels), split) for split, (_, labels) in zip(SPLITS, read, strict=True)]),
        "image": np.concatenate([np.asarray(images.splits[split]) for split in SPLITS]).astype(np.int32),
        "facts": np.array(json.dumps(facts)),
    }
    with atomic_path(output) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **kept)


def _facts(project: Project, images: Images, part: SearchSpace, nets: Mapping[str, int], command: str) -> dict[str, Any]:
    """How a table was made, JSON-ready; ``nets`` are how many it has of each origin."""
    return {
        "command": command,
        "space": project.space.name,
        "part": part.name,
        "data": project.settings.data.source,
        "supernet_sha256": weights_sha256(project.run.supernet),
        "splits_sha256": images.splits.sha256,
        "nets": dict(nets),
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "date": time.strftime("%Y-%m-%d"),
    }


def load(path: Path = TABLE) -> Table:
    """The table in a file."""
    with np.load(path) as file:
        facts = json.loads(str(file["facts"]))
        return Table(
            space=get_space(facts["space"]),
            part=get_space(facts["part"]),
            genes_AG=file["genes"].astype(np.int16),
            origin_A=file["origin"],
            params_A=file["params"],
            macs_A=file["macs"],
            decided_AN=file["decided"],
            label_AN=file["label"],
            labels_N=file["labels"].astype(np.int64),
            split_N=file["split"],
            facts=facts,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--run", type=Path, required=True, help="folder with a trained supernet of pvt-elastic-nano")
    parser.add_argument("--folder", type=Path, default=Path("search-table"), help="of what is done")
    parser.add_argument("--num", type=int, default=256, help="uniform draws of the whole space; half as many are spread evenly")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=TABLE)
    asked = parser.parse_args(arguments)
    command = f"python -m benchmarks.search_table --run RUN --num {asked.num} --seed {asked.seed}"
    make(open_project(asked.run, {}, ()), asked.folder, asked.output, num=asked.num, seed=asked.seed, command=command)
    print(asked.output)  # noqa: T201 - a script's screen
    return 0


if __name__ == "__main__":
    sys.exit(main())
