"""What `verify` checked, as JUnit XML, which build servers read: a test case a check.

Failed and undecided checks are failures, checks that could not run are skipped; what stopped `verify` altogether is an error. The
form is that of Jenkins' and Ant's schema; texts hold no character that XML does not allow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from edgenas.escaping import terminal
from edgenas.records import Check, Manifest

SUITE = "edgenas verify"
_NEITHER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # no character of XML 1.0


def junit(
    name: str, checks: Sequence[Check], *, manifest: Manifest | None = None, error: str | None = None, seconds: float = 0.0
) -> str:
    """The text of the file.

    Args:
        name: of the artefact folder.
        checks: what was checked, in order.
        manifest: of the artefact, whose versions and hashes are properties; None where it cannot be used.
        error: what stopped it.
        seconds: that all took.
    """
    verdicts = [check.verdict for check in checks]
    num_failures = verdicts.count("failed") + verdicts.count("undecided")
    counts = {"tests": len(checks) + (error is not None), "failures": num_failures, "errors": int(error is not None)}
    counts |= {"skipped": verdicts.count("not_run")}
    numbers = {key: str(count) for key, count in counts.items()} | {"time": f"{seconds:.3f}"}
    root = ElementTree.Element("testsuites", {"name": SUITE, **{key: numbers[key] for key in numbers if key != "skipped"}})
    suite = ElementTree.SubElement(root, "testsuite", {"name": _plain(name), **numbers})
    properties = ElementTree.SubElement(suite, "properties")
    for key, value in _facts(manifest).items():
        ElementTree.SubElement(properties, "property", {"name": _plain(key), "value": _plain(value)})
    for check in checks:
        _case(suite, check)
    if error is not None:
        case = ElementTree.SubElement(suite, "testcase", {"name": "verify", "classname": "verify"})
        ElementTree.SubElement(case, "error", {"message": _plain(error), "type": "error"}).text = _plain(error)
    ElementTree.indent(root)
    text: str = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _case(suite: ElementTree.Element, check: Check) -> None:
    case = ElementTree.SubElement(suite, "testcase", {"name": check.name, "classname": _plain(check.path)})
    reason = _plain(check.reason)
    if check.verdict in ("failed", "undecided"):
        ElementTree.SubElement(case, "failure", {"message": reason, "type": check.verdict}).text = reason
    elif check.verdict == "not_run":
        ElementTree.SubElement(case, "skipped", {"message": reason})
    elif reason:
        ElementTree.SubElement(case, "system-out").text = reason


def _facts(manifest: Manifest | None) -> Mapping[str, str]:
    """Versions, hashes and the export's own verdict."""
    if manifest is None:
        return {}
    facts = {"created_by": manifest.created_by, "verdict": manifest.verdict, "weights.sha256": manifest.weights.sha256}
    facts |= {f"version.{name}": version for name, version in manifest.versions.items()}
    for files in (manifest.files, manifest.support_files):
        facts |= {f"sha256.{file.path}": file.sha256 for file in files}
    return facts


def _plain(text: str) -> str:
    r"""Text that XML may hold; control characters are written as ``\x1b``."""
    return _NEITHER.sub("?", terminal(text))
