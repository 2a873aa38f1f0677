"""Whose sockets are: 100,000 TIME_WAIT and 40,000 live ones, all with their process, beside `ss -tanp`.

    sudo python benchmarks/owners.py [--quick] [--json FILE]

Needs root for a network namespace of its own, with real sockets on loopback. Subjects take turns over several rounds:
`owners-bpf` finds who holds the live sockets by a BPF iterator, with all that comes before it (the kernel's types, the
verifier); `owners-bpf-again` the same in a process that has done so before, as a watch does; `owners-proc` by the pass
over /proc. `lastack check` is the whole command, `ss -tanp` the peer; only lastack names the process of a TIME_WAIT,
while a watch runs: here it does, in this process.

`cpu_s` is user and system time: inside a process of its own, or of the whole command. Each is a median of the rounds;
`x ss` is against `ss -tanp`. `named` is the share of the TIME_WAIT whose process is known.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from benchmarks import host, load
else:
    import host  # beside this file, which is run as a script
    import load

HERE: Final = Path(__file__).resolve().parent
INSIDE: Final = ("owners-bpf", "owners-bpf-again", "owners-proc")
CHECK: Final = ("-m", "lastack", "check", "--pause", "0s", "--fail-on", "never")
PEER: Final = "ss -tanp"
METRICS: Final = ("cpu_s", "wall_s", "peak_rss_mb")

Figures = dict[str, dict[str, float]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--time-wait", type=int, default=100_000)
    parser.add_argument("--live", type=int, default=40_000)
    options = parser.parse_args()
    if sys.platform != "linux" or os.geteuid() != 0:
        print("benchmarks/owners.py needs Linux and root: it makes a network namespace of its own", file=sys.stderr)
        return 2
    subjects = chosen()
    figures, named = measure(subjects, 3 if options.quick else options.rounds, options.time_wait, options.live)
    case = f"{options.time_wait:,} TIME_WAIT, {options.live:,} live"
    show(case, figures, named)
    if options.json:
        rows = [
            {"case": case, "subject": subject, "metric": metric, "value": value, "unit": host.unit_of(metric)}
            for metric in METRICS
            for subject, of in figures.items()
            if (value := of.get(metric)) is not None
        ]
        rows.append({"case": case, "subject": "lastack check", "metric": "named", "value": named, "unit": "share"})
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def chosen() -> list[host.Subject]:
    """The subjects that can run here, the headline first."""
    found = [host.Subject("lastack check", (sys.executable, *CHECK), inside=False)]
    if ss := shutil.which("ss"):
        found.append(host.Subject(PEER, (ss, "-tanp"), inside=False))
    else:
        print("ss is left out: iproute2 is not installed", file=sys.stderr)
    return found + [host.Subject(name, (sys.executable, str(HERE / "subjects.py"), name)) for name in INSIDE]


def measure(subjects: Sequence[host.Subject], rounds: int, time_wait: int, live: int) -> tuple[Figures, float]:
    """The medians of every metric of every subject, measured in turns, and the share of TIME_WAIT that has a name."""
    from lastack.live.transitions.tap import Tap

    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    left = [subject for _ in range(rounds) for subject in subjects]
    shares = []
    while left:
        # The watch begins before the namespace that is to be watched: of all of them.
        with Tap(None), load.standing(time_wait, live) as since:
            shares.append(named())
            while left and time.monotonic() - since < host.LIFE_S:
                subject = left.pop(0)
                for metric, value in host.run(subject).items():
                    figures[subject.name][metric].append(value)
    return {
        name: {metric: statistics.median(values) for metric, values in metrics.items()}
        for name, metrics in figures.items()
    }, min(shares)


def named() -> float:
    """The share of the TIME_WAIT of this namespace whose process is known."""
    from lastack.live import notes, sockdiag
    from lastack.model.state import State, bits

    table = sockdiag.read(time.time_ns(), bits(State.TIME_WAIT), info=0)
    return len(notes.of(table).closed) / max(len(table), 1)


def show(case: str, figures: Figures, share: float) -> None:
    print(f"{case}; medians; {share:.1%} of the TIME_WAIT named\n")
    print(f"{'':20}{'cpu':>11}{'x ss':>8}{'wall':>11}{'peak memory':>13}")
    for name, of in figures.items():
        ratio = f"{of['cpu_s'] / figures[PEER]['cpu_s']:8.2f}" if PEER in figures else f"{'-':>8}"
        print(f"{name:20}{1e3 * of['cpu_s']:8.0f} ms{ratio}{1e3 * of['wall_s']:8.0f} ms{of['peak_rss_mb']:10.0f} MB")


if __name__ == "__main__":
    sys.exit(main())
