"""A connection that is being opened: what `connect` waits for."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from lastack.drive.application import Application
from lastack.model.time import Nanos
from lastack.stack.sock import Socket

from .errors import connect_error, take_error
from .resolve import Address

if TYPE_CHECKING:
    import asyncio

    from .network import Network


class Opening(Application):
    """The owner of a socket until it is open."""

    def __init__(self, network: Network, socket: Socket, address: Address) -> None:
        self._network = network
        self._socket = socket
        self._address = address
        self._result: asyncio.Future[None] = network.loop.create_future()
        self.missed = False
        """Whether something has happened since it was opened, which a transport is to look for."""
        socket.owner = self
        network.attempts(self)
        network.touch()

    async def opened(self) -> Socket:
        """The socket once it is open. Raises OSError; where that, or cancellation, comes first, it is closed."""
        try:
            await self._result
        except BaseException:
            self._socket.owner = None
            self._socket.close(self._network.now())
            self._network.touch()
            raise
        finally:
            self._network.attempted(self)
        return self._socket

    def fail(self, reason: OSError) -> None:
        """The network is gone."""
        if not self._result.done():
            self._result.set_exception(reason)

    def on_opened(self, socket: Socket, now: Nanos) -> None:
        """It is open."""
        if not self._result.done():
            self._result.set_result(None)

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """The peer was quick."""
        self.missed = True

    on_end_of_file = on_readable

    def on_error(self, socket: Socket, now: Nanos) -> None:
        """It will never be open, or is no more."""
        self.missed = True
        if not self._result.done():
            error = take_error(socket, now) or OSError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
            self._result.set_exception(connect_error(error, self._address))
