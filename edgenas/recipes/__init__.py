"""One file a command: a frozen config and ``run(config)``, which yields progress, notes and an outcome. Only here layers meet."""

from edgenas.renamed import forward

__getattr__ = forward(__name__, {"initial": "edgenas.training.initial"})
