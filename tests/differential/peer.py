"""The scripted peer: it says exact segments, and writes down what it hears in numbers that both hosts share."""

from __future__ import annotations

from typing import Any, Final

from lastack.model.time import Nanos
from lastack.wire import Packet, Segment, address_bytes
from lastack.wire.flags import ACK, FIN, PSH, RST, SYN, URG
from lastack.wire.icmp import IcmpMessage, Problem
from lastack.wire.seq import MASK, distance

from .ends import HERE, THERE, End

ISS: Final = 0xFFFF_FF80
"""The peer's initial sequence number: the numbers wrap within every conversation."""
UNKNOWN_ISS: Final = 0x1234_5678
"""What the peer acknowledges where the host has not told its own number."""
CLOCK: Final = 0xFFFF_FFF0
"""The peer's timestamps wrap too."""
LETTERS: Final = {"F": FIN, "S": SYN, "R": RST, "P": PSH, ".": ACK, "U": URG}
SHIFT: Final = 7
FARTHER: Final = 1000
"""From one of the peer's ports to the next."""


class Peer:
    """A conversation with one host. Sequence numbers are relative: the SYN of either side has 0.

    `nxt`: what the peer sends next. `una`: what it has acknowledged. `host_nxt`: what the host sends next.
    `sacks`: SACK blocks are compared. `queue`: there may be something to accept.
    `modern`: it speaks timestamps, SACK and window scaling.
    """

    def __init__(self, end: End, modern: bool, sacks: bool = True) -> None:
        self.end = end
        self.sacks = sacks
        self.modern = modern
        self.nxt = self.una = self.host_nxt = 0
        self._isses: dict[int, int] = {}
        self.first = end.there
        self.clock = CLOCK
        self.heard_stamp = 0
        self.expected = 0
        self.acked = self.furthest = 0
        self.queue = False
        self.watched = False
        """What TCP_INFO says is compared too, and PSH is not: where it goes in a burst is the kernel's own affair."""
        self.alike = False
        """It does not matter to which of the peer's ports the host speaks."""
        self.results: list[str] = []
        self.heard: list[str] = []
        self.times: list[Nanos] = []

    @property
    def iss(self) -> int | None:
        """The host's initial sequence number, once it has told it."""
        return self._isses.get(self.end.there)

    def turn_to(self, number: int) -> None:
        """Begin another conversation, from another port."""
        self.end.there = self.first + FARTHER * number
        self.nxt = self.una = self.host_nxt = self.acked = self.furthest = 0

    # -- what it does

    def say(
        self,
        flags: str,
        seq: int | None = None,
        ack: int | None = None,
        octets: int = 0,
        *,
        window: int = 0xFFFF,
        age: int = 0,
        stamped: bool = True,
        **fields: Any,
    ) -> None:
        """Send a segment. By default the next in order, acknowledging what was acknowledged before.

        `age`: how much older than the last its timestamp is. `stamped` False: without a timestamp.
        """
        bits = sum(LETTERS[letter] for letter in flags)
        number = (ISS + (self.nxt if seq is None else seq)) & MASK
        host = UNKNOWN_ISS if self.iss is None else self.iss
        acknowledged = (host + (self.una if ack is None else ack)) & MASK if bits & ACK else 0
        if bits & ACK:
            self.acked = max(self.acked, min(self.una if ack is None else ack, self.furthest))
        end = self.end
        segment = Segment(end.there, end.here, number, acknowledged, bits, window, b"y" * octets)
        if bits & SYN:
            segment.mss = 1400
            if self.modern:
                segment.window_scale = SHIFT
                segment.sack_permitted = True
        if self.modern and stamped:
            self.clock = (self.clock + 1) & MASK
            segment.ts_value = (self.clock - age) & MASK
            segment.ts_echo = self.heard_stamp if bits & ACK else 0
        for name, value in fields.items():
            setattr(segment, name, value)
        source, destination = address_bytes(THERE[end.family]), address_bytes(HERE[end.family])
        end.arrive(Packet(source, destination, segment))
        self.listen()

    def complain(self, problem: Problem, seq: int, mtu: int = 0) -> None:
        """A router says that the host's segment at `seq` did not get through."""
        end = self.end
        source, destination = address_bytes(THERE[end.family]), address_bytes(HERE[end.family])
        host = UNKNOWN_ISS if self.iss is None else self.iss
        lost = Segment(end.here, end.there, (host + seq) & MASK, 0, ACK, 0)
        quoted = Packet(destination, source, lost).encode()
        end.arrive(Packet(source, destination, None, IcmpMessage(problem, None, mtu, quoted)))
        self.listen()

    def call(self, name: str, argument: int = 0) -> None:
        """Let the host's application call something."""
        result = self.end.call(name, argument)
        self.results.append(f"{name} {result}")
        if name in ("listen", "accept") and result == "ok":
            self.queue = name == "listen"
        self.listen()

    def hang_up(self) -> None:
        """Reset whatever the host still has of the conversation."""
        self.listen()
        self.say("R", distance(ISS, self.expected), stamped=False)

    # -- what it hears

    def listen(self, until: Nanos | None = None) -> None:
        """Write down what the host has sent, as far as it was sent before `until`."""
        for at, segment in self.end.sent():
            if segment.flags & SYN:
                self._isses.setdefault(segment.dst_port, segment.seq)
            if segment.ts_value is not None:
                self.heard_stamp = segment.ts_value
            if segment.flags & ACK:
                self.expected = segment.ack
            if self.iss is not None and not segment.flags & RST:
                self.furthest = max(self.furthest, distance(self.iss, segment.seq) + segment.length)
            if until is None or at <= until:
                self.heard.append(self.spell(segment))
                self.times.append(at)

    def follow(self) -> bool:
        """Go on from where the host is now; whether there still is a connection."""
        self.nxt, self.una, self.host_nxt = distance(ISS, self.expected), self.acked, self.furthest
        reading = self.end.reading()
        self.heard.append(f"{reading.state} {reading.recv_q} {reading.send_q} {reading.timer}")
        return reading.state not in ("CLOSED", "LISTEN", "SYN_RECEIVED")

    def take(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What was heard since the last time, and what the calls gave."""
        heard, results = tuple(self.heard), tuple(self.results)
        self.heard.clear()
        self.times.clear()
        self.results.clear()
        return heard, results

    def spell(self, segment: Segment) -> str:
        """Every field that is compared: flags, relative numbers, octets, whether the window is shut, the options."""
        bits = segment.flags & ~PSH if self.watched else segment.flags
        letters = "".join(letter for letter, bit in LETTERS.items() if bits & bit)
        host = self._isses.get(segment.dst_port, UNKNOWN_ISS)
        seq = str(distance(host, segment.seq))
        if segment.flags & RST and not segment.flags & ACK and segment.seq == 0:
            seq = "none"
        elif segment.flags & RST and segment.seq == 0:
            seq = "zero"
        ack = str(distance(ISS, segment.ack)) if segment.flags & ACK else "-"
        whom = (
            "" if segment.dst_port == self.first or self.alike else f"to {(segment.dst_port - self.first) // FARTHER}: "
        )
        said = [whom + letters, f"{seq}:{ack}", str(len(segment.payload))]
        if not segment.flags & RST:
            said.append("open" if segment.window else "shut")
        if segment.urgent:
            said.append(f"urgent {segment.urgent}")
        return " ".join(said + self._options(segment))

    def _options(self, segment: Segment) -> list[str]:
        said = []
        if segment.mss is not None:
            said.append(f"mss {segment.mss}")
        if segment.window_scale is not None:
            said.append(f"scale {segment.window_scale}")
        if segment.sack_permitted:
            said.append("sack permitted")
        if segment.sack and self.sacks:
            edges = ",".join(f"{distance(ISS, left)}-{distance(ISS, right)}" for left, right in segment.sack)
            said.append(f"sack {edges}")
        if segment.ts_value is not None:
            said.append("stamp" if not segment.ts_echo or self.alike else f"stamp {distance(CLOCK, segment.ts_echo)}")
        said.extend(f"option {kind}" for kind, _ in segment.others)
        return said
