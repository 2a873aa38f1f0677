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
    about="either host may lose power and come back; A may connect once more over what B still believes in",
    opens=(2, 0),
    crashes=(1, 1),
    lose=0,
    ends=("close",),
)
AGAIN: Final = replace(
    EXCHANGE,
    name="again",
    about="the same ports twice, the first octets' numbers the same: TIME_WAIT keeps the old segments out",
    settings=plain(tcp_rfc1337=1),
    opens=(2, 0),
    sends=(2, 0),
    lose=0,
    delay=1,
    isn_steps=(0, 64),
    ends=("close",),
)
STAMPED: Final = replace(
    AGAIN,
    name="stamped",
    about="the same with timestamps and tcp_tw_reuse: PAWS keeps the old segments out",
    settings=plain(tcp_timestamps=1, tcp_tw_reuse=1),
)
ABORT: Final = replace(
    EXCHANGE,
    name="abort",
    about="ABORT, and CLOSE before all is read: RST at any moment",
    ends=("close", "abort"),
    reads_at_once=False,
    lose=0,
    delay=1,
)
