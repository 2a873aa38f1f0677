"""HTTP/1.1 messages (RFC 9110, RFC 9112): the head of a request or an answer, read strictly and within a limit."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from lastack.errors import DecodeError

MOST_HEAD: Final = 16_384
"""Octets of a head, fields included: a longer one is refused before it is read."""

_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_END: Final = re.compile(rb"\r?\n\r?\n")
_VERSION: Final = re.compile(rb"HTTP/1\.[0-9]")


class Head(NamedTuple):
    """A start line in its three parts, and the fields by their names in lower case; repeated ones joined by commas."""

    start: tuple[str, str, str]
    fields: dict[str, str]

    def tokens(self, name: str) -> set[str]:
        """The words of a field that is a list, in lower case."""
        return {word.strip().lower() for word in self.fields.get(name, "").split(",")} - {""}

    def length(self) -> int | None:
        """Content-Length. Raises DecodeError where it is no number, or several that differ (RFC 9112 6.3)."""
        text = self.fields.get("content-length")
        if text is None:
            return None
        values = {value.strip() for value in text.split(",")}
        value = values.pop()
        if values or not (value.isascii() and value.isdecimal()) or len(value) > 18:
            raise DecodeError(f"Content-Length: {text}")
        return int(value)


def take_head(buffer: bytearray) -> Head | None:
    """Cut the first head off a buffer; None: it is not all there.

    Raises DecodeError where it is no head of HTTP/1, and OverflowError where it is longer than `MOST_HEAD`.
    """
    # A server ignores empty lines before a request (RFC 9112 2.2).
    while buffer[:2] == b"\r\n":
        del buffer[:2]
    found = _END.search(buffer, 0, MOST_HEAD)
    if found is None:
        if len(buffer) >= MOST_HEAD:
            raise OverflowError(f"a head of more than {MOST_HEAD} octets")
        return None
    lines = re.split(rb"\r?\n", bytes(buffer[: found.start()]))
    del buffer[: found.end()]
    return Head(_start(lines[0]), _fields(lines[1:]))


def _start(line: bytes) -> tuple[str, str, str]:
    parts = line.split(b" ", 2)
    if len(parts) == 2 and _VERSION.fullmatch(parts[0]):
        # An answer may have no reason.
        parts.append(b"")
    if len(parts) != 3 or not (_VERSION.fullmatch(parts[2]) or _VERSION.fullmatch(parts[0])):
        raise DecodeError(f"no start line of HTTP/1: {line[:60].decode('latin-1')!r}")
    first, second, third = (part.decode("latin-1") for part in parts)
    return first, second, third


def _fields(lines: list[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        # Neither a space before the colon nor a folded line (RFC 9112 5.1, 5.2): both have been used to smuggle.
        if not colon or not _TOKEN.fullmatch(name):
            raise DecodeError(f"no field of a head: {line[:60].decode('latin-1')!r}")
        key, text = name.decode("latin-1").lower(), value.strip(b" \t").decode("latin-1")
        fields[key] = f"{fields[key]}, {text}" if key in fields else text
    return fields


def encode_head(start: str, fields: dict[str, str]) -> bytes:
    """A head as octets. Raises ValueError where a value would end its line."""
    lines = [start, *(f"{name}: {value}" for name, value in fields.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line of a head within another")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
