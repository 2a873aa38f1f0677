"""A socket in LISTEN: its SYN queue and its accept queue, counted as Linux counts them (tcp_conn_request)."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final, final

from lastack.model.address import Endpoint
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.tcp.counters import Counters
from lastack.tcp.settings import Settings, SocketOptions
from lastack.wire.flags import ACK, RST, SYN
from lastack.wire.ip import address_words
from lastack.wire.segment import Segment
from lastack.wire.seq import add

from .sock import Socket

_MOST_TIME_OUTS: Final = 255


class Admission(IntEnum):
    """What becomes of a SYN, or of the ACK that would complete a handshake."""

    TAKE = 0
    COOKIE = 1
    DROP = 2
    RESET = 3


def time_outs(seconds: int, settings: Settings) -> int:
    """How many time-outs of a SYN,ACK it takes until so many seconds have passed (secs_to_retrans)."""
    count, timeout, passed = 0, settings.initial_rto_ms * MILLISECOND, 0
    while passed < seconds * SECOND and count < _MOST_TIME_OUTS:
        count += 1
        passed += timeout
        timeout = min(2 * timeout, settings.rto_max)
    return count


@final
class Listener:
    """`limit` is min(backlog, somaxconn) at the time of listen(): both queues hold one more than that.

    `requests` counts the connections in SYN_RECEIVED, `young` those of them whose SYN,ACK was sent once.
    `address` None: every address of the host.
    """

    __slots__ = (
        "accept_queue",
        "address",
        "cookies_until",
        "head",
        "limit",
        "options",
        "owner",
        "port",
        "requests",
        "young",
    )

    def __init__(self, address: bytes | None, port: int, limit: int, options: SocketOptions) -> None:
        self.address = address
        self.port = port
        self.limit = limit
        self.options = options
        self.requests = 0
        self.young = 0
        self.cookies_until: Nanos = 0
        """Till when an ACK may bring back a cookie."""
        self.accept_queue: list[Socket] = []
        self.head = 0
        self.owner: Any = None
        """Whatever whoever drives the stack wants to find again when somebody waits to be accepted."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return Endpoint("0.0.0.0" if self.address is None else address_words(self.address), self.port)

    def __len__(self) -> int:
        return len(self.accept_queue) - self.head

    def full(self) -> bool:
        """Whether the accept queue takes no more: it is full above its limit, not at it (sk_acceptq_is_full)."""
        return len(self.accept_queue) - self.head > self.limit

    def asked(self, socket: Socket) -> None:
        """A SYN was answered: its sender takes a place in the SYN queue."""
        socket.requesting = True
        self.requests += 1
        self.young += 1

    def answered(self, socket: Socket) -> None:
        """It leaves the SYN queue, one way or another."""
        socket.requesting = False
        self.requests -= 1
        if not socket.connection.sender.retransmits:
            self.young -= 1

    def timed_out(self, socket: Socket, settings: Settings) -> None:
        """The time-out of a SYN,ACK has come: how much patience is left with it (reqsk_timer_handler).

        Half of a crowded queue is kept for the young: the more of the others there are, the sooner they give up.
        """
        tcb = socket.connection
        retries = self.options.tcp_syncnt or settings.tcp_synack_retries
        if 2 * self.requests > max(8, self.limit):
            young = 2 * self.young
            while retries > 2 and self.requests >= young:
                retries -= 1
                young *= 2
        tcb.patience = retries
        if not tcb.sender.retransmits and retries:
            self.young -= 1

    def admit_syn(self, settings: Settings, counters: Counters, known: bool) -> Admission:
        """What becomes of a SYN. `known`: it follows a TIME_WAIT, and is let in whatever the SYN queue holds."""
        cookie = False
        if settings.tcp_syncookies == 2 or (self.requests > self.limit and not known):
            if settings.tcp_syncookies:
                counters.TCPReqQFullDoCookies += 1
                cookie = True
            else:
                counters.TCPReqQFullDrop += 1
                counters.ListenDrops += 1
                return Admission.DROP
        if self.full():
            counters.ListenOverflows += 1
            counters.ListenDrops += 1
            return Admission.DROP
        if cookie:
            return Admission.COOKIE
        left = settings.tcp_max_syn_backlog - self.requests
        if not known and not settings.tcp_syncookies and left < settings.tcp_max_syn_backlog >> 2:
            # Without cookies the last quarter is kept for peers that are known to be alive.
            counters.ListenDrops += 1
            return Admission.DROP
        return Admission.TAKE

    def admit_ack(self, socket: Socket, segment: Segment, settings: Settings, counters: Counters) -> Admission:
        """What becomes of a segment for a connection in SYN_RECEIVED (tcp_check_req)."""
        tcb = socket.connection
        if segment.flags & (SYN | RST) or not segment.flags & ACK:
            return Admission.TAKE
        bare = add(segment.seq, segment.length) == tcb.receiver.nxt & 0xFFFF_FFFF
        defer = time_outs(self.options.tcp_defer_accept, settings)
        if bare and tcb.sender.retransmits < defer:
            counters.TCPDeferAcceptDrop += 1
            tcb.deferred = defer
            return Admission.DROP
        tcb.deferred = 0
        if self.full():
            counters.ListenOverflows += 1
            counters.ListenDrops += 1
            return Admission.RESET if settings.tcp_abort_on_overflow else Admission.DROP
        return Admission.TAKE

    def accept(self) -> Socket | None:
        """The connection that has waited longest, or None."""
        if self.head == len(self.accept_queue):
            return None
        socket = self.accept_queue[self.head]
        self.head += 1
        if self.head == len(self.accept_queue):
            self.accept_queue.clear()
            self.head = 0
        elif self.head >= 512:
            del self.accept_queue[: self.head]
            self.head = 0
        socket.accepted = True
        return socket
