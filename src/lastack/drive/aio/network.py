"""Connections and servers of asyncio's on a stack of ours: what an event loop has the kernel for."""

from __future__ import annotations

import asyncio
import errno
import os
import socket as system
from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

from lastack.drive.pump import Wire
from lastack.errors import CallError
from lastack.stack.sock import Socket
from lastack.stack.stack import Stack
from lastack.tcp.settings import SocketOptions
from lastack.wire.ip import address_words

from .connecting import first_of, interleaved
from .driver import LoopDriver
from .errors import connect_error, socket_error
from .opening import Opening
from .resolve import Address, resolve
from .server import Server
from .tls import Secure, transport_of
from .transport import Transport

if TYPE_CHECKING:
    from typing import Self

LINGER: Final = 3.0
"""Seconds that closed connections have to deliver what is under way when the network is closed."""
_ANSWER: Final = 0.25


class Network(LoopDriver):
    """Connections and servers on our TCP, for programs on any event loop; see also `EventLoop`.

        async with Network(stack, TunDevice(Tun(["10.9.0.1/24"])), ["10.9.0.0/24"]) as network:
            reader, writer = await network.open_connection("10.9.0.1", 80)

    Without a `device` the stack can only talk to itself. `networks` is what is to be reached through it. The device is
    not closed with the network. `loop` may be left out while one is running.
    """

    def __init__(
        self,
        stack: Stack,
        device: Wire | None = None,
        networks: Iterable[str] = (),
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        linger: float = LINGER,
    ) -> None:
        super().__init__(stack, device, loop or asyncio.get_running_loop())
        self.linger = linger
        self.servers: set[Server] = set()
        self.addresses = [address_words(address) for address in stack.host.addresses]
        self._networks = [ip_network(network) for network in networks]
        self._open: set[Transport] = set()
        self._attempts: set[Opening] = set()
        self._idle: asyncio.Future[None] | None = None
        """Done when nothing is open any more, once somebody waits for that."""

    # -- what a program calls

    def reaches(self, address: str) -> bool:
        """Whether connections to an address go by this TCP: it is ours, or of one of the networks."""
        if address in self.addresses:
            return True
        wanted = ip_address(address)
        return any(wanted in network for network in self._networks if network.version == wanted.version)

    def holds(self, address: str) -> bool:
        """Whether listening at an address is this TCP's affair: it is ours, or none in particular."""
        return address in self.addresses or ip_address(address).is_unspecified

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | str | None = None,
        *,
        ssl: Any = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        local_addr: tuple[str, int] | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """As the event loop's, through this network alone. Raises OSError, also where no address of `host` is in it."""
        secure = Secure(ssl, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout).check(host)
        addresses = await resolve(self.loop, host, port, family=family, proto=proto, flags=flags)
        near = [address for address in addresses if self.reaches(address[0])]
        if not near:
            raise OSError(f"no address of {host!r} is reached through this network")
        if interleave or (happy_eyeballs_delay is not None and interleave is None):
            near = interleaved(near, interleave or 1)
        sources = [] if local_addr is None else await resolve(self.loop, local_addr[0], local_addr[1], family=family)
        connect = partial(self._connect_from, sources)
        socket = await first_of(near, connect, delay=happy_eyeballs_delay, all_errors=all_errors)
        return await self.adopt(socket, protocol_factory, secure)

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | Iterable[str | None] | None = None,
        port: int | str | None = None,
        *,
        family: int = 0,
        flags: int = system.AI_PASSIVE,
        backlog: int = 100,
        ssl: Any = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> Server:
        """As the event loop's, on this network. A host that is none in particular means every address of ours."""
        secure = Secure(ssl, None, ssl_handshake_timeout, ssl_shutdown_timeout).check(None, server=True)
        options = SocketOptions(
            so_reuseaddr=reuse_address is not False, so_reuseport=bool(reuse_port), so_keepalive=bool(keep_alive)
        )
        places: dict[Address, None] = {}
        for one in [host] if host is None or isinstance(host, str) else host:
            for address, number in await self._places(one, port, family, flags):
                places[address, number] = None
        server = Server(self, list(places), protocol_factory, secure, backlog, options)
        self.servers.add(server)
        if not start_serving:
            server.stop_serving()
        await asyncio.sleep(0)
        return server

    async def open_connection(
        self, host: str, port: int | str, *, limit: int = 1 << 16, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """As `asyncio.open_connection`."""
        reader = asyncio.StreamReader(limit=limit, loop=self.loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self.loop)
        transport, _ = await self.create_connection(lambda: protocol, host, port, **options)
        return reader, asyncio.StreamWriter(transport, protocol, reader, self.loop)

    async def start_server(
        self,
        client_connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
        host: str | None = None,
        port: int | str | None = None,
        *,
        limit: int = 1 << 16,
        **options: Any,
    ) -> Server:
        """As `asyncio.start_server`."""

        def factory() -> asyncio.StreamReaderProtocol:
            reader = asyncio.StreamReader(limit=limit, loop=self.loop)
            return asyncio.StreamReaderProtocol(reader, client_connected, loop=self.loop)

        return await self.create_server(factory, host, port, **options)

    async def connect(self, address: Address, local: Address | None = None) -> Socket:
        """Open a connection and give the stack's own socket. Raises OSError; when cancelled, nothing is left of it."""
        try:
            socket = self.stack.connect(address, self.now(), SocketOptions(tcp_nodelay=True), local)
        except CallError as error:
            raise connect_error(socket_error(error), address) from error
        return await Opening(self, socket, address).opened()

    async def adopt(
        self, socket: Socket, factory: Callable[[], asyncio.BaseProtocol], secure: Secure
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """A transport and a protocol for a socket that is open, when they have met, and TLS has shaken hands."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        # Without an owner it is closed already.
        missed = not isinstance(socket.owner, Opening) or socket.owner.missed
        try:
            protocol = factory()
            secured = secure.wrap(self.loop, protocol, waiter) if secure.context else None
        except BaseException:
            socket.close(self.now())
            self.touch()
            raise
        if secured is None:
            transport: asyncio.Transport = Transport(self, socket, protocol, waiter, missed=missed)
        else:
            Transport(self, socket, secured, missed=missed)
            transport = transport_of(secured)
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    async def aclose(self) -> None:
        """Close servers and connections, give them `linger` seconds to deliver what is under way, and stop.

        Peers that close in answer are heard, if they do so at once: nobody would acknowledge their FIN later.
        """
        if self._stopped:
            return
        for server in list(self.servers):
            server.close()
        for transport in list(self._open):
            transport.close()
        if self._open:
            self._idle = self.loop.create_future()
            await asyncio.wait([self._idle], timeout=self.linger)
        until = self.loop.time() + min(_ANSWER, self.linger)
        while self.stack.half_closed() and self.loop.time() < until:
            await asyncio.sleep(_ANSWER / 20)
        self.close()
        await asyncio.sleep(0)

    def close(self) -> None:
        """Stop at once: who is still connected is reset. Harmless when repeated."""
        if self._stopped:
            return
        for transport in self._open:
            transport.reset()
        self.stop()
        self.failed(OSError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # -- what the transports call

    def opened(self, transport: Transport) -> None:
        """One more connection that the network is to look after."""
        self._open.add(transport)

    def closed(self, transport: Transport) -> None:
        """The stack has done with one."""
        self._open.discard(transport)
        if self._idle is not None and not self._open and not self._idle.done():
            self._idle.set_result(None)

    def attempts(self, opening: Opening) -> None:
        """One more is being opened."""
        self._attempts.add(opening)

    def attempted(self, opening: Opening) -> None:
        """One less."""
        self._attempts.discard(opening)

    def failed(self, error: OSError) -> None:
        """Every connection ends with this error, and every attempt at one."""
        for transport in list(self._open):
            transport.fail(error)
        self._open.clear()
        for attempt in self._attempts:
            attempt.fail(error)

    # -- finding the way

    async def _connect_from(self, sources: list[Address], address: Address) -> Socket:
        """Open a connection from the first of the sources that is of the destination's family."""
        if not sources:
            return await self.connect(address)
        version = ip_address(address[0]).version
        for host, port in sources:
            wanted = ip_address(host)
            own = [one for one in self.addresses if ip_address(one).version == version]
            if wanted.version == version and (host in own or (own and wanted.is_unspecified)):
                return await self.connect(address, (host if host in own else own[0], port))
        raise OSError(errno.EADDRNOTAVAIL, f"error while attempting to bind on one of {sources}: it is not ours")

    async def _places(self, host: str | None, port: int | str | None, family: int, flags: int) -> list[Address]:
        """Where to listen for one host. Raises OSError where an address is not ours."""
        places: list[Address] = []
        for address, number in await resolve(self.loop, host or None, port, family=family, flags=flags):
            wanted = ip_address(address)
            if wanted.is_unspecified:
                places += [(own, number) for own in self.addresses if ip_address(own).version == wanted.version]
            elif address in self.addresses:
                places.append((address, number))
            else:
                raise OSError(errno.EADDRNOTAVAIL, f"error while attempting to bind on {address!r}: it is not ours")
        return places
