"""What can be done to a connection that hangs, what became of it, and why it was left alone."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from .record import ConnectionTable
from .state import State


class Means(Enum):
    """How a connection is ended."""

    FIN = "fin"
    """By shutdown(SHUT_WR) on its own socket: what is queued is sent, then the FIN (RFC 9293 3.6)."""
    RST = "rst"
    """By SOCK_DESTROY: at once, with a RST where the state allows one (RFC 9293 3.10.5)."""


class Left(Enum):
    """Why a connection that was chosen is not touched."""

    LISTENING = "listening"
    """It is no connection but a listening socket; to be named by its ID."""
    TERMINAL = "terminal"
    """It carries the terminal that the command was given at; to be named by its ID."""
    FIN_SENT = "fin-sent"
    """Its FIN has been sent: to send it again is for the kernel."""
    PEER_OPEN = "peer-open"
    """Its FIN was sent and acknowledged; only the peer's is missing."""
    OVER = "over"
    """TIME_WAIT: it has ended in order."""
    NO_DESCRIPTOR = "no-descriptor"
    """No process has a descriptor of it: it was never accepted, or was closed."""
    UNSEEN_OWNER = "unseen-owner"
    """A process has it that cannot be seen from here."""


class Outcome(Enum):
    """What became of a connection that was to be ended."""

    ENDED = "ended"
    RESET_BY_PEER = "reset-by-peer"
    """The peer answered the FIN with a RST: it knew nothing of the connection any more, or could take no more."""
    HALF_CLOSED = "half-closed"
    """The FIN was acknowledged; the peer has yet to close (FIN_WAIT_2)."""
    UNACKNOWLEDGED = "unacknowledged"
    """The FIN was sent, or queued behind data, and not acknowledged so far."""
    LEFT = "left"
    """Not touched, for the reason in `left`."""
    VANISHED = "vanished"
    """It was gone when its turn came: nothing was done."""
    CHANGED = "changed"
    """It was in another state by then, or no longer what was asked for: nothing was done."""
    MOVED = "moved"
    """Its process had closed the descriptor by then, or passed it on: nothing was done."""
    FORBIDDEN = "forbidden"
    """The right to do it is missing."""

    @property
    def failed(self) -> bool:
        """Whether the connection stays as it was."""
        return self in (Outcome.LEFT, Outcome.MOVED, Outcome.FORBIDDEN)


class Ending(NamedTuple):
    """What became of one connection: `state` is the last that was seen, CLOSED where it is gone."""

    outcome: Outcome
    state: State
    left: Left | None = None


class Endings(NamedTuple):
    """Connections that were chosen, as they were seen, and for each what becomes, or became, of it.

    `plan` says before anything is done why a row is left alone (None: it is to be ended). `done` is None until
    something was done. `unseen`: sentences on what could not be looked at.
    """

    means: Means
    connections: ConnectionTable
    plan: tuple[Left | None, ...]
    done: tuple[Ending, ...] | None = None
    unseen: tuple[str, ...] = ()
