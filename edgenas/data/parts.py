"""Names that published parts go by."""

from __future__ import annotations

import re

from edgenas.data.names import look

PART_NAMES = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "devel", "development", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
ALLOWED = "train, val, test and other words for them, such as training, valid, dev, testing"
_SUFFIX = re.compile(r"[ _-]?(?:set|split|part|data|images|imgs)$")


def part_of(name: str) -> str | None:
    """``train``, ``val`` or ``test`` for a name of it, as ``Training``, ``valid``, ``test_set``; None for any other."""
    seen = look(name)
    return PART_NAMES.get(seen) or PART_NAMES.get(_SUFFIX.sub("", seen))
