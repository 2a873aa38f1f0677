"""Ways into every state. After each the peer has said `nxt` octets and the host `host_nxt`, counting the SYNs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from .peer import Peer

READ, WRITE, BOTH = 0, 1, 2


def nobody(peer: Peer) -> None:
    """No socket at that port."""


def listening(peer: Peer) -> None:
    peer.call("listen")


def connecting(peer: Peer) -> None:
    peer.call("connect")
    peer.host_nxt = 1


def answered(peer: Peer) -> None:
    """The host has answered a SYN."""
    peer.call("listen")
    peer.say("S")
    peer.nxt = peer.una = peer.host_nxt = 1


def crossed(peer: Peer) -> None:
    """Both have sent a SYN."""
    connecting(peer)
    peer.say("S")
    peer.nxt = peer.una = 1


def fresh(peer: Peer) -> None:
    """Accepted, and nothing was said yet."""
    answered(peer)
    peer.say(".")
    peer.call("accept")


def opened(peer: Peer) -> None:
    """The host has connected, and nothing was said yet."""
    connecting(peer)
    peer.say("S.", ack=1)
    peer.nxt = peer.una = 1


def talking(peer: Peer) -> None:
    """A request was read, an answer sent and acknowledged."""
    fresh(peer)
    peer.say("P.", octets=100)
    peer.nxt += 100
    peer.call("read")
    peer.call("write", 200)
    peer.host_nxt = peer.una = 201
    peer.say(".")


def unread(peer: Peer) -> None:
    """Text has come that nobody has read."""
    talking(peer)
    peer.say("P.", octets=10)
    peer.nxt += 10


def unanswered(peer: Peer) -> None:
    """Text is out that was not acknowledged."""
    talking(peer)
    peer.call("write", 50)
    peer.host_nxt += 50


def holed(peer: Peer) -> None:
    """Text has come ahead of its turn."""
    talking(peer)
    peer.say("P.", seq=peer.nxt + 20, octets=10)


def fin_wait_1(peer: Peer) -> None:
    talking(peer)
    peer.call("shutdown", WRITE)
    peer.host_nxt += 1


def fin_wait_1_closed(peer: Peer) -> None:
    talking(peer)
    peer.call("close")
    peer.host_nxt += 1


def fin_wait_1_unanswered(peer: Peer) -> None:
    """Text and the FIN behind it are out."""
    unanswered(peer)
    peer.call("close")
    peer.host_nxt += 1


def fin_wait_2(peer: Peer) -> None:
    fin_wait_1(peer)
    peer.una = peer.host_nxt
    peer.say(".")


def fin_wait_2_closed(peer: Peer) -> None:
    fin_wait_1_closed(peer)
    peer.una = peer.host_nxt
    peer.say(".")


def closing(peer: Peer) -> None:
    fin_wait_1(peer)
    peer.say("F.")
    peer.nxt += 1


def closing_closed(peer: Peer) -> None:
    fin_wait_1_closed(peer)
    peer.say("F.")
    peer.nxt += 1


def time_wait(peer: Peer) -> None:
    fin_wait_2_closed(peer)
    peer.say("F.")
    peer.nxt += 1


def time_wait_held(peer: Peer) -> None:
    fin_wait_2(peer)
    peer.say("F.")
    peer.nxt += 1


def close_wait(peer: Peer) -> None:
    talking(peer)
    peer.say("F.")
    peer.nxt += 1


def close_wait_unread(peer: Peer) -> None:
    unread(peer)
    peer.say("F.")
    peer.nxt += 1


def last_ack(peer: Peer) -> None:
    close_wait(peer)
    peer.call("close")
    peer.host_nxt += 1


def last_ack_held(peer: Peer) -> None:
    close_wait(peer)
    peer.call("shutdown", WRITE)
    peer.host_nxt += 1


SITUATIONS: Final[Mapping[str, Callable[[Peer], None]]] = {
    "CLOSED": nobody,
    "LISTEN": listening,
    "SYN_SENT": connecting,
    "SYN_RECEIVED": answered,
    "SYN_RECEIVED, crossed": crossed,
    "ESTABLISHED": talking,
    "ESTABLISHED, accepted": fresh,
    "ESTABLISHED, connected": opened,
    "ESTABLISHED, unread": unread,
    "ESTABLISHED, unanswered": unanswered,
    "ESTABLISHED, holed": holed,
    "FIN_WAIT_1": fin_wait_1,
    "FIN_WAIT_1, closed": fin_wait_1_closed,
    "FIN_WAIT_1, unanswered": fin_wait_1_unanswered,
    "FIN_WAIT_2": fin_wait_2,
    "FIN_WAIT_2, closed": fin_wait_2_closed,
    "CLOSING": closing,
    "CLOSING, closed": closing_closed,
    "TIME_WAIT": time_wait,
    "TIME_WAIT, held": time_wait_held,
    "CLOSE_WAIT": close_wait,
    "CLOSE_WAIT, unread": close_wait_unread,
    "LAST_ACK": last_ack,
    "LAST_ACK, held": last_ack_held,
}
"""By state; what follows a comma tells how it differs from the usual."""
