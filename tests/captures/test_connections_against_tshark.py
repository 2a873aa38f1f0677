"""Connections as tshark counts them: streams, SYN, FIN and RST each way, and which port sent the first FIN.

Where they differ it is known why: tshark counts what the capture holds twice, and here that is one segment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from lastack.capture.analyse import analyse
from lastack.capture.sources import open_captures
from lastack.errors import CaptureError
from lastack.model.record import ConnectionTable
from lastack.model.time import MILLISECOND
from lastack.wire.pcapng import PcapngWriter

from ..properties.test_captured_states import simulate
from .tap import frames_at

pytestmark = pytest.mark.skipif(not shutil.which("tshark"), reason="needs tshark to compare with")
FIELDS = ("tcp.stream", "tcp.srcport", "tcp.flags")
BITS = {"syn": 2, "fin": 1, "rst": 4}
Counts = Counter[tuple[str, int]]


def tshark_counts(path: Path) -> tuple[int, Counts, Counts]:
    """Streams; SYNs, FINs and RSTs by source port; first FINs of streams by source port."""
    command = ["tshark", "-n", "-r", str(path), "-Y", "tcp && !icmp && !icmpv6", "-T", "fields", "-E", "occurrence=l"]
    for name in FIELDS:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    counts, first = Counts(), dict[str, int]()
    streams = set()
    for line in done.stdout.splitlines():
        stream, port, flags = line.split("\t")
        if not stream or not flags:
            continue
        streams.add(stream)
        for name, bit in BITS.items():
            if int(flags, 16) & bit:
                counts[name, int(port)] += 1
        if int(flags, 16) & 1:
            first.setdefault(stream, int(port))
    return len(streams), counts, Counts(("first fin", port) for port in first.values())


def own_counts(table: ConnectionTable) -> tuple[int, Counts, Counts]:
    """The same of a table. Of FINs that cross, or of which one may be missing, the table names no first."""
    counts, first = Counts(), Counts()
    for row in table.rows():
        for way, side in (("out", "local"), ("in", "remote")):
            port = int(row[f"{side}_port"] or 0)
            for name in BITS:
                counts[name, port] += int(row[f"{name}_{way}"] or 0)
            if row[f"fin_{way}"] and row["first_closer"] == side.upper():
                first["first fin", port] += 1
    return len(table), +counts, first


def difference(path: Path) -> list[str]:
    """What tshark and the table say differently."""
    table = analyse(open_captures([path], fast=False)).connections
    theirs, ours = tshark_counts(path), own_counts(table)
    found = [] if theirs[0] == ours[0] else [f"{theirs[0]} streams, {ours[0]} connections"]
    twice = sum(int(row["duplicates"] or 0) for row in table.rows())
    more, less = theirs[1] - ours[1], ours[1] - theirs[1]
    if less or more.total() > twice:
        found.append(f"counts: {dict(more)} more by tshark, {dict(less)} more here, {twice} duplicates")
    if ours[2] - theirs[2]:
        found.append(f"first FINs: {dict(ours[2] - theirs[2])} here alone")
    return found


@pytest.mark.parametrize("seed", range(6))
def test_simulated_connections_are_counted_alike(seed: int, tmp_path: Path) -> None:
    deeds = [(30 * MILLISECOND, name, "send", 3000) for name in ("client", "server")]
    ends = ["close", "shutdown", "abort"]
    plan = [*deeds, (0, "client", ends[seed % 3], 1), (seed * 10 * MILLISECOND, "server", "close", 1)]
    sim = simulate(seed, plan, {"loss": 0.1 * (seed % 2), "duplicate": 0.0, "reorder": 0.1})
    path = tmp_path / "made.pcapng"
    with path.open("wb") as file:
        writer = PcapngWriter(file, ["tap"])
        for at, data in frames_at(sim, "client"):
            writer.write(0, at, data)
    assert difference(path) == []


@pytest.mark.skipif("LASTACK_CAPTURES" not in os.environ, reason="set LASTACK_CAPTURES to a directory of captures")
def test_whatever_captures_there_are_are_counted_alike() -> None:
    found = {}
    for path in sorted(Path(os.environ["LASTACK_CAPTURES"]).iterdir()):
        try:
            found[path.name] = difference(path)
        except CaptureError:
            continue
    assert found
    assert {name: said for name, said in found.items() if said} == {}
