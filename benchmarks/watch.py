"""What `lastack watch` costs the host that it watches: a storm of connections with and without it, side by side.

    sudo python benchmarks/watch.py [--quick] [--json FILE] [--soak MINUTES]

Needs root for a network namespace of its own. Two processes make connections on loopback and close them at once: at
30,000 a second, and as fast as they can, which takes all of two processors. Nine changes of state go with each. In
turns with a storm that nobody watches, over several rounds: `lastack watch --jsonl` into /dev/null by each source.

`rate_ratio` is the rate of connections with the watch by that without it, right before. `cpu_us_per_connection` is
the CPU time of the storm (the kernel's work for both is in it) and of the watch together. `lost_per_100000` are
changes of state that the kernel could not deliver, `dropped` those that were not written; both are what the watch
itself tells. `--soak`: the watch's memory over many minutes of storm instead, and its slope.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple

from lastack.linux import namespaces, sysctl

HERE: Final = Path(__file__).resolve().parent
PROCESSES: Final = 2
RATES: Final = {"30,000 connections a second": 30_000, "as fast as two processors go": 0}
SUBJECTS: Final = {"lastack": "best", "lastack-tracefs": "tracefs", "lastack-sock_diag": "sock_diag"}
SOAK_RATE: Final = 8_000
METRICS: Final = ("rate_ratio", "connections_per_second", "cpu_us_per_connection", "lost_per_100000", "dropped")
UNITS: Final = {"connections_per_second": "1/s", "cpu_us_per_connection": "us"}
TICK: Final = os.sysconf("SC_CLK_TCK")


class Storm(NamedTuple):
    """What a storm did: connections, CPU seconds of it and of whoever watched, and what the watch said at its end."""

    connections: int
    seconds: float
    cpu_s: float
    end: dict[str, int]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the headline alone, within a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    options = parser.parse_args()
    if sys.platform != "linux" or os.geteuid() != 0:
        print("benchmarks/watch.py needs Linux and root: it makes a network namespace of its own", file=sys.stderr)
        return 2
    with namespaces.private():
        # Fewer TIME_WAIT than connections in a minute: their number is the limit, and the dumps are of that many.
        sysctl.write("net.ipv4.tcp_max_tw_buckets", 60_000)
        sysctl.write("net.ipv4.ip_local_port_range", "10000 65535")
        if options.soak:
            soak(options.soak)
            return 0
        names = list(SUBJECTS)[:1] if options.quick else list(SUBJECTS)
        rows = measure(names, 3 if options.quick else options.rounds, options.seconds)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def measure(names: list[str], rounds: int, seconds: float) -> list[dict[str, object]]:
    """The medians of all metrics of all cases, unwatched and watched in turns."""
    storm(seconds, 0, None)  # TIME_WAIT up to their limit, as in all that follow
    rows: list[dict[str, object]] = []
    for case, rate in RATES.items():
        figures: dict[tuple[str, str], list[float]] = defaultdict(list)
        for _ in range(rounds):
            for name in names:
                alone, watched = storm(seconds, rate, None), storm(seconds, rate, SUBJECTS[name])
                for metric, value in compared(alone, watched).items():
                    figures[name, metric].append(value)
                for metric, value in compared(alone, alone).items():
                    figures["unwatched", metric].append(value)
        for metric in METRICS:
            for name in (*names, "unwatched"):
                value = statistics.median(figures[name, metric])
                unit = UNITS.get(metric, "")
                rows.append({"case": case, "subject": name, "metric": metric, "value": value, "unit": unit})
    return rows


def compared(alone: Storm, watched: Storm) -> dict[str, float]:
    """The metrics of a storm."""
    changes = watched.end.get("changes", 0) + watched.end.get("dropped", 0) + watched.end.get("lost", 0)
    return {
        "rate_ratio": watched.connections / alone.connections,
        "connections_per_second": watched.connections / watched.seconds,
        "cpu_us_per_connection": 1e6 * watched.cpu_s / watched.connections,
        "lost_per_100000": 1e5 * watched.end.get("lost", 0) / max(changes, 1),
        "dropped": watched.end.get("dropped", 0),
    }


def storm(seconds: float, rate: float, source: str | None) -> Storm:
    """A storm, with a watch by this source where one is named."""
    if source is None:
        return Storm(*blow(seconds, rate), {})
    with watch(source, "/dev/null") as watching:
        before = cpu_of(watching.pid)
        made, took, cpu = blow(seconds, rate)
        cpu += cpu_of(watching.pid) - before
        watching.terminate()
        said = watching.communicate(timeout=60)[1]
    return Storm(made, took, cpu, totals(said))


def watch(source: str, file: str) -> subprocess.Popen[str]:
    """A watch that has begun."""
    command = [sys.executable, "-m", "lastack", "watch", "--jsonl", "--source", source, "-o", file]
    watching = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert watching.stderr is not None
    watching.stderr.readline()
    return watching


def totals(said: str) -> dict[str, int]:
    """The sums that the watch tells on standard error when it ends."""
    numbers = [int(word.replace(",", "")) for word in said.split() if word.replace(",", "").isdigit()]
    return dict(zip(("changes", "lost", "dropped"), numbers, strict=True))


def blow(seconds: float, rate: float) -> tuple[int, float, float]:
    """Connections made, the seconds that it took, and the CPU seconds."""
    command = [sys.executable, str(HERE / "storm.py"), str(PROCESSES), str(seconds), str(rate)]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return said["connections"], seconds, said["cpu_s"]


def cpu_of(pid: int) -> float:
    """The CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def soak(minutes: float) -> None:
    """A watch under a storm for many minutes: its memory, once the TIME_WAIT have reached their limit."""
    sizes: list[tuple[float, float]] = []
    begun = time.monotonic()
    with watch("best", "/dev/null") as watching:
        while (now := time.monotonic() - begun) < 60 * minutes:
            blow(5, SOAK_RATE)
            status = Path(f"/proc/{watching.pid}/status").read_text()
            sizes.append((now / 60, int(status.partition("VmRSS:")[2].split()[0]) / 1024))
            print(f"{now / 60:5.1f} min {sizes[-1][1]:8.1f} MB", flush=True)
        watching.terminate()
        print(watching.communicate(timeout=60)[1].strip())
    later = [size for size in sizes if size[0] > minutes / 2]
    slope, _ = statistics.linear_regression(*zip(*later, strict=True))
    print(f"slope of the second half: {slope:+.2f} MB a minute")


def show(rows: list[dict[str, object]]) -> None:
    """A table a case."""
    for case in RATES:
        print(f"\n{case}; medians\n")
        names = list(dict.fromkeys(str(row["subject"]) for row in rows))
        print(f"{'':26}" + "".join(f"{name:>20}" for name in names))
        for metric in METRICS:
            values = {row["subject"]: row["value"] for row in rows if (row["case"], row["metric"]) == (case, metric)}
            print(f"{metric:26}" + "".join(f"{values[name]:20,.2f}" for name in names))


if __name__ == "__main__":
    sys.exit(main())
