"""The teacher of a run as it stands in its folder: one net that was trained there, or those that it names."""

from __future__ import annotations

from torch import nn

from edgenas.data.images import Images
from edgenas.errors import MissingInputError
from edgenas.project.net_facts import facts_of, require_facts
from edgenas.project.opening import Project
from edgenas.project.trainings.teacher import teacher_net
from edgenas.project.trainings.team import load_team
from edgenas.records import CheckpointFacts
from edgenas.training.checkpoints import load_weights
from edgenas.training.folder import WEIGHTS, has_weights
from edgenas.training.teacher import SELF

NO_TEACHER = "run `edgenas train` first, or set train.kd_weight = 0 for labels alone"


def require_teacher(project: Project, images: Images) -> CheckpointFacts:
    """What the checkpoint of the run's teacher says of itself.

    Raises:
        MissingInputError: if it was never trained and has no checkpoint.
        CheckpointError: if it belongs to another project.
    """
    path = project.run.teacher / WEIGHTS
    if not has_weights(project.run.teacher):
        raise MissingInputError(f"{path} does not exist: there is no teacher yet", hint=NO_TEACHER)
    plain = load_weights(path)[1]
    require_facts(plain, facts_of(project.space, images, "teacher"), path, "edgenas train --force")
    return CheckpointFacts.said_by(path, plain)


def load_teacher(project: Project, images: Images) -> nn.Module:
    """The run's teacher in eval mode, on the CPU.

    Raises:
        MissingInputError: if it was never trained and has no checkpoint.
        CheckpointError: if it belongs to another project, or a net of others that it names is gone or changed.
    """
    facts = require_teacher(project, images)
    if facts.members is not None:
        return load_team(project, images, facts)
    net = teacher_net(project.space, images.task, facts.teacher if facts.teacher is not None else SELF)
    load_weights(project.run.teacher / WEIGHTS, net)
    return net.eval()
