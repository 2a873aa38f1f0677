"""A side's state and the time it spends there. The only place that writes either."""

from __future__ import annotations

from collections.abc import MutableSequence

from .rows import (
    BASE,
    BEFORE,
    BY_RST,
    CLOSE,
    COUNT_MASK,
    ENDS,
    EVENTS,
    LOW_0,
    META,
    ONE_MORE,
    PASSIVE,
    SIDE,
    SIDE_SHIFT,
    SINCE,
    SPENT_1,
    SPENT_2,
    TOP,
    TRIES,
    WAIT,
    WAIT_LENGTH,
    WAITED,
    WAS_CLOSING,
)
from .seq import ahead
from .transitions import AFTER, ENDS_AT_ONCE

Rows = MutableSequence[int]


def state_of(rows: Rows, b: int, side: int) -> int:
    """The state of a side; 0: not known."""
    return rows[b + META] >> (side << 2) & 15


def count_up(rows: Rows, at: int, shift: int) -> None:
    """Add one to a count of 20 bits, up to the highest."""
    if rows[at] >> shift & COUNT_MASK != COUNT_MASK:
        rows[at] += 1 << shift


def try_again(rows: Rows, b: int) -> None:
    """One more retransmission without an answer."""
    if rows[b + CLOSE] & TRIES != TRIES:
        rows[b + CLOSE] += ONE_MORE


def put_state(rows: Rows, b: int, side: int, state: int, t: int) -> None:
    """Write a side's state, and how long the last one was."""
    shift = side << 2
    before = rows[b + META] >> shift & 15
    s = b + SIDE + (side << SIDE_SHIFT)
    spent = max(t - rows[s + SINCE], 0)
    if before in (4, 8):  # FIN_WAIT_1, CLOSE_WAIT
        rows[s + SPENT_1] = spent
    elif before in (5, 9, 11):  # FIN_WAIT_2, LAST_ACK, CLOSING
        rows[s + SPENT_2] = spent
    elif before == 6:  # TIME_WAIT
        rows[s + WAITED] = spent
    if state == 8:
        rows[s + EVENTS] |= PASSIVE
    elif state == 11:
        rows[s + EVENTS] |= WAS_CLOSING
    elif state == 6:
        rows[s + WAIT] = t
    rows[s + SINCE] = t
    rows[b + META] = rows[b + META] & ~(15 << shift) | state << shift


def happens(rows: Rows, b: int, side: int, event: int, t: int) -> int:
    """Move a side by an event of the model's table; 0 where the event has no place in its state."""
    state = AFTER[state_of(rows, b, side) << 3 | event]
    if state:
        put_state(rows, b, side, state, t)
    return state


def take_back(rows: Rows, b: int, side: int) -> int:
    """Undo what an ACK was thought to have done to a side that shows it never came; 0 where there is nothing to undo.

    The side repeats its FIN or its SYN,ACK; then its state goes on as if the ACK had not passed.
    """
    state = state_of(rows, b, side)
    s = b + SIDE + (side << SIDE_SHIFT)
    before = 0
    if state == 5:
        before = 4
        rows[s + SINCE] -= max(rows[s + SPENT_1], 0)
        rows[s + SPENT_1] = -1
    elif state == 7 and not rows[b + META] & BY_RST and rows[s + EVENTS] & PASSIVE and rows[s + SPENT_2] >= 0:
        before = 9
        rows[s + SINCE] -= rows[s + SPENT_2]
        rows[s + SPENT_2] = -1
    elif state == 6:
        before = 11
        if rows[s + EVENTS] & WAS_CLOSING:
            rows[s + SINCE] -= max(rows[s + SPENT_2], 0)
        else:
            # It had the FIN, and no ACK: what was called FIN_WAIT_2 was FIN_WAIT_1 still.
            rows[s + SPENT_1] += max(rows[s + SPENT_2], 0)
            rows[s + EVENTS] |= WAS_CLOSING
        rows[s + SPENT_2] = -1
    elif state == 1 and ahead(rows[s + TOP], rows[s + BASE]) == 1:
        before = 3
    if before:
        shift = side << 2
        rows[b + META] = rows[b + META] & ~(15 << shift) | before << shift
    return before


def expire(rows: Rows, b: int, side: int, t: int) -> None:
    """End a TIME_WAIT whose 60 s (Linux TCP_TIMEWAIT_LEN) were over before `t`."""
    if state_of(rows, b, side) == 6:
        over = rows[b + SIDE + (side << SIDE_SHIFT) + WAIT] + WAIT_LENGTH
        if t >= over:
            put_state(rows, b, side, 7, over)


def taken_over(rows: Rows, b: int, side: int, t: int) -> None:
    """The TIME_WAIT that this side had left from the incarnation before is over (RFC 9293 3.6.1), or never was."""
    if not rows[b + BEFORE]:
        return
    old = rows[b + BEFORE] - 1
    same = rows[old + ENDS] == rows[b + ENDS] and rows[old + LOW_0] == rows[b + LOW_0]
    its = side if same else 1 - side
    expire(rows, old, its, t)
    if state_of(rows, old, its) == 6:
        put_state(rows, old, its, AFTER[6 << 3 | ENDS_AT_ONCE], t)
