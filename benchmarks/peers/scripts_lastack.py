"""What benchmarks/scripts.py measures, in a process for each measurement: scripts_lastack.py SUITE sim|kernel TIMES.

Prints one JSON object of metrics. Every script has to pass; those whose head says that this side cannot are left out.
TIMES 0: only whether the engine is compiled.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from pathlib import Path

import lastack.tcp.connection
from lastack.model.time import SECOND
from lastack.script.play import KERNEL, How, play


def main() -> None:
    """Run the scripts and print the metrics."""
    suite, on, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    other = "engine" if on == KERNEL else "kernel"
    paths = [path for path in sorted(suite.rglob("*.pkt")) if not _only(path, other)]
    if times:
        # What is imported at the first run is not what is measured.
        play(paths[0], How(on=on))
    wall, cpu = time.perf_counter(), time.process_time()
    runs = [play(path, How(on=on)) for _ in range(times) for path in paths]
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    failed = [run for run in runs if not run.passed]
    if failed and on != KERNEL:
        sys.exit(str(failed[0].failure).splitlines()[0])
    once = runs[: len(paths)]
    print(
        json.dumps(
            {
                "compiled": not lastack.tcp.connection.__file__.endswith(".py"),
                "scripts": len(once),
                "failed": len(failed),
                "scripts_per_second": len(runs) / (wall if on == KERNEL else cpu) if runs else 0,
                "cpu_s": cpu,
                "wall_s": wall,
                "script_time_s": sum(run.length for run in once) / SECOND,
                "packets": sum(len(run.packets) for run in once),
                "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


def _only(path: Path, side: str) -> bool:
    return re.search(rf"^// Only on the {side}: ", path.read_text(), re.MULTILINE) is not None


if __name__ == "__main__":
    main()
