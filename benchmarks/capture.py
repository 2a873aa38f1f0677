"""How fast captures are read: every connection's whole life, beside the tools that count flows.

    python benchmarks/capture.py [--quick | --growth] [--json FILE] [--case NAME] [--keep DIR]

Captures of short connections (see captures.py): 250,000 connections in 2 million packets, 1,000,000 in 10 million, and
100 packets. Every measurement is a whole process, start-up included, the best of several; the subjects take turns.
`lastack` is `lastack check`: states, closes, findings. `floor-cat` reads the file and nothing more, `floor-capinfos`
counts its records. tcptrace, tshark, argus and softflowd are Debian packages; dpkt and nfstream are installed into a
virtual environment beside this checkout at the first run. What cannot be had is left out, and said so.

`--growth` reads 100,000 to 100 million packets (11 GB of disk) by `lastack-stream` alone: `lastack connections
--memory 1G`, which keeps nothing of connections that have ended.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).resolve().parent
PEERS_HOME: Final = HERE.parent / ".venv-captures-peers"
PEERS: Final = ("dpkt>=1.9", "nfstream>=6.5")
LASTACK, TCPTRACE = "lastack", "tcptrace"
STREAM: Final = "lastack-stream"
METRICS: Final = {"packets_per_second": "1/s", "wall_s": "s", "cpu_s": "s", "peak_rss_mb": "MB"}
WARM: Final = 1 << 32
"""Octets of a capture that is brought into the page cache; longer ones are read from the disk."""
SLOW: Final = ("tshark", "dpkt", "nfstream", "argus", "softflowd")
"""Once is enough of them."""


class Subject(NamedTuple):
    """A command that reads a capture; the file's name is its last argument, or where `{}` stands."""

    name: str
    command: tuple[str, ...]

    def reading(self, path: Path) -> list[str]:
        """The command for one file."""
        if "{}" in self.command:
            return [str(path) if word == "{}" else word for word in self.command]
        return [*self.command, str(path)]


class Case(NamedTuple):
    """A capture, how often it is read, and by whom."""

    name: str
    connections: int
    exchanges: int
    packets: int
    rounds: int
    subjects: tuple[str, ...]


CASES: Final = (
    Case(
        "2m",
        250_000,
        1,
        2_000_000,
        3,
        (
            *(LASTACK, TCPTRACE, "tshark", "argus", "softflowd", "dpkt", "nfstream"),
            *("floor-cat", "floor-capinfos"),
        ),
    ),
    Case("10m", 1_000_000, 2, 10_000_000, 3, (LASTACK, TCPTRACE, "tshark", "softflowd", "floor-cat", "floor-capinfos")),
    Case("100-packets", 13, 1, 100, 9, (LASTACK, TCPTRACE, "tshark", "floor-capinfos")),
)
QUICK: Final = (CASES[0]._replace(rounds=2, subjects=(LASTACK, TCPTRACE, "floor-cat")), CASES[2]._replace(rounds=3))
GROWTH: Final = tuple(
    Case(f"{packets:.0e}", packets // 10, 2, packets, 1, (STREAM,)) for packets in (10**5, 10**6, 10**7, 10**8)
)


def subjects(names: set[str]) -> dict[str, Subject]:
    """Those that can be run; what cannot be is said on stderr."""
    command = Path(sys.executable).with_name("lastack")
    known = {
        LASTACK: (str(command), "check", "--quiet", "--fail-on", "never", "--format", "json", "-o", os.devnull),
        STREAM: (*(str(command), "connections", "--memory", "1G", "--format", "jsonl"), *("-f", "state syn-sent")),
        TCPTRACE: ("tcptrace", "-n"),
        "tshark": ("tshark", "-n", "-q", "-z", "conv,tcp", "-r"),
        "argus": ("argus", "-X", "-w", os.devnull, "-r"),
        "softflowd": ("softflowd", "-d", "-r"),
        "dpkt": (_peers(names), str(HERE / "peers" / "capture_dpkt.py")),
        "nfstream": (_peers(names), str(HERE / "peers" / "capture_nfstream.py")),
        "floor-cat": ("sh", "-c", 'cat "$0" >/dev/null'),
        "floor-capinfos": ("capinfos", "-c"),
    }
    found = {}
    for name in (name for name in known if name in names):
        if shutil.which(known[name][0]) is None:
            print(f"{name}: left out: {known[name][0] or 'its environment'} is not here", file=sys.stderr)
        else:
            found[name] = Subject(name, known[name])
    return found


def _peers(names: set[str]) -> str:
    """The interpreter that has the Python peers, made now where it is not there; empty where that fails."""
    python = PEERS_HOME / "bin" / "python"
    if names & {"dpkt", "nfstream"} and not python.exists():
        venv.create(PEERS_HOME, with_pip=True)
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PEERS]
        if subprocess.run(install, check=False).returncode:
            shutil.rmtree(PEERS_HOME)
            return ""
    return str(python)


def make(path: Path, case: Case) -> None:
    """Make a capture in a process of its own: what this one has ever taken would be counted as the subjects'."""
    many = ["--connections", str(case.connections), "--exchanges", str(case.exchanges)]
    command = [sys.executable, str(HERE / "captures.py"), str(path), *many]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def measure(subject: Subject, path: Path) -> dict[str, float]:
    """One run: its time, and the most memory it took. Raises CalledProcessError where it fails."""
    begin = time.perf_counter()
    with subprocess.Popen(subject.reading(path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - begin
    if process.returncode not in (0, 1):
        raise subprocess.CalledProcessError(process.returncode, subject.name)
    return {"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime, "peak_rss_mb": used.ru_maxrss / 1024}


def run(case: Case, found: dict[str, Subject], path: Path) -> list[dict[str, object]]:
    """Every subject's best, a round after the other, printed with how many times faster than the first peer."""
    best: dict[str, dict[str, float]] = {}
    chosen = [found[name] for name in case.subjects if name in found]
    for turn in range(case.rounds):
        for subject in chosen:
            if turn and subject.name in SLOW and case.connections > 1000:
                continue
            try:
                measured = measure(subject, path)
            except subprocess.CalledProcessError as error:
                print(f"{case.name}: {subject.name}: ended with {error.returncode}", file=sys.stderr)
                continue
            if subject.name not in best or measured["wall_s"] < best[subject.name]["wall_s"]:
                best[subject.name] = measured
    rows: list[dict[str, object]] = []
    mine = best.get(LASTACK, best.get(STREAM, {})).get("wall_s")
    for name, figures in best.items():
        figures["packets_per_second"] = case.packets / figures["wall_s"]
        for metric, unit in METRICS.items():
            rows.append({"case": case.name, "subject": name, "metric": metric, "value": figures[metric], "unit": unit})
        times = f"{figures['wall_s'] / mine:8.1f} x" if mine else ""
        print(
            f"{case.name:<12} {name:<15} {figures['packets_per_second']:>13,.0f}/s {figures['wall_s']:>8.2f} s "
            f"{figures['cpu_s']:>8.2f} s CPU {figures['peak_rss_mb']:>7,.0f} MB {times}",
            flush=True,
        )
    return rows


def main() -> None:
    """Make the captures, run the cases, print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two million packets and one peer, within a minute")
    parser.add_argument("--growth", action="store_true", help="ten, a hundred, a thousand times as long a capture")
    parser.add_argument("--json", type=Path, help="write rows here")
    parser.add_argument("--case", action="append", help="these cases only")
    parser.add_argument("--keep", type=Path, help="where the captures are made, and kept")
    asked = parser.parse_args()
    cases = [
        case
        for case in (QUICK if asked.quick else GROWTH if asked.growth else CASES)
        if not asked.case or case.name in asked.case
    ]
    found = subjects({name for case in cases for name in case.subjects})
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="lastack-bench-") as scratch:
        place = asked.keep or Path(scratch)
        place.mkdir(exist_ok=True)
        for case in cases:
            path = place / f"{case.name}.pcap"
            if not path.exists():
                make(path, case)
            # Compiles the kernels where they are not yet, and brings the file into the page cache.
            for name in (LASTACK, STREAM, "floor-cat"):
                if name in found and path.stat().st_size < WARM:
                    measure(found[name], path)
            rows += run(case, found, path)
            if asked.keep is None:
                path.unlink()
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
