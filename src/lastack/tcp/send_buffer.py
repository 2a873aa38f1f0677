"""The octets that the application has sent and the peer has not acknowledged, found by their sequence number."""

from __future__ import annotations

from typing import final

from lastack.native import i64, mypyc_attr
from lastack.wire.seq import Seq


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class SendBuffer:
    """Octets [start, end)."""

    __slots__ = ("_at", "_at_seq", "_chunks", "_first", "_text", "end", "start")

    def __init__(self, start: Seq) -> None:
        self.start: Seq = start
        self.end: Seq = start
        # Mostly there is one chunk, and no list is made for it.
        self._text = b""
        """The only chunk; empty where there are several."""
        self._chunks: list[bytes] | None = None
        self._first: Seq = start
        """The sequence number of the first octet of the first chunk, which may lie before `start`."""
        # Where the last read began: the next one is nearly always there or a little further on.
        self._at: i64 = 0
        self._at_seq: Seq = start

    def __len__(self) -> int:
        return self.end - self.start

    def append(self, data: bytes) -> None:
        """Add octets at the end."""
        if data:
            if self.start == self.end:
                self._text = data
            elif self._chunks is None:
                self._chunks = [self._text, data]
                self._text = b""
            else:
                self._chunks.append(data)
            self.end += len(data)

    def discard_below(self, seq: Seq) -> None:
        """Forget what was acknowledged, up to `end` at most."""
        if seq <= self.start:
            return
        if seq >= self.end:
            self._text = b""
            self._chunks = None
            self.start = self._first = self._at_seq = self.end
            self._at = 0
            return
        self.start = seq
        chunks = self._chunks
        if chunks is None:
            return
        gone: i64 = 0
        while self._first + len(chunks[gone]) <= seq:
            self._first += len(chunks[gone])
            gone += 1
        if gone:
            del chunks[:gone]
            self._at = 0
            self._at_seq = self._first
            if len(chunks) == 1:
                self._text = chunks[0]
                self._chunks = None

    def read(self, seq: Seq, octets: i64) -> bytes:
        """`octets` octets from `seq` on, both within the buffer."""
        if seq >= self.end:
            return b""
        chunks = self._chunks
        if chunks is None:
            return _part(self._text, seq - self._first, octets)
        if seq < self._at_seq:
            self._at = 0
            self._at_seq = self._first
        chunk = chunks[self._at]
        while seq - self._at_seq >= len(chunk):
            self._at_seq += len(chunk)
            self._at += 1
            chunk = chunks[self._at]
        at = seq - self._at_seq
        if at + octets <= len(chunk):
            return _part(chunk, at, octets)
        return _gathered(chunks, self._at, at, octets)


def _part(chunk: bytes, at: i64, octets: i64) -> bytes:
    """So many octets of a chunk from `at` on: mostly all of them."""
    return chunk if at == 0 and len(chunk) == octets else chunk[at : at + octets]


def _gathered(chunks: list[bytes], index: i64, at: i64, octets: i64) -> bytes:
    """Octets that lie in several chunks, from octet `at` of the chunk `index` on."""
    pieces: list[bytes] = []
    while octets > 0 and index < len(chunks):
        piece = chunks[index][at : at + octets]
        pieces.append(piece)
        octets -= len(piece)
        at = 0
        index += 1
    return b"".join(pieces)
