"""How a connection ended, and who ended it."""

from __future__ import annotations

from enum import IntEnum


class CloseKind(IntEnum):
    """The way a connection ended, or that it has not."""

    OPEN = 0
    """Neither side has closed."""
    ORDERLY = 1
    """A FIN each way, one after the other, both acknowledged."""
    SIMULTANEOUS = 2
    """The FINs crossed."""
    HALF_CLOSED = 3
    """One side has closed; the other has not."""
    RESET_SENT = 4
    RESET_RECEIVED = 5
    REFUSED = 6
    """A RST answered the SYN."""
    HANDSHAKE_TIMEOUT = 7
    RETRANSMIT_TIMEOUT = 8
    KEEPALIVE_TIMEOUT = 9
    UNREACHABLE = 10
    """An ICMP error ended it."""
    UNSEEN = 11
    """What was observed does not say."""


class Closer(IntEnum):
    """Who sent the first FIN or RST (or, for `opened_by`, the first SYN)."""

    LOCAL = 0
    REMOTE = 1
    BOTH = 2
    NOBODY = 3
    UNKNOWN = 4


class Viewpoint(IntEnum):
    """Where a table's rows were observed."""

    SIM = 0
    CAPTURE = 1
    HOST = 2


class Timer(IntEnum):
    """The timer that a live socket has armed, in sock_diag's numbering (idiag_timer)."""

    OFF = 0
    RETRANSMIT = 1
    KEEPALIVE = 2
    """Keepalive; in FIN_WAIT_2 of a socket nobody owns, what is left of its time."""
    TIME_WAIT = 3
    """A mini-socket's remaining life: TIME_WAIT, or FIN_WAIT_2."""
    PROBE = 4
    """Zero-window probe."""
