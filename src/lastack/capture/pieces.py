"""Consecutive pieces of one stream, each analysed alone, put together: the table is the one of the whole stream.

What a piece cannot know without its past are the connections that it saw begin in their middle. Of these it keeps all
packets, and of every other one the SYN that it began with (`Analyser(log=True)`). `join` plays them to the piece
before: packets go through the same kernel, and a connection whose whole handshake is in the later piece is taken over
as it is, once its SYN has met what was there. Joining is associative, so pieces may be put together in any grouping;
the first of all is an `Analyser()` without a log, that has all the past there is.

Not exact in one case: a capture that holds a handshake twice, cut between the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .kernels.rows import LOGGED, META, NOW, NUMBER, ROW, SURE
from .kernels.table import LOG_WIDTH
from .packets import NUMBER as FRAME

if TYPE_CHECKING:
    from .flows import Analyser, Numbers


def join(before: Analyser, after: Analyser) -> Analyser:
    """Put the piece that follows to the one before, which becomes both; `after` is used up.

    Raises ValueError where `after` kept no log, or the two were not made alike.
    """
    from .kernels import join as kernels

    if not after.logs:
        raise ValueError("only the first piece of a stream may be analysed without a log")
    if before.compiled != after.compiled:
        raise ValueError("a compiled piece and a plain one do not fit together")
    at, entries = 0, after.book[LOGGED] // LOG_WIDTH
    while at < entries:
        at = before.run(
            kernels.join, after.log, at, entries, after.rows, before.rows, before.slots, before.book, before.log
        )
        if at < entries:
            before.make_room()
    before.book[NOW] = max(before.now, after.now)
    return before


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
