"""What a manifest says of a net that no run folder stands behind: nothing is known, and no image has judged it."""

from __future__ import annotations

from edgenas.records import ArchitectureFacts, DataFacts, Metrics, SplitMetrics, WeightsFacts
from edgenas.stats import wilson

_NONE = wilson(0, 0)
NO_NET = ArchitectureFacts(space="unknown", arch={}, params=0, macs=0)
NO_WEIGHTS = WeightsFacts(origin="unknown", sha256="")
NO_DATA = DataFacts(source="unknown", fingerprint="", splits={})
NO_METRICS = SplitMetrics(split="test", metrics=Metrics(n=0, top1=_NONE, top1_decision=_NONE, sensitivity={}))
