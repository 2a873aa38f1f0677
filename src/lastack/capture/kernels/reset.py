"""A RST: who is ended by it, whether it is believed (RFC 5961 3.2), and why it was sent, as far as segments show."""

from __future__ import annotations

from .lifecycle import over
from .moves import Rows, count_up, expire, happens, put_state, state_of
from .rows import (
    ABORT,
    ABORT_OR_UNREAD,
    ACKED,
    AGAIN,
    ASSASSINATION,
    BASE,
    BEFORE,
    BY_RST,
    CHALLENGE,
    CLOSE,
    CONTROLS,
    DATA_AFTER_CLOSE,
    DOUBTED,
    ENDS,
    FIN_AT,
    FIRST_CLOSER,
    FORGED,
    HANDSHAKE_ABORT,
    HEARD,
    IDS,
    KEEPALIVE,
    LATE,
    LOW_0,
    META,
    MIDDLEBOX,
    NEXT,
    NO_CONNECTION,
    NOBODYS,
    OCTETS,
    OF_OLD,
    PROBED,
    REFUSED,
    RESET,
    RST_BY,
    RSTS_AT,
    SEGMENTS,
    SIDE,
    SIDE_SHIFT,
    SPOKE,
    TOP,
    TRIES,
    UNBELIEVED,
    UNREAD_TEXT,
    WAS_RESET,
)
from .seq import MASK, ahead
from .transitions import ENDS_AT_ONCE


def reset(rows: Rows, b: int, x: int, t: int, seq: int, ack: int, flags: int, ident: int, ttl: int) -> int:
    """A RST in the name of side `x`, not yet counted among its segments; what it was (notes)."""
    y = 1 - x
    m = b + SIDE + (x << SIDE_SHIFT)
    expire(rows, b, 0, t)
    expire(rows, b, 1, t)
    before, its = state_of(rows, b, x), state_of(rows, b, y)
    forged = strange(rows, b, x, ident, ttl)
    if before == 2 and seq != (rows[m + BASE] + 1) & MASK and not forged:
        # It refuses an ACK that is not for its SYN, and goes on (RFC 9293 3.10.7.3).
        return refuses_old(rows, b, x, t)
    count_up(rows, m + CONTROLS, RSTS_AT)
    late = over(rows, b)
    believed = believable(rows, b, x, seq, ack, flags, its)
    notes = 0 if believed else UNBELIEVED
    if late and not (believed and its == 6):
        return LATE
    silence = t - rows[m + HEARD] if rows[b + META] & SPOKE << x else 0
    reason = cause(rows, b, x, flags, forged)
    meta = rows[b + META]
    if not meta & BY_RST or (reason == CHALLENGE and believed):
        rows[b + RESET] = reason | its << 5 | x << 9 | min(max(silence, 0) // 1000, (1 << 46) - 1) << 16
    if not late:
        rows[b + META] |= BY_RST
        if not meta & 3 * RST_BY and not forged:
            rows[b + META] |= RST_BY << x
        if not meta & 3 * FIRST_CLOSER and not forged:
            rows[b + META] |= FIRST_CLOSER << x
    if forged:
        rows[b + META] |= FORGED
        notes |= NOBODYS
    elif before != 7 and happens(rows, b, x, ENDS_AT_ONCE, t) == 0:
        put_state(rows, b, x, 7, t)
    if believed:
        notes |= WAS_RESET
        if its != 7 and happens(rows, b, y, ENDS_AT_ONCE, t) == 0:
            put_state(rows, b, y, 7, t)
    else:
        rows[b + META] |= DOUBTED << x
    rows[b + META] &= ~(AGAIN << y)
    rows[b + CLOSE] &= ~TRIES
    return notes


def refuses_old(rows: Rows, b: int, x: int, t: int) -> int:
    """The RST with which an opener answers the ACK of an old incarnation: it ends that one, and belongs to it."""
    m = b + SIDE + (x << SIDE_SHIFT)
    if not rows[b + BEFORE]:
        count_up(rows, m + CONTROLS, RSTS_AT)
        return 0
    old = rows[b + BEFORE] - 1
    same = rows[old + ENDS] == rows[b + ENDS] and rows[old + LOW_0] == rows[b + LOW_0]
    its = x if same else 1 - x
    n = old + SIDE + (its << SIDE_SHIFT)
    count_up(rows, n + CONTROLS, RSTS_AT)
    rows[n + SEGMENTS] += 1
    expire(rows, old, 1 - its, t)
    met = state_of(rows, old, 1 - its)
    if met != 7:
        reason = ASSASSINATION if met == 6 else CHALLENGE
        rows[old + RESET] = reason | met << 5 | its << 9 | min(max(t - rows[n + HEARD], 0) // 1000, (1 << 46) - 1) << 16
        put_state(rows, old, 1 - its, 7, t)
        if reason == CHALLENGE:
            rows[old + META] |= BY_RST | RST_BY << its
            if not rows[old + META] & 3 * FIRST_CLOSER:
                rows[old + META] |= FIRST_CLOSER << its
            if state_of(rows, old, its) != 7:
                put_state(rows, old, its, 7, t)
    return OF_OLD


def believable(rows: Rows, b: int, x: int, seq: int, ack: int, flags: int, its: int) -> int:
    """Whether the other side, in state `its`, takes the RST: the exact number (Linux tcp_reset_check)."""
    m = b + SIDE + (x << SIDE_SHIFT)
    o = b + SIDE + ((1 - x) << SIDE_SHIFT)
    if its == 2:
        return int(flags & 0x10 != 0 and ahead(ack, rows[o + BASE]) > 0 and ahead(ack, rows[o + TOP]) <= 0)
    if rows[m + BASE] < 0:
        return 1
    if seq in (rows[m + NEXT], rows[m + TOP]) or (its != 6 and seq == rows[o + ACKED]):
        return 1
    return int(its in (8, 9, 11) and seq == (rows[m + NEXT] - 1) & MASK)


def strange(rows: Rows, b: int, x: int, ident: int, ttl: int) -> int:
    """Whether a RST did not come from the side that it names: another TTL, or an identification out of a steady row."""
    if not rows[b + META] & SPOKE << x:
        return 0
    ids = rows[b + SIDE + (x << SIDE_SHIFT) + IDS]
    if ids >> 48 & 0xFF != ttl:
        return 1
    last, middle, first = ids & 0xFFFF, ids >> 16 & 0xFFFF, ids >> 32 & 0xFFFF
    steady = 0 < (last - middle) & 0xFFFF < 64 and 0 < (middle - first) & 0xFFFF < 64
    # A host that answers for no socket sends identification 0 (Linux).
    return int(steady and first != 0 and ident != 0 and 4096 < (ident - last) & 0xFFFF < 0xF000)


def cause(rows: Rows, b: int, x: int, flags: int, forged: int) -> int:
    """Why it was sent."""
    y = 1 - x
    m = b + SIDE + (x << SIDE_SHIFT)
    o = b + SIDE + (y << SIDE_SHIFT)
    meta = rows[b + META]
    before, its = state_of(rows, b, x), state_of(rows, b, y)
    if forged:
        return MIDDLEBOX
    if its == 2:
        return REFUSED
    if its == 6:
        return ASSASSINATION
    if its == 3 or before in (2, 3):
        return HANDSHAKE_ABORT
    if meta & DOUBTED << x:
        return CHALLENGE
    if meta & PROBED << x:
        return KEEPALIVE
    if rows[m + FIN_AT] >= 0 and meta & UNREAD_TEXT << x:
        return DATA_AFTER_CLOSE
    if not flags & 0x10:
        return NO_CONNECTION
    return ABORT_OR_UNREAD if rows[o + OCTETS] else ABORT
