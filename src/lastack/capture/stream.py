"""One capture, from its octets to batches of packets: the buffer, the records, and what lies between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import Final, NamedTuple

from lastack.capture import columns, pcap, pcapng
from lastack.capture.compressed import Octets
from lastack.capture.fragments import Fragments
from lastack.capture.kernels import codes as c
from lastack.capture.kernels.frame import decode
from lastack.capture.kernels.link import EITHER_IP
from lastack.capture.packets import (
    FILE_SHIFT,
    FRAME_MASK,
    NUMBER,
    REASSEMBLED,
    TIME,
    WIDTH,
    Packets,
)
from lastack.errors import CaptureError, DecodeError

BUFFER: Final = 512 << 10
FOREVER: Final = 1 << 62
"""Beyond the end of every file, and of all time."""
LONGEST: Final = 256 << 10
"""The longest record that is believed, in octets (what libpcap and Wireshark believe of networks)."""
ROOM: Final = 4096
"""Rows of a batch."""

_OPTIONS: Final = 64 << 10
"""Octets of a pcapng block beside its packet, at most."""
_END: Final = -1
_COLUMNS: Final = (
    (c.LINK_TYPE, "link"),
    (c.MULTIPLY, "multiply"),
    (c.DIVIDE, "divide"),
    (c.SHIFT, "shift"),
    (c.OFFSET, "offset_ns"),
    (c.HIGHEST, "highest"),
    (c.SNAP_LENGTH, "snap_length"),
)
"""Where a kernel finds what of an interface."""


class Frame(NamedTuple):
    """One frame as captured. `length` is what it had on the wire."""

    number: int
    time: int
    link: int
    length: int
    octets: bytes


class Stream:
    """Reads one capture. `broken` says where and why it ended early, or is None; `at` is where it has come to."""

    def __init__(
        self,
        octets: Octets,
        ordinal: int = 0,
        *,
        fast: bool,
        room: int = ROOM,
        wait: Callable[[], bool] | None = None,
        part: tuple[int, int] = (0, FOREVER),
    ) -> None:
        """Of the octets of a file, the `ordinal`th of those opened.

        `fast` takes the compiled kernels. `wait` is asked at the end of the octets: true means that it has waited and
        there may be more, so a file can be followed as it grows. `part` says at which octets the records begin that
        are decoded: from the first number on, before the second.
        """
        self.name = octets.name
        self.broken: str | None = None
        self.interfaces: list[pcapng.Interface] = []
        self.fragments = Fragments()
        self.packets: Packets = columns.numbers(room * WIDTH, fast)
        self.counts = columns.numbers(c.COUNTS, fast)
        self._octets = octets
        self._fast = fast
        self._wait = wait
        self._buffer = columns.octets(BUFFER, fast)
        self._view = memoryview(self._buffer)
        self._state = columns.numbers(c.STATE, fast)
        self._state[c.FRAME] = ordinal << FILE_SHIFT
        self._state[c.FIRST_TIME], self._state[c.LAST_TIME] = FOREVER, -FOREVER
        self._state[c.LIMIT] = LONGEST
        self._state[c.ROOM] = room
        self._state[c.FROM], self._state[c.UNTIL] = part
        self._table = columns.numbers(c.INTERFACE, fast)
        self._section = 0  # ordinal of the section's first interface
        self._before = 0  # octets of the file that are no longer in the buffer
        self._form = ""
        self._walk: Callable[[], int] | None = None

    @property
    def frames(self) -> int:
        """Frames read so far, those before the part that is read aside."""
        return (int(self._state[c.FRAME]) & FRAME_MASK) - int(self._state[c.PASSED])

    @property
    def times(self) -> tuple[int, int] | None:
        """The earliest and the latest time of any frame so far."""
        first, last = int(self._state[c.FIRST_TIME]), int(self._state[c.LAST_TIME])
        return (first, last) if first <= last else None

    @property
    def at(self) -> int:
        """Octets of the capture read so far (after unpacking)."""
        return self._before + int(self._state[c.POSITION])

    def batches(self) -> Iterator[tuple[Packets, int]]:
        """The packets, as `packets.py` describes them. Never raises: where the capture breaks off, `broken` says so."""
        while True:
            why = self._advance()
            if count := int(self._state[c.COUNT]):
                self._state[c.COUNT] = 0
                yield self.packets, count
            if why == _END:
                self.settle()
                return

    def find(self, number: int) -> Frame | None:
        """The frame of this number, which must be later than all read so far; None where the capture ends before."""
        self._state[c.WANTED] = (int(self._state[c.FRAME]) & ~FRAME_MASK) + number
        while (why := self._advance()) not in (_END, c.FOUND):
            self._state[c.COUNT] = 0
        self._state[c.COUNT] = self._state[c.WANTED] = 0
        if why != c.FOUND:
            return None
        start, end = int(self._state[c.PLACE]), int(self._state[c.PLACE_END])
        link = self.interfaces[self._section + int(self._state[c.PLACE_OF])].link
        length, time = int(self._state[c.PLACE_MARKS]), int(self._state[c.PLACE_TIME])
        return Frame(number, time, link, length, bytes(self._view[start:end]))

    def close(self) -> None:
        """Let go of the file."""
        self._octets.close()

    def consumed(self) -> int:
        """Octets of the file read so far (before unpacking)."""
        return self._octets.consumed()

    def settle(self) -> None:
        """Bring `interfaces` up to date with what the kernels counted."""
        for i, one in enumerate(self.interfaces[self._section :]):
            one.frames = int(self._table[i * c.INTERFACE + c.FRAMES])

    def _advance(self) -> int:
        """On until the batch is full, the wanted frame is next, what there is now has been read, or the end."""
        if self._walk is None and not self._begin():
            return _END
        while self._walk is not None:
            why = self._walk()
            if why in (c.FULL, c.FOUND):
                return why
            if why != c.MORE:
                self._between(why)
                continue
            waiting = bool(self._state[c.COUNT])
            if waiting and not self._octets.ready():
                return c.MORE
            if self._more():
                continue
            if waiting and self._wait is not None:
                return c.MORE
            if not self._more_comes():
                if int(self._state[c.STOP]) > int(self._state[c.POSITION]):
                    self._break("cut short in a record")
                self._walk = None
        return _END

    def _between(self, why: int) -> None:
        """See to what stopped the walk: a fragment, a block that is no packet, the end of the part, or of sense."""
        if why == c.FRAGMENTED:
            self._reassemble()
        elif why == c.BLOCK:
            problem = self._block()
            if problem:
                self._break(problem)
        elif why == c.BROKEN:
            self._break("a record that cannot be one")
        else:
            self._walk = None

    def _begin(self) -> bool:
        """Read the beginning of the file and choose how to go on."""
        if self.broken is not None or self.frames or self.at:
            return False
        while int(self._state[c.STOP]) < pcap.SIZE:
            if not self._more_comes():
                break
        head = bytes(self._view[: int(self._state[c.STOP])][: pcap.SIZE])
        header = pcap.read_header(head)
        if header is not None:
            self._state[c.POSITION] = pcap.SIZE
            self._state[c.BIG] = header.big
            self._state[c.HEADER] = header.record
            self._state[c.OLD] = header.old
            only = pcapng.Interface(self.name, header.link, header.snap_length)
            only.multiply = header.multiply
            self._add(only)
            self._choose("pcap")
        elif pcapng.section_order(head) is not None:
            self._state[c.LIMIT] = LONGEST + _OPTIONS
            self._choose("pcapng")
        elif self.broken is None:
            self._break("neither pcap nor pcapng" if head else "empty")
        return self._walk is not None

    def _choose(self, form: str) -> None:
        """Bind the walk to its buffers."""
        walk = columns.walk(form, self._fast)
        parts = (self._buffer, self._state, self._table, self.counts, self.packets)
        given = [columns.passed(part, self._fast) for part in parts]
        self._form = form
        self._walk = lambda: int(walk(*given))

    def _more(self) -> bool:
        """Move what is left to the front of the buffer and read behind it."""
        start, stop = int(self._state[c.POSITION]), int(self._state[c.STOP])
        left = stop - start
        if start:
            self._view[:left] = bytes(self._view[start:stop])
            self._state[c.POSITION] = 0
            self._state[c.FROM] -= start
            self._state[c.UNTIL] -= start
            self._before += start
        try:
            got = self._octets.readinto(self._view[left:])
        except CaptureError as error:
            self.broken = str(error)
            got = 0
        self._state[c.STOP] = left + got
        return got > 0

    def _more_comes(self) -> bool:
        """Read on, and at the end of a file that grows wait for more."""
        return self._more() or (self.broken is None and self._wait is not None and self._wait())

    def _break(self, problem: str) -> None:
        """Say where and why it ends here."""
        if self.broken is None:
            number = int(self._state[c.FRAME]) & FRAME_MASK
            self.broken = f"{self.name}: {problem}, at octet {self.at}, after {number} frames"
        self._walk = None

    def _add(self, one: pcapng.Interface) -> None:
        """One more interface of the section, for the kernels too."""
        ordinal = len(self.interfaces) - self._section
        self.interfaces.append(one)
        if len(self._table) < (ordinal + 1) * c.INTERFACE:
            grown = columns.numbers(2 * len(self._table), self._fast)
            grown[: len(self._table)] = self._table
            self._table = grown
            self._choose(self._form)
        for column, name in _COLUMNS:
            self._table[ordinal * c.INTERFACE + column] = getattr(one, name)
        self._table[ordinal * c.INTERFACE + c.FRAMES] = 0
        self._state[c.INTERFACES] = ordinal + 1

    def _block(self) -> str:
        """Take in a pcapng block that is not a packet; the problem with it, or nothing."""
        at = int(self._state[c.POSITION])
        head = bytes(self._view[at : at + 12])
        order = pcapng.section_order(head)
        if order is not None:
            self._state[c.BIG] = order
        elif head[:4] == b"\x0a\x0d\x0d\x0a":
            return "a section without its magic number"
        big = bool(self._state[c.BIG])
        kind, length = Struct(">II" if big else "<II").unpack_from(head)
        if length < 12 or length & 3:
            return f"a block of {length} octets"
        if length > LONGEST:
            return self._pass(length)
        while int(self._state[c.STOP]) - int(self._state[c.POSITION]) < length:
            if not self._more_comes():
                return "cut short in a block"
        at = int(self._state[c.POSITION])
        body = bytes(self._view[at + 8 : at + length - 4])
        if self._view[at + length - 4 : at + length] != head[4:8]:
            return "the two lengths of a block differ"
        problem = self._understand(kind, body, big)
        if not problem:
            self._state[c.POSITION] = at + length
        return problem

    def _understand(self, kind: int, body: bytes, big: bool) -> str:
        """A whole block: sections, interfaces and statistics count, whatever else is passed over."""
        known = len(self.interfaces) - self._section
        try:
            if kind == c.SECTION:
                self.settle()
                self._section = len(self.interfaces)
                self._state[c.INTERFACES] = 0
            elif kind == c.DESCRIPTION:
                if len(self.interfaces) >= pcapng.MOST_INTERFACES:
                    return f"more than {pcapng.MOST_INTERFACES} interfaces"
                self._add(pcapng.interface(body, big, known))
            elif kind == c.STATISTICS:
                of, dropped = pcapng.statistics(body, big)
                if of < known and self._state[c.POSITION] >= self._state[c.FROM]:
                    self.interfaces[self._section + of].dropped = dropped
        except DecodeError as error:
            return str(error)
        return ""

    def _pass(self, length: int) -> str:
        """Pass over a block too long for the buffer."""
        while length:
            here = int(self._state[c.STOP]) - int(self._state[c.POSITION])
            self._state[c.POSITION] += min(here, length)
            length -= min(here, length)
            if length and not self._more_comes():
                return "cut short in a block"
        return ""

    def _reassemble(self) -> None:
        """Give a fragment to those that wait, and decode the datagram where that was the last one."""
        start, end = int(self._state[c.PLACE]), int(self._state[c.PLACE_END])
        packet: bytes | None = bytes(self._view[start:end])
        marks, time = int(self._state[c.PLACE_MARKS]) | REASSEMBLED, int(self._state[c.PLACE_TIME])
        row = int(self._state[c.COUNT]) * WIDTH
        while packet is not None and (packet := self.fragments.add(packet, time)) is not None:
            size = len(packet)
            got = decode(packet, 0, size, size, EITHER_IP, marks, self.packets, row, self.counts, self._state)
            if got == c.ROW:
                self.packets[row + TIME] = time
                self.packets[row + NUMBER] = self._state[c.FRAME]
                self._state[c.COUNT] += 1
            if got != c.FRAGMENT:
                return
            # A fragment inside a tunnel that was itself in fragments.
            packet = packet[int(self._state[c.PLACE]) : int(self._state[c.PLACE_END])]
