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
        socket.owner = self
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
        return self._socket

    def on_opened(self, socket: Socket, now: Nanos) -> None:
        """It is open."""
        if not self._result.done():
            self._result.set_result(None)

    def on_error(self, socket: Socket, now: Nanos) -> None:
        """It will never be; an error of one that is open already is for the transport to find."""
        if not self._result.done():
            error = take_error(socket, now) or OSError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
            self._result.set_exception(connect_error(error, self._address))
