"""One segment and the connection it belongs to: what it proves, what it does to the other side, what it means.

A side is known to have received what it must answer (a SYN, a FIN) once it answers; at once where the capture was made
at that side (NEAR). What nobody answers, an ACK, counts when it passes, and is taken back if its receiver shows that
it never came.
"""

from __future__ import annotations

from .moves import Rows, count_up, expire, happens, put_state, state_of, take_back, taken_over, try_again
from .rows import (
    ACKED,
    AGAIN,
    ANSWER_TIME,
    ANSWERED,
    BASE,
    CHALLENGED,
    CLOSE,
    CONTROLS,
    COOKED,
    COUNT_MASK,
    CROSSED,
    DOUBTED,
    DUPLICATE,
    DUPLICATES,
    DUPLICATES_AT,
    ESTABLISHED_ONCE,
    EVENTS,
    FILLED,
    FIN_AGAIN,
    FIN_AT,
    FIN_EARLY,
    FIN_TOO_EARLY,
    FINS_AT,
    FIRST,
    FIRST_CLOSER,
    GAP,
    HEARD,
    HELD,
    HOLE,
    IDS,
    LAST,
    LAST_ACK_AGAIN,
    LAST_ACKS_AT,
    LATE,
    META,
    NEAR,
    NEAR_TIME,
    NEXT,
    OCTETS,
    ONE_MORE,
    ONE_RST,
    OPENER,
    OUT_OF_ORDER,
    OVERTAKING,
    PROBE,
    PROBE_ANSWER,
    PROBED,
    PROVEN,
    RETRANSMITTED,
    ROUND_TRIP,
    SEGMENTS,
    SIDE,
    SIDE_SHIFT,
    SPOKE,
    SURE,
    SYN_AGAIN,
    SYN_FIRST,
    SYN_SEEN,
    SYN_TIME,
    TAKEN_BACK,
    TOP,
    TRIES,
    TWICE_WITHIN,
    UNBELIEVED,
    UNREAD_TEXT,
    UNSEEN_ACKED,
    WAIT,
    WAIT_RESTARTED,
    WINDOW_CLOSED,
    WINDOW_OPENED,
    WINDOW_PROBE,
    ZERO_WINDOW,
    ZERO_WINDOWS_AT,
)
from .seq import MASK, ahead
from .transitions import ANSWER_COMES, FIN_ACKED, FIN_COMES, SENDS_FIN, SENDS_SYN, SYN_ACKED, SYN_COMES


def same_again(rows: Rows, m: int, t: int, ident: int, end: int, ack: int) -> int:
    """Whether a segment is one that the capture has already: an IP identification of the last three, nothing new, soon.

    A retransmission may have the identification of the first as well (RFC 1122 3.2.1.5), but comes later.
    """
    if ident == 0 or t - rows[m + HEARD] > TWICE_WITHIN:
        return 0
    ids = rows[m + IDS]
    if ident not in (ids & 0xFFFF, ids >> 16 & 0xFFFF, ids >> 32 & 0xFFFF):
        return 0
    return int(ahead(end, rows[m + TOP]) <= 0 and (rows[m + ACKED] < 0 or ahead(ack, rows[m + ACKED]) <= 0))


def count(rows: Rows, b: int, x: int, t: int, length: int, ident: int, ttl: int) -> None:
    """What every segment adds."""
    m = b + SIDE + (x << SIDE_SHIFT)
    rows[b + LAST] = max(rows[b + LAST], t)
    rows[m + OCTETS] += length
    rows[m + SEGMENTS] += 1
    rows[m + HEARD] = t
    rows[m + IDS] = (rows[m + IDS] << 16 & 0xFFFF_FFFF_FFFF) | ident | ttl << 48


def over(rows: Rows, b: int) -> int:
    """Whether both sides have nothing more to do: CLOSED or TIME_WAIT."""
    meta = rows[b + META]
    return int((meta & 15) in (6, 7) and (meta >> 4 & 15) in (6, 7))


def step(rows: Rows, b: int, x: int, t: int, seq: int, ack: int, flags: int, window: int, length: int) -> int:
    """A segment without RST of side `x`, already counted: its effects on both states, and what it was (notes)."""
    y = 1 - x
    m = b + SIDE + (x << SIDE_SHIFT)
    o = b + SIDE + (y << SIDE_SHIFT)
    notes = 0
    expire(rows, b, 0, t)
    expire(rows, b, 1, t)
    if over(rows, b):
        notes = LATE
    meta = rows[b + META]
    if flags & 0x10 and state_of(rows, b, y) == 6 and not flags & 2:
        # Linux tcp_timewait_state_process: whatever comes but a RST lets the wait begin anew.
        rows[o + WAIT] = t
        if flags & 1:
            notes |= WAIT_RESTARTED
    if meta & AGAIN << y:
        rows[b + META] &= ~(AGAIN << y)
        rows[b + CLOSE] &= ~TRIES
    if meta & PROBED << y:
        rows[b + META] &= ~(PROBED << y)
        if not length and not flags & 3:
            notes |= PROBE_ANSWER
    if flags & 2:
        notes |= synchronize(rows, b, x, t, seq, ack, flags, length)
    elif window == 0:
        if not meta & ZERO_WINDOW << x:
            rows[b + META] |= ZERO_WINDOW << x
            count_up(rows, m + EVENTS, ZERO_WINDOWS_AT)
            notes |= WINDOW_CLOSED
    elif meta & ZERO_WINDOW << x and window > 0:
        rows[b + META] &= ~(ZERO_WINDOW << x)
        notes |= WINDOW_OPENED
    if flags & 0x10:
        notes |= acknowledge(rows, b, x, t, ack, flags, length)
    if not flags & 2:
        notes |= text(rows, b, x, t, seq, length, flags & 1)
    elif flags & 1 or length:
        notes |= text(rows, b, x, t, (seq + 1) & MASK, length, flags & 1)
    rows[b + META] |= SPOKE << x
    fin = rows[m + FIN_AT]
    if fin >= 0 and rows[b + META] & NEAR << y and ahead(rows[m + NEXT], fin) > 0:
        receives_fin(rows, b, y, t)
    return notes


def synchronize(rows: Rows, b: int, x: int, t: int, seq: int, ack: int, flags: int, length: int) -> int:
    """A SYN, with or without an ACK."""
    y = 1 - x
    m = b + SIDE + (x << SIDE_SHIFT)
    meta = rows[b + META]
    answer = flags & 0x10
    count_up(rows, m + CONTROLS, 0)
    notes = 0
    known = meta & SYN_SEEN << x
    if not known:
        if not meta & SPOKE << x or (meta & HOLE << x == 0 and ahead(rows[m + NEXT], seq) <= 0):
            rows[m + NEXT] = rows[m + TOP] = (seq + 1) & MASK
        rows[m + BASE] = seq
        rows[b + META] |= (SYN_SEEN | PROVEN) << x
    elif rows[m + BASE] != seq:
        # A SYN,ACK made anew, as of a cookie: only before anything else was sent.
        if ahead(rows[m + TOP], rows[m + BASE]) == 1:
            rows[m + BASE] = seq
            rows[m + NEXT] = rows[m + TOP] = (seq + 1) & MASK
        notes |= UNBELIEVED
    if answer:
        return notes | _answer(rows, b, x, t, ack, known)
    if not known:
        if meta & SPOKE << x:
            if not meta & 3 * OPENER:
                rows[b + META] |= OPENER << x
            return notes | OUT_OF_ORDER
        rows[b + META] |= OPENER << x
        rows[b + SYN_TIME] = t
        happens(rows, b, x, SENDS_SYN, t)
        return notes
    rows[m + SEGMENTS] += ONE_MORE
    rows[b + META] |= AGAIN << x
    try_again(rows, b)
    if state_of(rows, b, x) == 2 and rows[b + META] & OPENER << x:
        rows[b + SYN_TIME] = t
        rows[b + META] &= ~ANSWERED
    elif state_of(rows, b, y) not in (3, 10):
        rows[b + META] |= DOUBTED << x
        notes |= UNBELIEVED
    return notes | SYN_AGAIN | RETRANSMITTED


def _answer(rows: Rows, b: int, x: int, t: int, ack: int, known: int) -> int:
    """A SYN,ACK."""
    y = 1 - x
    m = b + SIDE + (x << SIDE_SHIFT)
    o = b + SIDE + (y << SIDE_SHIFT)
    notes = 0
    if not rows[b + META] & 3 * OPENER:
        # The SYN was before the capture began, or got lost to it.
        rows[b + META] |= (OPENER | PROVEN) << y
        if not rows[b + META] & SPOKE << y:
            rows[o + BASE] = (ack - 1) & MASK
            rows[o + NEXT] = rows[o + TOP] = ack
            put_state(rows, b, y, 2, t)
            put_state(rows, b, x, 10, t)
    if not rows[b + META] & ANSWERED:
        if rows[b + SYN_TIME] >= 0 and state_of(rows, b, y) == 2:
            rows[b + ROUND_TRIP] = t - rows[b + SYN_TIME]
        rows[b + META] |= ANSWERED
        taken_over(rows, b, x, rows[b + FIRST])
    if happens(rows, b, x, SYN_COMES, t):
        if known and rows[o + ACKED] >= 0 and ahead(rows[o + ACKED], rows[m + BASE]) > 0:
            # The SYNs crossed, and the answer to this one has passed already.
            happens(rows, b, x, SYN_ACKED, t)
    elif known:
        rows[m + SEGMENTS] += ONE_MORE
        rows[b + META] |= AGAIN << x
        try_again(rows, b)
        notes |= SYN_AGAIN | RETRANSMITTED
        if take_back(rows, b, x):
            notes |= TAKEN_BACK
    if state_of(rows, b, y) in (2, 3):
        rows[b + ANSWER_TIME] = t
        if rows[b + META] & NEAR << y and ack == (rows[o + BASE] + 1) & MASK:
            happens(rows, b, y, ANSWER_COMES, t)
    return notes


def acknowledge(rows: Rows, b: int, x: int, t: int, ack: int, flags: int, length: int) -> int:
    """What the ACK of side `x` shows of it, and does to the other."""
    y = 1 - x
    m = b + SIDE + (x << SIDE_SHIFT)
    o = b + SIDE + (y << SIDE_SHIFT)
    notes = 0
    meta = rows[b + META]
    third = not flags & 2 and state_of(rows, b, x) == 2
    if third and meta & SYN_SEEN << y and ahead(ack, rows[o + BASE]) > 0:
        _third(rows, b, x, t)
    if rows[o + BASE] < 0:
        # Nothing of the other was seen: this is what it sent, as far as this side says.
        if third:
            _third(rows, b, x, t)
        rows[m + ACKED] = ack
        return 0
    if meta & DOUBTED << y and not length and not flags & 3:
        notes |= CHALLENGED
    beyond = ahead(ack, rows[o + TOP])
    if beyond > 0:
        if state_of(rows, b, y) == 2 or beyond > 0x4000_0000:
            # Of what the other never sent: an answer to an old incarnation, that the other will reset.
            return notes | CHALLENGED
        rows[b + META] |= GAP << y
        if rows[o + FIN_AT] < 0:
            rows[b + META] &= ~(PROVEN << y)
        rows[o + TOP] = ack
        notes |= UNSEEN_ACKED
    elif state_of(rows, b, y) == 2 and not flags & 2 and ahead(ack, rows[o + BASE]) <= 0:
        return notes | CHALLENGED
    if ahead(ack, rows[o + NEXT]) > 0:
        rows[o + NEXT] = ack
        if rows[b + META] & HOLE << y and ack == rows[o + TOP]:
            if not rows[b + META] & FILLED << y:
                rows[b + META] |= GAP << y
            rows[b + META] &= ~((HOLE | FILLED) << y)
    again = rows[m + ACKED] == ack
    if rows[m + ACKED] < 0 or ahead(ack, rows[m + ACKED]) > 0:
        rows[m + ACKED] = ack
    if ahead(ack, rows[o + BASE]) > 0 and happens(rows, b, y, SYN_ACKED, t) and state_of(rows, b, x) == 1:
        rows[b + META] |= ESTABLISHED_ONCE
    fin = rows[o + FIN_AT]
    if fin >= 0 and ahead(ack, fin) > 0:
        if again and not length and not flags & 3 and state_of(rows, b, x) in (6, 7):
            count_up(rows, m + EVENTS, LAST_ACKS_AT)
            notes |= LAST_ACK_AGAIN
        receives_fin(rows, b, x, t)
        if state_of(rows, b, y) == 4 and rows[m + FIN_AT] >= 0 and not rows[b + META] & NEAR << y:
            rows[b + META] |= HELD << y
        else:
            happens(rows, b, y, FIN_ACKED, t)
    return notes


def _third(rows: Rows, b: int, x: int, t: int) -> None:
    """The opener shows that it had the SYN,ACK: the handshake is done, and where the capture was made can be told."""
    y = 1 - x
    o = b + SIDE + (y << SIDE_SHIFT)
    m = b + SIDE + (x << SIDE_SHIFT)
    happens(rows, b, x, ANSWER_COMES, t)
    if not rows[b + META] & SYN_SEEN << y:
        put_state(rows, b, y, 1, t)
        return
    if rows[b + META] & SYN_FIRST and (rows[m + CONTROLS] | rows[o + CONTROLS]) < ONE_RST:
        rows[b + META] |= SURE
    answering = rows[b + ROUND_TRIP]
    if answering >= 0:
        there = t - rows[b + ANSWER_TIME]
        if not rows[b + META] & COOKED:
            if answering < NEAR_TIME or answering * 4 <= there:
                rows[b + META] |= NEAR << y
            if there < NEAR_TIME or there * 4 <= answering:
                rows[b + META] |= NEAR << x
        alone = rows[m + CONTROLS] & COUNT_MASK == 1 and rows[o + CONTROLS] & COUNT_MASK == 1
        # Karn: what was sent twice measures nothing.
        rows[b + ROUND_TRIP] = t - rows[b + SYN_TIME] if alone else -1


def receives_fin(rows: Rows, b: int, side: int, t: int) -> None:
    """A side has the other's FIN."""
    if happens(rows, b, side, FIN_COMES, t) and rows[b + META] & HELD << side:
        rows[b + META] &= ~(HELD << side)
        happens(rows, b, side, FIN_ACKED, t)


def text(rows: Rows, b: int, x: int, t: int, seq: int, length: int, fin: int) -> int:
    """The sequence numbers that a segment of side `x` takes: new, old, ahead of its turn, or a probe."""
    y = 1 - x
    m = b + SIDE + (x << SIDE_SHIFT)
    o = b + SIDE + (y << SIDE_SHIFT)
    meta = rows[b + META]
    if rows[m + BASE] < 0:
        rows[m + BASE] = rows[m + NEXT] = rows[m + TOP] = seq
        if rows[o + ACKED] >= 0 and ahead(seq, rows[o + ACKED]) < 0:
            rows[m + TOP] = rows[m + NEXT] = rows[o + ACKED]
    end = (seq + length + fin) & MASK
    gap = ahead(seq, rows[m + TOP])
    notes = 0
    if ahead(end, rows[m + TOP]) <= 0:
        if length + fin or gap < 0:
            notes = _old(rows, b, x, t, seq, end, length, fin)
    elif end == seq:
        # A bare ACK, ahead of what it follows: that may still come, and may hold a FIN.
        if not meta & HOLE << x:
            rows[m + WAIT] = t
        rows[b + META] |= HOLE << x
        if rows[m + FIN_AT] < 0:
            rows[b + META] &= ~(PROVEN << x)
        rows[m + TOP] = end
    else:
        if gap > 0 and not meta & HOLE << x:
            rows[m + WAIT] = t
            rows[b + META] |= HOLE << x
        elif gap < 0:
            rows[m + SEGMENTS] += ONE_MORE
            notes = RETRANSMITTED
        if ahead(seq, rows[m + NEXT]) <= 0:
            rows[m + NEXT] = end
            rows[b + META] &= ~((HOLE | FILLED) << x)
        rows[m + TOP] = end
        if length or (gap == 0 and meta & SPOKE << x):
            rows[b + META] |= PROVEN << x
    if length and rows[o + FIN_AT] >= 0:
        rows[b + META] |= UNREAD_TEXT << y
    if fin:
        notes |= _fin(rows, b, x, t, (seq + length) & MASK)
    return notes


def _old(rows: Rows, b: int, x: int, t: int, seq: int, end: int, length: int, fin: int) -> int:
    """Nothing beyond what was sent before: a probe, a hole filled, or a retransmission."""
    y = 1 - x
    m = b + SIDE + (x << SIDE_SHIFT)
    o = b + SIDE + (y << SIDE_SHIFT)
    top = rows[m + TOP]
    meta = rows[b + META]
    if length <= 1 and not fin and ahead(seq, top) == -1 and (rows[o + ACKED] == top or meta & ZERO_WINDOW << y):
        if meta & ZERO_WINDOW << y:
            return WINDOW_PROBE
        count_up(rows, m + EVENTS, 0)
        rows[b + META] |= PROBED << x
        return PROBE
    if not length + fin:
        return 0
    notes = RETRANSMITTED
    if meta & HOLE << x and ahead(end, rows[m + NEXT]) > 0:
        if t - rows[m + WAIT] < OVERTAKING:
            notes = OUT_OF_ORDER
        rows[b + META] |= FILLED << x
        if ahead(seq, rows[m + NEXT]) <= 0:
            rows[m + NEXT] = end
            if end == top:
                rows[b + META] &= ~((HOLE | FILLED) << x)
        if end == top:
            # With text or the FIN where it ends, the hole hid no other FIN.
            rows[b + META] |= PROVEN << x
    if notes == RETRANSMITTED:
        rows[m + SEGMENTS] += ONE_MORE
        rows[b + META] |= AGAIN << x
        try_again(rows, b)
    return notes


def _fin(rows: Rows, b: int, x: int, t: int, at: int) -> int:
    """A FIN of side `x`, at a sequence number."""
    y = 1 - x
    m = b + SIDE + (x << SIDE_SHIFT)
    o = b + SIDE + (y << SIDE_SHIFT)
    count_up(rows, m + CONTROLS, FINS_AT)
    if rows[m + FIN_AT] >= 0:
        return FIN_AGAIN | (TAKEN_BACK if take_back(rows, b, x) else 0)
    rows[m + FIN_AT] = at
    notes = 0
    if ahead(at, rows[m + NEXT]) > 0:
        rows[b + META] |= FIN_EARLY << x
        notes = FIN_TOO_EARLY
    if state_of(rows, b, x) == 2:
        # The SYN,ACK and its ACK were not seen.
        happens(rows, b, x, ANSWER_COMES, t)
    crossing = rows[o + FIN_AT] >= 0 and state_of(rows, b, x) == 1
    happens(rows, b, x, SENDS_FIN, t)
    if crossing:
        rows[b + META] |= CROSSED | 3 * FIRST_CLOSER
    elif not rows[b + META] & 3 * FIRST_CLOSER:
        rows[b + META] |= FIRST_CLOSER << x
    return notes


def duplicate(rows: Rows, b: int) -> int:
    """Count a duplicate of the capture."""
    if rows[b + CLOSE] & DUPLICATES != DUPLICATES:
        rows[b + CLOSE] += 1 << DUPLICATES_AT
    return DUPLICATE
