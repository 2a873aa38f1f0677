"""Octets of a capture from wherever they are: a file, standard input, or gzip, zstd and lz4 around either."""

from __future__ import annotations

import os
import select
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO, Final

from lastack.errors import CaptureError

STANDARD_INPUT: Final = "-"
EXPANSION: Final = 200
"""How many times longer than its file a compressed capture may be, beyond the first FREE octets."""
FREE: Final = 1 << 30
_PIECE: Final = 1 << 17
_WINDOW: Final = 1 << 27
"""The largest zstd window that is believed: 128 MiB, what `zstd` itself accepts unasked."""


class Octets:
    """Where a capture's octets come from. `size` is that of the file, None where nobody knows."""

    def __init__(self, name: str, file: BinaryIO, size: int | None) -> None:
        self.name = name
        self.size = size
        self._file: Any = file
        self._head = b""
        self._consumed = 0

    def peek(self, count: int) -> bytes:
        """The first octets, fewer only where there are no more; they are still to be read."""
        head = b""
        while len(head) < count and (more := self.read(count - len(head))):
            head += more
        self._head = head
        self._consumed -= len(head)
        return head

    def readinto(self, view: memoryview) -> int:
        """Fill the beginning of a buffer; 0 at the end. Raises CaptureError where what is there cannot be read."""
        if self._head:
            taken = min(len(view), len(self._head))
            view[:taken] = self._head[:taken]
            self._head = self._head[taken:]
        else:
            try:
                while (taken := self._file.readinto(view)) is None:
                    # Somebody made the pipe non-blocking.
                    select.select([self._file], [], [])
            except OSError as error:
                raise CaptureError(f"{self.name}: {error.strerror}") from None
        self._consumed += taken
        return taken

    def read(self, count: int) -> bytes:
        """Up to so many octets; none at the end."""
        buffer = bytearray(count)
        return bytes(buffer[: self.readinto(memoryview(buffer))])

    def ready(self) -> bool:
        """Whether reading would not wait. On Windows, which cannot tell, always true."""
        if self.size is not None or self._head or sys.platform == "win32":
            return True
        return bool(select.select([self._file], [], [], 0)[0])

    def consumed(self) -> int:
        """Octets of the file read so far."""
        return self._consumed

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class Unpacked(Octets):
    """Octets that were compressed, behind the octets of their file."""

    def __init__(self, packed: Octets, unpack: Callable[[Octets], Iterator[bytes]], expansion: int) -> None:
        super().__init__(packed.name, packed._file, packed.size)
        self._packed = packed
        self._pieces = unpack(packed)
        self._left = memoryview(b"")
        self._given = 0
        self._expansion = expansion

    def readinto(self, view: memoryview) -> int:
        """As in Octets. Also raises CaptureError where the file expands beyond measure."""
        if not self._left:
            self._left = memoryview(next(self._pieces, b""))
        taken = min(len(view), len(self._left))
        view[:taken] = self._left[:taken]
        self._left = self._left[taken:]
        self._given += taken
        if self._given > max(FREE, self._expansion * self.consumed()):
            raise CaptureError(f"{self.name}: expands more than {self._expansion} times")
        return taken

    def ready(self) -> bool:
        """Whether reading would not wait."""
        return bool(self._left) or self._packed.ready()

    def consumed(self) -> int:
        """Octets of the file read so far, as compressed."""
        return self._packed.consumed()


def open_octets(path: str | Path, expansion: int = EXPANSION) -> Octets:
    """Open a file, or standard input for `-`. Raises CaptureError where there is none, or no library for its format."""
    name = str(path)
    try:
        if name == STANDARD_INPUT:
            file: Any = os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)
        else:
            file = open(name, "rb", buffering=0)  # noqa: SIM115, PTH123 (whoever gets it closes it)
        status = os.fstat(file.fileno())
    except OSError as error:
        raise CaptureError(f"{name}: {error.strerror or error}") from None
    octets = Octets(name, file, status.st_size if S_ISREG(status.st_mode) else None)
    unpack = _unpacker(octets.peek(4))
    return Unpacked(octets, unpack, expansion) if unpack else octets


def _unpacker(head: bytes) -> Callable[[Octets], Iterator[bytes]] | None:
    """What unpacks a file that begins so; None where nothing needs to."""
    if head[:2] == b"\x1f\x8b":
        return _gzip
    if head == b"\x28\xb5\x2f\xfd":
        return _zstd
    return _lz4 if head == b"\x04\x22\x4d\x18" else None


def _gzip(packed: Octets) -> Iterator[bytes]:
    """The members of a gzip file (RFC 1952), no piece longer than _PIECE."""
    data = packed.read(_PIECE)
    while data:
        member = zlib.decompressobj(wbits=31)
        while True:
            try:
                piece = member.decompress(data, _PIECE)
            except zlib.error as error:
                raise CaptureError(f"{packed.name}: damaged gzip ({error})") from None
            data = member.unconsumed_tail
            if piece:
                yield piece
            if member.eof:
                break
            if not piece and not data and not (data := packed.read(_PIECE)):
                raise CaptureError(f"{packed.name}: gzip cut short")
        data = (member.unused_data or packed.read(_PIECE)).lstrip(b"\0")


def _zstd(packed: Octets) -> Iterator[bytes]:
    """The frames of a zstd file (RFC 8878), no piece longer than _PIECE."""
    zstandard = _library("zstandard", packed)
    reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(packed, read_across_frames=True)
    while True:
        try:
            piece = reader.read(_PIECE)
        except zstandard.ZstdError as error:
            raise CaptureError(f"{packed.name}: damaged zstd ({error})") from None
        if not piece:
            return
        yield piece


def _lz4(packed: Octets) -> Iterator[bytes]:
    """The frames of an lz4 file, no piece longer than _PIECE."""
    lz4 = _library("lz4.frame", packed)
    data = packed.read(_PIECE)
    while data:
        frame = lz4.LZ4FrameDecompressor()
        while not frame.eof:
            if frame.needs_input and not data and not (data := packed.read(_PIECE)):
                raise CaptureError(f"{packed.name}: lz4 cut short")
            try:
                piece = frame.decompress(data, _PIECE)
            except RuntimeError as error:
                raise CaptureError(f"{packed.name}: damaged lz4 ({error})") from None
            data = b""
            if piece:
                yield piece
        data = frame.unused_data or packed.read(_PIECE)


def _library(name: str, packed: Octets) -> Any:  # noqa: ANN401 (a module without types)
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        form = "zstd" if name == "zstandard" else "lz4"
        raise CaptureError(f"{packed.name} is compressed with {form}: pip install 'lastack[captures]'") from None
