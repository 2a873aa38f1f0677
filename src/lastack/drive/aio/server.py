"""A server of asyncio's on listeners of ours."""

from __future__ import annotations

import asyncio
import contextvars
import random
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from lastack.drive.application import Application
from lastack.errors import CallError
from lastack.model.time import Nanos
from lastack.stack.listener import Listener
from lastack.stack.sock import Socket
from lastack.tcp.settings import SocketOptions

from .errors import socket_error
from .resolve import Address
from .standin import StandIn
from .tls import Secure
from .transport import Transport

if TYPE_CHECKING:
    from .network import Network

_TRIES: Final = 1000


class Server(asyncio.AbstractServer, Application):
    """Made by `Network.create_server`; every accepted connection gets a protocol of `factory` and a Transport.

    The addresses are bound when it is made; where it does not serve yet, they are free again until `start_serving`.
    """

    def __init__(
        self,
        network: Network,
        addresses: list[Address],
        factory: Callable[[], asyncio.BaseProtocol],
        secure: Secure,
        backlog: int,
        options: SocketOptions,
    ) -> None:
        self._network = network
        self._factory = factory
        self._secure = secure
        self._backlog = backlog
        self._options = options
        self._context = contextvars.copy_context()
        self._listeners: list[Listener] = []
        self._transports: set[Transport] = set()
        self._waiters: list[asyncio.Future[None]] = []
        self._forever: asyncio.Future[None] | None = None
        self._closed = False
        self._addresses: list[Address] = []
        try:
            chosen = 0
            for host, port in addresses:
                chosen = self._listen((host, port or chosen))
                self._addresses.append((host, chosen))
        except OSError:
            self._unlisten()
            raise
        self._sockets = tuple(StandIn(options, address) for address in self._addresses)

    @property
    def sockets(self) -> tuple[Any, ...]:
        """Stand-ins for the listening sockets; none when closed."""
        return () if self._closed else self._sockets

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that serves."""
        return self._network.loop

    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return bool(self._listeners)

    async def start_serving(self) -> None:
        """Accept connections. Raises OSError (EADDRINUSE) where somebody else has the address meanwhile."""
        if not self._listeners and not self._closed:
            for address in self._addresses:
                self._listen(address)
        await asyncio.sleep(0)

    def stop_serving(self) -> None:
        """Accept no more, for the time being; what was not accepted is reset."""
        self._unlisten()

    async def serve_forever(self) -> None:
        """Accept connections until cancelled; then close. Raises RuntimeError when closed, or called twice."""
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        if self._closed:
            raise RuntimeError(f"server {self!r} is closed")
        await self.start_serving()
        self._forever = self.get_loop().create_future()
        try:
            await self._forever
        except asyncio.CancelledError:
            try:
                self.close()
                await self.wait_closed()
            finally:
                raise
        finally:
            self._forever = None

    def close(self) -> None:
        """Accept no more, for good; open connections stay."""
        if self._closed:
            return
        self._closed = True
        self._unlisten()
        self._network.servers.discard(self)
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()
        self._wake_if_over()

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its last connection is over.

        Before Python 3.12 asyncio's own does not wait for connections once the server is closed, nor does this.
        """
        if self._closed and (not self._transports or sys.version_info < (3, 12)):
            return
        waiter = self.get_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def close_clients(self) -> None:
        """Close every connection (as of Python 3.13)."""
        for transport in list(self._transports):
            transport.close()

    def abort_clients(self) -> None:
        """Close every connection without what its transport still holds back (as of Python 3.13)."""
        for transport in list(self._transports):
            transport.abort()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sockets={self.sockets!r}>"

    # -- the connections

    def attach(self, transport: Transport) -> None:
        """One more is open."""
        self._transports.add(transport)

    def detach(self, transport: Transport) -> None:
        """One less."""
        self._transports.discard(transport)
        self._wake_if_over()

    def on_opened(self, socket: Socket, now: Nanos) -> None:
        """A connection was accepted; from now on its owner is a Transport."""
        self._context.copy().run(self._welcome, socket)

    def _welcome(self, socket: Socket) -> None:
        loop = self.get_loop()
        # As asyncio has it with every connection.
        socket.options.tcp_nodelay = True
        try:
            protocol = self._factory()
            if self._secure.context:
                protocol = self._secure.wrap(loop, protocol, None, server=True)
        except Exception as error:
            loop.call_exception_handler(
                {"message": "Error on transport creation for incoming connection", "exception": error}
            )
            socket.owner = None
            socket.close(self._network.now())
            return
        Transport(self._network, socket, protocol, server=self)

    # -- the listeners

    def _listen(self, address: Address) -> int:
        """Listen there, on a free port where none is named; which port it is. Raises OSError."""
        host, port = address
        if port:
            self._bind(address)
            return port
        low, high = self._network.stack.settings.ip_local_port_range
        for _ in range(_TRIES):
            port = random.randint(low, high)
            try:
                self._bind((host, port))
            except OSError:
                continue
            return port
        return self._bind((host, port))

    def _bind(self, address: Address) -> int:
        try:
            listener = self._network.station.serve(address, lambda: self, self._backlog, self._options)
        except CallError as error:
            number = socket_error(error).errno
            raise OSError(number, f"error while attempting to bind on address {address!r}: {error}") from error
        self._listeners.append(listener)
        return address[1]

    def _unlisten(self) -> None:
        for listener in self._listeners:
            self._network.station.unserve(listener, self._network.now())
        self._listeners.clear()

    def _wake_if_over(self) -> None:
        if self._closed and not self._transports:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
