"""The main job for captures: read them, follow their connections, diagnose, and give the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from . import __version__
from .errors import CallError, CaptureError
from .model.report import Report, Source
from .model.time import Nanos

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .capture.analyse import Analysis, Progress
    from .capture.packets import Packets
    from .diagnose.thresholds import Thresholds
    from .model.address import FourTuple
    from .model.filters import Filter
    from .model.history import History
    from .model.record import ConnectionTable

_EPHEMERAL: Final = (32_768, 60_999)
"""Which ports filters take for clients' own: Linux's default, for a capture does not say."""
_MAY_HOLD_TCP: Final = ("802.11", "Geneve", "GTP", "Teredo", "L2TP", "an unread link type", "too many headers")


def analyse(captures: Sequence[str | Path], *, memory: int | None = None, progress: Progress | None = None) -> Analysis:
    """Follow every connection of the captures (`-` is standard input), merged in the order of time.

    `memory` bounds the octets kept of live connections. Raises CaptureError where nothing could be read, CallError
    where `memory` is too little for any.
    """
    from .capture.analyse import analyse as follow
    from .capture.sources import open_captures

    try:
        return follow(open_captures(captures), memory=memory, progress=progress)
    except ValueError as error:
        raise CallError(str(error)) from None


def leaving(
    captures: Sequence[str | Path],
    *,
    where: Filter | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Iterator[ConnectionTable]:
    """The connections that a filter leaves, table by table as they leave memory, without `id`. Raises as `analyse`."""
    from .capture.analyse import leaving as leave
    from .capture.sources import open_captures

    opened = open_captures(captures)
    try:
        for table in leave(opened, memory=memory, progress=progress):
            yield _matching(table, where, opened.summary().last_time)
    except ValueError as error:
        raise CallError(str(error)) from None


def check(
    captures: Sequence[str | Path],
    *,
    where: Filter | None = None,
    thresholds: Thresholds | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """What is wrong with the connections of some captures. `where` restricts what is judged."""
    from .diagnose.captures.run import run

    analysis = analyse(captures, memory=memory, progress=progress)
    table = kept(analysis, where)
    names = [str(path) for path in captures]
    return Report(
        source=Source(
            "capture",
            names[0] if len(names) == 1 else f"{len(names)} captures ({names[0]} and others)",
            analysis.summary.last_time or 0,
            lastack=__version__,
            filter="" if where is None else str(where),
        ),
        findings=tuple(run(table, thresholds)),
        connections=table,
        states={str(kind): len(rows) for (kind,), rows in table.groups("close_kind")},
        unseen=tuple(_unseen(table, analysis)),
    )


def kept(analysis: Analysis, where: Filter | None) -> ConnectionTable:
    """The connections that a filter leaves."""
    return _matching(analysis.connections, where, analysis.summary.last_time)


def _matching(table: ConnectionTable, where: Filter | None, now: Nanos | None) -> ConnectionTable:
    return table if where is None else table.select(where.matches(table, now or 0, _EPHEMERAL))


class Told(NamedTuple):
    """One connection of some captures: its row, its history, the frames that it is in, and how many share its ends."""

    connection: ConnectionTable
    history: History
    frames: tuple[int, ...]
    incarnations: int


def tell(captures: Sequence[str | Path], which: int | FourTuple, *, progress: Progress | None = None) -> Told | None:
    """The history of one connection, by its ordinal or its ends (of several incarnations the first). None: no such.

    Reads the captures twice. Raises CaptureError where that cannot be done, or nothing could be read.
    """
    from .capture.compressed import STANDARD_INPUT
    from .capture.history import history
    from .capture.sources import open_captures

    if STANDARD_INPUT in map(str, captures):
        raise CaptureError("standard input cannot be read twice, which this needs: save it to a file first")
    analysis = analyse(captures, progress=progress)
    table = analysis.connections
    index = _find(table, which)
    if not len(index):
        return None
    row = table.select(index[:1])
    seen: dict[tuple[int, Nanos], int] = {}
    ports = int(row.values("local_port")[0]), int(row.values("remote_port")[0])
    batches = _noted(open_captures(captures).between(*ports), seen)
    found = history(batches, int(row.values("first_frame")[0]), until=analysis.summary.last_time or 0)
    if found is None:
        return None
    frames = tuple(seen[segment.number, segment.at] for segment in found.segments)
    return Told(row, found, frames, len(index))


def _find(table: ConnectionTable, which: int | FourTuple) -> NDArray[np.intp]:
    """The rows that an ordinal or two ends name, whichever of the two opened."""
    import numpy as np

    from .model.address import address_halves

    if isinstance(which, int):
        return np.flatnonzero(table.values("id") == which)
    chosen = np.zeros(len(table), np.bool_)
    for ends in (which, which[::-1]):
        mask = np.ones(len(table), np.bool_)
        for side, end in zip(("local", "remote"), ends, strict=True):
            high, low = address_halves(end.addr)
            address = table.values(f"{side}_addr")
            mask &= (address["high"] == high) & (address["low"] == low) & (table.values(f"{side}_port") == end.port)
        chosen |= mask
    return np.flatnonzero(chosen)


def _noted(batches: Iterator[tuple[Packets, int]], seen: dict[tuple[int, Nanos], int]) -> Iterator[tuple[Packets, int]]:
    """The same batches as plain numbers; `seen` learns the number of each packet by its frame and time."""
    from array import array

    from .capture.packets import FRAME_MASK, NUMBER, TIME, WIDTH

    for rows, count in batches:
        packets = array("q")
        packets.frombytes(memoryview(rows)[: count * WIDTH].tobytes())  # type: ignore[arg-type]
        for at in range(0, count * WIDTH, WIDTH):
            seen[packets[at + NUMBER] & FRAME_MASK, packets[at + TIME]] = packets[at + NUMBER]
        yield packets, count


def cut_out(captures: Sequence[str | Path], told: Told, file: BinaryIO) -> int:
    """Write a connection's packets, as they were captured, to a pcapng. How many they are."""
    from .capture.sources import open_captures
    from .wire.pcapng import interface_block, packet_block, section_block

    file.write(section_block("lastack"))
    links: dict[int, int] = {}
    count = 0
    for frame in open_captures(captures).frames(told.frames):
        if frame.link not in links:
            links[frame.link] = len(links)
            file.write(interface_block(f"link type {frame.link}", frame.link))
        file.write(packet_block(links[frame.link], frame.time, frame.octets, length=frame.length))
        count += 1
    return count


def _unseen(table: ConnectionTable, analysis: Analysis) -> list[str]:
    """What the captures lack, so that nobody takes silence for health."""
    summary = analysis.summary
    lines = list(summary.broken)
    if analysis.given_up:
        lines.append(f"the ends of {analysis.given_up:,} connections, which had to leave for lack of memory (--memory)")
    if summary.dropped:
        lines.append(f"{summary.dropped:,} packets that the capturing system says it lost")
    lacking = table.valid("unseen").sum() if len(table) else 0
    if lacking:
        whole = len(table)
        lines.append(f"parts of {int(lacking):,} of {whole:,} connections: states and ends not seen are not guessed")
    if summary.cut or summary.malformed:
        lines.append(f"{summary.cut:,} frames cut too short and {summary.malformed:,} malformed")
    lines += [
        f"{count:,} frames of {name}, which may hold TCP and are not read"
        for name, count in summary.not_tcp.items()
        if name.startswith(_MAY_HOLD_TCP)
    ]
    return lines
