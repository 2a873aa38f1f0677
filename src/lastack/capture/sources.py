"""The captures that somebody names, as one stream of decoded packets: the reader's public face.

captures = open_captures(["eth0.pcapng.gz"])
for packets, count in captures.batches():
    ...
captures.summary()
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from stat import S_ISCHR, S_ISFIFO
from typing import Final

from lastack.capture.columns import passed
from lastack.capture.compressed import EXPANSION, STANDARD_INPUT, Unpacked, open_octets
from lastack.capture.kernels import build
from lastack.capture.kernels import codes as c
from lastack.capture.kernels.build import compiled
from lastack.capture.kernels.runs import KERNELS, keep_ports
from lastack.capture.merge import merged
from lastack.capture.packets import FILE_SHIFT, FRAME_MASK, Packets
from lastack.capture.pcapng import Interface
from lastack.capture.stream import FOREVER, ROOM, Frame, Stream
from lastack.capture.unread import link_name, not_tcp
from lastack.errors import CaptureError

WORTH_COMPILING: Final = 20_000
"""Frames from which on loading the compiled kernels takes less time than it saves."""
_LEAST: Final = 60
"""Octets that a TCP segment takes in a file, at least."""
_SAMPLE: Final = 1 << 16
"""Octets looked at to tell how long frames are."""
_PACKED: Final = 5
"""How many times longer compressed captures are taken to be."""
_POLL_S: Final = 0.1


@dataclass(slots=True)
class Summary:
    """What was in the captures beside the packets that the batches held."""

    frames: int = 0
    packets: int = 0
    """TCP segments decoded."""
    icmp_errors: int = 0
    """ICMP errors that quote a segment; they are rows too."""
    not_tcp: dict[str, int] = field(default_factory=dict)
    """Frames that hold no TCP, by what they are."""
    cut: int = 0
    """Frames of which too little was captured to say."""
    malformed: int = 0
    """Frames whose headers contradict themselves."""
    fragments: int = 0
    """Frames with a fragment of an IP datagram."""
    fragments_lost: int = 0
    """Fragments whose datagram never became whole."""
    dropped: int | None = None
    """Frames that the capturing system says it lost; None where it does not say."""
    interfaces: list[Interface] = field(default_factory=list)
    first_time: int | None = None
    last_time: int | None = None
    broken: list[str] = field(default_factory=list)
    """Where captures ended before they should, and why; one a file at most."""


class Captures:
    """Captures as one stream; made by `open_captures`. `fast` says whether batches are NumPy arrays."""

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        fast: bool,
        follow: Callable[[], bool] | None,
        expansion: int,
        room: int,
        part: tuple[int, int] = (0, FOREVER),
    ) -> None:
        self.paths = [str(path) for path in paths]
        self.fast = fast
        self._follow = follow
        self._expansion = expansion
        self._room = room
        self._part = part
        self._streams: dict[int, Stream] = {}
        self._done = Summary()
        self._counts = [0] * c.COUNTS
        self._consumed = 0

    def batches(self) -> Iterator[tuple[Packets, int]]:
        """All packets, `(packets, count)` at a time as `packets.py` says; `packets` is overwritten by the next batch.

        Where a capture breaks off, what was readable has been given and `summary().broken` says where. Raises
        CaptureError only where no capture had a single readable frame and something was wrong.
        """
        self._done, self._counts, self._consumed = Summary(), [0] * c.COUNTS, 0
        last = len(self.paths) - 1
        if last == 0:
            yield from self._read(0, self._follow)
        else:
            # A file that grows is the newest: it comes after all others, and may be empty yet.
            starts = [FOREVER if self._follow and i == last else self._first_time(i) for i in range(last + 1)]
            sources = [
                (start, lambda i=i: self._read(i, self._follow if i == last else None))
                for i, start in enumerate(starts)
                if start is not None
            ]
            yield from merged(sources, self._room, self.fast)
        found = self.summary()
        if found.broken and not found.frames and self._part[0] == 0:
            raise CaptureError("; ".join(found.broken))

    def between(self, one: int, other: int) -> Iterator[tuple[Packets, int]]:
        """As `batches`, but only the packets between two ports, in either direction; a batch may hold few.

        Finds one connection among many without looking at all of them in Python.
        """
        keep = compiled(keep_ports, KERNELS["keep_ports"]) if self.fast else keep_ports
        for packets, count in self.batches():
            if kept := int(keep(passed(packets, self.fast), count, one << 16 | other, other << 16 | one)):
                yield packets, kept

    def parts(self, count: int) -> list[Captures]:
        """The same as consecutive parts, so that threads can read them side by side (kernels let go of the GIL).

        Together their batches are those of the whole, with the same NUMBERs, but for a datagram whose fragments lie on
        both sides of a cut; their summaries add up by `together`. A part passes over the records before it without
        decoding them, at a tenth of the cost. What cannot be cut (several files, pipes, compressed or growing files)
        is one part: itself.
        """
        if len(self.paths) > 1 or self._follow is not None or not _size(self.paths[0]):
            return [self]
        try:
            octets = open_octets(self.paths[0], self._expansion)
        except CaptureError:
            return [self]
        octets.close()
        size = octets.size
        if not size or isinstance(octets, Unpacked):
            return [self]
        cuts = [size * i // count for i in range(count)] + [FOREVER]
        # Threads meet at the interpreter's lock once a batch: longer batches, fewer meetings.
        room = max(self._room, 4 * ROOM)
        return [
            Captures(self.paths, fast=self.fast, follow=None, expansion=self._expansion, room=room, part=part)
            for part in pairwise(cuts)
        ]

    def frames(self, numbers: Iterable[int]) -> Iterator[Frame]:
        """Raw frames by NUMBER (`file << 40 | frame`), in ascending order. Reads the captures anew.

        Raises CaptureError for standard input and other pipes, which cannot be read twice.
        """
        by_file: dict[int, list[int]] = {}
        for number in sorted(set(numbers)):
            by_file.setdefault(number >> FILE_SHIFT, []).append(number & FRAME_MASK)
        for ordinal, wanted in by_file.items():
            if _size(self.paths[ordinal]) is None:
                name = "standard input" if self.paths[ordinal] == STANDARD_INPUT else self.paths[ordinal]
                raise CaptureError(f"{name} cannot be read twice: save it to a file first")
            stream = Stream(open_octets(self.paths[ordinal], self._expansion), fast=self.fast, room=self._room)
            try:
                for number in wanted:
                    frame = stream.find(number)
                    if frame is None:
                        break
                    yield frame._replace(number=ordinal << FILE_SHIFT | number)
            finally:
                stream.close()

    def progress(self) -> tuple[int, int | None]:
        """Octets of the files read so far, and in all (None where nobody knows)."""
        sizes = [_size(path) for path in self.paths]
        total = None if None in sizes else sum(size for size in sizes if size is not None)
        return self._consumed + sum(stream.consumed() for stream in self._streams.values()), total

    def summary(self) -> Summary:
        """What has been seen so far."""
        found = Summary(
            frames=self._done.frames,
            interfaces=list(self._done.interfaces),
            broken=list(self._done.broken),
            fragments_lost=self._done.fragments_lost,
            first_time=self._done.first_time,
            last_time=self._done.last_time,
        )
        counts = list(self._counts)
        for stream in self._streams.values():
            _add(found, counts, stream)
        found.packets = counts[6]
        found.icmp_errors = counts[c.ICMP_ERRORS]
        found.cut = counts[c.CUT_SHORT]
        found.malformed = counts[c.MALFORMED]
        found.fragments = counts[c.FRAGMENTS]
        if unread := counts[c.LINK]:
            found.not_tcp = _unread_links(found.interfaces, unread)
            counts[c.LINK] = 0
        found.not_tcp |= not_tcp(counts)
        said = [one.dropped for one in found.interfaces if one.dropped is not None]
        found.dropped = sum(said) if said else None
        return found

    def _read(self, ordinal: int, follow: Callable[[], bool] | None) -> Iterator[tuple[Packets, int]]:
        """The batches of one file, which is closed at their end."""
        try:
            octets = open_octets(self.paths[ordinal], self._expansion)
        except CaptureError as error:
            self._done.broken.append(str(error))
            return
        stream = Stream(octets, ordinal, fast=self.fast, room=self._room, wait=follow, part=self._part)
        self._streams[ordinal] = stream
        try:
            yield from stream.batches()
        finally:
            _add(self._done, self._counts, self._streams.pop(ordinal))
            self._consumed += stream.consumed()
            stream.close()

    def _first_time(self, ordinal: int) -> int | None:
        """The time of a file's first frame; None, with a word in `broken`, where it has none."""
        if _size(self.paths[ordinal]) is None:
            # A pipe cannot be looked into before its turn: it is taken to be there from the beginning.
            return -FOREVER
        try:
            stream = Stream(open_octets(self.paths[ordinal], self._expansion), fast=False, room=1)
        except CaptureError as error:
            self._done.broken.append(str(error))
            return None
        try:
            first = stream.find(1)
        finally:
            stream.close()
        if first is None and stream.broken:
            self._done.broken.append(stream.broken)
        return first.time if first else None


def together(summaries: Sequence[Summary]) -> Summary:
    """The summary of a capture from those of its parts, in their order."""
    whole = Summary()
    for one in summaries:
        for name in ("frames", "packets", "icmp_errors", "cut", "malformed", "fragments", "fragments_lost"):
            setattr(whole, name, getattr(whole, name) + getattr(one, name))
        for name, count in one.not_tcp.items():
            whole.not_tcp[name] = whole.not_tcp.get(name, 0) + count
        for known, again in zip(whole.interfaces, one.interfaces, strict=False):
            known.frames += again.frames
            known.dropped = again.dropped if known.dropped is None else known.dropped
        whole.interfaces += [replace(new) for new in one.interfaces[len(whole.interfaces) :]]
        if one.first_time is not None and one.last_time is not None:
            whole.first_time = one.first_time if whole.first_time is None else min(whole.first_time, one.first_time)
            whole.last_time = one.last_time if whole.last_time is None else max(whole.last_time, one.last_time)
        whole.broken = list(dict.fromkeys([*whole.broken, *one.broken]))
    said = [one.dropped for one in whole.interfaces if one.dropped is not None]
    whole.dropped = sum(said) if said else None
    return whole


def open_captures(
    paths: Sequence[str | Path],
    *,
    follow: bool | Callable[[], bool] = False,
    fast: bool | None = None,
    expansion: int = EXPANSION,
    room: int = ROOM,
) -> Captures:
    """The captures of these files (`-` is standard input), merged in the order of time.

    pcap and pcapng in all their dialects, as they are or in gzip, zstd or lz4. `follow` waits for more at the end of
    the last file: true for ever, or a function that waits and says whether to go on. `fast` chooses the compiled
    kernels or the plain ones; None takes the compiled ones where they are installed and there is enough to read.
    `expansion` bounds how many times its file's size a compressed capture may have, `room` is the rows of a batch.
    Nothing is read before `batches`; raises CaptureError where no path is given.
    """
    if not paths:
        raise CaptureError("no capture named")
    wait = _wait if follow is True else follow or None
    if fast is None:
        fast = _worth_compiling([str(path) for path in paths], wait is not None)
        if fast and not build.available():
            _say_it_is_slow()
            fast = False
    return Captures(paths, fast=fast, follow=wait, expansion=expansion, room=room)


@cache
def _say_it_is_slow() -> None:
    """A word on stderr, once a process."""
    print("lastack: reading without Numba is slow: pip install 'lastack[captures]'", file=sys.stderr)


def _worth_compiling(paths: Sequence[str], endless: bool) -> bool:
    """Whether there is enough to read, by the sizes of files and the first frames. Pipes are taken to be long."""
    sizes = [_size(path) for path in paths]
    if endless or None in sizes:
        return True
    total = sum(
        (size or 0) * (_PACKED if path.endswith((".gz", ".zst", ".lz4")) else 1)
        for size, path in zip(sizes, paths, strict=True)
    )
    return total >= WORTH_COMPILING * _LEAST and total >= WORTH_COMPILING * _frame_length(paths[0])


def _frame_length(path: str) -> int:
    """Octets that a frame takes in a file, on average of the first ones."""
    try:
        stream = Stream(open_octets(path), fast=False, room=1, part=(0, _SAMPLE))
    except CaptureError:
        return _LEAST
    try:
        for _ in stream.batches():
            pass
    finally:
        stream.close()
    return stream.at // max(1, stream.frames)


def _size(path: str) -> int | None:
    """Octets of a file, None where it is a pipe, 0 where there is none."""
    if path == STANDARD_INPUT:
        return None
    try:
        status = Path(path).stat()
    except OSError:
        return 0
    return None if S_ISFIFO(status.st_mode) or S_ISCHR(status.st_mode) else status.st_size


def _wait() -> bool:
    time.sleep(_POLL_S)
    return True


def _add(to: Summary, counts: list[int], stream: Stream) -> None:
    """Add what a stream has seen."""
    stream.settle()
    to.frames += stream.frames
    to.interfaces += stream.interfaces
    to.fragments_lost += stream.fragments.lost
    if stream.broken:
        to.broken.append(stream.broken)
    if stream.times:
        first, last = stream.times
        to.first_time = first if to.first_time is None else min(first, to.first_time)
        to.last_time = last if to.last_time is None else max(last, to.last_time)
    for i in range(c.COUNTS):
        counts[i] += int(stream.counts[i])


def _unread_links(interfaces: Sequence[Interface], unread: int) -> dict[str, int]:
    """Frames of link types that are not read, by name."""
    from lastack.capture.kernels.link import UNREAD, first_header

    found: dict[str, int] = {}
    for one in interfaces:
        if one.frames and first_header(b"", 0, 0, one.link)[0] == UNREAD:
            found[link_name(one.link)] = found.get(link_name(one.link), 0) + one.frames
    # What a header of headers (PKTAP, PPI) named.
    rest = unread - sum(found.values())
    return found | {"an unread link type": rest} if rest else found
