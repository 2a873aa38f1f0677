"""The three small services that every TCP was first tried with: echo, discard and chargen (RFC 862 to 864)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lastack.drive.application import Application
from lastack.model.time import Nanos
from lastack.stack.sock import Socket

from .stream import PIECE, Stream

ECHO_PORT: Final = 7
DISCARD_PORT: Final = 9
CHARGEN_PORT: Final = 19

_PRINTABLE: Final = bytes(range(0x20, 0x7F))
_LINE: Final = 72
_PATTERN: Final = b"".join((_PRINTABLE * 2)[at : at + _LINE] + b"\r\n" for at in range(len(_PRINTABLE)))
_PAGE: Final = _PATTERN * (PIECE // len(_PATTERN))


class Refusal(Application):
    """Resets whoever comes: there are too many already."""

    def on_opened(self, socket: Socket, now: Nanos) -> None:
        """Go away."""
        socket.abort(now)


class Echo(Stream):
    """Sends back what it receives. It reads no more than the peer takes back."""

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """Send it back."""
        while not self.sending:
            data = self.take(socket, now)
            if data is None:
                return
            if not data:
                self.finish(socket, now)
                return
            self.send(iter((data,)), socket, now)

    def on_drained(self, socket: Socket, now: Nanos) -> None:
        """There is room again: read on."""
        self.on_readable(socket, now)

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        """Close when everything has gone back."""
        self.on_readable(socket, now)


class Discard(Stream):
    """Throws away what it receives."""

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """Read, and forget."""
        while self.take(socket, now):
            pass

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        """Close as well."""
        self.on_readable(socket, now)
        self.finish(socket, now)


class Chargen(Stream):
    """Sends the pattern of RFC 864 until the peer goes away, and throws away what it receives."""

    def on_opened(self, socket: Socket, now: Nanos) -> None:
        """Begin."""
        self.send(_pattern(), socket, now)

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """Read, and forget."""
        while self.take(socket, now):
            pass

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        """Enough."""
        self.on_readable(socket, now)
        self.finish(socket, now)


def _pattern() -> Iterator[bytes]:
    while True:
        yield _PAGE
