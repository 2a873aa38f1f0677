"""Members of enumerations under names of their own, looked up once: `State.CLOSED` is a search every time.

Whoever compares, or moves to, a state on the way of a segment takes it from here.
"""

from __future__ import annotations

from typing import Final

from lastack.model.close import CloseKind, Closer
from lastack.model.state import State

ESTABLISHED: Final = State.ESTABLISHED
SYN_SENT: Final = State.SYN_SENT
SYN_RECEIVED: Final = State.SYN_RECEIVED
FIN_WAIT_1: Final = State.FIN_WAIT_1
FIN_WAIT_2: Final = State.FIN_WAIT_2
TIME_WAIT: Final = State.TIME_WAIT
CLOSED: Final = State.CLOSED
CLOSE_WAIT: Final = State.CLOSE_WAIT
LAST_ACK: Final = State.LAST_ACK
LISTEN: Final = State.LISTEN
CLOSING: Final = State.CLOSING

OPEN: Final = CloseKind.OPEN
ORDERLY: Final = CloseKind.ORDERLY
SIMULTANEOUS: Final = CloseKind.SIMULTANEOUS
HALF_CLOSED: Final = CloseKind.HALF_CLOSED

LOCAL: Final = Closer.LOCAL
REMOTE: Final = Closer.REMOTE
NOBODY: Final = Closer.NOBODY
