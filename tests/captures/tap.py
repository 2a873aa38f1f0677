"""Captures of simulations, made at one host's interface, as batches of packets."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from lastack.capture.flows import Analyser
from lastack.capture.packets import WIDTH, Packets
from lastack.capture.sources import open_captures
from lastack.drive import Simulator
from lastack.model.record import ConnectionTable
from lastack.model.time import Nanos
from lastack.wire.pcapng import PcapngWriter

Frame = tuple[Nanos, bytes]


def frames_at(sim: Simulator, host: str) -> list[Frame]:
    """What passed a host's interface, in either direction; what was damaged on the way is dropped by its checksum."""
    return [(at, data) for at, name, data, _ in sim.trace.packets if name == host]


def batch_of(frames: Sequence[Frame]) -> tuple[Packets, int]:
    """Frames as the reader decodes them."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "tap.pcapng"
        with path.open("wb") as file:
            writer = PcapngWriter(file, ["tap"])
            for at, data in frames:
                writer.write(0, at, data)
        rows = array("q")
        count = 0
        for packets, some in open_captures([path], fast=False).batches():
            rows.extend(packets[: some * WIDTH])
            count += some
    return rows, count


def table_of(packets: Packets, count: int, until: Nanos = 0, *, compiled: bool = False) -> ConnectionTable:
    """The table of a batch; the capture goes on, without packets, until an instant."""
    analyser = Analyser(compiled=compiled)
    analyser.feed(packets, count)
    analyser.wait(until)
    return analyser.finish()


def pieces_of(packets: Packets, count: int, cuts: Sequence[int]) -> Iterator[tuple[Packets, int]]:
    """A batch cut in pieces."""
    places = [0, *sorted(cuts), count]
    for start, stop in pairwise(places):
        yield packets[start * WIDTH : stop * WIDTH], stop - start
