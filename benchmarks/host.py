"""How much CPU time it takes to read the TCP sockets of a busy host: 100,000 TIME_WAIT and 20,000 live ones.

    sudo python benchmarks/host.py [--quick] [--json FILE]

Needs root for a network namespace of its own, with real sockets on loopback. Side by side, in turns, over several
rounds: `floor` (lastack's request, received and dropped), `floor-by-family` (the usual two requests, received and
dropped), `lastack` (all columns of all sockets), `lastack-owners` (and who holds which), `ss`, psutil and pyroute2.

`cpu_s` is user and system time of one reading: in Python without start-up and imports, of `ss` the whole process.
`process_cpu_s` is the whole process of all of them, `peak_rss_mb` its largest size. Each is a median of the rounds.
The peers live in a virtual environment of their own, made at the first run; without a network they are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from benchmarks import load
else:
    import load  # beside this file, which is run as a script

HERE: Final = Path(__file__).resolve().parent
PEERS_HOME: Final = HERE.parent / ".venv-peers"
PEERS: Final = {"psutil": "psutil>=6", "pyroute2": "pyroute2>=0.8"}
LIFE_S: Final = 40
"""How long a load is measured before the next: the TIME_WAIT of the first are gone after 60 s."""
METRICS: Final = ("cpu_s", "process_cpu_s", "wall_s", "peak_rss_mb")


class Subject(NamedTuple):
    """What is measured: a command that prints its own figures (`inside`), or one that is measured whole.

    `slow`: it takes seconds, and one round is enough.
    """

    name: str
    command: tuple[str, ...]
    inside: bool = True
    slow: bool = False


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the headline alone, with one peer, within a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--time-wait", type=int, default=100_000)
    parser.add_argument("--live", type=int, default=20_000)
    options = parser.parse_args()
    if sys.platform != "linux" or os.geteuid() != 0:
        print("benchmarks/host.py needs Linux and root: it makes a network namespace of its own", file=sys.stderr)
        return 2
    subjects = chosen(options.quick)
    figures = measure(subjects, 3 if options.quick else options.rounds, options.time_wait, options.live)
    case = f"{options.time_wait:,} TIME_WAIT, {options.live:,} live"
    show(case, subjects, figures)
    if options.json:
        rows = [
            {"case": case, "subject": subject.name, "metric": metric, "value": value, "unit": unit_of(metric)}
            for metric in METRICS
            for subject in headline_first(subjects)
            if (value := figures[subject.name].get(metric)) is not None
        ]
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def chosen(quick: bool) -> list[Subject]:
    """The subjects that can run here; of those that cannot, a line on standard error."""
    ours = [
        Subject(name, (sys.executable, str(HERE / "subjects.py"), name))
        for name in ("floor", "floor-by-family", "lastack", "lastack-owners")
    ]
    if ss := shutil.which("ss"):
        ours += [Subject("ss -tan", (ss, "-tan"), inside=False)]
        ours += [] if quick else [Subject("ss -tanp", (ss, "-tanp"), inside=False)]
    else:
        print("ss is left out: iproute2 is not installed", file=sys.stderr)
    return ours if quick else ours + peers()


def peers() -> list[Subject]:
    """The peers written in Python, in an environment of their own."""
    python = PEERS_HOME / "bin" / "python"
    found = []
    for name, requirement in PEERS.items():
        try:
            if not python.exists():
                subprocess.run([sys.executable, "-m", "venv", str(PEERS_HOME)], check=True, capture_output=True)
            if subprocess.run([python, "-c", f"import {name}"], capture_output=True, check=False).returncode:
                subprocess.run([python, "-m", "pip", "install", "-q", requirement], check=True, capture_output=True)
            found.append(Subject(name, (str(python), str(HERE / "subjects.py"), name), slow=True))
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return found


def measure(subjects: Sequence[Subject], rounds: int, time_wait: int, live: int) -> dict[str, dict[str, float]]:
    """The medians of every metric of every subject, measured in turns; a new load when the old one wears out."""
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    left = [(number, subject) for number in range(rounds) for subject in subjects if not (number and subject.slow)]
    while left:
        with load.standing(time_wait, live) as since:
            while left and time.monotonic() - since < LIFE_S:
                number, subject = left.pop(0)
                if sys.stderr.isatty():
                    print(f"\rround {number + 1} of {rounds}: {subject.name:16}\r", end="", file=sys.stderr, flush=True)
                for metric, value in run(subject).items():
                    figures[subject.name][metric].append(value)
    return {
        name: {metric: statistics.median(values) for metric, values in metrics.items()}
        for name, metrics in figures.items()
    }


def run(subject: Subject) -> dict[str, float]:
    """One process of the subject, and what it took."""
    begun = time.perf_counter()
    process = subprocess.Popen(subject.command, stdout=subprocess.PIPE if subject.inside else subprocess.DEVNULL)
    said = process.stdout.read() if process.stdout else b""
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.stdout:
        process.stdout.close()
    if process.returncode:
        raise RuntimeError(f"{' '.join(subject.command)} has failed")
    took = usage.ru_utime + usage.ru_stime
    figures = {"cpu_s": took, "process_cpu_s": took, "wall_s": wall, "peak_rss_mb": usage.ru_maxrss / 1024}
    if subject.inside:
        inside = json.loads(said)
        figures |= {"cpu_s": inside["cpu_s"], "wall_s": inside["wall_s"]}
    return figures


def headline_first(subjects: Sequence[Subject]) -> list[Subject]:
    return sorted(subjects, key=lambda subject: subject.name != "lastack")


def unit_of(metric: str) -> str:
    return "MB" if metric.endswith("_mb") else "s"


def show(case: str, subjects: Sequence[Subject], figures: dict[str, dict[str, float]]) -> None:
    """The table, lastack first, each with its CPU time against the floor's."""
    floor = figures["floor"]["cpu_s"]
    print(f"{case}; medians\n")
    print(f"{'':17}{'cpu':>11}{'x floor':>9}{'with start-up':>15}{'wall':>11}{'peak memory':>13}")
    for subject in headline_first(subjects):
        of = figures[subject.name]
        print(
            f"{subject.name:17}{1e3 * of['cpu_s']:8.0f} ms{of['cpu_s'] / floor:9.2f}"
            f"{1e3 * of['process_cpu_s']:12.0f} ms{1e3 * of['wall_s']:8.0f} ms{of['peak_rss_mb']:10.0f} MB"
        )


if __name__ == "__main__":
    sys.exit(main())
