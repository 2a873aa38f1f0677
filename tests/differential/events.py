"""What may happen in any state: segments of every kind, and the calls of the owner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from lastack.wire.seq import MASK

from .peer import Peer
from .situations import BOTH, READ, WRITE

FAR: Final = 5_000_000
"""Beyond any window, either way."""


def _say(flags: str, by: int = 0, octets: int = 0, **fields: object) -> Callable[[Peer], None]:
    """A segment `by` numbers from the one that is next."""

    def happen(peer: Peer) -> None:
        peer.say(flags, peer.nxt + by, octets=octets, **fields)  # type: ignore[arg-type]

    return happen


def _acknowledge(flags: str, by: int, octets: int = 0, **fields: object) -> Callable[[Peer], None]:
    """The next segment, with an ACK `by` numbers from all that the host has sent."""

    def happen(peer: Peer) -> None:
        peer.say(flags, ack=peer.host_nxt + by, octets=octets, **fields)  # type: ignore[arg-type]

    return happen


def _sack(by: int) -> Callable[[Peer], None]:
    """An ACK with a SACK block that begins `by` numbers from all that the host has sent."""

    def happen(peer: Peer) -> None:
        left = (peer.iss or 0) + peer.host_nxt + by
        peer.say(".", sack=((left & MASK, left + 0x1111 & MASK),))

    return happen


def _call(*calls: tuple[str, int]) -> Callable[[Peer], None]:
    def happen(peer: Peer) -> None:
        for name, argument in calls:
            peer.call(name, argument)

    return happen


def _opening(flags: str, by: int = 0, **fields: object) -> Callable[[Peer], None]:
    """A SYN with the number of the first one."""

    def happen(peer: Peer) -> None:
        peer.say(flags, by, **fields)  # type: ignore[arg-type]

    return happen


def _unread_close(peer: Peer) -> None:
    peer.say("P.", octets=10)
    peer.call("close")


def _fills_the_hole(peer: Peer) -> None:
    peer.say("P.", peer.nxt + 10, octets=10)
    peer.say("P.", octets=10)


def _fin_before_its_text(peer: Peer) -> None:
    peer.say("FP.", peer.nxt + 10, octets=10)
    peer.say("P.", octets=10)


def _window_shut_then_open(peer: Peer) -> None:
    peer.say(".", window=0)
    peer.call("write", 20)
    peer.say(".", window=1000)


def _close_then_text(peer: Peer) -> None:
    peer.call("close")
    peer.say("P.", octets=10)


def _close_then_fin(peer: Peer) -> None:
    peer.call("close")
    peer.say("F.")


def _shut_read_then_text(peer: Peer) -> None:
    peer.call("shutdown", READ)
    peer.say("P.", octets=10)


def _urgent_twice(peer: Peer) -> None:
    peer.say("U.", octets=10, urgent=1)
    peer.say("U.", peer.nxt + 10, octets=10, urgent=3)


def _urgent_read(peer: Peer, inline: int = 0) -> None:
    if not peer.queue:
        # A request in the SYN queue is no socket yet, and takes its options from the listener later.
        peer.call("so_oobinline", inline)
    peer.say("U.", octets=10, urgent=5)
    peer.call("urgent")
    peer.call("urgent")
    peer.call("read")


def _urgent_in_line(peer: Peer) -> None:
    _urgent_read(peer, 1)


def _urgent_waited_for(peer: Peer) -> None:
    peer.say("U.", octets=10, urgent=15)
    peer.call("urgent")
    peer.say("P.", peer.nxt + 10, octets=10)
    peer.call("urgent")
    peer.call("read")


SEGMENTS: Final[Mapping[str, Callable[[Peer], None]]] = {
    "text": _say("P.", octets=10),
    "text without PSH": _say(".", octets=10),
    "full-sized text": _say(".", octets=1400),
    "text seen before": _say("P.", -10, 10),
    "text seen long before": _say("P.", -FAR, 10),
    "text partly seen before": _say("P.", -5, 10),
    "text ahead": _say("P.", 10, 10),
    "text beyond the window": _say("P.", FAR, 10),
    "text and ACK of everything": _acknowledge("P.", 0, 10),
    "text and ACK of the future": _acknowledge("P.", 1000, 10),
    "ACK": _say("."),
    "ACK of everything": _acknowledge(".", 0),
    "ACK of half": _acknowledge(".", -1),
    "ACK of the past": _acknowledge(".", -100),
    "ACK of the far past": _acknowledge(".", -FAR),
    "ACK of the future": _acknowledge(".", 1),
    "ACK of the far future": _acknowledge(".", FAR),
    "ACK ahead": _say(".", 10),
    "ACK beyond the window": _say(".", FAR),
    "ACK from the past": _say(".", -10),
    "keepalive probe": _say(".", -1),
    "keepalive probe with an octet": _say(".", -1, 1),
    "zero window": _say(".", window=0),
    "smaller window": _say(".", window=10),
    "window shut, write, window open": _window_shut_then_open,
    "FIN": _say("F."),
    "FIN and ACK of everything": _acknowledge("F.", 0),
    "FIN and ACK of the future": _acknowledge("F.", 1),
    "FIN with text": _say("FP.", octets=10),
    "FIN with text and ACK of everything": _acknowledge("FP.", 0, 10),
    "FIN ahead": _say("F.", 10),
    "FIN behind text ahead": _say("FP.", 10, 10),
    "FIN with text seen before": _say("F.", -10, 10),
    "FIN seen before": _say("F.", -1),
    "FIN with text partly seen before": _say("FP.", -5, 10),
    "FIN beyond the window": _say("F.", FAR),
    "FIN without ACK": _say("F"),
    "FIN before its text": _fin_before_its_text,
    "hole filled": _fills_the_hole,
    "RST": _say("R"),
    "RST with ACK": _say("R."),
    "RST with ACK of everything": _acknowledge("R.", 0),
    "RST with ACK of the future": _acknowledge("R.", 1000),
    "RST with text": _say("R.", octets=10),
    "RST ahead": _say("R", 10),
    "RST one ahead": _say("R", 1),
    "RST one behind": _say("R", -1),
    "RST behind": _say("R", -10),
    "RST beyond the window": _say("R", FAR),
    "RST with FIN": _say("FR."),
    "SYN": _say("S"),
    "SYN ahead": _say("S", 10),
    "SYN behind": _say("S", -10),
    "SYN far behind": _say("S", -FAR),
    "SYN beyond the window": _say("S", FAR),
    "SYN with text": _say("S", octets=10),
    "SYN once more": _opening("S"),
    "SYN,ACK once more": _opening("S."),
    "SYN,ACK of everything": _acknowledge("S.", 0),
    "SYN,ACK once more, of everything": lambda peer: peer.say("S.", 0, peer.host_nxt),
    "SYN,ACK of the future": _acknowledge("S.", 1000),
    "SYN,ACK with text": _acknowledge("S.", 0, 10),
    "SYN,ACK ahead": _say("S.", 10),
    "SYN,ACK behind": _say("S.", -10),
    "SYN,RST": _say("SR"),
    "SYN,FIN": _say("SF"),
    "SYN,FIN,ACK of everything": _acknowledge("SF.", 0),
    "no flags": _say(""),
    "no flags, with text": _say("", octets=10),
    "no flags, seen before": _say("", -10),
    "PSH alone": _say("P", octets=10),
    "URG": _say("U.", octets=10, urgent=5),
    "URG of the first octet": _say("U.", octets=10, urgent=1),
    "URG of the last octet": _say("U.", octets=10, urgent=10),
    "URG of what follows": _say("U.", octets=10, urgent=15),
    "URG twice": _urgent_twice,
    "URG without text": _say("U.", urgent=5),
    "every flag": _say("FSRPU.", octets=1),
}

STAMPED: Final[Mapping[str, Callable[[Peer], None]]] = {
    "old text": _say("P.", octets=10, age=1000),
    "old text seen before": _say("P.", -10, 10, age=1000),
    "old text ahead": _say("P.", 10, 10, age=1000),
    "old ACK": _say(".", age=1000),
    "old ACK of everything": _acknowledge(".", 0, age=1000),
    "old FIN": _say("F.", age=1000),
    "old FIN seen before": _say("F.", -1, age=1000),
    "old RST": _say("R.", age=1000),
    "old RST ahead": _say("R.", 10, age=1000),
    "old SYN": _say("S", age=1000),
    "old SYN ahead": _say("S", 10, age=1000),
    "old keepalive probe": _say(".", -1, age=1000),
    "text as old as the last": _say("P.", octets=10, age=1),
    "SYN as old as the last": _say("S", age=1),
    "SYN ahead as old as the last": _say("S", 10, age=1),
    "SYN behind as old as the last": _say("S", -10, age=1),
    "text of the future": _say("P.", octets=10, age=-1_000_000),
    "text without a stamp": _say("P.", octets=10, stamped=False),
    "ACK without a stamp": _acknowledge(".", 0, stamped=False),
    "FIN without a stamp": _acknowledge("F.", 0, stamped=False),
    "RST without a stamp": _say("R", stamped=False),
    "SYN without a stamp": _say("S", stamped=False),
    "SYN ahead without a stamp": _say("S", 10, stamped=False),
    "SYN behind without a stamp": _say("S", -10, stamped=False),
    "ACK that echoes nothing": _acknowledge(".", 0, ts_echo=0),
    "ACK that echoes what was never said": _acknowledge(".", 0, ts_echo=0x7777_7777),
    "SYN,ACK that echoes what was never said": _acknowledge("S.", 0, ts_echo=0x7777_7777),
    "ACK with SACK of the future": _sack(100_000),
    "ACK with SACK of the past": _sack(-2),
}
"""With timestamps only: of which age is the timestamp?"""

CALLS: Final[Mapping[str, Callable[[Peer], None]]] = {
    "close": _call(("close", 0)),
    "close with text unread": _unread_close,
    "close with linger 0": _call(("linger", 0), ("close", 0)),
    "close, then text": _close_then_text,
    "close, then FIN": _close_then_fin,
    "read": _call(("read", 0)),
    "read twice": _call(("read", 0), ("read", 0)),
    "write": _call(("write", 10)),
    "write twice": _call(("write", 10), ("write", 10)),
    "write much": _call(("write", 30_000)),
    "write, then close": _call(("write", 10), ("close", 0)),
    "write much, then close": _call(("write", 30_000), ("close", 0)),
    "write, then linger 0 and close": _call(("write", 10), ("linger", 0), ("close", 0)),
    "shutdown write": _call(("shutdown", WRITE)),
    "shutdown write twice": _call(("shutdown", WRITE), ("shutdown", WRITE)),
    "shutdown write, then write": _call(("shutdown", WRITE), ("write", 10)),
    "shutdown write, then close": _call(("shutdown", WRITE), ("close", 0)),
    "shutdown read": _call(("shutdown", READ)),
    "shutdown read, then read": _call(("shutdown", READ), ("read", 0)),
    "shutdown read, then text": _shut_read_then_text,
    "urgent read": _urgent_read,
    "urgent read in line": _urgent_in_line,
    "urgent waited for": _urgent_waited_for,
    "urgent, where nothing is": _call(("urgent", 0)),
    "shutdown both": _call(("shutdown", BOTH)),
    "shutdown both, then linger 0 and close": _call(("shutdown", BOTH), ("linger", 0), ("close", 0)),
}

EVENTS: Final = {**SEGMENTS, **STAMPED, **CALLS}
