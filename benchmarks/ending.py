"""What it costs to end a pile of CLOSE_WAIT: by a FIN each on the leaking process's own sockets, and at once.

    sudo python benchmarks/ending.py [--quick] [--json FILE]

Needs root for a network namespace of its own. A process leaks so many CLOSE_WAIT on loopback; in turns, over several
rounds, whole commands end them: `lastack end` (in order, which nobody else can), `lastack end --reset`, and `ss -K`.
`cpu_s` is user and system time of the command, in which the kernel's work for the closing is; `left` are those that
were still there afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Final

from lastack.linux import namespaces
from lastack.live import sockdiag
from lastack.model.state import State, bits

WHICH: Final = ("-f", "state close-wait", "--yes", "--format", "json")
LASTACK: Final = (sys.executable, "-m", "lastack", "end", *WHICH)
SUBJECTS: Final = {
    "lastack": LASTACK,
    "lastack-reset": (*LASTACK, "--reset"),
    "ss": ("ss", "-K", "-t", "state", "close-wait"),
}
METRICS: Final = ("cpu_s", "wall_s", "left")
LEAK: Final = """
import socket, sys
with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
    kept = []
    for _ in range(int(sys.argv[1])):
        client = socket.create_connection(listener.getsockname())
        kept += [client, listener.accept()[0]]
        client.shutdown(socket.SHUT_WR)
print("ready", flush=True)
sys.stdin.read()
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three rounds, within a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--count", type=int, default=8_000)
    options = parser.parse_args()
    if sys.platform != "linux" or os.geteuid() != 0:
        print("benchmarks/ending.py needs Linux and root: it makes a network namespace of its own", file=sys.stderr)
        return 2
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    count = min(options.count, most // 2 - 100)
    names = [name for name, command in SUBJECTS.items() if shutil.which(command[0])]
    figures: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(3 if options.quick else options.rounds):
        for name in names:
            for metric, value in ended(SUBJECTS[name], count).items():
                figures[name, metric].append(value)
    rows = [
        {
            "case": f"{count:,} CLOSE_WAIT",
            "subject": name,
            "metric": metric,
            "value": statistics.median(figures[name, metric]),
            "unit": "s" if metric.endswith("_s") else "connections",
        }
        for metric in METRICS
        for name in names
    ]
    for row in rows:
        print(f"{row['case']:20} {row['subject']:14} {row['metric']:8} {row['value']:10.3f} {row['unit']}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def ended(command: tuple[str, ...], count: int) -> dict[str, float]:
    """What it took the command to end a leak of so many, and how many it left."""
    with (
        namespaces.private(),
        subprocess.Popen(
            [sys.executable, "-c", LEAK, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as leak,
    ):
        assert leak.stdout is not None
        leak.stdout.readline()
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        after, took = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
        left = len(sockdiag.read(time.time_ns(), bits(State.CLOSE_WAIT), info=0))
        leak.kill()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": cpu, "wall_s": took, "left": left}


if __name__ == "__main__":
    sys.exit(main())
