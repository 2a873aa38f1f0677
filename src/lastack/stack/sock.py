"""A connection among many: with its addresses, and known to the stack whenever its owner calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from lastack.model.address import Endpoint
from lastack.model.state import State
from lastack.model.time import Nanos
from lastack.native import i64
from lastack.tcp.connection import Connection
from lastack.tcp.events import Event
from lastack.tcp.info import TcpInfo
from lastack.tcp.settings import SocketOptions
from lastack.tcp.timers import NEVER
from lastack.wire.ip import address_words

from . import demux

if TYPE_CHECKING:
    from .listener import Listener
    from .schedule import Schedule


_EVERYTHING: Final[i64] = 127
"""All of `Event`."""


@final
class Socket:
    """What `connect()` and `accept()` give. The calls are a Connection's; the stack sends what comes of them."""

    __slots__ = (
        "_owner",
        "_told",
        "accepted",
        "alarm",
        "behind",
        "connection",
        "counted_orphan",
        "flow",
        "key",
        "listener",
        "local",
        "noticed",
        "number",
        "place",
        "queued",
        "remote",
        "requesting",
        "reuse",
        "schedule",
        "tells_next",
    )

    def __init__(
        self,
        connection: Connection,
        key: bytes,
        local: bytes,
        remote: bytes,
        schedule: Schedule,
        listener: Listener | None,
    ) -> None:
        self.connection = connection
        self.number: i64 = connection.number
        self.key = key
        self.local = local
        self.remote = remote
        self.flow = demux.reverse(key, local, remote)
        """What the peer finds it by: for the packets that we send."""
        self.schedule = schedule
        self.listener = listener
        self.accepted = listener is None
        self.counted_orphan = False
        self.requesting = False
        """It is in its listener's SYN queue."""
        self.reuse = False
        """SO_REUSEADDR as it was when the port was taken; it is given back as such."""
        self._owner: object = None
        self._told: i64 = _EVERYTHING
        """The events that its owner is told of; nobody hears of the others."""
        # Its places in the stack's queues, each of which is a chain of sockets.
        self.queued = False
        self.behind: Socket | None = None
        """Who is polled after it."""
        self.noticed = False
        self.tells_next: Socket | None = None
        """Whose events are told after its own."""
        self.alarm: i64 = NEVER
        """When it is to be woken, or looked at again, and where it stands among those that are."""
        self.place: i64 = -1

    @property
    def owner(self) -> Any:  # noqa: ANN401 whoever drives the stack knows what it has put there
        """Whatever whoever drives the stack wants to find again when something happens to the socket.

        Its `told`, where it has one, are the events that `take_event` gives.
        """
        return self._owner

    @owner.setter
    def owner(self, owner: object) -> None:
        self._owner = owner
        self._told = _EVERYTHING if owner is None else getattr(owner, "told", _EVERYTHING)

    @property
    def state(self) -> State:
        """The connection's state; `Stack.state_of` also knows when TIME_WAIT is over."""
        return self.connection.state

    @property
    def options(self) -> SocketOptions:
        """The socket's options, to be set at any time."""
        return self.connection.options

    @property
    def local_endpoint(self) -> Endpoint:
        """Our address and port."""
        return Endpoint(address_words(self.local), demux.ports(self.key)[0])

    @property
    def remote_endpoint(self) -> Endpoint:
        """The peer's address and port."""
        return Endpoint(address_words(self.remote), demux.ports(self.key)[1])

    def send(self, data: bytes, now: Nanos) -> int:
        """Queue octets; how many were taken. Raises CallError."""
        taken = self.connection.send(data, now)
        self.schedule.touch(self)
        return taken

    def receive(self, limit: int, now: Nanos) -> bytes | None:
        """Octets in order; None: nothing yet; empty: end of file. Raises CallError."""
        data = self.connection.receive(limit, now)
        if data and self.connection.receiver.acks_owed:
            self.schedule.touch(self)
        return data

    def receive_urgent(self) -> bytes | None:
        """The urgent octet, out of band (MSG_OOB); None: it has not come yet. Raises CallError EINVAL: none is."""
        return self.connection.receive_urgent()

    def shutdown(self, how: str, now: Nanos) -> None:
        """Close `read`, `write` or `both`, and keep the socket."""
        self.connection.shutdown(how, now)
        self.schedule.touch(self)

    def close(self, now: Nanos) -> None:
        """Give the socket up."""
        self.connection.close(now)
        self.schedule.touch(self)

    def abort(self, now: Nanos) -> None:
        """End the connection at once, with a RST where the peer may know of it."""
        self.connection.abort(now)
        self.schedule.touch(self)

    def set_keepalive(self, on: bool, now: Nanos) -> None:
        """Set SO_KEEPALIVE, also on a connection that is open already."""
        self.connection.set_keepalive(on, now)
        self.schedule.touch(self)

    def set_quickack(self, on: bool, now: Nanos) -> None:
        """TCP_QUICKACK: acknowledge at once from now on, or, off, only with what we have to say; not for ever."""
        self.connection.set_quickack(on)
        self.schedule.touch(self)

    def next_event(self) -> Event | None:
        """What the owner should know and has not been told yet."""
        return self.connection.next_event()

    def take_event(self) -> int:
        """The next event that its owner wants to be told of (a number of `tcp.events`); 0: there is none."""
        tcb = self.connection
        pending = tcb.events & self._told
        event = pending & -pending
        tcb.events = pending ^ event
        return event

    def info(self, now: Nanos) -> TcpInfo:
        """What getsockopt(TCP_INFO) says."""
        return self.connection.info(now)
