"""What the owner of a connection should know, as bits: told once each, in this order, by `next_event()`."""

from __future__ import annotations

from enum import IntFlag
from typing import Final


class Event(IntFlag):
    """One thing that happened. Several may be pending; a bit that is already set is not set twice."""

    OPENED = 1
    """The connection is ESTABLISHED: connect() returns, accept() may."""
    READABLE = 2
    """There are octets to receive."""
    URGENT = 4
    """The peer has sent urgent data (RFC 9293 3.8.5)."""
    END_OF_FILE = 8
    """The peer's FIN has come and every octet before it."""
    WRITABLE = 16
    """There is room in the send buffer again."""
    ERROR = 32
    """The connection has failed; its `error` says how, in the name of an errno."""
    CLOSED = 64
    """It is in CLOSED, or only a TIME_WAIT is left of it. Nothing more will happen to it."""


# The same bits as plain numbers: `mask & OPENED` on a hot path must not make a member of an enumeration.
OPENED: Final = 1
READABLE: Final = 2
URGENT: Final = 4
END_OF_FILE: Final = 8
WRITABLE: Final = 16
ERROR: Final = 32
CLOSED: Final = 64
