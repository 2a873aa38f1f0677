"""What is said of ending a connection: what became of it, what its process and its peer see, and why it was left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lastack.model.ending import Ending, Left, Means, Outcome
from lastack.model.state import State

KEPT: Final = (
    "The descriptors stay open until their processes close them: a process that has run out of them (EMFILE) is not "
    "cured."
)

LEFT: Final[Mapping[Left, str]] = {
    Left.LISTENING: "a listening socket, not a connection; name it by its ID to end it all the same",
    Left.TERMINAL: "it keeps up the terminal, or session, of this command; name it by its ID to end it all the same",
    Left.FIN_SENT: "its FIN has been sent, and the kernel repeats it until it is acknowledged or given up; --reset "
    "would end it",
    Left.PEER_OPEN: "its FIN was sent and acknowledged; only the peer, or --reset, can end it",
    Left.OVER: "it has ended in order, and TIME_WAIT passes by itself; --reset would take it away",
    Left.NO_DESCRIPTOR: "no process has a descriptor of it through which a FIN could be sent; --reset would end it",
    Left.UNSEEN_OWNER: "no descriptor of it can be seen: its process is hidden from here (run as root), or has it only "
    "in an io_uring or on the way through a Unix socket (--reset would end it)",
}
"""Why a connection is left alone, and what would be needed."""

_OWNER_OF_FIN: Final[Mapping[State, str]] = {
    State.ESTABLISHED: "writes fail with EPIPE (and SIGPIPE); reads go on until the peer closes too",
    State.CLOSE_WAIT: "reads give what is unread and then the end of file, as before; writes fail with EPIPE (and "
    "SIGPIPE)",
    State.SYN_SENT: "connect() fails",
    State.LISTEN: "accept() fails with EINVAL; connections that wait for it are reset",
}
_OWNER_OF_ANSWER: Final[Mapping[State, str]] = {
    State.CLOSE_WAIT: "reads give what is unread and then the end of file, as before; the next write fails with "
    "ECONNRESET, later ones with EPIPE (and SIGPIPE)",
}
"""Where the peer answered the FIN with a RST: tcp_reset() in net/ipv4/tcp_input.c."""
_OWNER_OF_RST: Final[Mapping[State, str]] = {
    State.CLOSE_WAIT: "reads give what is unread and then the end of file; the next write fails with ECONNABORTED",
    State.SYN_SENT: "connect() fails with ECONNABORTED",
    State.LISTEN: "accept() fails with EINVAL; connections that wait for it are reset",
}
_ABORTED: Final = "the next call fails with ECONNABORTED"

_SENDS_RST: Final = (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.FIN_WAIT_2)
"""tcp_need_reset() in net/ipv4/tcp.c; what is in SYN_RECEIVED is a request, and no socket yet."""


def owner_sees(means: Means, state: State, owned: bool, outcome: Outcome | None = None) -> str:
    """What the process sees of a connection that is ended in this state; `owned` says whether one has it.

    `outcome`: what became of it, where that is known.
    """
    if not owned:
        return "nobody: no process has it"
    if outcome is Outcome.RESET_BY_PEER:
        return _OWNER_OF_ANSWER.get(state, "reads give what is unread; the next call fails with ECONNRESET")
    if means is Means.FIN:
        return _OWNER_OF_FIN[state]
    return _OWNER_OF_RST.get(state, _ABORTED)


def peer_sees(means: Means, state: State, owned: bool, outcome: Outcome | None = None) -> str:
    """What the peer sees of a connection that is ended in this state; `owned`: whether a process here has it.

    `outcome`: what became of it, where that is known.
    """
    if outcome is Outcome.RESET_BY_PEER:
        return "nothing: it had forgotten the connection"
    if state is State.LISTEN:
        return "new connections are refused"
    if state is State.SYN_SENT:
        return "nothing more"
    if means is Means.FIN:
        return "the end of file; if it has forgotten the connection, it answers with a RST"
    if state in _SENDS_RST and (owned or state is not State.FIN_WAIT_2):  # without an owner that is a mini-socket
        return "ECONNRESET"
    if state is State.TIME_WAIT:
        return "nothing; segments that are still on their way may meet a new connection of the same ports"
    return "nothing is sent: what it sends is answered with a RST"


def would(means: Means, left: Left | None) -> str:
    """What would be done."""
    if left is not None:
        return f"would be left alone: {LEFT[left]}"
    return "would be sent a FIN" if means is Means.FIN else "would be ended at once by the kernel"


def became(means: Means, ending: Ending) -> str:
    """What was done, and what came of it so far."""
    if ending.left is not None:
        return f"left alone: {LEFT[ending.left]}"
    if ending.outcome is Outcome.ENDED:
        return "ended: FIN sent and acknowledged" if means is Means.FIN else "ended by the kernel at once"
    right = "CAP_SYS_PTRACE" if means is Means.FIN else "CAP_NET_ADMIN"
    return _BECAME[ending.outcome].format(state=ending.state.name, right=right)


ACTED: Final = (Outcome.ENDED, Outcome.RESET_BY_PEER, Outcome.HALF_CLOSED, Outcome.UNACKNOWLEDGED)
"""What becomes of connections to which something was done."""

_BECAME: Final[Mapping[Outcome, str]] = {
    Outcome.RESET_BY_PEER: "ended: the peer answered the FIN with a RST",
    Outcome.HALF_CLOSED: "sent a FIN, which was acknowledged; the peer has yet to close (FIN_WAIT_2)",
    Outcome.UNACKNOWLEDGED: "sent a FIN, not acknowledged so far ({state}): the kernel repeats it, and gives up by "
    "tcp_retries2, or by tcp_orphan_retries once its process has closed it",
    Outcome.VANISHED: "not touched: ended by itself meanwhile",
    Outcome.CHANGED: "not touched: no longer as it was chosen ({state} by now)",
    Outcome.MOVED: "not touched: its process has closed the descriptor, or passed it on; still {state}",
    Outcome.FORBIDDEN: "not touched: the kernel forbids it; run as root ({right})",
}
