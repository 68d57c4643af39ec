"""`edgenas fidelity`: how far the supernet's ranking is to be trusted, by nets that are trained alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgenas.config import Flags
from edgenas.data.images import decode
from edgenas.project.journals import PROOFS, journal
from edgenas.project.nets import load_supernet, proof_epochs
from edgenas.project.opening import open_images, open_project
from edgenas.project.paging.writing import page_beside
from edgenas.project.results import RESULT
from edgenas.project.searching.proof import SPLITS, Prover
from edgenas.project.searching.proof_workers import ProofOrder, keys_of, labels_of, train_apart, wait_for_earlier
from edgenas.project.searching.ranked_nets import answers_of, nets_to_train, proxy_scores, ranked, report_of
from edgenas.project.searching.ray_workers import Workers, require_address
from edgenas.project.trainings.loaded_teacher import load_teacher
from edgenas.project.trainings.teaching import teaching_of
from edgenas.records import FidelityPicture
from edgenas.runs import Note, Outcome, Picture, Record, locked
from edgenas.training.devices import torch_device
from edgenas.training.folder import weights_sha256
from edgenas.training.probing import many, minutes
from edgenas.training.teacher import remembering

PICTURES = ("fidelity.png", "fidelity.svg")


@dataclass(frozen=True, slots=True)
class FidelityConfig:
    """What `edgenas fidelity` was asked for.

    Attributes:
        num: nets that are trained alone.
        band: of nearly equal cost, as a share of it.
        epochs: of each; None takes ``search.proof_epochs``.
        workers: processes that train, one net each at a time; None takes this one, or with an address all that the cluster has.
        ray_address: of a Ray cluster that runs; None starts one for more than one worker.
    """

    run: Path
    flags: Flags
    overrides: tuple[str, ...] = ()
    num: int = 12
    band: float = 0.05
    epochs: int | None = None
    workers: int | None = None
    ray_address: str | None = None

    @property
    def apart(self) -> Workers | None:
        """The processes that train beside this one; None where it does so itself."""
        is_here = self.ray_address is None and (self.workers is None or self.workers == 1)
        return None if is_here else Workers(self.workers, self.ray_address)


def run(config: FidelityConfig) -> Iterator[Record]:
    """Choose nets, ask the supernet, train each alone, compare.

    What was trained before, also by the proof of a search, is not trained again: a stopped command goes on.

    Raises:
        MissingInputError: if there is no supernet yet.
        InfeasibleError: if no two nets are of nearly equal cost.
        MissingBackendError: if several processes are to train and Ray is not installed.
        ClusterError: if there is no cluster, or a process that trains is lost again and again; the others have saved what they did.
    """
    if config.ray_address is not None:
        require_address(config.ray_address)
    project = open_project(config.run, config.flags, config.overrides)
    device = torch_device(project.settings.search.device)
    images = open_images(project)
    supernet = load_supernet(project, images)
    epochs = config.epochs if config.epochs is not None else max(1, proof_epochs(project))
    rows_AG, in_band_A = nets_to_train(project, images, config.num, config.band)
    with locked(project.run), journal(project.run.search / PROOFS, {"kind": "proof"}, keep=True) as memory:
        wait_for_earlier(project.run.search)
        yield from decode(images, "train", *SPLITS)
        teacher = remembering(load_teacher(project, images).to(device) if teaching_of(project)[0] > 0 else None)
        prover = Prover(project, images, teacher, device, memory, epochs)
        archs = [project.space.to_json(row_G) for row_G in rows_AG]
        seconds = prover.seconds(archs, epochs) / (config.workers or 1)
        text = f"{len(archs)} nets, {int(in_band_A.sum())} of them of nearly equal cost, each alone for {many(epochs, 'epoch')}"
        yield Note(f"{text}: about {minutes(seconds)}" if seconds else f"{text}: all of them are trained already")
        scores = yield from proxy_scores(project, images, rows_AG)
        weights = weights_sha256(project.run.supernet)
        assert weights is not None  # they were loaded
        if config.apart is not None:
            order = ProofOrder(tuple(archs), epochs, keys_of(prover, archs, epochs), labels_of(len(archs)))
            yield from train_apart(prover, order, config.apart)
        answers = yield from answers_of(prover, supernet, rows_AG, epochs)
        report = report_of(
            ranked(project, images, rows_AG, in_band_A, answers, scores),
            epochs=epochs,
            images=len(answers.labels_N),
            seconds=prover.took(archs, epochs),
            splits=images.splits.sha256,
            supernet=weights,
        )
        folder = project.run.fidelity
        report.write(folder / RESULT)
        paths = tuple(folder / name for name in PICTURES)
        title = f"{project.space.name} on {project.settings.data.source}: {report.num_nets} nets alone for {many(epochs, 'epoch')}"
        yield Picture(FidelityPicture(report, title), paths)
        page = yield from page_beside(project, images)
    yield Outcome(report, {"result": folder / RESULT, "fidelity_png": paths[0], "fidelity_svg": paths[1]} | page)
