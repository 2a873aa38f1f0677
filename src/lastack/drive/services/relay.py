"""A relay: every connection that comes in is passed on to another place, over the same stack."""

from __future__ import annotations

from lastack.errors import CallError
from lastack.model.time import Nanos
from lastack.stack.sock import Socket
from lastack.stack.stack import Stack

from .stream import Stream


class Relay(Stream):
    """One side of a pair; the other is made when this one opens. Ends are passed on as they come: half closes, resets.

    Neither side reads more than the other takes.
    """

    def __init__(self, stack: Stack, to: tuple[str, int], other: Relay | None = None) -> None:
        super().__init__()
        self._stack = stack
        self._to = to
        self._other = other
        self._socket: Socket | None = None
        self._ended = False
        """The peer has sent everything, and that was passed on."""
        self._gone = False

    def on_opened(self, socket: Socket, now: Nanos) -> None:
        """Open the other side, or, being that one, let the first begin to read."""
        self._socket = socket
        if self._other is not None:
            if self._other._gone:
                # It could not wait.
                socket.abort(now)
            self._other.move(now)
            return
        self._other = Relay(self._stack, self._to, self)
        try:
            self._stack.connect(self._to, now).owner = self._other
        except CallError:
            socket.abort(now)

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """Pass it on."""
        self.move(now)

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        """Pass that on too."""
        self.move(now)

    def on_drained(self, socket: Socket, now: Nanos) -> None:
        """There is room: the other side may read on."""
        if self._other is not None:
            self._other.move(now)

    def on_error(self, socket: Socket, now: Nanos) -> None:
        """What has failed here fails there."""
        if self._other is not None and self._other._socket is not None:
            self._other._socket.abort(now)

    def on_closed(self, socket: Socket, now: Nanos) -> None:
        """Nothing more comes from here."""
        super().on_closed(socket, now)
        self._socket = None
        self._gone = True
        if self._other is not None and not self._ended:
            self.on_error(socket, now)

    def move(self, now: Nanos) -> None:
        """Read here and send there, while there is something and room for it."""
        other = self._other
        while self._socket is not None and other is not None and other._socket is not None:
            if self._ended or other.sending:
                return
            data = self.take(self._socket, now)
            if data is None:
                return
            if data:
                other.send(iter((data,)), other._socket, now)
                continue
            self._ended = True
            try:
                other._socket.shutdown("write", now)
            except CallError:
                return
            if other._ended:
                self.finish(self._socket, now)
                other.finish(other._socket, now)
