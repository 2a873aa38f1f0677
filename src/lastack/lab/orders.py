"""Orders over two connections of the same four-tuple, and something of the first that comes late in the second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lastack.errors import CallError
from lastack.model.time import SECOND
from lastack.wire.segment import Segment

from .bench import Bench
from .short import opened, parted, segments

OLD: Final = b"order 2;"
"""What comes again; the new connection's own are order 7 and order 8."""
ONE_PORT: Final = {"ip_local_port_range": "40000 40000"}
"""Of a client whose connections are to have the same four-tuple."""
Late = Callable[[Segment, Segment], Segment]
"""Makes what comes late out of the segment with the old order and the last one of the new connection."""


def read_in_the_second(bench: Bench, late: Late, same: bool = True) -> str:
    """What the server reads in the second connection, between whose two orders something of the first one comes.

    Where there is no second one it is the name of the error, and so it is where the second one ends with one. `same`:
    the client begins with the same sequence number as before.
    """
    listener = bench.server.listen(80, so_reuseaddr=True)
    to = (bench.server.address, 80)
    here, there = opened(bench, listener, bench.client, to)
    for order in (b"order 1;", OLD):
        here.send(order)
        bench.until(there.receive, 10 * SECOND)
    parted(bench, here, there)
    former = segments(bench, bench.client)
    try:
        here, there = opened(bench, listener, bench.client, to, tcp_queue_seq=former[0].seq if same else 0)
        here.send(b"order 7;")
        text = bench.until(there.receive, 10 * SECOND)
        last = bench.sent_by(bench.client)[-1]
        assert last.segment is not None
        note = "late: order 2 of the old connection" + (", with the numbers that order 8 will have" if same else "")
        old = next(segment for segment in former if segment.payload == OLD)
        bench.inject(last.with_segment(late(old, last.segment)), bench.client, note)
        bench.wait(SECOND // 4)
        here.attempt(lambda: here.send(b"order 8;"))
        bench.wait(SECOND // 4)
        return (text + (there.receive() or b"")).decode()
    except CallError as error:
        return error.code or str(error)


def as_it_was(old: Segment, last: Segment) -> Segment:
    """The old segment; what it acknowledges is of the old connection, too."""
    return old.copy()


def fitting(old: Segment, last: Segment) -> Segment:
    """As if the server, too, had begun with the number it had before: what it acknowledges fits the new connection."""
    late = old.copy()
    late.ack = last.ack
    return late
