"""One HTTP/1.1 request and its answer, as an application (RFC 9112)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import quote, urlsplit

from lastack.errors import CallError, DecodeError
from lastack.model.time import Nanos
from lastack.stack.sock import Socket

from .message import Head, encode_head, take_head
from .stream import Stream

_MOST_LINE: Final = 1024
"""Octets of the line that begins a chunk."""


class Address:
    """Where a URL leads: `host` and `port`, and the `target` of the request."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port
        except ValueError as error:
            raise CallError(f"{url!r} is no URL: {error}") from None
        if parts.scheme != "http" or not parts.hostname or not parts.netloc.isascii():
            raise CallError(f"{url!r} is no URL that begins with http:// and names a host in ASCII")
        self.host = parts.hostname
        self.port = 80 if port is None else port
        self.name = parts.netloc.rpartition("@")[2]
        self.target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (
            f"?{quote(parts.query, safe='/%:@!$&()*+,;=~?')}" if parts.query else ""
        )


class Fetch(Stream):
    """Asks for one URL and hands the body to `sink`, piece by piece.

    `done` when the whole answer has come, or when it never will: then `error` says why. `head` is the answer's.
    """

    def __init__(self, address: Address, sink: Callable[[bytes], object], fields: dict[str, str] | None = None) -> None:
        super().__init__()
        asked = {
            "Host": address.name,
            "User-Agent": "lastack",
            "Accept": "*/*",
            "Connection": "close",
            **(fields or {}),
        }
        self._request = encode_head(f"GET {address.target} HTTP/1.1", asked)
        self._sink = sink
        self._input = bytearray()
        self._body: Body | None = None
        self.head: Head | None = None
        self.octets = 0
        """Of the body, so far."""
        self.done = False
        self.error: str | None = None

    @property
    def status(self) -> int:
        """The answer's status; 0: there is no answer."""
        return int(self.head.start[1]) if self.head is not None else 0

    def on_opened(self, socket: Socket, now: Nanos) -> None:
        """Ask."""
        self.send(iter((self._request,)), socket, now)

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """Read the answer."""
        while not self.done:
            data = self.take(socket, now)
            if data is None:
                return
            if not data:
                self._end(socket, now)
                return
            self._input += data
            try:
                self._read()
            except (DecodeError, OverflowError) as error:
                self.error = f"the answer cannot be read: {error}"
                self.done = True
                socket.abort(now)
                return
            if self._body is not None and self._body.complete:
                self.done = True
                self.finish(socket, now)

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        """Whatever has not come does not come any more."""
        self.on_readable(socket, now)

    def on_error(self, socket: Socket, now: Nanos) -> None:
        """The connection has failed."""
        self.give_up(f"the connection failed: {socket.connection.error or self.failure or 'no answer'}")

    def on_closed(self, socket: Socket, now: Nanos) -> None:
        """Nothing more will happen."""
        super().on_closed(socket, now)
        self.give_up("the connection ended before the answer did")

    def _end(self, socket: Socket, now: Nanos) -> None:
        if self._body is None:
            self.give_up("the server closed without an answer" if self.head is None else "the answer has no end")
        elif not self._body.until_end:
            self.give_up(f"the server closed in the middle, after {self.octets} octets")
        self.done = True
        self.finish(socket, now)

    def give_up(self, why: str) -> None:
        """It will not be waited for any longer; nothing changes where it is done."""
        if not self.done:
            self.error = why
            self.done = True

    def _read(self) -> None:
        while self._body is None:
            head = take_head(self._input)
            if head is None:
                return
            if not head.start[0].startswith("HTTP/") or not (head.start[1].isdecimal() and len(head.start[1]) == 3):
                raise DecodeError(f"it begins with {' '.join(head.start)[:60]!r}")
            # One of 1xx only announces the answer.
            if not head.start[1].startswith("1"):
                self.head = head
                self._body = Body(head)
        for piece in self._body.take(self._input):
            self.octets += len(piece)
            self._sink(piece)


class Body:
    """The octets of a body, out of the three ways to say where it ends (RFC 9112 6.3)."""

    def __init__(self, head: Head) -> None:
        chunked = "chunked" in head.tokens("transfer-encoding")
        length = None if chunked else head.length()
        none = head.start[1] in ("204", "304")
        self._chunked = chunked and not none
        self._left = 0 if none else length or 0
        self._trailer = False
        self.until_end = not chunked and length is None and not none
        self.complete = not self._chunked and not self.until_end and not self._left

    def take(self, buffer: bytearray) -> list[bytes]:
        """Cut what belongs to the body off a buffer. Raises DecodeError where a chunk is none."""
        found: list[bytes] = []
        while buffer and not self.complete:
            if self.until_end:
                found.append(bytes(buffer))
                buffer.clear()
            elif self._left:
                piece = bytes(buffer[: self._left])
                del buffer[: len(piece)]
                self._left -= len(piece)
                found.append(piece)
                self.complete = not self._chunked and not self._left
            elif not self._line(buffer):
                break
        return found

    def _line(self, buffer: bytearray) -> bool:
        """Read a line between chunks; whether there was a whole one."""
        end = buffer.find(b"\n", 0, _MOST_LINE)
        if end < 0:
            if len(buffer) >= _MOST_LINE:
                raise DecodeError("a line between chunks without an end")
            return False
        line = bytes(buffer[:end]).strip()
        del buffer[: end + 1]
        if self._trailer:
            self.complete = not line
            return True
        if not line:
            # The end of the last chunk's line.
            return True
        size = line.partition(b";")[0].strip()
        try:
            if not size.isalnum() or len(size) > 15:
                raise ValueError
            self._left = int(size, 16)
        except ValueError:
            raise DecodeError(f"no size of a chunk: {size[:20]!r}") from None
        self._trailer = not self._left
        return True
