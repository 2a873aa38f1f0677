"""The octets that the application has sent and the peer has not acknowledged, found by their sequence number."""

from __future__ import annotations

from typing import final

from lastack.native import mypyc_attr


@mypyc_attr(acyclic=True)
@final
class SendBuffer:
    """Octets [start, end)."""

    __slots__ = ("_at", "_at_seq", "_chunks", "_first", "end", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self._chunks: list[bytes] = []
        self._first = start
        """The sequence number of the first octet of the first chunk, which may lie before `start`."""
        # Where the last read began: the next one is nearly always there or a little further on.
        self._at = 0
        self._at_seq = start

    def __len__(self) -> int:
        return self.end - self.start

    def append(self, data: bytes) -> None:
        """Add octets at the end."""
        if data:
            self._chunks.append(data)
            self.end += len(data)

    def discard_below(self, seq: int) -> None:
        """Forget what was acknowledged, up to `end` at most."""
        self.start = max(self.start, min(seq, self.end))
        chunks = self._chunks
        gone = 0
        while gone < len(chunks) and self._first + len(chunks[gone]) <= self.start:
            self._first += len(chunks[gone])
            gone += 1
        if gone:
            if gone == len(chunks):
                chunks.clear()
            else:
                del chunks[:gone]
            self._at = 0
            self._at_seq = self._first

    def read(self, seq: int, octets: int) -> bytes:
        """`octets` octets from `seq` on, both within the buffer."""
        if seq < self._at_seq:
            self._at = 0
            self._at_seq = self._first
        chunks = self._chunks
        while self._at < len(chunks) and seq - self._at_seq >= len(chunks[self._at]):
            self._at_seq += len(chunks[self._at])
            self._at += 1
        if self._at == len(chunks):
            return b""
        chunk = chunks[self._at]
        at = seq - self._at_seq
        if at == 0 and len(chunk) == octets:
            return chunk
        if at + octets <= len(chunk):
            return chunk[at : at + octets]
        return self._gather(self._at, at, octets)

    def _gather(self, index: int, at: int, octets: int) -> bytes:
        """Octets that lie in several chunks."""
        pieces: list[bytes] = []
        while octets > 0 and index < len(self._chunks):
            piece = self._chunks[index][at : at + octets]
            pieces.append(piece)
            octets -= len(piece)
            at = 0
            index += 1
        return b"".join(pieces)
