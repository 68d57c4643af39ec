"""How much sessions of a latency table differ, of medians and of slow calls: the prior of its bounds, and how these hold by it.

Sessions come from three kinds of files: tables with later sessions, reports of `benchmarks.chosen_coverage` (other nets, in other
sessions of the same table), and of `benchmarks.latency_study` (nets of a table that were timed once more; medians and p95). What
has the same table is a group. A session's shift is the mean logarithm of measured over predicted of its nets.

The prior of `edgenas.latency.fit.between` has the scale that makes the variances of the groups' shifts most likely, given its
degrees of freedom (a variance of d of its own is scale^2 times F with d and those of the prior: Smyth 2004, section 6); that of
slow calls is of p95, which all groups have. Then every choice of two or three sessions of a group makes a bound, and the nets of
every other session are asked whether they keep it.

    python -m benchmarks.session_shifts --table TABLE --coverage COVERAGE.json --study STUDY.json=TABLE.json
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import f as f_distribution

from edgenas.latency import QUANTILES, LatencyTable
from edgenas.latency.fit import CONFIDENCE, PRIORS, MeasuredNet, Prior, over_predicted
from edgenas.latency.fit.between import NOTHING, Spread
from edgenas.runs import write_json, write_text

STEM = "sessions_amd-epyc_202611"
DIGITS = 5  # of logarithms that are kept

Floats = NDArray[np.float64]
Logs = Mapping[str, Floats]  # by quantile: logarithms of measured over predicted, a net each


@dataclass(frozen=True, slots=True)
class Group:
    """Sessions of one table.

    Attributes:
        name: space, threads and month.
        sessions: by when they began.
    """

    name: str
    sessions: Mapping[str, Logs]

    def shifts(self, quantile: str) -> Floats:
        """Of every session that has the quantile."""
        return np.array([logs[quantile].mean() for logs in self.sessions.values() if quantile in logs])

    def as_json(self) -> dict[str, Any]:
        """Plain values, rounded."""
        logs = {
            began: {quantile: np.round(of, DIGITS).tolist() for quantile, of in by.items()} for began, by in self.sessions.items()
        }
        return {"name": self.name, "logs": logs}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Group:
        """As it was written."""
        logs = {began: {quantile: np.array(of) for quantile, of in by.items()} for began, by in plain["logs"].items()}
        return cls(plain["name"], logs)


def group_of(table: LatencyTable, coverages: Sequence[Mapping[str, Any]]) -> Group:
    """The sessions of a table, and those of reports on its bounds."""
    own: dict[str, Sequence[MeasuredNet]] = {table.measuring.date: [*table.bound_nets, *table.checks]}
    own |= {session.date: [*session.nets, *session.checks] for session in table.sessions}
    sessions = {date: {name: np.log(over_predicted(nets, name)) for name in QUANTILES} for date, nets in own.items()}
    for report in coverages:
        predicted_A = np.array(report["nets"]["predicted_ms"])
        for name, measured in report["nets"]["measured_ms"].items():
            logs_AQ = np.log(np.array(measured) / predicted_A[: len(measured), None])
            sessions[report["sessions"][name]["began"]] = dict(zip(QUANTILES, logs_AQ.T, strict=True))
    return Group(_name(table), dict(sorted(sessions.items())))


def pair_of(table: LatencyTable, study: Mapping[str, Any]) -> Group:
    """The session of a table and that of a study of its error, which kept medians and p95."""
    rows = study["rows"]
    predicted_A = np.array([row["predicted_ms"]["edgenas table"] for row in rows])
    later = {
        "p50": np.log(study["speed"] * np.array([row["measured_ms"] for row in rows]) / predicted_A),
        "p95": np.log(np.array([row["p95_ms"] for row in rows]) / predicted_A),
    }
    own = group_of(table, ()).sessions
    return Group(_name(table), {**{date: {name: logs[name] for name in later} for date, logs in own.items()}, study["date"]: later})


def _name(table: LatencyTable) -> str:
    return f"{table.space}, {table.context.threads} thread(s), {table.measuring.date[:7]}"


def apart(group: Group, quantile: str) -> tuple[float, int]:
    """Standard deviation of a group's shifts, and its degrees of freedom."""
    shifts = group.shifts(quantile)
    return float(shifts.std(ddof=1)), len(shifts) - 1


def scale_of(groups: Sequence[Group], quantile: str, freedom: int) -> float:
    """The scale of a prior of so many degrees of freedom under which what the groups differ by is most likely."""
    found = [apart(group, quantile) for group in groups if len(group.shifts(quantile)) > 1]

    def unlikely(log_scale: float) -> float:
        scale = math.exp(log_scale)
        return -sum(float(f_distribution.logpdf((own / scale) ** 2, num, freedom)) - 2 * log_scale for own, num in found)

    return math.exp(float(minimize_scalar(unlikely, bounds=(-9.0, 0.0), method="bounded", options={"xatol": 1e-6}).x))


def left_out(group: Group, quantile: str, num: int, prior: Prior) -> dict[str, Any]:
    """Bounds by every choice of ``num`` sessions: the share of nets of the other sessions that keep them, and their factors."""
    logs = [of[quantile] for of in group.sessions.values()]
    kept, factors = [], []
    for chosen in combinations(range(len(logs)), num):
        factor = _spread([logs[place] for place in chosen]).factor(CONFIDENCE, prior)
        factors.append(factor)
        kept += [float((logs[place] <= math.log(factor)).mean()) for place in range(len(logs)) if place not in chosen]
    low, middle, high = np.quantile(factors, [0.0, 0.5, 1.0])
    return {"kept": float(np.mean(kept)), "sessions_kept": float(np.mean(np.array(kept) >= 0.9)), "factors": [low, middle, high]}


def _spread(logs: Sequence[Floats]) -> Spread:
    """Sessions of different nets, whose rests stand for one another."""
    num = min(map(len, logs))
    weights = tuple(np.full(len(of), num / (num + 1) / len(logs) / len(of)) for of in logs)
    return Spread(np.array([of.mean() for of in logs]), tuple(of - of.mean() for of in logs), weights)


def scales_of(groups: Sequence[Group]) -> dict[str, float]:
    """Of the priors of medians and of slow calls."""
    return {name: scale_of(groups, name, PRIORS[name].sessions) for name in ("p50", "p95")}


def variants(groups: Sequence[Group], group: Group) -> dict[str, Mapping[str, Prior]]:
    """Priors to compare: none, the present one, half and twice as large, and what groups but this one say."""

    def like(scale_by: Mapping[str, float]) -> dict[str, Prior]:
        return {name: Prior(scale_by["p50" if name == "p50" else "p95"], prior.sessions) for name, prior in PRIORS.items()}

    present = {name: PRIORS[name].scale for name in ("p50", "p95")}
    found: dict[str, Mapping[str, Prior]] = {"none": dict.fromkeys(QUANTILES, NOTHING)}
    for words, times in (("present", 1.0), ("half", 0.5), ("twice", 2.0)):
        found[words] = like({name: times * scale for name, scale in present.items()})
    others = [each for each in groups if each is not group]
    return found | ({"of the other tables": like(scales_of(others))} if others else {})


def rows_of(groups: Sequence[Group]) -> Iterator[dict[str, Any]]:
    """Coverage of sessions left out, of groups with three or more that have every quantile."""
    for group in groups:
        for num in (2, 3):
            if len(group.sessions) <= num or any(len(group.shifts(quantile)) <= num for quantile in QUANTILES):
                continue
            for name, priors in variants(groups, group).items():
                for quantile in QUANTILES:
                    found = left_out(group, quantile, num, priors[quantile])
                    yield {"group": group.name, "num": num, "prior": name, "quantile": quantile, **found}


def markdown(report: Mapping[str, Any]) -> str:
    """The report for a reader."""
    groups = [Group.from_json(plain) for plain in report["groups"]]
    lines = ["# How much sessions differ", "", f"{report['date'][:10]}. `{report['command']}`", "", INTRODUCTION, ""]
    lines += ["| sessions of | began | nets | p50 | p90 | p95 | p99 |", "|---|---|---|---|---|---|---|"]
    for group in groups:
        for began, logs in group.sessions.items():
            cells = [f"{math.exp(logs[quantile].mean()):.3f}" if quantile in logs else "–" for quantile in QUANTILES]
            num = max(map(len, logs.values()))
            lines.append(f"| {group.name} | {began[:16].replace('T', ' ')} | {num} | {' | '.join(cells)} |")
    lines += ["", "| standard deviation of | p50 | p90 | p95 | p99 |", "|---|---|---|---|---|"]
    for group in groups:
        cells = [f"{apart(group, quantile)[0]:.3f}" if len(group.shifts(quantile)) > 1 else "–" for quantile in QUANTILES]
        lines.append(f"| {group.name} | {' | '.join(cells)} |")
    medians, slow = report["scales"]["p50"], report["scales"]["p95"]
    num = PRIORS["p50"].sessions
    lines += ["", f"Most likely scale of a prior of {num} degrees of freedom: {medians:.3f} (p50), {slow:.3f} (p95). {NOT_KNOWN}"]
    lines += ["", LEFT_OUT, ""]
    lines += ["| bound of | prior | calls | nets that kept it | sessions of which 90 % did | x predicted: least, median, most |"]
    lines += ["|---|---|---|---|---|---|"]
    for row in report["left_out"]:
        low, middle, high = row["factors"]
        cells = [f"{row['num']} sessions", row["prior"], row["quantile"], f"{row['kept']:.1%}", f"{row['sessions_kept']:.0%}"]
        lines.append(f"| {' | '.join(cells)} | {low:.2f}, {middle:.2f}, {high:.2f} |")
    return "\n".join([*lines, ""])


NOT_KNOWN = """So few tables do not tell how many
degrees of freedom it should have: between 1 and 8, what is seen is about as likely."""

INTRODUCTION = """Mean of measured over predicted, by session; the JSON file beside has every net. Other programs took at most 0.02
of two cores during sessions of pvt-elastic-nano; of the others that was not recorded. Sessions in which the machine ran more than
15 % off the table's speed are left out (one table was 1.67 times slower five minutes before the first session below). Sessions
of 70, 240 and 300 nets time others than the table's own: what predictions of these are off by on average is part of what they
differ by. Slow calls do not wait for another hour to differ: the sessions of 07:07 and 07:08 are a minute apart."""

LEFT_OUT = """Every choice of two or three sessions of the table with most makes bounds at 95 %, and the nets of every other session
are asked whether they keep them. The prior was measured on these sessions too, so "present" is no independent check; "of the
other tables" is one, of a prior that is several times too small for slow calls. Sessions of one morning are not independent
either."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read sessions, write report and numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="with later sessions")
    parser.add_argument("--coverage", type=Path, action="append", default=[], help="of the table's bounds; repeatable")
    parser.add_argument("--study", action="append", default=[], metavar="STUDY=TABLE", help="of another table; repeatable")
    parser.add_argument("--output", type=Path, default=Path("docs/measurements"))
    options = parser.parse_args(arguments)
    groups = [group_of(LatencyTable.load(options.table), [_read(path) for path in options.coverage])]
    for pair in options.study:
        study, table = map(Path, pair.split("=", 1))
        groups.append(pair_of(LatencyTable.load(table), _read(study)))
    names = [f"--coverage {path.name}" for path in options.coverage]
    names += [f"--study {'='.join(Path(path).name for path in pair.split('=', 1))}" for pair in options.study]
    report = {
        "schema_version": 1,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.session_shifts", f"--table {options.table.name}", *names]),
        "scales": scales_of(groups),
        "left_out": list(rows_of(groups)),
        "groups": [group.as_json() for group in groups],
    }
    write_text(options.output / f"{STEM}.md", markdown(report))
    write_json(options.output / f"{STEM}.json", report)
    sys.stdout.write(f"{options.output / STEM}.md\n")


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
