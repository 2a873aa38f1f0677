"""Faults written down packet by packet: lose the third ACK, hold this segment for 40 s."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import final

from lastack.model.time import Nanos
from lastack.wire.flags import ACK, FIN, RST, SYN
from lastack.wire.packet import Packet

Where = Callable[[Packet], bool]
"""Which packets a fault is for."""


class Action(IntEnum):
    """What befalls a packet."""

    LOSE = 0
    HOLD = 1
    DUPLICATE = 2
    CORRUPT = 3


def every(packet: Packet) -> bool:
    """Any packet."""
    return True


def syn(packet: Packet) -> bool:
    """A SYN without an ACK."""
    return packet.segment is not None and packet.segment.flags & (SYN | ACK) == SYN


def syn_ack(packet: Packet) -> bool:
    """A SYN with an ACK."""
    return packet.segment is not None and packet.segment.flags & (SYN | ACK) == SYN | ACK


def fin(packet: Packet) -> bool:
    """A FIN, with or without text."""
    return packet.segment is not None and bool(packet.segment.flags & FIN)


def rst(packet: Packet) -> bool:
    """A RST."""
    return packet.segment is not None and bool(packet.segment.flags & RST)


def text(packet: Packet) -> bool:
    """A segment that carries octets."""
    return packet.segment is not None and len(packet.segment.payload) > 0


def bare_ack(packet: Packet) -> bool:
    """An ACK and nothing else."""
    segment = packet.segment
    return segment is not None and segment.flags == ACK and not segment.payload


@final
class Fault:
    """Does `action` to the `nth` packet that `where` names, and to so many after it (`times`; 0: to all)."""

    __slots__ = ("action", "delay", "nth", "seen", "times", "where")

    def __init__(self, action: Action, where: Where, nth: int, times: int, delay: Nanos = 0) -> None:
        self.action = action
        self.where = where
        self.nth = nth
        self.times = times
        self.delay = delay
        self.seen = 0

    def strikes(self, packet: Packet) -> bool:
        """Whether this packet is one of those."""
        if not self.where(packet):
            return False
        self.seen += 1
        return self.seen >= self.nth and (not self.times or self.seen < self.nth + self.times)
