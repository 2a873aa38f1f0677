"""A static HTTP/1.1 server (RFC 9110, RFC 9112): kept alive, pipelined, with ranges; one connection an object."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from email.utils import formatdate, parsedate_to_datetime
from itertools import chain
from typing import Final, NamedTuple

from lastack.errors import CallError, DecodeError
from lastack.model.time import Nanos
from lastack.stack.sock import Socket

from .files import Files, Moved, Opened, Page, pieces
from .message import Head, encode_head, take_head
from .stream import Stream

HTTP_PORT: Final = 80
_REASONS: Final = {
    200: "OK",
    206: "Partial Content",
    301: "Moved Permanently",
    304: "Not Modified",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    416: "Range Not Satisfiable",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
}
_LAST: Final = (400, 405, 431, 501)
"""After these nobody can tell where the next request begins, or whether there is one."""
_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)
_LATEST: Final = 4e9
"""A file may bear any date, also one that has no name."""
_MOST_IGNORED: Final = 1 << 20
"""Octets of a body, or after the last answer, that are read to be polite; who sends more is cut off."""


class Answer(NamedTuple):
    """A status, the fields that belong to it, the length of the body, and the body."""

    status: int
    fields: dict[str, str]
    length: int
    body: Iterator[bytes]


class FileServer(Stream):
    """Answers requests for files, one after the other; `log`, where given, gets a line for each."""

    def __init__(self, files: Files, log: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self._files = files
        self._log = log
        self._input = bytearray()
        self._skip = 0
        """Octets of the last request's body that are still to come."""
        self._last = False
        """Nothing more is answered."""
        self._ignored = -1
        """How much has come after the last answer; -1: our FIN is not sent yet."""

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """Read requests, and answer them in their order."""
        while not self.sending:
            if self._last:
                self._leave(socket, now)
                return
            if self._answer(socket, now):
                continue
            data = self.take(socket, now)
            if data is None:
                return
            if not data:
                self.finish(socket, now)
                return
            self._input += data

    def on_drained(self, socket: Socket, now: Nanos) -> None:
        """An answer has been handed over: on with the next request."""
        self.on_readable(socket, now)

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        """The client is done; what it has asked for is still answered."""
        self.on_readable(socket, now)

    def _leave(self, socket: Socket, now: Nanos) -> None:
        """Close. Who still sends is listened to for a while: a RST would take the answer from it (RFC 9112 9.6)."""
        if self._ignored < 0:
            if not self._skip and not self._input:
                self.finish(socket, now)
                return
            self._ignored = 0
            try:
                socket.shutdown("write", now)
            except CallError:
                return
        while data := self.take(socket, now):
            self._ignored += len(data)
            if self._ignored > _MOST_IGNORED:
                socket.abort(now)
                return
        if data is not None:
            self.finish(socket, now)

    def _answer(self, socket: Socket, now: Nanos) -> bool:
        """Answer the next request, if it is all there; whether there was one."""
        ignored = min(self._skip, len(self._input))
        del self._input[:ignored]
        self._skip -= ignored
        head: Head | None = None
        try:
            head = None if self._skip else take_head(self._input)
            if head is None:
                return False
            self._last = not _keeps(head)
            self._skip = head.length() or 0
            answer = self._judge(head)
        except DecodeError:
            answer = _plain(400)
        except OverflowError:
            answer = _plain(431)
        self._last = self._last or answer.status in _LAST
        self._say(head, answer, socket, now)
        return True

    def _say(self, head: Head | None, answer: Answer, socket: Socket, now: Nanos) -> None:
        if self._log is not None:
            asked = " ".join(head.start) if head is not None else "-"
            self._log(f'{socket.remote_endpoint} "{asked}" {answer.status} {answer.length}')
        fields = {"Date": formatdate(usegmt=True), "Server": "lastack", **answer.fields}
        if answer.status != 304:
            fields["Content-Length"] = str(answer.length)
        if self._last:
            fields["Connection"] = "close"
        elif head is not None and head.start[2] == "HTTP/1.0":
            fields["Connection"] = "keep-alive"
        start = f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}"
        self.send(chain((encode_head(start, fields),), answer.body), socket, now)

    def _judge(self, head: Head) -> Answer:
        """The answer to a request. Raises DecodeError where it is none."""
        method, target, version = head.start
        if not version.startswith("HTTP/") or (version != "HTTP/1.0" and "host" not in head.fields):
            raise DecodeError("no request")
        if "transfer-encoding" in head.fields:
            return _plain(501)
        if method not in ("GET", "HEAD"):
            return _plain(405, {"Allow": "GET, HEAD"})
        found = self._files.find(target)
        if found is None:
            answer = _plain(404)
        elif isinstance(found, Moved):
            answer = _plain(301, {"Location": found.to})
        elif isinstance(found, Page):
            answer = _page(200, "text/html; charset=utf-8", found.text)
        else:
            answer = _file(head, found)
        if method == "HEAD":
            getattr(answer.body, "close", lambda: None)()
            return answer._replace(body=iter(()))
        return answer


def _keeps(head: Head) -> bool:
    """Whether the connection is kept (RFC 9112 9.3)."""
    tokens = head.tokens("connection")
    # Whoever waits for 100 Continue may or may not send a body after another answer: nobody can tell.
    if "close" in tokens or "expect" in head.fields:
        return False
    return head.start[2] != "HTTP/1.0" or "keep-alive" in tokens


def _page(status: int, kind: str, text: bytes, fields: dict[str, str] | None = None) -> Answer:
    return Answer(status, {"Content-Type": kind, **(fields or {})}, len(text), iter((text,)))


def _plain(status: int, fields: dict[str, str] | None = None) -> Answer:
    return _page(status, "text/plain", f"{status} {_REASONS[status]}\n".encode(), fields)


def _file(head: Head, file: Opened) -> Answer:
    """A file, or the part of it that is asked for (RFC 9110 13, 14)."""
    changed = formatdate(min(max(file.changed, 0.0), _LATEST), usegmt=True)
    fields = {"Content-Type": file.kind, "Last-Modified": changed, "Accept-Ranges": "bytes"}
    if _unchanged(head.fields.get("if-modified-since", ""), file.changed):
        os.close(file.descriptor)
        return Answer(304, fields, 0, iter(()))
    span = (0, file.size)
    status = 200
    if head.start[0] == "GET" and head.fields.get("if-range", changed) == changed:
        asked = _span(head.fields.get("range", ""), file.size)
        if asked is not None:
            if asked[0] >= asked[1]:
                os.close(file.descriptor)
                return _plain(416, {"Content-Range": f"bytes */{file.size}"})
            span, status = asked, 206
            fields["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{file.size}"
    return Answer(status, fields, span[1] - span[0], pieces(file, span[0], span[1] - span[0]))


def _unchanged(since: str, changed: float) -> bool:
    try:
        return parsedate_to_datetime(since).timestamp() >= int(changed)
    except (ValueError, TypeError, OverflowError):
        return False


def _span(asked: str, size: int) -> tuple[int, int] | None:
    """First octet and end of the one range asked for; None: none, or one that is not understood, or several."""
    found = _RANGE.fullmatch(asked.replace(" ", ""))
    if found is None or found.group(1, 2) == ("", ""):
        return None
    first, last = found.group(1, 2)
    if not first:
        return max(size - int(last), 0), size
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, size) if last else size
