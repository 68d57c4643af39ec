"""How long the trainings of plain nets would take: those that choose how to teach, the proof of a search, and `retrain`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from edgenas.data.images import Images
from edgenas.project.net_facts import BASELINE
from edgenas.project.nets import proof_epochs
from edgenas.project.opening import Project
from edgenas.project.retraining.baselines import baseline_epochs
from edgenas.project.retraining.ways import teachings_of, ways_of
from edgenas.project.trainings.plain_nets import PlainNet, plain_job
from edgenas.project.trainings.teacher_choice import teachers_ahead
from edgenas.project.trainings.teaching import teaching_of
from edgenas.project.trainings.teaching_choice import Prober, lessons_ahead, student_of
from edgenas.records import Arch, Estimate, PlannedProbe, PlannedProof, PlannedRetrain
from edgenas.runs import Progress
from edgenas.search.proof_scores import MIN_LEFT, first_epochs, num_left
from edgenas.training.pace import Timed, sum_of, time_job
from edgenas.training.teacher import remembering
from edgenas.training.ways import FINALISTS, Race, Way

SECONDS = 1.5  # of timed steps, of every net
TEACHER, LABELS = "teacher", "labels"  # what teaches
TEACHING = "teaching"  # the probe that finds out how much it does
ALONE = "alone"  # `retrain` of the searched net


def time_probes(
    project: Project, images: Images, teacher: nn.Module | None, device: str
) -> Generator[Progress, None, dict[str, PlannedProbe]]:
    """Time steps of the short trainings with which `edgenas train` would begin; what earlier ones have answered is left out.

    Args:
        project: with settings and run folder.
        images: decoded.
        teacher: a net that takes as long as the teacher; None where labels alone teach.
        device: where to compute.

    Returns:
        ``teacher`` and ``teaching``, whichever are to be found out, with their estimates.
    """
    probes: dict[str, PlannedProbe] = {}
    timed = []
    for job in teachers_ahead(project, images, device) if teacher is not None else []:
        timed.append((yield from time_job(job, seconds=SECONDS)))
    if timed:
        probes[TEACHER] = _probe(timed)
    prober = Prober(project, images, remembering(teacher), device)
    lessons = lessons_ahead(prober)
    arch = student_of(project.space, images.task)
    kinds = {bool(lesson.kd_weight): lesson for lesson in lessons}  # a teacher costs a step the same whatever it teaches
    students = {}
    for is_taught, lesson in kinds.items():
        students[is_taught] = yield from time_job(prober.job(arch, lesson), seconds=SECONDS)
    if lessons:
        probes[TEACHING] = _probe([students[bool(lesson.kd_weight)] for lesson in lessons])
    return probes


def _probe(timed: Sequence[Timed]) -> PlannedProbe:
    """How long short trainings take, one after the other."""
    return PlannedProbe(
        seconds=sum_of([each.estimate for each in timed]),
        nets=len(timed),
        epochs=max(each.job.loop.epochs for each in timed),
        steps=sum(each.num_steps for each in timed),
    )


@dataclass(frozen=True, slots=True)
class PlainPace:
    """Timed steps of plain nets that meet the limits, by what teaches them: ``teacher`` or ``labels``."""

    timed: Mapping[str, Sequence[Timed]]

    @property
    def evaluation_s(self) -> float:
        """Seconds of reading select once."""
        return max(each.evaluation_s for group in self.timed.values() for each in group)

    def of(self, epochs: Mapping[str, int], *, evaluations: int) -> Estimate:
        """Estimate of so many epochs by what teaches them, select being read so many times."""
        total = sum(epochs.values())
        parts = []
        for teaching, num in epochs.items():
            laps = [lap for each in self.timed[teaching] for lap in each.laps]
            steps = num * self.timed[teaching][0].job.batches.num_batches
            parts.append(Estimate.of(laps, steps, evaluations * self.evaluation_s * num / total))
        return sum_of(parts)


def time_nets(
    project: Project, images: Images, teacher: nn.Module | None, archs: Sequence[Arch], device: str
) -> Generator[Progress, None, PlainPace]:
    """Time steps of plain nets that meet the limits, with the supernet's recipe, taught and by labels alone.

    Args:
        project: with settings and run folder.
        images: decoded.
        teacher: a net that takes as long as the teacher; None where labels alone teach.
        archs: readable, the largest first: select is read with that one.
        device: where to compute.
    """
    timed: dict[str, list[Timed]] = {}
    for teaching, by in ((TEACHER, remembering(teacher)), (LABELS, None)):
        for number, arch in enumerate(archs if by is not None or teaching == LABELS else (), 1):
            job = plain_job(
                project,
                images,
                PlainNet(arch),
                label=f"net {number} of {len(archs)} {'with a teacher' if by is not None else 'by labels'}",
                folder=project.run.search,  # nothing is written
                epochs=1,
                learning_rate=project.settings.train.learning_rate,
                teacher=by,
                device=device,
                split="select" if number == 1 else None,
            )
            timed.setdefault(teaching, []).append((yield from time_job(job, seconds=SECONDS)))
    return PlainPace(timed)


def proof_facts(project: Project, pace: PlainPace, *, num_searched: int, num_hand: int) -> PlannedProof | None:
    """Estimate of the proof of a search; None where nothing is to be proven.

    Args:
        project: sizes of the proof.
        pace: of nets that meet the limits.
        num_searched: nets that meet them.
        num_hand: hand-designed ones among them.
    """
    settings, whole = project.settings.search, proof_epochs(project)
    if not whole:
        return None
    nets = min(num_searched, settings.proof_nets) + min(num_hand, settings.proof_hand)
    first, left = (first_epochs(whole), num_left(nets)) if nets > MIN_LEFT else (whole, 0)
    if first == whole:
        left = 0
    teaching = TEACHER if TEACHER in pace.timed and teaching_of(project)[0] > 0 else LABELS
    read = 2 * (nets + left)  # select and confirm, once a training
    epochs = nets * first + left * whole
    seconds = pace.of({teaching: epochs}, evaluations=read)
    return PlannedProof(seconds=seconds, epochs=epochs, nets=nets, first_epochs=first, last_nets=left, last_epochs=whole)


def retrain_facts(project: Project, pace: PlainPace, proof: PlannedProof | None, *, num_hand: int) -> dict[str, PlannedRetrain]:
    """Estimates of `edgenas retrain`, ``alone`` and with the ``baseline``.

    Args:
        project: with settings and run folder.
        pace: of nets that meet the limits.
        proof: of the search; None where its winner alone is trained to the end.
        num_hand: hand-designed nets that meet the limits.
    """
    finals = min(project.settings.retrain.finals, proof.last_nets or proof.nets) if proof is not None else 1
    planned = {}
    for name in (ALONE, BASELINE):
        teachings = teachings_of(project, baseline=name == BASELINE)
        ways = ways_of(project, teachings)
        epochs = _epochs(ways * finals)
        epochs += _epochs([max(ways, key=lambda way: way.epochs)] * (project.settings.retrain.ensemble - 1))  # at most
        if name == BASELINE:
            epochs += _baseline_epochs(project, teachings, ways, max(1, num_hand))
        seconds = pace.of(epochs, evaluations=epochs.total())
        planned[name] = PlannedRetrain(seconds=seconds, epochs=epochs.total(), finals=finals, ways=len(ways))
    planned[BASELINE] = replace(planned[BASELINE], hand_designed=max(1, num_hand))
    return planned


def _baseline_epochs(project: Project, teachings: Sequence[str], ways: Sequence[Way], num_hand: int) -> Counter[str]:
    """Epochs of hand-designed nets and of the plain CNN beside them, which is taken to be as fast as a net of the space."""
    scratch = max(baseline_epochs(project, way, ways) for way in ways)
    hand_ways = ways_of(project, teachings, scratch_epochs=scratch)
    race = Race.plan(num_hand, hand_ways, project.settings.retrain.race_epochs)
    finals = FINALISTS if race.rounds else num_hand
    epochs = Counter({race.way.teaching: race.epochs})
    for _ in range(finals):
        epochs += _epochs(hand_ways)
    return epochs + _epochs([way for way in hand_ways if way.weights == "scratch"])


def _epochs(ways: Sequence[Way]) -> Counter[str]:
    epochs: Counter[str] = Counter()
    for way in ways:
        epochs[way.teaching] += way.epochs
    return epochs
