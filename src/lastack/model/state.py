"""The states of a connection, the sets that have names, and the one table of lawful transitions.

RFC 9293 3.3.2 and figure 5, with what its notes add and what Linux does besides. The numbers are Linux's
(include/net/tcp_states.h), so that a state read from the kernel needs no translation and `1 << state` is the
bit that sock_diag filters by.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple


class State(IntEnum):
    """The eleven states of RFC 9293 3.3.2, numbered as Linux numbers them."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECEIVED = 3
    FIN_WAIT_1 = 4
    FIN_WAIT_2 = 5
    TIME_WAIT = 6
    CLOSED = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11


LINUX_NEW_SYN_RECV: Final = 12
"""TCP_NEW_SYN_RECV: a request in the SYN queue. For the RFC, and so here, it is in SYN_RECEIVED."""


def bits(*states: State) -> int:
    """The states as a mask of `1 << state`, the form that sock_diag filters by and compiled code tests."""
    mask = 0
    for state in states:
        mask |= 1 << state
    return mask


SYNCHRONIZED: Final = frozenset(
    {
        State.ESTABLISHED,
        State.FIN_WAIT_1,
        State.FIN_WAIT_2,
        State.CLOSE_WAIT,
        State.CLOSING,
        State.LAST_ACK,
        State.TIME_WAIT,
    }
)
"""Both sides know each other's sequence numbers (RFC 9293 3.5.2, group 3)."""

RECEIVES_TEXT: Final = frozenset({State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2})
"""The peer may still send data (RFC 9293 3.10.7.4, seventh step)."""

SENDS_TEXT: Final = frozenset({State.ESTABLISHED, State.CLOSE_WAIT})
"""The application may still send data (RFC 9293 3.10.2)."""

FIN_SENT: Final = frozenset({State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSING, State.LAST_ACK, State.TIME_WAIT})
"""Our own FIN has left, or is queued behind data (RFC 9293 3.6)."""

FIN_RECEIVED: Final = frozenset({State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK, State.TIME_WAIT})
"""The peer's FIN has been received (RFC 9293 3.10.7.4, eighth step)."""


class Transition(NamedTuple):
    """One lawful change of state: what happened, what is sent for it, and who says so."""

    before: State
    after: State
    event: str
    sends: str
    source: str


_FIGURE = "RFC 9293 figure 5"
_S = State

TRANSITIONS: Final[tuple[Transition, ...]] = (
    Transition(_S.CLOSED, _S.LISTEN, "passive OPEN", "", _FIGURE),
    Transition(_S.CLOSED, _S.SYN_SENT, "active OPEN", "SYN", _FIGURE),
    Transition(_S.LISTEN, _S.SYN_SENT, "SEND", "SYN", _FIGURE),
    Transition(_S.LISTEN, _S.SYN_RECEIVED, "rcv SYN", "SYN,ACK", _FIGURE),
    Transition(_S.LISTEN, _S.CLOSED, "CLOSE", "", _FIGURE),
    Transition(_S.SYN_SENT, _S.SYN_RECEIVED, "rcv SYN", "SYN,ACK", _FIGURE),
    Transition(_S.SYN_SENT, _S.ESTABLISHED, "rcv SYN,ACK", "ACK", _FIGURE),
    Transition(_S.SYN_SENT, _S.CLOSED, "CLOSE", "", _FIGURE),
    Transition(_S.SYN_RECEIVED, _S.ESTABLISHED, "rcv ACK of SYN", "", _FIGURE),
    Transition(_S.SYN_RECEIVED, _S.FIN_WAIT_1, "CLOSE", "FIN", _FIGURE),
    Transition(_S.SYN_RECEIVED, _S.LISTEN, "rcv RST after a passive OPEN", "", "RFC 9293 figure 5, note 1"),
    Transition(_S.SYN_RECEIVED, _S.CLOSE_WAIT, "rcv FIN", "ACK", "RFC 9293 3.10.7.4, eighth step"),
    Transition(_S.ESTABLISHED, _S.FIN_WAIT_1, "CLOSE", "FIN", _FIGURE),
    Transition(_S.ESTABLISHED, _S.CLOSE_WAIT, "rcv FIN", "ACK", _FIGURE),
    Transition(_S.FIN_WAIT_1, _S.FIN_WAIT_2, "rcv ACK of FIN", "", _FIGURE),
    Transition(_S.FIN_WAIT_1, _S.CLOSING, "rcv FIN", "ACK", _FIGURE),
    Transition(_S.FIN_WAIT_1, _S.TIME_WAIT, "rcv FIN and ACK of FIN", "ACK", "RFC 9293 figure 5, note 2"),
    Transition(_S.FIN_WAIT_2, _S.TIME_WAIT, "rcv FIN", "ACK", _FIGURE),
    Transition(_S.CLOSING, _S.TIME_WAIT, "rcv ACK of FIN", "", _FIGURE),
    Transition(_S.CLOSE_WAIT, _S.LAST_ACK, "CLOSE", "FIN", _FIGURE),
    Transition(_S.LAST_ACK, _S.CLOSED, "rcv ACK of FIN", "", _FIGURE),
    Transition(_S.TIME_WAIT, _S.CLOSED, "2 MSL have passed", "", _FIGURE),
    # RFC 9293 3.10.7.4 second step and 3.10.5: a RST, an ABORT or a time-out ends any state.
    Transition(_S.SYN_SENT, _S.CLOSED, "rcv RST, ABORT or time-out", "", "RFC 9293 3.10.7.3, 3.10.5, 3.10.8"),
    *(
        Transition(state, _S.CLOSED, "rcv RST, ABORT or time-out", "", "RFC 9293 3.10.7.4, 3.10.5, 3.10.8")
        for state in (_S.SYN_RECEIVED, *sorted(SYNCHRONIZED))
    ),
    # Linux, beyond the RFC.
    Transition(_S.FIN_WAIT_2, _S.CLOSED, "tcp_fin_timeout has passed", "", "Linux tcp_time_wait()"),
    Transition(_S.TIME_WAIT, _S.SYN_RECEIVED, "rcv SYN with a newer timestamp or sequence number", "SYN,ACK",
               "RFC 9293 3.6.1, RFC 6191"),
    Transition(_S.TIME_WAIT, _S.SYN_SENT, "connect() takes the port over (tcp_tw_reuse)", "SYN",
               "Linux tcp_twsk_unique()"),
    Transition(_S.LISTEN, _S.ESTABLISHED, "rcv ACK of a SYN cookie", "", "Linux cookie_v4_check()"),
)  # fmt: skip
"""Every lawful change of state. The engine moves by it, the capture reader infers by it, the docs draw it."""

_LAWFUL: Final = frozenset((t.before, t.after) for t in TRANSITIONS)


def lawful(before: State, after: State) -> bool:
    """Whether TRANSITIONS has a way from `before` to `after`."""
    return (before, after) in _LAWFUL
