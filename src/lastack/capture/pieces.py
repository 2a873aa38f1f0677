"""Consecutive pieces of one stream, each analysed alone, put together: the table is the one of the whole stream.

What a piece cannot know without its past are the connections that it saw begin in their middle. Of these it keeps all
packets, and of every other one the SYN that it began with (`Analyser(log=True)`). `join` plays them to the piece
before: packets go through the same kernel, and a connection whose whole handshake is in the later piece is taken over
as it is, once its SYN has met what was there. Joining is associative, so pieces may be put together in any grouping;
the first of all is an `Analyser()` without a log, that has all the past there is.

Not exact in one case: a capture that holds a handshake twice, cut between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .connections import table_of
from .kernels import join as kernels
from .kernels import keep
from .kernels.rows import LOGGED, META, NUMBER, ROW, SURE, USED
from .kernels.table import LOG_WIDTH
from .packets import NUMBER as FRAME

if TYPE_CHECKING:
    from lastack.model.record import ConnectionTable

    from .flows import Analyser, Numbers


def join(before: Analyser, after: Analyser) -> Analyser:
    """Put the piece that follows to the one before, which becomes both; `after` is used up.

    Raises ValueError where `after` kept no log, or the two were not made alike.
    """
    _play(before, after, leave=False)
    return before


def finish(parts: Sequence[Analyser]) -> ConnectionTable:
    """The table of a whole stream from its pieces, in their order; they are used up.

    As joining them all and finishing that, but connections that concern one piece alone are not moved.
    """
    first, last = parts[0], parts[-1]
    for part in parts[1:-1]:
        _play(first, part, leave=False)
    if last is first:
        return first.finish()
    marks = _play(first, last, leave=True)
    last.book[USED] = last.run(keep.compact, last.rows, last.live, marks)
    last.wait(first.now)
    return table_of(first.take_left(), [first, last])


def _play(before: Analyser, after: Analyser, leave: bool) -> Numbers:
    """Play a log to the piece before. Marks the rows that were taken, which are all unless some may be left."""
    if not after.logs:
        raise ValueError("only the first piece of a stream may be analysed without a log")
    if before.compiled != after.compiled:
        raise ValueError("a compiled piece and a plain one do not fit together")
    marks = after.numbers(max(after.live, 1))
    at, entries = 0, after.book[LOGGED] // LOG_WIDTH
    while at < entries:
        own = (before.rows, before.slots, before.book, before.log)
        at = before.run(kernels.join, after.log, at, entries, after.rows, *own, marks, int(leave))
        if at < entries:
            before.make_room()
    before.wait(after.now)
    return marks


def without_settled(log: Numbers, logged: int, rows: Numbers) -> Any:  # noqa: ANN401 (a list or an array)
    """What is still needed of a log: packets of connections whose past matters, and first SYNs of all others."""
    if hasattr(log, "reshape"):
        import numpy as np

        entries = log[:logged].reshape(-1, LOG_WIDTH)
        places = np.maximum(entries[:, -1], 0) * ROW
        settled = (entries[:, -1] >= 0) & (rows[places + META] & SURE != 0)
        return entries[~settled | (rows[places + NUMBER] == entries[:, FRAME])].reshape(-1)
    kept: list[int] = []
    for at in range(0, logged, LOG_WIDTH):
        row = log[at + LOG_WIDTH - 1] * ROW
        if row < 0 or not rows[row + META] & SURE or rows[row + NUMBER] == log[at + FRAME]:
            kept.extend(log[at : at + LOG_WIDTH])
    return kept
