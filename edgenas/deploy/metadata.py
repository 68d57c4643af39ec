"""What an exported ONNX file says of itself, in its ``metadata_props``: enough to use it where nothing else of its folder is.

Every value is text. ``schema_version`` names the keys' meaning, ``classes`` is a JSON list in the order of the logits,
``preprocessing`` a JSON object as in the manifest, ``decision`` is ``threshold`` or ``argmax``; ``positive`` and ``threshold`` are
there where the rule needs them, ``refer``, a JSON list of two probabilities of ``positive``, where a person decides what is between
them. ONNX Runtime gives them as ``session.get_modelmeta().custom_metadata_map``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

METADATA_SCHEMA = 1  # 1: first
SCHEMA = "schema_version"  # names what the others mean


def metadata(
    classes: Sequence[str],
    preprocessing: Mapping[str, object],
    positive: str | None,
    threshold: float | None,
    refer: tuple[float, float] | None = None,
) -> dict[str, str]:
    """Texts by name, for `ExportSpec.metadata`.

    Args:
        classes: names in the order of the logits.
        preprocessing: `Preprocess.as_json()`.
        positive: name of the class that must not be missed; None without one.
        threshold: probability from which ``positive`` is decided; None where the most probable class is.
        refer: the least and the highest probability of ``positive`` at which a person decides; None where none does.
    """
    texts = {
        SCHEMA: str(METADATA_SCHEMA),
        "classes": json.dumps(list(classes)),
        "preprocessing": json.dumps(dict(preprocessing), sort_keys=True),
        "decision": "argmax",
    }
    if positive is None or threshold is None:
        return texts
    name = positive.encode("utf-8", "backslashreplace").decode("utf-8")  # of a folder whose name is no UTF-8
    zone = {} if refer is None else {"refer": json.dumps([float(end) for end in refer])}
    return {**texts, "decision": "threshold", "positive": name, "threshold": repr(float(threshold)), **zone}


def contradictions(texts: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """Names whose text in a file is not the manifest's, in order; none for a file that carries no metadata.

    A newer schema is not compared, nor is a zone of referral in a file that names none: those of before did not.
    """
    if texts.get(SCHEMA) != expected.get(SCHEMA):
        return []
    names = {*expected, "positive", "threshold", "refer"} - ({"refer"} - set(texts))
    return [name for name in sorted(names) if texts.get(name) != expected.get(name)]
