"""The scenarios: what each is about, in the bounds that a minute allows, and in those of the deep run."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from .scenario import Scenario, plain

EXCHANGE: Final = Scenario(
    "exchange",
    "open, an octet there, close at any moment; the network loses one segment and delays or repeats none",
    sends=(1, 0),
    duplicate=0,
    delay=0,
    early=0,
)
BOTH_OPEN: Final = replace(
    EXCHANGE,
    name="both-open",
    about="both ends connect to each other at once, and close",
    listens=False,
    opens=(1, 1),
    sends=(0, 0),
)
CRASH: Final = replace(
    EXCHANGE,
    name="crash",
    about="B may lose power and come back, A may connect again: half-open connections, and their repair by RST",
    opens=(2, 0),
    crashes=(0, 1),
    lose=0,
    ends=("close",),
)
AGAIN: Final = replace(
    EXCHANGE,
    name="again",
    about="the same ports twice, and the same sequence numbers: TIME_WAIT keeps the old segments out",
    settings=plain(tcp_rfc1337=1),
    opens=(2, 0),
    duplicate=1,
    lose=0,
    isn_steps=(0, 0),
    ends=("close",),
    follows=1,
    again_after_order=True,
)
STAMPED: Final = replace(
    AGAIN,
    name="stamped",
    about="the same with timestamps and tcp_tw_reuse: PAWS keeps the old segments out",
    settings=plain(tcp_timestamps=1, tcp_tw_reuse=1),
    isn_steps=(0, 64),
    follows=0,
)
ABORT: Final = replace(
    EXCHANGE,
    name="abort",
    about="ABORT, and CLOSE before all is read: RST at any moment",
    sends=(2, 0),
    ends=("close", "abort"),
    reads_at_once=False,
)
HASTY: Final = replace(
    EXCHANGE,
    name="hasty",
    about="a TIME_WAIT of a millisecond: what the last ACK's loss does when nobody waits for it",
    settings=plain(time_wait_ms=1),
    sends=(0, 0),
)
ALL: Final = (EXCHANGE, BOTH_OPEN, CRASH, ABORT, AGAIN, STAMPED, HASTY)
"""In the bounds of the minute that CI has."""

DEEP: Final = (
    replace(EXCHANGE, sends=(1, 1)),
    replace(EXCHANGE, name="twice-lost", lose=2),
    replace(EXCHANGE, name="repeated", lose=0, duplicate=1, delay=1),
    replace(EXCHANGE, name="late", lose=0, early=2),
    replace(BOTH_OPEN, duplicate=1, delay=1),
    replace(CRASH, crashes=(1, 1), sends=(1, 1)),
    replace(ABORT, sends=(2, 1), delay=1),
    replace(AGAIN, sends=(1, 1), delay=1),
    replace(STAMPED, sends=(1, 1), delay=1),
    replace(HASTY, sends=(1, 0), duplicate=1),
)
"""In wider bounds, one or two of them at a time, for as long as one likes."""
