"""TLS over our transports is asyncio's own: an SSLProtocol between the transport and the program's protocol."""

from __future__ import annotations

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from typing import NamedTuple


class Secure(NamedTuple):
    """How to speak TLS: the arguments of asyncio's functions. `context` False or None: not at all; True: by default."""

    context: ssl.SSLContext | bool | None = None
    hostname: str | None = None
    handshake_timeout: float | None = None
    shutdown_timeout: float | None = None

    def check(self, host: str | None, *, server: bool = False) -> Secure:
        """The same with `host` as the name to be proven where none was given. Raises ValueError, TypeError."""
        if server and isinstance(self.context, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        if not self.context:
            for name in ("hostname", "handshake_timeout", "shutdown_timeout"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{'server_' if name == 'hostname' else 'ssl_'}{name} is only meaningful with ssl")
        elif self.hostname is None and not server:
            if not host:
                raise ValueError("You must set server_hostname when using ssl without a host")
            return self._replace(hostname=host)
        return self

    def wrap(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None,
        *,
        server: bool = False,
    ) -> SSLProtocol:
        """The protocol for the transport below; `transport_of` gives the one for the program."""
        return SSLProtocol(
            loop,
            protocol,
            None if isinstance(self.context, bool) else self.context,  # type: ignore[arg-type]
            waiter,  # type: ignore[arg-type]
            server,
            self.hostname,
            ssl_handshake_timeout=self.handshake_timeout,  # type: ignore[arg-type]
            ssl_shutdown_timeout=self.shutdown_timeout,
        )


def transport_of(protocol: SSLProtocol) -> asyncio.Transport:
    """The transport that the program sees. It has no other name in asyncio, whose start_tls() returns it."""
    return protocol._app_transport
