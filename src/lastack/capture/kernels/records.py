"""The walks over records of a buffer: pcap, and the packet blocks of pcapng."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Final

from lastack.capture.kernels.codes import (
    BIG,
    BLOCK,
    BROKEN,
    COUNT,
    DESCRIPTION,
    DIVIDE,
    ENHANCED_PACKET,
    FARTHEST,
    FIRST_TIME,
    FOUND,
    FRAGMENT,
    FRAGMENTED,
    FRAME,
    FRAMES,
    FROM,
    FULL,
    HEADER,
    HIGHEST,
    INTERFACE,
    INTERFACES,
    LAST_TIME,
    LIMIT,
    LINK_TYPE,
    MORE,
    MULTIPLY,
    OBSOLETE_PACKET,
    OFFSET,
    OLD,
    PASSED,
    PLACE,
    PLACE_END,
    PLACE_MARKS,
    PLACE_OF,
    PLACE_TIME,
    POSITION,
    REACHED,
    ROOM,
    ROW,
    SECTION,
    SHIFT,
    SIMPLE_PACKET,
    SNAP_LENGTH,
    STATISTICS,
    STOP,
    UNTIL,
    WANTED,
)
from lastack.capture.kernels.frame import frame
from lastack.capture.kernels.octets import bump, get, put, u32, u32_little
from lastack.capture.packets import NUMBER, TIME, WIDTH

KERNELS: Final = {
    "walk_pcap": "int64(int64, int64, int64, int64, int64)",
    "walk_pcapng": "int64(int64, int64, int64, int64, int64)",
}
"""The functions to compile, and for which arguments: addresses."""


def word(octets: Sequence[int], at: int, big: int) -> int:
    """32 bits in the file's order."""
    return u32(octets, at) if big else u32_little(octets, at)


def note(state: MutableSequence[int], start: int, end: int, length: int, time: int, of: int) -> None:
    """Where the wanted frame is, and what else there is to know of it."""
    put(state, PLACE, start)
    put(state, PLACE_END, end)
    put(state, PLACE_MARKS, length)
    put(state, PLACE_TIME, time)
    put(state, PLACE_OF, of)


def stop_at(state: MutableSequence[int], at: int, row: int, number: int, passed: int, first: int, last: int) -> None:
    """How far a walk has come."""
    put(state, POSITION, at)
    put(state, COUNT, row // WIDTH)
    put(state, FRAME, number)
    bump(state, PASSED, passed)
    put(state, FIRST_TIME, first)
    put(state, LAST_TIME, last)


def instant(high: int, low: int, interfaces: Sequence[int], of: int) -> int:
    """Ticks of an interface, as two halves of 64 unsigned bits, in nanoseconds since 1970."""
    if high >= get(interfaces, of + HIGHEST):
        return FARTHEST
    multiply, divide, shift = get(interfaces, of + MULTIPLY), get(interfaces, of + DIVIDE), get(interfaces, of + SHIFT)
    if multiply:
        passed = (high << 32 | low) * multiply
    elif divide:
        # By hand, half by half: all of the 64 bits may be in use.
        passed = ((high // divide << 32) + ((high % divide << 32 | low) // divide)) // shift
    elif shift <= 32:
        seconds = high << (32 - shift) | low >> shift
        passed = seconds * 1_000_000_000 + ((low & ((1 << shift) - 1)) * 1_000_000_000 >> shift)
    else:
        # Of the fraction no more than 33 bits, which are finer than a nanosecond: with 10^9 times more it fits.
        more = shift - 32
        part = high & ((1 << more) - 1)
        fraction = (part << 32 | low) >> (more - 1)
        passed = (high >> more) * 1_000_000_000 + (fraction * 1_000_000_000 >> 33)
    passed += get(interfaces, of + OFFSET)
    return passed if passed < FARTHEST else FARTHEST


def walk_pcap(
    octets: Sequence[int],
    state: MutableSequence[int],
    interfaces: MutableSequence[int],
    counts: MutableSequence[int],
    packets: MutableSequence[int],
) -> int:
    """Decode records from POSITION on until something ends it: MORE, FULL, FRAGMENTED or BROKEN."""
    at, stop, big, header = get(state, POSITION), get(state, STOP), get(state, BIG), get(state, HEADER)
    number, limit, wanted = get(state, FRAME), get(state, LIMIT), get(state, WANTED)
    row, full = get(state, COUNT) * WIDTH, get(state, ROOM) * WIDTH
    first, last = get(state, FIRST_TIME), get(state, LAST_TIME)
    begin, until, passed = get(state, FROM), get(state, UNTIL), 0
    link, multiply = get(interfaces, LINK_TYPE), get(interfaces, MULTIPLY)
    seen = number
    why = FULL
    while row < full:
        if at >= until:
            why = REACHED
            break
        if stop - at < header:
            why = MORE
            break
        captured = word(octets, at + 8, big)
        original = word(octets, at + 12, big)
        if captured > original and get(state, OLD):
            captured, original = original, captured
        if captured > limit:
            why = BROKEN
            break
        if stop - at - header < captured:
            why = MORE
            break
        if at < begin:
            at += header + captured
            number += 1
            passed += 1
            continue
        time = word(octets, at, big) * 1_000_000_000 + word(octets, at + 4, big) * multiply
        start = at + header
        if number + 1 == wanted:
            note(state, start, start + captured, original, time, 0)
            why = FOUND
            break
        at = start + captured
        number += 1
        first = min(first, time)
        last = max(last, time)
        got = frame(octets, start, at, start + max(captured, original), link, packets, row, counts, state)
        if got == ROW:
            put(packets, row + TIME, time)
            put(packets, row + NUMBER, number)
            row += WIDTH
        elif got == FRAGMENT:
            put(state, PLACE_TIME, time)
            why = FRAGMENTED
            break
    stop_at(state, at, row, number, passed, first, last)
    bump(interfaces, FRAMES, number - seen - passed)
    return why


def walk_pcapng(
    octets: Sequence[int],
    state: MutableSequence[int],
    interfaces: MutableSequence[int],
    counts: MutableSequence[int],
    packets: MutableSequence[int],
) -> int:
    """Decode packet blocks from POSITION on until something ends it: as `walk_pcap`, or BLOCK."""
    at, stop, big = get(state, POSITION), get(state, STOP), get(state, BIG)
    number, limit, wanted = get(state, FRAME), get(state, LIMIT), get(state, WANTED)
    row, full = get(state, COUNT) * WIDTH, get(state, ROOM) * WIDTH
    first, last = get(state, FIRST_TIME), get(state, LAST_TIME)
    begin, until, passed = get(state, FROM), get(state, UNTIL), 0
    known = get(state, INTERFACES)
    why = FULL
    while row < full:
        if at >= until:
            why = REACHED
            break
        if stop - at < 12:
            why = MORE
            break
        kind = word(octets, at, big)
        length = word(octets, at + 4, big)
        if kind not in (ENHANCED_PACKET, SIMPLE_PACKET, OBSOLETE_PACKET):
            whole = 12 <= length <= stop - at and length & 3 == 0
            if (
                whole
                and kind not in (SECTION, DESCRIPTION, STATISTICS)
                and word(octets, at + length - 4, big) == length
            ):
                at += length
                continue
            why = BLOCK
            break
        if length < (16 if kind == SIMPLE_PACKET else 32) or length & 3 or length > limit:
            why = BROKEN
            break
        if stop - at < length:
            why = MORE
            break
        of, start, captured, original = 0, at + 12, 0, 0
        if kind == SIMPLE_PACKET:
            # 4.4: of the first interface, without a time, and as long as the block and the snap length allow.
            original = word(octets, at + 8, big)
            captured = min(original, length - 16)
            if get(interfaces, SNAP_LENGTH):
                captured = min(captured, get(interfaces, SNAP_LENGTH))
        else:
            of, start = word(octets, at + 8, big), at + 28
            if kind == OBSOLETE_PACKET:
                of = of >> 16 if big else of & 0xFFFF
            captured, original = word(octets, at + 20, big), word(octets, at + 24, big)
        if word(octets, at + length - 4, big) != length or captured > length - 4 - (start - at) or of >= known:
            why = BROKEN
            break
        if at < begin:
            at += length
            number += 1
            passed += 1
            continue
        time = 0
        if kind != SIMPLE_PACKET:
            time = instant(word(octets, at + 12, big), word(octets, at + 16, big), interfaces, of * INTERFACE)
        if number + 1 == wanted:
            note(state, start, start + captured, original, time, of)
            why = FOUND
            break
        of *= INTERFACE
        if kind != SIMPLE_PACKET:
            first = min(first, time)
            last = max(last, time)
        number += 1
        bump(interfaces, of + FRAMES, 1)
        at += length
        end, wire_end = start + captured, start + max(captured, original)
        got = frame(octets, start, end, wire_end, get(interfaces, of + LINK_TYPE), packets, row, counts, state)
        if got == ROW:
            put(packets, row + TIME, time)
            put(packets, row + NUMBER, number)
            row += WIDTH
        elif got == FRAGMENT:
            put(state, PLACE_TIME, time)
            why = FRAGMENTED
            break
    stop_at(state, at, row, number, passed, first, last)
    return why
