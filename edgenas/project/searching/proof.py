"""The proof of a search's finalists: each is trained alone for a few epochs before one is chosen.

Successive halving (Jamieson & Talwalkar, AISTATS 2016, arXiv:1502.07943) in two rungs: every finalist gets a third of the epochs,
the best third of them, with the best hand-designed net among it, all of them; all nets of a rung get the same. Nets of more pixels
learn later, so the best of every resolution go on. Nets are judged by how likely they find the right classes of held-out images:
that tells near nets apart with fewer images than counting right answers does. Where the supernet's weights rank no better than MACs
do, or than chance, more nets are proven, picked by what ranks better.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgenas.data.images import Images
from edgenas.project.journals import pack, unpack
from edgenas.project.net_facts import images_for
from edgenas.project.opening import Project
from edgenas.project.trainings.plain_nets import PlainNet, plain_job
from edgenas.records import Arch, FidelityResult, FidelityRow, PackedPredictions
from edgenas.runs import Journal, Note, Record, sha256_json
from edgenas.search import Fidelity, SensitivityFloor, shrunk
from edgenas.search.finalists import Finalist, Proof
from edgenas.search.proof_scores import (
    MIN_LEFT,
    Score,
    expected,
    expected_after,
    first_epochs,
    judge_first_rung,
    log_likelihoods,
    noise_of,
    num_left,
    survivors,
    words,
)
from edgenas.training.evaluation import predict
from edgenas.training.fitting import TrainingJob
from edgenas.training.folder import seconds_of
from edgenas.training.probing import clear, many, minutes, probe
from edgenas.training.probing import seconds_of as estimated_s

SPLITS = ("select", "confirm")  # that proven nets are judged on; they learnt from neither


@dataclass(frozen=True, slots=True)
class Prover:
    """Trains nets of a run alone; what is in the journal is not trained again.

    Attributes:
        teacher: None for labels alone.
        memory: of predictions by training.
        epochs: of the last rung.
    """

    project: Project
    images: Images
    teacher: nn.Module | None
    device: str
    memory: Journal
    epochs: int

    def job(self, arch: Arch, epochs: int, label: str) -> TrainingJob:
        """The training of one net for one rung."""
        train = self.project.settings.train
        job = plain_job(
            self.project,
            self.images,
            PlainNet(arch, kind="proof"),
            label=label,
            folder=self.project.run.search / "proof",
            epochs=epochs,
            learning_rate=train.learning_rate,
            teacher=self.teacher,
            device=self.device,
            seed=self.project.settings.search.seed,
            split=None,
        )
        job = replace(job, loop=replace(job.loop, schedule="cosine", keep_best=False, max_seconds=None))
        return replace(job, folder=job.folder / self.key(job)[:16])

    def key(self, job: TrainingJob) -> str:
        """What the result of a job depends on."""
        return sha256_json({**job.identity, "torch": [torch.__version__, torch.get_num_threads()], "device": self.device})

    def predictions(self, arch: Arch, epochs: int, label: str) -> Generator[Record, None, NDArray[np.float16]]:
        """Probabilities on select and confirm, shape (images, classes), of the net trained for so many epochs."""
        job = self.job(arch, epochs, label)
        key = self.key(job)
        num_images = sum(len(self.images.splits[name]) for name in SPLITS)
        kept = self.memory.recall(key)
        if kept is not None:
            return unpack(kept, num_images, self.memory.path)
        key, packed, folder = yield from self.trained(arch, epochs, label)
        self.memory.record(key, packed)
        clear(folder)
        return unpack(self.memory.recall(key), num_images, self.memory.path)

    def trained(self, arch: Arch, epochs: int, label: str) -> Generator[Record, None, tuple[str, PackedPredictions, Path]]:
        """Train a net whether it is known or not: its key, its probabilities and the folder that holds it; nothing is recorded."""
        job = self.job(arch, epochs, label)
        net = yield from probe(job)
        own = images_for(self.project.space, self.images, arch)
        p_NC = np.concatenate([predict(net, own.arrays(name)[0]) for name in SPLITS]).astype(np.float16)
        return self.key(job), replace(pack(p_NC), seconds=seconds_of(job.folder)), job.folder

    def log_likelihood(self, arch: Arch, epochs: int) -> float | None:
        """Mean over select and confirm, in nats, of a net that was trained for so many epochs before; None of any other."""
        kept = self.memory.recall(self.key(self.job(arch, epochs, "")))
        if kept is None:
            return None
        labels_N = np.concatenate([self.images.labels(name) for name in SPLITS])
        return float(log_likelihoods(unpack(kept, len(labels_N), self.memory.path), labels_N).mean())

    def spent(self, finalists: Sequence[Finalist]) -> tuple[float, int]:
        """Seconds and epochs of all trainings that the proofs of these rest on, also those of earlier calls."""
        first = first_epochs(self.epochs)
        seconds, total = 0.0, 0
        for finalist in finalists:
            for epochs in {first, finalist.proof.epochs} if finalist.proof is not None else ():
                kept = self.memory.recall(self.key(self.job(finalist.row.arch, epochs, "")))
                if kept is not None:
                    took_s = PackedPredictions.from_json(kept).seconds
                    seconds, total = seconds + (took_s if took_s is not None else 0.0), total + epochs
        return seconds, total

    def took(self, archs: Sequence[Arch], epochs: int) -> float:
        """Seconds that the trainings of these nets took, also in earlier calls."""
        kept = [self.memory.recall(self.key(self.job(arch, epochs, ""))) for arch in archs]
        return sum(PackedPredictions.from_json(each).seconds or 0.0 for each in kept if each is not None)

    def seconds(self, archs: Sequence[Arch], epochs: int) -> float:
        """Estimated for those that are not trained yet, from the largest, a middle one and the first."""
        return self._seconds(self._unknown(archs, epochs))

    def seconds_of_some(self, archs: Sequence[Arch], num: int, epochs: int) -> float:
        """Estimated for ``num`` of these nets, whichever; as many as are trained already count for nothing."""
        left = self._unknown(archs, epochs)
        num_left = max(0, num - (len(archs) - len(left)))
        return self._seconds(left) * num_left / max(1, len(left)) if num_left else 0.0

    def _unknown(self, archs: Sequence[Arch], epochs: int) -> list[TrainingJob]:
        return [job for job in (self.job(arch, epochs, "") for arch in archs) if self.memory.recall(self.key(job)) is None]

    def _seconds(self, jobs: Sequence[TrainingJob]) -> float:
        some = [jobs[i] for i in sorted({0, len(jobs) // 2, len(jobs) - 1})] if jobs else []
        return estimated_s(some) * len(jobs) / max(1, len(some))


@dataclass(frozen=True, slots=True)
class Proven:
    """The outcome of a proof.

    Attributes:
        finalists: with their proofs, in the order given, then those that were added.
        fidelity: of cheap rankings against the first rung; None with too few nets.
        ranker: what accuracies are expected from: ``combined``, or ``none``.
        spent: seconds and epochs of the trainings, of earlier calls too.
    """

    finalists: list[Finalist]
    fidelity: Fidelity | None
    ranker: str
    spent: tuple[float, int] = (0.0, 0)

    def result(self, epochs: int) -> FidelityResult:
        """The contract's ``fidelity``, as a search measures it; ``epochs`` of the first rung."""
        known, rows = self.fidelity, tuple(_row(f, f.proof) for f in self.finalists if f.proof is not None)
        return FidelityResult(
            num_nets=len(rows),
            epochs=epochs,
            band=known.band if known is not None else None,
            num_band=known.num_band if known is not None else 0,
            tau=known.tau if known is not None else {},
            tau_band=known.tau_band if known is not None else {},
            ranker=self.ranker,
            rows=rows,
        )


def _row(finalist: Finalist, proof: Proof) -> FidelityRow:
    return FidelityRow(
        arch=finalist.row.arch,
        inherited=finalist.candidate.top1,
        alone=proof.first_top1,
        alone_log_likelihood=proof.first_log_likelihood,
        latency_ms_predicted=finalist.row.latency_ms_predicted,
    )


Losses = Callable[[NDArray[np.int16], NDArray[np.floating], NDArray[np.int64]], tuple[float, ...]]
More = Callable[[int, Score], Generator[Record, None, list[Finalist]]]


def prove(
    prover: Prover,
    finalists: Sequence[Finalist],
    floors: Sequence[SensitivityFloor],
    more: More,
    losses: Losses = lambda *_: (),
    known: Set[tuple[int, ...]] = frozenset(),
) -> Generator[Record, None, Proven]:
    """Train the finalists that nothing rejects, in two rungs, and score them.

    Args:
        prover: trains and remembers.
        finalists: measured.
        floors: on sensitivities; a net that misses one on confirm after its last rung ranks behind those that do not.
        more: gives so many further finalists, the best by a score, measured; asked where inherited accuracy ranks no better than
            MACs.
        losses: the objectives of a net by its genes and its predictions of select and confirm; nothing for accuracy alone.
        known: genes of finalists whose last rung is known from before: it costs nothing, so they are in it.
    """
    epochs = prover.epochs
    alive = [f for f in finalists if not f.row.rejected_by]
    first = first_epochs(epochs) if len(alive) > MIN_LEFT else epochs
    archs = [f.row.arch for f in alive]
    seconds = prover.seconds(archs, first)
    seconds += prover.seconds_of_some(archs, num_left(len(alive)), epochs) if first < epochs else 0.0
    yield told_proof(len(alive), sum(f.is_hand_designed for f in alive), epochs, first, seconds)
    rung = yield from _rung(prover, alive, first, floors, losses)
    fidelity, ranker, scores_A = judge_first_rung(alive, rung.log_AN)
    if fidelity is not None:
        yield Note(words(fidelity, first))
    if fidelity is not None and first < epochs and not fidelity.is_of_use("inherited", beside="macs"):
        added = yield from _added(prover, alive, fidelity, expected(alive, rung.log_AN), more)
        alive += [f for f in added if not f.row.rejected_by]
        finalists = [*finalists, *added]
        rung = yield from _rung(prover, alive, first, floors, losses)  # those that are known come from memory
        fidelity, ranker, scores_A = judge_first_rung(alive, rung.log_AN)
    proofs = rung.proofs(first, scores_A)
    if first < epochs:
        places = survivors(alive, scores_A)
        places = [*places, *(i for i, f in enumerate(alive) if f.candidate.genes in known and i not in places)]
        last = yield from _rung(prover, [alive[i] for i in places], epochs, floors, losses)
        for place, proof in zip(places, _last_proofs(last, epochs, [alive[i] for i in places], scores_A[places]), strict=True):
            proofs[place] = proof.after(proofs[place])
    by_genes = {f.candidate.genes: proof for f, proof in zip(alive, proofs, strict=True)}
    judged = [f.proven(by_genes.get(f.candidate.genes)) for f in finalists]
    return Proven(judged, fidelity, ranker, prover.spent(judged))


def _added(
    prover: Prover, alive: Sequence[Finalist], fidelity: Fidelity, score: Score, more: More
) -> Generator[Record, None, list[Finalist]]:
    """Half as many nets more for the first rung, by what ranks better than inherited accuracy."""
    num, than = max(2, len(alive) // 2), "MACs" if fidelity.tells("inherited") else "chance"
    text = f"inherited accuracy ranks no better than {than} here: {num} more nets are proven, picked by what ranks better"
    yield Note(text, is_warning=True)
    added = yield from more(num, score)
    first = first_epochs(prover.epochs)
    yield told_more(len(added), first, prover.seconds([f.row.arch for f in added], first))
    return added


@dataclass(frozen=True, slots=True)
class _Rung:
    """What the nets of a rung showed.

    Attributes:
        right_AN: images of select and confirm that each gets right.
        log_AN: log-likelihood of their classes, in nats.
        low_floors: floors that each misses on confirm.
        losses: objectives of each.
    """

    right_AN: NDArray[np.bool_]
    log_AN: NDArray[np.float64]
    low_floors: tuple[tuple[str, ...], ...]
    losses: tuple[tuple[float, ...], ...]

    def proofs(self, epochs: int, scores_A: NDArray[np.float64]) -> list[Proof]:
        return [
            Proof(epochs, float(right_N.mean()), float(log_N.mean()), right_N, float(log_N.mean()), float(score), low, losses)
            for right_N, log_N, score, low, losses in zip(
                self.right_AN, self.log_AN, scores_A, self.low_floors, self.losses, strict=True
            )
        ]


def _last_proofs(last: _Rung, epochs: int, left: Sequence[Finalist], scores_A: NDArray[np.float64]) -> list[Proof]:
    """Proofs of the nets that are left; their scores rest on what the first rung lets expect of them, too."""
    alone_A = last.log_AN.mean(axis=1)
    expected_A = expected_after(left, scores_A, alone_A)
    return last.proofs(epochs, shrunk(alone_A, expected_A, noise_of(last.log_AN)))


def _rung(
    prover: Prover, finalists: Sequence[Finalist], epochs: int, floors: Sequence[SensitivityFloor], losses: Losses
) -> Generator[Record, None, _Rung]:
    """Train all of them for so many epochs; what they get right, and which floors they miss on confirm."""
    labels_N = np.concatenate([prover.images.labels(name) for name in SPLITS])
    num_select = len(prover.images.labels(SPLITS[0]))
    rights, logs, lows, goals = [], [], [], []
    for number, finalist in enumerate(finalists, 1):
        label = f"proof {number}/{len(finalists)}, {epochs} epochs"
        p_NC = yield from prover.predictions(finalist.row.arch, epochs, label)
        rights.append(p_NC.argmax(axis=1) == labels_N)
        logs.append(log_likelihoods(p_NC, labels_N))
        missed = [floor.name for floor in floors if floor.violation(p_NC[None, num_select:], labels_N[num_select:])[0] > 0]
        lows.append(tuple(missed))
        goals.append(losses(np.array(finalist.candidate.genes, dtype=np.int16), p_NC, labels_N))
    shape = (len(finalists), len(labels_N))
    right_AN, log_AN = np.array(rights, dtype=np.bool_).reshape(shape), np.array(logs, dtype=np.float64).reshape(shape)
    return _Rung(right_AN, log_AN, tuple(lows), tuple(goals))


def told_proof(num: int, hand: int, epochs: int, first: int, seconds: float) -> Note:
    """How many nets are going to be proven, and how long that takes."""
    left = num_left(num)
    nets, alone = many(num, "net"), many(first, "epoch")
    text = f"proof: {nets} ({hand} hand-designed) to be trained alone for {alone}, the best {left} for {epochs}"
    if not seconds:
        return Note(f"{text}: there already")
    return Note(f"{text}: about {minutes(seconds)} (estimated from a few steps; search.proof_epochs)")


def told_more(num: int, first: int, seconds: float) -> Note:
    """How long the first rung takes of nets that were added."""
    how = f"about {minutes(seconds)} more" if seconds else "there already"
    return Note(f"proof: {many(num, 'more net')} for {many(first, 'epoch')}: {how}")
