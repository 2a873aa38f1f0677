"""What every service needs: sending as fast as the peer takes it, and never more in memory than one piece."""

from __future__ import annotations

from collections.abc import Iterator

from lastack.drive.application import Application
from lastack.errors import CallError
from lastack.model.time import Nanos
from lastack.stack.sock import Socket

PIECE = 1 << 16
"""Octets that are read from a file, or from a peer, at a time."""


class Stream(Application):
    """Sends what iterators give, a piece at a time, when the send buffer has room for it.

    A subclass says what to do when all of it has been handed over (`on_drained`). A connection that fails is told of by
    `on_error` and `on_closed`; the calls here say no more than that nothing is left to do.
    """

    def __init__(self) -> None:
        self._source: Iterator[bytes] | None = None
        self._rest = b""
        self.failure: str | None = None
        """The errno that the connection failed with, if it did."""

    @property
    def sending(self) -> bool:
        """Whether some of what was given to `send` still waits for room."""
        return self._source is not None

    def send(self, pieces: Iterator[bytes], socket: Socket, now: Nanos) -> None:
        """Send all the pieces. One such call at a time: the next when this one is no longer `sending`."""
        self._source = pieces
        self._rest = b""
        self._push(socket, now)

    def take(self, socket: Socket, now: Nanos) -> bytes | None:
        """What the peer has sent; None: nothing at present; empty: nothing any more."""
        try:
            return socket.receive(PIECE, now)
        except CallError as error:
            self.failure = error.code
            return None

    def finish(self, socket: Socket, now: Nanos) -> None:
        """Give the socket up. What was sent is still delivered."""
        self._drop()
        socket.close(now)

    def on_drained(self, socket: Socket, now: Nanos) -> None:
        """All of it has been handed over."""

    def on_writable(self, socket: Socket, now: Nanos) -> None:
        """Go on where there was no more room."""
        if self.sending:
            self._push(socket, now)
            if not self.sending:
                self.on_drained(socket, now)

    def on_closed(self, socket: Socket, now: Nanos) -> None:
        """Let go of the source, and of the file that it may hold open."""
        self._drop()

    def _push(self, socket: Socket, now: Nanos) -> None:
        source = self._source
        while source is not None:
            try:
                if not self._rest:
                    piece = next(source, None)
                    if piece is None:
                        self._source = None
                        return
                    self._rest = piece
                taken = socket.send(self._rest, now)
            except CallError as error:
                self.failure = error.code
                self._drop()
                return
            except OSError:
                # The source has failed in the middle, and the peer must not take what it got for the whole.
                self._drop()
                socket.abort(now)
                return
            self._rest = self._rest[taken:]
            if self._rest:
                return

    def _drop(self) -> None:
        source, self._source, self._rest = self._source, None, b""
        if source is not None:
            # A generator ends here, and closes what it has open.
            getattr(source, "close", lambda: None)()
