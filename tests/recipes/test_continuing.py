"""A search goes on from what earlier ones evaluated, and says of a candidate what it was rejected for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.recipes.killing import RUN, Reference, Zygote

UNPROVEN = ("--set", "search.proof_epochs=0", "--json")
CONTINUED = ("search", "--continue", "--latency-ms", "4", *UNPROVEN)


@pytest.fixture
def searched(reference: Reference, tmp_path: Path) -> Path:
    """A folder in which a search has ended."""
    shutil.copytree(reference.after("search"), tmp_path / "work")
    return tmp_path / "work"


def rows_of(work: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (work / RUN / "search" / "search.jsonl").read_text().splitlines()]


def predictions_of(work: Path) -> int:
    """Nets whose predictions on select are known."""
    lines = (work / RUN / "search" / "evaluations.jsonl").read_text().splitlines()
    return sum('"key":"select ' in line.replace('": "', '":"') for line in lines)


def test_earlier_nets_that_meet_the_new_limits_take_part_at_no_cost(zygote_edgenas: Zygote, searched: Path) -> None:
    earlier, known = rows_of(searched), predictions_of(searched)
    limit = sorted(row["macs"] for row in earlier)[len(earlier) // 2]
    allowed = [row["arch"] for row in earlier if row["macs"] <= limit]
    ended = zygote_edgenas(searched, "search", "--continue", "--latency-ms", "4", "--max-macs", str(limit), *UNPROVEN)
    assert ended.code == 0, ended.out
    assert f"{known} nets were evaluated before with these weights; {len(allowed)} of them meet these hard limits" in " ".join(
        ended.err.split()
    )
    rows, evaluations = rows_of(searched), ended.value["result"]["evaluations"]
    assert evaluations["earlier"] == len(allowed)
    assert [row["arch"] for row in rows if row["origin"] == "earlier"] == sorted(
        allowed, key=lambda arch: [row["arch"] for row in rows].index(arch)
    )
    assert len({json.dumps(row["arch"]) for row in rows}) == len(rows) == evaluations["evaluated"]
    assert predictions_of(searched) - known == len(rows) - len(allowed)  # the earlier ones were not predicted again
    assert len(rows) > len(allowed)
    assert all(row["macs"] <= limit for row in rows)


@pytest.mark.slow
def test_without_earlier_evaluations_a_line_says_so(zygote_edgenas: Zygote, searched: Path) -> None:
    (searched / RUN / "search" / "evaluations.jsonl").unlink()
    ended = zygote_edgenas(searched, *CONTINUED)
    assert ended.code == 0, ended.out
    (warning,) = [text for text in ended.value["warnings"] if "continue" in text]
    assert warning.endswith("evaluations.jsonl gives nothing to continue from: nothing was evaluated yet; this search begins anew")
    assert ended.value["result"]["evaluations"]["earlier"] == 0


@pytest.mark.slow
def test_a_continued_search_that_is_killed_goes_on_as_if_nothing_had_happened(zygote_edgenas: Zygote, searched: Path) -> None:
    shutil.copytree(searched, searched.with_name("whole"))
    whole = zygote_edgenas(searched.with_name("whole"), *CONTINUED)
    assert whole.code == 0, whole.out
    known = predictions_of(searched)
    cut = zygote_edgenas(searched, *CONTINUED, kill_when=lambda: predictions_of(searched) >= known + 2)
    assert cut.code != 0
    assert predictions_of(searched) > known
    ended = zygote_edgenas(searched, *CONTINUED)
    assert ended.code == 0, ended.out
    assert rows_of(searched) == rows_of(searched.with_name("whole"))


def test_a_candidate_says_what_it_was_rejected_for_and_not_what_became_of_a_finalist(
    zygote_edgenas: Zygote, searched: Path
) -> None:
    ended = zygote_edgenas(
        searched, "search", "--latency-ms", "5", "--min-sensitivity", "8=1", *UNPROVEN, "--set", 'data.positive="8"'
    )
    rows, finalists = rows_of(searched), ended.value["result"]["finalists"]
    for row in rows:
        share = row["sensitivity"]["8"]
        assert (row["rejected_by"] == ["sensitivity[8]"]) == (share["value"] < 1)
        if row["rejected_by"]:
            found = round(share["value"] * share["n"])
            assert row["reasons"]["sensitivity[8]"].startswith(f"{found} of {share['n']} on select, ")
            assert row["reasons"]["sensitivity[8]"].endswith("; asked 1")
        else:
            assert "reasons" not in row
    later = [row for row in finalists if any(" on confirm, " in reason for reason in row.get("reasons", {}).values())]
    for row in later:
        assert next(each for each in rows if each["arch"] == row["arch"])["rejected_by"] == []


def test_what_earlier_searches_have_proven_takes_part_at_no_cost(zygote_edgenas: Zygote, searched: Path) -> None:
    macs = sorted(row["macs"] for row in rows_of(searched))
    small = zygote_edgenas(searched, "search", "--latency-ms", "4", "--max-macs", str(macs[len(macs) // 3]), "--json")
    assert small.code == 0, small.out
    before = proven_in(small.value["result"])
    again = zygote_edgenas(searched, "search", "--latency-ms", "4", "--json")
    alone = proven_in(again.value["result"])
    ended = zygote_edgenas(searched, "search", "--continue", "--latency-ms", "4", "--json")
    assert ended.code == 0, ended.out
    both = before | alone
    best = max(both, key=lambda arch: both[arch])
    assert proven_in(ended.value["result"])[best] == both[best]
    assert ended.value["result"]["winner"]["proof"]["log_likelihood"] >= both[best]


def proven_in(result: dict[str, Any]) -> dict[str, float]:
    """Log-likelihoods of the nets that a search has proven."""
    return {json.dumps(row["arch"]): row["proof"]["log_likelihood"] for row in result["finalists"] if row["proof"] is not None}
