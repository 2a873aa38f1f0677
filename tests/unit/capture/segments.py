"""Segments written down by hand, as rows of a batch: who sends what, when.

`Talk` keeps both sides' addresses; sequence numbers are relative to CLIENT and SERVER, the two initial ones.
"""

from __future__ import annotations

from array import array
from typing import Any

from lastack.capture import packets as p
from lastack.capture.flows import Analyser
from lastack.model.address import address_halves
from lastack.model.time import MILLISECOND, Nanos

FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, ".": 16}
CLIENT, SERVER = 1000, 500_000
START: Nanos = 1_700_000_000_000_000_000


class Talk:
    """What two hosts send. `client` and `server` add a segment, `wait` lets time pass."""

    def __init__(
        self, client: str = "192.0.2.1", server: str = "198.51.100.7", ports: tuple[int, int] = (40_000, 443)
    ) -> None:
        self.ends = ((*address_halves(client), ports[0]), (*address_halves(server), ports[1]))
        self.bases = [CLIENT, SERVER]
        self.ttl = [64, 57]
        self.ids = [100, 7000]
        self.now = START
        self.rows = array("q")
        self.count = 0

    def wait(self, ms: float) -> Talk:
        """Let time pass."""
        self.now += int(ms * MILLISECOND)
        return self

    def client(self, flags: str, seq: int = 0, ack: int = 0, length: int = 0, **more: Any) -> Talk:
        """A segment of the client."""
        return self._add(0, flags, seq, ack, length, **more)

    def server(self, flags: str, seq: int = 0, ack: int = 0, length: int = 0, **more: Any) -> Talk:
        """A segment of the server."""
        return self._add(1, flags, seq, ack, length, **more)

    def _add(
        self,
        side: int,
        flags: str,
        seq: int,
        ack: int,
        length: int,
        *,
        window: int = 1000,
        ident: int | None = None,
        ttl: int | None = None,
        after: float = 1,
    ) -> Talk:
        self.wait(after)
        mine, theirs = self.ends[side], self.ends[1 - side]
        bits = sum(FLAGS[letter] for letter in flags)
        self.ids[side] += 1
        row = [0] * p.WIDTH
        row[p.TIME] = self.now
        row[p.SRC_HIGH], row[p.SRC_LOW], row[p.DST_HIGH], row[p.DST_LOW] = *mine[:2], *theirs[:2]
        row[p.PORTS] = mine[2] << 16 | theirs[2]
        row[p.SEQ] = self.bases[side] + seq & 0xFFFF_FFFF
        row[p.ACK] = self.bases[1 - side] + ack & 0xFFFF_FFFF if bits & 16 else 0
        row[p.FLAGS], row[p.WINDOW], row[p.LENGTH] = bits, window, length
        row[p.IP] = (self.ids[side] if ident is None else ident) | (ttl or self.ttl[side]) << p.TTL_SHIFT
        row[p.TS_VALUE] = row[p.TS_ECHO] = -1
        self.count += 1
        row[p.NUMBER] = self.count
        self.rows.extend(row)
        return self

    # -- common parts

    def open(self) -> Talk:
        """The handshake, captured at the client."""
        return self.client("S").server("S.", 0, 1, after=20).client(".", 1, 1, after=0.01)

    def close(self) -> Talk:
        """An orderly end of what `open` opened, the client first."""
        self.client("F.", 1, 1).server(".", 1, 2).server("F.", 1, 2)
        return self.client(".", 2, 2, after=0.01)

    def table(self, until_ms: float = 0) -> list[dict[str, Any]]:
        """The rows of the table."""
        analyser = Analyser()
        analyser.feed(self.rows, self.count)
        analyser.wait(self.now + int(until_ms * MILLISECOND))
        return list(analyser.finish().rows())

    def one(self, until_ms: float = 0) -> dict[str, Any]:
        """The only row."""
        (row,) = self.table(until_ms)
        return row
