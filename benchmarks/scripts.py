"""The suite of packetdrill scripts on the engine: scripts a second, beside the real time that the same scripts take.

python benchmarks/scripts.py [--quick] [--json FILE] [--compiled-python PATH]

A script is read, parsed and run to its end in a fresh host: tests/scripts, all that the engine can pass, on one core.
Rates are per second of CPU; every measurement is a process of its own, subjects take turns, and the table shows
medians over the rounds. `floor` is the time that passes in the scripts themselves: what any stack needs that runs them
in real time, one after the other, if it needs nothing else; `lastack-kernel` (as root) is the running kernel, which is
waiting for the most part: its rate is per second of the clock.

lastack-interpreted is this checkout; lastack-compiled the installed package of --compiled-python (or of the
environment's LASTACK_COMPILED_PYTHON, or of this interpreter) where that is compiled.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUITE = HERE.parent / "tests" / "scripts"
RUNNER = HERE / "peers" / "scripts_lastack.py"
INTERPRETED, COMPILED, KERNEL, FLOOR = "lastack-interpreted", "lastack-compiled", "lastack-kernel", "floor"
PATIENCE_S = 1800
UNITS = {
    "scripts_per_second": "1/s",
    "cpu_s": "s",
    "wall_s": "s",
    "script_time_s": "s",
    "packets": "packets",
    "peak_rss_mb": "MB",
}


class UnavailableError(Exception):
    """A subject that cannot be run here, and why."""


@dataclass
class Subject:
    """What runs the scripts: an interpreter, and on what."""

    name: str
    python: str
    environment: dict[str, str] = field(default_factory=dict)
    on: str = "sim"

    def measure(self, times: int) -> dict[str, float]:
        """The suite, so many times, in a process of its own. Raises UnavailableError with what it said."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | self.environment
        command = [self.python, str(RUNNER), str(SUITE), self.on, str(times)]
        try:
            # From a directory without sources, so that nothing is imported from where we are.
            done = subprocess.run(
                command, env=environment, cwd=SUITE, capture_output=True, text=True, timeout=PATIENCE_S, check=True
            )
        except (OSError, subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
            said = str(getattr(error, "stderr", "") or error).strip()
            raise UnavailableError(said.splitlines()[-1]) from error
        measured: dict[str, float] = json.loads(done.stdout)
        return measured


def subjects(asked: argparse.Namespace) -> list[Subject]:
    """Those that can be run; what cannot be is said on stderr. A quick run has no kernel: it takes minutes."""
    python = asked.compiled_python or os.environ.get("LASTACK_COMPILED_PYTHON") or sys.executable
    ours = {"PYTHONPATH": str(HERE.parent / "src")}
    found = [Subject(INTERPRETED, sys.executable, ours)]
    compiled = Subject(COMPILED, python)
    try:
        if not compiled.measure(0)["compiled"]:
            raise UnavailableError(f"the lastack that {python} has installed is not compiled (--compiled-python PATH)")
        found.insert(0, compiled)
    except UnavailableError as error:
        print(f"{COMPILED}: left out: {error}", file=sys.stderr)
    if not asked.quick and sys.platform == "linux" and os.geteuid() == 0:
        found.append(Subject(KERNEL, sys.executable, ours, "kernel"))
    return found


def measured(found: list[Subject], rounds: int, times: int) -> dict[str, list[dict[str, float]]]:
    """Every subject's measurements, a round after the other; one that fails has none. The kernel has one."""
    results: dict[str, list[dict[str, float]]] = {subject.name: [] for subject in found}
    for number in range(rounds):
        for subject in found:
            if subject.name in results and (subject.on == "sim" or number == 0):
                try:
                    results[subject.name].append(subject.measure(times if subject.on == "sim" else 1))
                except UnavailableError as error:
                    print(f"{subject.name}: {error}", file=sys.stderr)
                    del results[subject.name]
    return results


def floor(results: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """What the scripts' own time comes to, from one run of the suite on the engine."""
    one = results[INTERPRETED][0]
    seconds = one["script_time_s"]
    return {"scripts_per_second": one["scripts"] / seconds, "wall_s": seconds}


def show(results: dict[str, list[dict[str, float]]]) -> list[dict[str, object]]:
    """Print the table, and give its rows."""
    base = floor(results)
    rows: list[dict[str, object]] = []
    print(f"{'case':<8} {'subject':<20} {'metric':<20} {'median':>12} {'unit':<8}{'to the floor':>14}", flush=True)
    for metric, unit in UNITS.items():
        for name, rounds in [*results.items(), (FLOOR, [base])]:
            if metric not in rounds[0]:
                continue
            value = statistics.median(one[metric] for one in rounds)
            rows.append({"case": "suite", "subject": name, "metric": metric, "value": value, "unit": unit})
            ratio = f"{value / base[metric]:,.0f} x" if metric == "scripts_per_second" else ""
            print(f"{'suite':<8} {name:<20} {metric:<20} {value:>12,.1f} {unit:<8}{ratio:>14}", flush=True)
    return rows


def main() -> None:
    """Run the suite and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no kernel, within a minute")
    parser.add_argument("--json", type=Path, help="write rows here")
    parser.add_argument("--compiled-python", help="an interpreter that has the compiled lastack installed")
    asked = parser.parse_args()
    rows = show(measured(subjects(asked), 3 if asked.quick else 5, 3 if asked.quick else 10))
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
