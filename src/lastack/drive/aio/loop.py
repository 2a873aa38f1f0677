"""The event loop: asyncio's own, where some addresses are reached by a TCP of ours. See the package for which."""

from __future__ import annotations

import asyncio
import socket as system
from collections.abc import Callable, Iterable
from ipaddress import ip_interface
from typing import Any
from weakref import WeakKeyDictionary, finalize

from lastack.drive.blocking import real_stack
from lastack.drive.pump import Wire
from lastack.stack.sock import Socket
from lastack.stack.stack import Stack
from lastack.tcp.settings import Settings

from .network import LINGER, Network
from .resolve import resolve
from .sendfile import send_file
from .server import Server
from .tls import Secure
from .transport import Transport


class EventLoop(asyncio.SelectorEventLoop):
    """asyncio's loop with a network of ours: `network`, a `Network` of these arguments.

    The device is closed with the loop.
    """

    def __init__(
        self, stack: Stack, device: Wire | None = None, networks: Iterable[str] = (), *, linger: float = LINGER
    ) -> None:
        super().__init__()
        self._device = device
        self._tokens: WeakKeyDictionary[system.socket, Socket] = WeakKeyDictionary()
        try:
            self.network = Network(stack, device, networks, loop=self, linger=linger)
        except BaseException:
            super().close()
            raise

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | str | None = None,
        *,
        sock: system.socket | None = None,
        **options: Any,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """By our TCP where an address of the host, or the token `sock`, is of our networks; else by the kernel's."""
        if sock is not None and sock in self._tokens and host is None and port is None:
            names = ("ssl", "server_hostname", "ssl_handshake_timeout", "ssl_shutdown_timeout")
            secure = Secure(*(options.get(name) for name in names)).check(None)
            ours = self._tokens.pop(sock)
            sock.close()
            return await self.network.adopt(ours, protocol_factory, secure)
        if sock is None and host is not None:
            hints = {name: options.get(name, 0) for name in ("family", "proto", "flags")}
            addresses = await resolve(self, host, port, **hints)
            if any(self.network.reaches(address) for address, _ in addresses):
                return await self.network.create_connection(protocol_factory, host, port, **options)
        return await super().create_connection(protocol_factory, host, port, sock=sock, **options)  # type: ignore[arg-type]

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | Iterable[str] | None = None,
        port: int | str | None = None,
        *,
        sock: system.socket | None = None,
        **options: Any,
    ) -> Server | asyncio.Server:
        """By our TCP where every host is an address of ours, or none in particular; by the kernel's where none is.

        Raises ValueError where some are and some are not: those are two servers.
        """
        if sock is None and (host is not None or port is not None):
            hosts = [host] if host is None or isinstance(host, str) else list(host)
            hints = {"family": options.get("family", 0), "flags": options.get("flags", system.AI_PASSIVE)}
            ours = set()
            for one in hosts:
                addresses = await resolve(self, one or None, port, **hints)
                ours |= {self.network.holds(address) for address, _ in addresses}
            if ours == {True}:
                return await self.network.create_server(protocol_factory, hosts, port, **options)
            if len(ours) == 2:
                raise ValueError(f"{host!r}: some are addresses of ours and some are the kernel's; make two servers")
        return await super().create_server(protocol_factory, host, port, sock=sock, **options)  # type: ignore[arg-type]

    async def sock_connect(self, sock: system.socket, address: Any) -> None:
        """Connect; towards our networks `sock` becomes a token, to be given to `create_connection`."""
        if sock.type == system.SOCK_STREAM and sock.family in (system.AF_INET, system.AF_INET6):
            host, port = (await resolve(self, address[0], address[1], family=sock.family))[0]
            if self.network.reaches(host):
                ours = await self.network.connect((host, port))
                self._tokens[sock] = ours
                # One that is dropped is closed; one that was adopted has an owner by then.
                finalize(sock, self._forget, ours).atexit = False
                return
        await super().sock_connect(sock, address)

    async def sendfile(
        self,
        transport: asyncio.WriteTransport,
        file: Any,
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,
    ) -> int:
        """Send a file; how many octets were sent. Over our transports they are read and written."""
        if isinstance(transport, Transport):
            return await send_file(transport, file, offset, count)
        return await super().sendfile(transport, file, offset, count, fallback=fallback)

    def close(self) -> None:
        """Close connections and servers, the device and the loop. Raises RuntimeError while it runs."""
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self.is_closed():
            return
        try:
            self.run_until_complete(self.network.aclose())
        finally:
            self.network.close()
            if self._device is not None:
                self._device.close()
            super().close()

    def _forget(self, socket: Socket) -> None:
        if not isinstance(socket.owner, Transport) and not self.is_closed():
            socket.close(self.network.now())
            self.network.touch()


def on_tun(
    kernel: Iterable[str],
    ours: Iterable[str],
    *,
    networks: Iterable[str] = (),
    settings: Settings | None = None,
    linger: float = LINGER,
    **device: Any,
) -> Callable[[], EventLoop]:
    """A loop factory, for `asyncio.run` and `asyncio.Runner`: every loop with a TUN device and a stack of its own.

    `kernel` are the kernel's addresses on the device, each with the length of its prefix, `ours` those of our TCP
    within these. `networks` are further ones to be reached through the device. `settings` are the stack's; `device`
    what `Tun` takes besides (name, mtu, routes, netns, offload). The factory raises KernelError where the kernel
    refuses.
    """
    from lastack.drive.tun import TunDevice
    from lastack.linux.tun import Tun

    theirs, own, further = list(kernel), list(ours), list(networks)
    prefixes = [str(ip_interface(address).network) for address in theirs]

    def make() -> EventLoop:
        tun = TunDevice(Tun(theirs, **{"offload": True, **device}))
        try:
            copy = None if settings is None else settings.copy()
            return EventLoop(real_stack(own, copy), tun, prefixes + further, linger=linger)
        except BaseException:
            tun.close()
            raise

    return make
