"""The loop over a batch: find each segment's connection in an open-addressed table, and let it happen there.

A place of `slots` holds 0, or a row's number plus 1 with 31 bits of the hash above, so that a row is only looked at
where it is very likely the right one. Incarnations of one four-tuple are rows of their own; the table leads to the
latest.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Final

from lastack.capture.packets import (
    ACK,
    DST_HIGH,
    DST_LOW,
    FLAGS,
    ICMP,
    IP,
    IP_ID,
    IPV6,
    LENGTH,
    OUTBOUND,
    PORTS,
    SEQ,
    SRC_HIGH,
    SRC_LOW,
    TIME,
    TTL_MASK,
    TTL_SHIFT,
    WIDTH,
    WINDOW,
)
from lastack.capture.packets import NUMBER as FRAME

from .lifecycle import count, duplicate, over, same_again, step
from .moves import Rows, expire, put_state, state_of
from .octets import column, expect
from .reset import reset
from .rows import (
    ACKED,
    BASE,
    BEFORE,
    BY_RST,
    CLOSE,
    COOKED,
    ENDS,
    FIN_AT,
    FIRST,
    FIRST_CLOSER,
    HEARD,
    HIGH_0,
    HIGH_1,
    ICMP_ENDED,
    IDS,
    LAST,
    LOG_ROOM,
    LOGGED,
    LOW_0,
    LOW_1,
    META,
    NEAR,
    NEXT,
    NOBODYS,
    NOTES,
    NOW,
    NUMBER,
    OCTETS,
    OF_OLD,
    OPEN_AND_USUAL,
    QUARANTINE,
    REUSED,
    ROOM,
    ROUND_TRIP,
    ROW,
    SEGMENTS,
    SIDE,
    SIDE_SHIFT,
    SINCE,
    SIX,
    SKIPPED,
    SLOT_MASK,
    SPENT_1,
    SPENT_2,
    SPOKE,
    SUPERSEDED,
    SURE,
    SYN_FIRST,
    SYN_SEEN,
    SYN_TIME,
    TOP,
    UNREACHABLE,
    USED,
    USUAL,
    WAITED,
)
from .seq import MASK, ahead

LOG_WIDTH: Final = WIDTH + 1
"""A logged packet and the number of its row."""
_LONG: Final = 4096
"""Rows that the cache holds without anybody's help."""
_AHEAD: Final = 8
"""How many packets before its turn a row is fetched; its place in the slots twice as many."""
_M: Final = (1 << 63) - 1
_A: Final = 0x1E37_79B9_7F4A_7C15
_B: Final = 0x3F58_476D_1CE4_E5B9


def hashed(a_high: int, a_low: int, b_high: int, b_low: int, ports: int) -> int:
    """The same 63 bits for both directions of a four-tuple."""
    one = ((a_low ^ (a_high * _B & _M)) + ((ports >> 16) << 40)) * _A & _M
    two = ((b_low ^ (b_high * _B & _M)) + ((ports & 0xFFFF) << 40)) * _A & _M
    both = ((one ^ one >> 29) * _B & _M) + ((two ^ two >> 29) * _B & _M) & _M
    both = (both ^ both >> 32) * _A & _M
    return both ^ both >> 31


def follow(
    batch: MutableSequence[int],
    start: int,
    stop: int,
    row_store: Rows,
    slot_store: MutableSequence[int],
    book_store: MutableSequence[int],
    log_store: MutableSequence[int],
) -> int:
    """Take packets `start` to `stop` of a batch; the number of the first that was not: there was no room for it."""
    packets, rows, slots, book, log = (
        column(batch),
        column(row_store),
        column(slot_store),
        column(book_store),
        column(log_store),
    )
    long = book[USED] > _LONG
    for i in range(start, stop):
        if long and expect(packets, i * WIDTH):
            look_ahead(packets, i, stop, rows, slots, book[SLOT_MASK])
        if full(book) or not take(packets, i * WIDTH, rows, slots, book, log):
            return i
    return stop


def look_ahead(packets: Sequence[int], i: int, stop: int, rows: Rows, slots: Sequence[int], mask: int) -> None:
    """Have the places in `slots` and then the rows of coming packets fetched: a long table is not in the cache."""
    if i + 2 * _AHEAD < stop:
        expect(slots, hash_at(packets, (i + 2 * _AHEAD) * WIDTH) & mask)
    if i + _AHEAD < stop:
        slot = slots[hash_at(packets, (i + _AHEAD) * WIDTH) & mask]
        if slot:
            b = ((slot & 0xFFFF_FFFF) - 1) * ROW
            for line in range(0, ROW, 8):
                expect(rows, b + line)


def hash_at(packets: Sequence[int], p: int) -> int:
    """The hash of a packet's four-tuple."""
    return hashed(
        packets[p + SRC_HIGH], packets[p + SRC_LOW], packets[p + DST_HIGH], packets[p + DST_LOW], packets[p + PORTS]
    )


def time_of(packets: Sequence[int], p: int) -> int:
    """When a packet passed. What no clock says is brought within what can be reckoned with: 1970 to 2116."""
    return min(max(packets[p + TIME], 0), 1 << 62)


def full(book: Sequence[int]) -> bool:
    """Whether the log has no room for one more packet."""
    return book[LOG_ROOM] > 0 and book[LOGGED] + LOG_WIDTH > book[LOG_ROOM]


def take(
    packets: Sequence[int],
    p: int,
    rows: Rows,
    slots: MutableSequence[int],
    book: MutableSequence[int],
    log: MutableSequence[int],
) -> int:
    """One packet; 0 where there is no room for another row."""
    h = hash_at(packets, p)
    if book[SKIPPED] and (h >> 40 & book[SKIPPED] >> 8) != book[SKIPPED] & 0xFF:
        return 1
    place, b, x = find(packets, p, rows, slots, book[SLOT_MASK], h)
    if b < 0 or not usual(packets, p, rows, b, x):
        if book[USED] >= book[ROOM]:
            return 0
        b = arrives(packets, p, rows, b, x, book)
        if b >= 0:
            slots[place] = h >> 32 << 32 | (b // ROW + 1)
    book[NOW] = max(book[NOW], time_of(packets, p))
    if book[LOG_ROOM] and (b < 0 or not rows[b + META] & SURE):
        noted(packets, p, b, book, log)
    return 1


def noted(packets: Sequence[int], p: int, b: int, book: MutableSequence[int], log: MutableSequence[int]) -> None:
    """Keep a packet in the log, with the number of its row (-1: it has none)."""
    at = book[LOGGED]
    for k in range(WIDTH):
        log[at + k] = packets[p + k]
    log[at + WIDTH] = b // ROW
    book[LOGGED] = at + LOG_WIDTH


def find(packets: Sequence[int], p: int, rows: Rows, slots: Sequence[int], mask: int, h: int) -> tuple[int, int, int]:
    """The place in `slots` of a packet's four-tuple or for it, its row or -1, and which side sends."""
    ports = packets[p + PORTS]
    high, low = packets[p + SRC_HIGH], packets[p + SRC_LOW]
    to_high, to_low = packets[p + DST_HIGH], packets[p + DST_LOW]
    tag = h >> 32
    place = h & mask
    while slots[place]:
        if slots[place] >> 32 == tag:
            b = ((slots[place] & 0xFFFF_FFFF) - 1) * ROW
            if same(rows, b, high, low, to_high, to_low, ports):
                return place, b, 0
            if same(rows, b, to_high, to_low, high, low, ports >> 16 | (ports & 0xFFFF) << 16):
                return place, b, 1
        place = place + 1 & mask
    return place, -1, 0


def same(rows: Rows, b: int, high: int, low: int, to_high: int, to_low: int, ports: int) -> bool:
    """Whether a row is of this four-tuple, side 0 named first."""
    return (
        rows[b + ENDS] == ports
        and rows[b + LOW_0] == low
        and rows[b + LOW_1] == to_low
        and rows[b + HIGH_0] == high
        and rows[b + HIGH_1] == to_high
    )


def usual(packets: Sequence[int], p: int, rows: Rows, b: int, x: int) -> int:
    """The common case, done with at once: text or an ACK in order, on a connection with nothing the matter."""
    meta = rows[b + META]
    flags = packets[p + FLAGS]
    if meta & USUAL != OPEN_AND_USUAL or flags & (ICMP | 0x17) != 0x10 or packets[p + WINDOW] <= 0:
        return 0
    m = b + SIDE + (x << SIDE_SHIFT)
    o = b + SIDE + ((1 - x) << SIDE_SHIFT)
    seq = packets[p + SEQ]
    if seq != rows[m + NEXT]:
        return 0
    ack = packets[p + ACK]
    if ahead(ack, rows[m + ACKED]) < 0 or ahead(rows[o + TOP], ack) < 0:
        return 0
    ip = packets[p + IP]
    ident = ip & IP_ID
    ids = rows[m + IDS]
    length = packets[p + LENGTH]
    if length == 0 and ident and ident in (ids & 0xFFFF, ids >> 16 & 0xFFFF, ids >> 32 & 0xFFFF):
        return 0
    t = time_of(packets, p)
    rows[m + NEXT] = rows[m + TOP] = (seq + length) & MASK
    rows[m + ACKED] = ack
    rows[m + OCTETS] += length
    rows[m + SEGMENTS] += 1
    rows[m + HEARD] = t
    rows[m + IDS] = (ids << 16 & 0xFFFF_FFFF_FFFF) | ident | (ip >> TTL_SHIFT & TTL_MASK) << 48
    rows[b + LAST] = max(rows[b + LAST], t)
    return 1


def arrives(packets: Sequence[int], p: int, rows: Rows, b: int, x: int, book: MutableSequence[int]) -> int:
    """Any segment: choose the incarnation, begin one where it has none, and let it happen. The row's place, or -1."""
    t = time_of(packets, p)
    flags = packets[p + FLAGS]
    if flags & ICMP:
        if b >= 0:
            book[NOTES] = unreachable(packets, p, rows, b, x)
        return b
    if b >= 0 and ((over(rows, b) and t - rows[b + LAST] > QUARANTINE) or another(packets, p, rows, b, x)):
        old, b = b, begin(packets, p, rows, book)
        follows(packets, p, rows, b, old, x, book)
        x = 0
    elif b < 0:
        b, x = begin(packets, p, rows, book), 0
    book[NOTES] = happen(packets, p, rows, b, x)
    return b


def follows(packets: Sequence[int], p: int, rows: Rows, b: int, old: int, x: int, book: MutableSequence[int]) -> None:
    """Row `b` is the next incarnation after row `old`, of which side `x` sends the packet at `p`."""
    rows[old + META] |= SUPERSEDED
    rows[b + BEFORE] = 0
    # What it does to the older one is said once both are in their final place: in no piece that is to be joined.
    if packets[p + FLAGS] & 0x12 == 2 and time_of(packets, p) - rows[old + LAST] <= QUARANTINE and not book[LOG_ROOM]:
        reused(rows, old, x, time_of(packets, p))
        rows[b + BEFORE] = old + 1


def reused(rows: Rows, old: int, x: int, t: int) -> None:
    """Side `x` of an incarnation sends a SYN for the next one, and so its own TIME_WAIT is over."""
    expire(rows, old, 0, t)
    expire(rows, old, 1, t)
    if over(rows, old):
        one, two = rows[old + SIDE + SINCE], rows[old + SIDE + (1 << SIDE_SHIFT) + SINCE]
        # Where a wait is over, its end is no news: the close was when it began.
        if rows[old + SIDE + WAITED] >= 0:
            one -= rows[old + SIDE + WAITED]
        if rows[old + SIDE + (1 << SIDE_SHIFT) + WAITED] >= 0:
            two -= rows[old + SIDE + (1 << SIDE_SHIFT) + WAITED]
        rows[old + REUSED] = max(t - max(one, two), 0)
    if state_of(rows, old, x) == 6:
        put_state(rows, old, x, 7, t)


def another(packets: Sequence[int], p: int, rows: Rows, b: int, x: int) -> int:
    """Whether a segment begins another incarnation of its four-tuple: a SYN with another initial sequence number."""
    flags = packets[p + FLAGS]
    if flags & 0x06 != 2:
        return 0
    meta = rows[b + META]
    seq = packets[p + SEQ]
    m = b + SIDE + (x << SIDE_SHIFT)
    o = b + SIDE + ((1 - x) << SIDE_SHIFT)
    if flags & 0x10:
        # A SYN,ACK that answers nothing that is known here.
        if rows[o + BASE] < 0 or rows[m + BASE] == seq:
            return 0
        answers = ahead(packets[p + ACK], rows[o + BASE]) > 0 and ahead(packets[p + ACK], rows[o + TOP]) <= 0
        return int(not answers or (over(rows, b) and rows[m + BASE] >= 0))
    if meta & SYN_SEEN << x:
        return int(rows[m + BASE] != seq)
    if rows[m + BASE] >= 0:
        return int((seq + 1) & MASK != rows[m + BASE] and seq != rows[m + BASE])
    # Its SYN comes after its peer's, or after what its peer sent.
    if meta & SYN_SEEN << (1 - x) and rows[m + ACKED] < 0 and state_of(rows, b, 1 - x) == 2:
        return 0
    return int(rows[o + ACKED] >= 0 and rows[o + ACKED] != (seq + 1) & MASK)


def begin(packets: Sequence[int], p: int, rows: Rows, book: MutableSequence[int]) -> int:
    """A row for a connection whose first segment this is, its sender being side 0."""
    b = book[USED] * ROW
    book[USED] += 1
    for k in range(ROW):
        rows[b + k] = 0
    flags = packets[p + FLAGS]
    rows[b + HIGH_0] = packets[p + SRC_HIGH]
    rows[b + LOW_0] = packets[p + SRC_LOW]
    rows[b + HIGH_1] = packets[p + DST_HIGH]
    rows[b + LOW_1] = packets[p + DST_LOW]
    rows[b + ENDS] = packets[p + PORTS]
    rows[b + FIRST] = rows[b + LAST] = time_of(packets, p)
    rows[b + NUMBER] = packets[p + FRAME]
    rows[b + SYN_TIME] = rows[b + ROUND_TRIP] = rows[b + REUSED] = -1
    for s in range(2):
        m = b + SIDE + (s << SIDE_SHIFT)
        rows[m + ACKED] = rows[m + BASE] = rows[m + FIN_AT] = -1
        rows[m + SPENT_1] = rows[m + SPENT_2] = rows[m + WAITED] = -1
        rows[m + SINCE] = time_of(packets, p)
    # Without a SYN both sides are taken for established until they prove it or not.
    states = 0x11
    if flags & 0x12 == 0x02:
        states = 7 | 10 << 4
    meta = states | (SYN_FIRST if flags & 0x12 == 0x02 else 0) | (SIX if flags & IPV6 else 0)
    rows[b + META] = meta
    return b


def happen(packets: Sequence[int], p: int, rows: Rows, b: int, x: int) -> int:
    """One segment of a connection whose row is known; what it was (notes)."""
    m = b + SIDE + (x << SIDE_SHIFT)
    t = time_of(packets, p)
    seq, ack, flags = packets[p + SEQ], packets[p + ACK], packets[p + FLAGS]
    length, ip = packets[p + LENGTH], packets[p + IP]
    ident, ttl = ip & IP_ID, ip >> TTL_SHIFT & TTL_MASK
    end = (seq + length + (flags & 1) + (flags >> 1 & 1)) & MASK
    if rows[b + META] & SPOKE << x and same_again(rows, m, t, ident, end, ack):
        return duplicate(rows, b)
    if flags & OUTBOUND:
        rows[b + META] = rows[b + META] & ~(3 * NEAR) | COOKED | NEAR << x
    begun = rows[b + META] & (3 * FIRST_CLOSER | BY_RST)
    closes = 1 if (not over(rows, b) if begun else flags & 5) else 0
    rows[b + CLOSE] += closes
    if flags & 4:
        notes = reset(rows, b, x, t, seq, ack, flags, ident, ttl)
        if notes & OF_OLD:
            rows[b + CLOSE] -= closes
        if not notes & (NOBODYS | OF_OLD):
            count(rows, b, x, t, length, ident, ttl)
        elif notes & NOBODYS:
            rows[m + SEGMENTS] += 1
            rows[b + LAST] = max(rows[b + LAST], t)
        return notes
    count(rows, b, x, t, length, ident, ttl)
    return step(rows, b, x, t, seq, ack, flags, packets[p + WINDOW], length)


def unreachable(packets: Sequence[int], p: int, rows: Rows, b: int, x: int) -> int:
    """An ICMP error about a segment of side `x`: it ends a SYN_SENT (Linux tcp_v4_err); else it is only a hint."""
    kind = packets[p + WINDOW]
    refuses = kind >> 8 == 1 if packets[p + FLAGS] & IPV6 else kind >> 8 == 3 and kind & 0xFF != 4
    if not refuses or state_of(rows, b, x) != 2 or packets[p + SEQ] != rows[b + SIDE + (x << SIDE_SHIFT) + BASE]:
        return 0
    put_state(rows, b, x, 7, time_of(packets, p))
    put_state(rows, b, 1 - x, 7, time_of(packets, p))
    rows[b + META] |= ICMP_ENDED
    rows[b + LAST] = max(rows[b + LAST], time_of(packets, p))
    return UNREACHABLE


KERNELS: Final = {
    "follow": "int64(int64, int64, int64, int64, int64, int64, int64)",
}
