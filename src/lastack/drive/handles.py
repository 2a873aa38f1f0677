"""Sockets and listeners as an experiment holds them: every call is at the simulator's now."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from lastack.model.address import Endpoint
from lastack.model.state import State
from lastack.stack.listener import Listener
from lastack.stack.sock import Socket
from lastack.stack.stack import Stack
from lastack.tcp.events import Event
from lastack.tcp.info import TcpInfo
from lastack.tcp.settings import SocketOptions

from .node import Node

if TYPE_CHECKING:
    from .simulator import Simulator


@final
class SimSocket:
    """One end of a connection."""

    __slots__ = ("_node", "_sim", "_stack", "socket")

    def __init__(self, sim: Simulator, node: Node, stack: Stack, socket: Socket) -> None:
        self._sim = sim
        self._node = node
        self._stack = stack
        self.socket = socket

    @property
    def state(self) -> State:
        """Its state; TIME_WAIT only while it lasts."""
        return self._stack.state_of(self.socket)

    @property
    def options(self) -> SocketOptions:
        """Its options, to be set at any time."""
        return self.socket.options

    @property
    def error(self) -> str | None:
        """The error that the next call will raise."""
        return self.socket.connection.error

    @property
    def local(self) -> Endpoint:
        """Our address and port."""
        return self.socket.local_endpoint

    @property
    def remote(self) -> Endpoint:
        """The peer's address and port."""
        return self.socket.remote_endpoint

    def send(self, data: bytes) -> int:
        """Queue octets; how many were taken. Raises CallError."""
        taken = self.socket.send(data, self._sim.now)
        self._sim.flush(self._node)
        return taken

    def receive(self, limit: int = 1 << 30) -> bytes | None:
        """Octets in order; None: nothing yet; empty: end of file. Raises CallError."""
        data = self.socket.receive(limit, self._sim.now)
        self._sim.flush(self._node)
        return data

    def shutdown(self, how: str = "write") -> None:
        """Close `read`, `write` or `both`, and keep the socket."""
        self.socket.shutdown(how, self._sim.now)
        self._sim.flush(self._node)

    def close(self) -> None:
        """Give the socket up."""
        self.socket.close(self._sim.now)
        self._sim.flush(self._node)

    def abort(self) -> None:
        """End the connection at once."""
        self.socket.abort(self._sim.now)
        self._sim.flush(self._node)

    def set_keepalive(self, on: bool = True) -> None:
        """Set SO_KEEPALIVE on an open connection."""
        self.socket.set_keepalive(on, self._sim.now)
        self._sim.flush(self._node)

    def set_quickack(self, on: bool = True) -> None:
        """TCP_QUICKACK: acknowledge at once from now on, or, off, only with what we have to say; not for ever."""
        self.socket.set_quickack(on, self._sim.now)
        self._sim.flush(self._node)

    def next_event(self) -> Event | None:
        """What happened to it and was not asked for yet."""
        return self.socket.next_event()

    def info(self) -> TcpInfo:
        """What getsockopt(TCP_INFO) says."""
        return self.socket.info(self._sim.now)


@final
class SimListener:
    """A listening socket."""

    __slots__ = ("_node", "_sim", "_stack", "listener")

    def __init__(self, sim: Simulator, node: Node, stack: Stack, listener: Listener) -> None:
        self._sim = sim
        self._node = node
        self._stack = stack
        self.listener = listener

    def accept(self) -> SimSocket | None:
        """The next established connection, or None."""
        socket = self._stack.accept(self.listener)
        self._sim.flush(self._node)
        return None if socket is None else SimSocket(self._sim, self._node, self._stack, socket)

    def close(self) -> None:
        """Listen no more; what was not accepted is reset."""
        self._stack.unlisten(self.listener, self._sim.now)
        self._sim.flush(self._node)
