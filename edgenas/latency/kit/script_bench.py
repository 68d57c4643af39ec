"""Time files of exported nets in turn on this device: ``python bench.py`` in the folder of its plan.

Needs Python 3.8, NumPy and ONNX Runtime, and OpenVINO or ExecuTorch for files that these are to run. Kill it, press Ctrl-C: the
same command goes on.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from edgenas.latency.kit.script_base import KitError, Screen, now, say
from edgenas.latency.kit.script_files import ANSWER, open_entrant, tried, tried_here
from edgenas.portable.calls import CallTimer
from edgenas.portable.facts import machine_facts
from edgenas.portable.journal import BusyFileError, JournalFile
from edgenas.portable.machine import Watches
from edgenas.portable.memory import remembered
from edgenas.portable.outside import OutsideError, parse_json, read_regular
from edgenas.portable.rounds import REFERENCE, Rounds, Visit
from edgenas.portable.sealing import DamagedFileError, canonical_sha256, sealed, unsealed, write_beside

PLAN_KIND, BENCH_KIND, BENCH_SCHEMA = "edgenas bench plan", "edgenas bench results", 1
MAX_BENCH_PLAN = 16 << 20


class TurnsVisitor:
    """Loads a file, times it, and frees it before the next: idle threads of another would spin beside it."""

    def __init__(self, folder: Path, entrants: list[dict[str, Any]], reference: dict[str, Any], timer: CallTimer) -> None:
        self.folder, self.entrants, self.reference, self.timer = folder, entrants, reference, timer

    def wake(self) -> int:
        """Call the reference until the processor is awake; how many runs a visit has."""
        runner = open_entrant(self.folder, self.reference)
        try:
            return self.timer.wake(runner)
        finally:
            runner.close()

    def visit(self, net: int, num_runs: int) -> Visit:
        """Time one file."""
        runner = open_entrant(self.folder, self.reference if net == REFERENCE else self.entrants[net])
        try:
            return Visit(self.timer.visit(runner, num_runs))
        finally:
            runner.close()


def read_bench_plan(path: Path) -> dict[str, Any]:
    """What is to be timed.

    Raises:
        KitError: if it is missing or damaged.
    """
    try:
        return unsealed(parse_json(read_regular(path, MAX_BENCH_PLAN)), PLAN_KIND)
    except (OutsideError, DamagedFileError) as error:
        raise KitError(f"{path} {error}") from error
    except (ValueError, TypeError) as error:
        raise KitError(f"{path} cannot be used: {error}") from error


def shuffled(num: int, visits: int, seed: int) -> list[list[int]]:
    """The order of every round; the same with every version of Python."""
    draw = random.Random(seed).random
    return [sorted(range(num), key=lambda _: draw()) for _ in range(visits)]


def bench(folder: Path, output: Path, every_s: float) -> int:
    """Try every file, time those that work, and write; the exit code."""
    plan = read_bench_plan(folder / "plan.json")
    facts, timing = machine_facts(("numpy", "onnxruntime", "openvino", "executorch")), plan["timing"]
    try:
        identity = {"plan": canonical_sha256(plan), "cpu": facts["cpu"]}
        journal = JournalFile(output.with_suffix(".progress.jsonl"), identity, sync_every_s=0.0, is_alone=True)
    except BusyFileError as error:
        raise KitError(f"another bench.py is at work in {folder}") from error
    except DamagedFileError as error:
        raise KitError(f"{output.with_suffix('.progress.jsonl')} {error}: delete it to start again") from error
    screen, start = Screen(every_s), time.monotonic()
    try:
        begun = remembered(journal, "begun", now)
        all_of = [plan["reference"], *plan["entrants"]]
        results = []
        for position, entrant in enumerate(all_of):
            results.append(remembered(journal, f"tried {position}", lambda: tried(folder, entrant, position)))  # noqa: B023 # called at once
            screen("trying files", position + 1, len(all_of))
        if "reason" in results[0]:
            raise KitError(f"{plan['reference']['path']}: {results[0]['reason']}")
        working = [entrant for entrant, result in zip(plan["entrants"], results[1:]) if "info" in result]
        timer = CallTimer(time.perf_counter_ns, time.sleep, 0, timing["runs"], timing["visit_ms"], timing["warmup_ms"])
        watch = Watches(journal)
        rounds = Rounds(TurnsVisitor(folder, working, plan["reference"], timer), journal, watch, timing["reference_every"])
        say(f"{len(all_of)} files, {len(working) + 1} of them work here, {timing['visits']} visits each")
        for done in rounds.run(shuffled(len(working), timing["visits"], plan["seed"])):
            screen("timing in turn", done, timing["visits"] * len(working))
        watch.end(rounds.num_made)
        seconds = remembered(journal, "seconds", lambda: watch.seconds_before + time.monotonic() - start)
        content = {"schema_version": BENCH_SCHEMA, "plan_sha256": canonical_sha256(plan), "tried": results, "seconds": seconds}
        content.update(machine={**facts, "started": begun, "ended": now()}, memory=journal.values)
    finally:
        journal.close()
    write_beside(output, json.dumps(sealed(BENCH_KIND, content), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return 0


def bench_options(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.py", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--output", default="results.json", metavar="FILE", help="where results go (default: results.json)")
    parser.add_argument("--every", type=float, default=30.0, metavar="S", help="seconds between lines of progress in a file (30)")
    parser.add_argument("--try", type=int, metavar="N", dest="tries", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def try_one(folder: Path, position: int) -> int:
    """Say on stdout what a file of the plan does here; one that ends the process ends this one alone."""
    plan = read_bench_plan(folder / "plan.json")
    answer = json.dumps(tried_here(folder, [plan["reference"], *plan["entrants"]][position]), allow_nan=False)
    sys.stdout.write(f"\n{ANSWER}{answer}\n")
    return 0


def main(arguments: list[str]) -> int:
    """Run the command; the exit code."""
    asked, folder = bench_options(arguments), Path(__file__).resolve().parent
    try:
        if asked.tries is not None:
            return try_one(folder, asked.tries)
        return bench(folder, Path(asked.output), asked.every)
    except KitError as error:
        say(f"bench.py: {error}")
    except OSError as error:
        say(f"bench.py: {error.filename or 'a file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        say("\nbench.py: interrupted; what was measured is kept, the same command goes on")
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
