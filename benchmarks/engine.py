"""The engine beside PyTCP and ns-3: connections a second, octets, growth to a million, goodput of one transfer.

python benchmarks/engine.py [--quick] [--json FILE] [--compiled-python PATH] [--pytcp-python PATH]

A connection is one whole life in virtual time: open, 100 octets there, 500 octets back, four-way close, 60 s of
TIME_WAIT; rates are per second of CPU. Every measurement is a process of its own, subjects take turns, and the table
shows medians over the rounds with the ratio to the first peer.

lastack-interpreted is this checkout; lastack-compiled the installed package of --compiled-python (or of the
environment's LASTACK_COMPILED_PYTHON, or of this interpreter) where that is compiled. ns-3 needs Debian's libns3-dev
and g++; PyTCP is installed into an environment that is thrown away. What cannot be had is left out, and said so.

Memory: lastack and PyTCP by tracemalloc, ns-3 by its resident set; `peak_rss_mb` is the whole process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
LASTACK = PEERS / "engine_lastack.py"
INTERPRETED, COMPILED, NS3, PYTCP = "lastack-interpreted", "lastack-compiled", "ns-3", "pytcp"
PYTCP_PACKAGE = "pmd-pytcp==0.3.8"
NS3_LIBRARIES = ("core", "network", "internet", "point-to-point", "traffic-control")
MILLISECOND = 1_000_000
PATIENCE_S = 1800
UNITS = {
    "connections_per_second": "1/s",
    "octets_per_connection": "octets",
    "octets_per_time_wait": "octets",
    "segments_per_connection": "segments",
    "send_mb_per_s": "MB/s",
    "peak_rss_mb": "MB",
    "cpu_s": "s",
    "wall_s": "s",
}
MORE_IS_BETTER = ("connections_per_second", "send_mb_per_s")


class UnavailableError(Exception):
    """A subject that cannot be run here, and why."""


@dataclass
class Subject:
    """What is measured: the command that takes the work as its arguments."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    def measure(self, *work: object) -> dict[str, float]:
        """One measurement in a process of its own. Raises UnavailableError with what it said where that fails."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | self.environment
        command = [*self.command, *map(str, work)]
        try:
            # From a directory without sources, so that nothing is imported from where we are.
            done = subprocess.run(
                command, env=environment, cwd=PEERS, capture_output=True, text=True, timeout=PATIENCE_S, check=True
            )
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(f"not done after {PATIENCE_S} s") from error
        except (OSError, subprocess.CalledProcessError) as error:
            said = str(getattr(error, "stderr", "") or error).strip()
            raise UnavailableError(said.splitlines()[-1]) from error
        measured: dict[str, float] = json.loads(done.stdout)
        return measured


@dataclass(frozen=True)
class Case:
    """What is compared: for each subject that does it, its driver's arguments."""

    name: str
    work: Mapping[str, tuple[object, ...]]
    rounds: int = 1


def interpreted() -> Subject:
    """The sources beside this file, by this interpreter."""
    return Subject(INTERPRETED, [sys.executable, str(LASTACK)], {"PYTHONPATH": str(HERE.parent / "src")})


def compiled(python: str) -> Subject:
    """The package that an interpreter has installed, which has to be a compiled one."""
    subject = Subject(COMPILED, [python, str(LASTACK)])
    if not subject.measure("which")["compiled"]:
        raise UnavailableError(f"the lastack that {python} has installed is not compiled (--compiled-python PATH)")
    return subject


def ns3(workshop: Path) -> Subject:
    """Our program on ns-3, compiled now."""
    compiler = shutil.which("g++")
    if compiler is None:
        raise UnavailableError("no g++")
    program = workshop / "engine_ns3"
    libraries = [f"-lns3-{name}" for name in NS3_LIBRARIES]
    source = PEERS / "engine_ns3.cc"
    made = subprocess.run(
        [compiler, "-std=c++17", "-O2", "-DNDEBUG", str(source), "-o", str(program), *libraries],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise UnavailableError(f"apt-get install libns3-dev ({made.stderr.strip().splitlines()[0]})")
    return Subject(NS3, [str(program)])


def pytcp(workshop: Path, python: str | None) -> Subject:
    """PyTCP, in the environment of `python` or in one made now."""
    if python is None:
        venv.create(workshop / "pytcp", with_pip=True)
        python = str(workshop / "pytcp" / "bin" / "python")
        install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", PYTCP_PACKAGE]
        made = subprocess.run(install, capture_output=True, text=True, check=False)
        if made.returncode:
            raise UnavailableError(made.stderr.strip().splitlines()[-1])
    return Subject(PYTCP, [python, str(PEERS / "engine_pytcp.py")])


def subjects(asked: argparse.Namespace, workshop: Path) -> dict[str, Subject]:
    """Those that can be run; what cannot be is said on stderr. A quick run has one peer."""
    python = asked.compiled_python or os.environ.get("LASTACK_COMPILED_PYTHON") or sys.executable
    makers: dict[str, Callable[[], Subject]] = {
        COMPILED: lambda: compiled(python),
        INTERPRETED: interpreted,
        NS3: lambda: ns3(workshop),
        PYTCP: lambda: pytcp(workshop, asked.pytcp_python),
    }
    found: dict[str, Subject] = {}
    for name, make in makers.items():
        if asked.quick and name == PYTCP and NS3 in found:
            continue
        try:
            found[name] = make()
        except UnavailableError as error:
            print(f"{name}: left out: {error}", file=sys.stderr)
    return found


def cases(quick: bool) -> list[Case]:
    """The headline first. A stream of one connection every 600 ms keeps 100 in TIME_WAIT, every 6 ms 10,000."""
    few, many, dense = 600 * MILLISECOND, 6 * MILLISECOND, MILLISECOND // 25
    ours = (COMPILED, INTERPRETED)
    counts = {COMPILED: 20_000, INTERPRETED: 3000, NS3: 3000}
    if not quick:
        counts = {COMPILED: 100_000, INTERPRETED: 10_000, NS3: 10_000}
    rounds = 1 if quick else 3
    stream = {name: ("lives", count, few, 100) for name, count in counts.items()}
    headline = Case("few", {**stream, PYTCP: ("lives", 500)}, 3)
    memory = [
        Case(name, dict.fromkeys((*ours, NS3), (work, 2000 if quick else 10_000)) | {PYTCP: (work, 1000)})
        for name, work in (("held", "held"), ("waiting", "waits"))
    ]
    bulk = ("bulk", 10_000_000 if quick else 100_000_000)
    goodput = Case("bulk", dict.fromkeys((*ours, NS3), bulk) | {PYTCP: ("bulk", 4_000_000)}, rounds)
    sizes = (1000, 10_000) if quick else (1000, 10_000, 100_000, 1_000_000)
    growth = [
        Case(f"opened-{size}", dict.fromkeys(ours, ("lives", size, dense, 0)), rounds if size <= 10_000 else 1)
        for size in sizes
    ]
    if quick:
        return [headline, *memory, *growth, goodput]
    shares = {COMPILED: 100_000, INTERPRETED: 10_000, NS3: 1000}
    lingering = Case("10000-waiting", {name: ("lives", n, many, 10_000) for name, n in shares.items()}, 3)
    return [headline, lingering, *memory, *growth, goodput]


def run(case: Case, found: dict[str, Subject]) -> dict[str, list[dict[str, float]]]:
    """Every subject's measurements, a round after the other; one that fails has none."""
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in found if name in case.work}
    for _ in range(case.rounds):
        for name in list(measured):
            try:
                measured[name].append(found[name].measure(*case.work[name]))
            except UnavailableError as error:
                print(f"{name}: {case.name}: {error}", file=sys.stderr)
                del measured[name]
    return measured


def ratio(mine: list[dict[str, float]], peer: list[dict[str, float]], metric: str) -> str:
    """How many times better than the peer: the median over the rounds."""
    if not mine or not peer or metric not in mine[0] or metric not in peer[0]:
        return ""
    pairs = [(ours[metric], theirs[metric]) for ours, theirs in zip(mine, peer, strict=True)]
    better = [ours / theirs if metric in MORE_IS_BETTER else theirs / ours for ours, theirs in pairs]
    median = statistics.median(better)
    return f"{median:,.2f} x" if median < 10 else f"{median:,.0f} x"


def show(case: Case, measured: dict[str, list[dict[str, float]]]) -> list[dict[str, object]]:
    """Print a case's lines, and give its rows."""
    rows: list[dict[str, object]] = []
    peer = measured.get(NS3) or measured.get(PYTCP) or []
    for metric, unit in UNITS.items():
        for name, rounds in measured.items():
            if metric not in rounds[0]:
                continue
            value = statistics.median(one[metric] for one in rounds)
            rows.append({"case": case.name, "subject": name, "metric": metric, "value": value, "unit": unit})
            # Seconds and segments are of the work done, which is not the same amount for all.
            better = "" if unit in ("s", "segments") or rounds is peer else ratio(rounds, peer, metric)
            print(f"{case.name:<16} {name:<20} {metric:<24} {value:>14,.1f} {unit:<9}{better:>12}", flush=True)
    return rows


def main() -> None:
    """Run the cases and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller, one peer, within a minute")
    parser.add_argument("--json", type=Path, help="write rows here")
    parser.add_argument("--case", action="append", help="these cases only")
    parser.add_argument("--compiled-python", help="an interpreter that has the compiled lastack installed")
    parser.add_argument("--pytcp-python", help="an interpreter that has pmd-pytcp installed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lastack-bench-") as workshop:
        found = subjects(asked, Path(workshop))
        peer = f"to {NS3 if NS3 in found else PYTCP}"
        print(f"{'case':<16} {'subject':<20} {'metric':<24} {'median':>14} {'unit':<9}{peer:>12}", flush=True)
        rows: list[dict[str, object]] = []
        for case in cases(asked.quick):
            if not asked.case or case.name in asked.case:
                rows += show(case, run(case, found))
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
