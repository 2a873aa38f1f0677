"""ICMP errors that quote a TCP segment (RFC 792, RFC 4443, RFC 1191, RFC 8201)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple, final

from lastack.errors import DecodeError

from .checksum import ones_sum, pseudo_header
from .ip import IPV4_HEADER, IPV6_HEADER

ICMP: Final = 1
ICMPV6: Final = 58


class Problem(IntEnum):
    """What an ICMP error says, whatever the family. The numbers are this package's own."""

    NETWORK_UNREACHABLE = 0
    HOST_UNREACHABLE = 1
    PROTOCOL_UNREACHABLE = 2
    PORT_UNREACHABLE = 3
    TOO_BIG = 4
    """Fragmentation needed and DF set; in IPv6 a message of its own. `mtu` says what would fit."""
    PROHIBITED = 5
    TIME_EXCEEDED = 6
    PARAMETER = 7
    OTHER = 8


_V4: Final = {
    (3, 0): Problem.NETWORK_UNREACHABLE,
    (3, 1): Problem.HOST_UNREACHABLE,
    (3, 2): Problem.PROTOCOL_UNREACHABLE,
    (3, 3): Problem.PORT_UNREACHABLE,
    (3, 4): Problem.TOO_BIG,
    (3, 13): Problem.PROHIBITED,
    (11, 0): Problem.TIME_EXCEEDED,
    (12, 0): Problem.PARAMETER,
}
_V6: Final = {
    (1, 0): Problem.NETWORK_UNREACHABLE,
    (1, 3): Problem.HOST_UNREACHABLE,
    (1, 4): Problem.PORT_UNREACHABLE,
    (1, 1): Problem.PROHIBITED,
    (2, 0): Problem.TOO_BIG,
    (3, 0): Problem.TIME_EXCEEDED,
    (4, 1): Problem.PROTOCOL_UNREACHABLE,
    (4, 0): Problem.PARAMETER,
}
_V4_WIRE: Final = {problem: pair for pair, problem in _V4.items()}
_V6_WIRE: Final = {problem: pair for pair, problem in _V6.items()}


class Quote(NamedTuple):
    """The segment that an error speaks of, as far as its first eight octets tell."""

    source: bytes
    destination: bytes
    src_port: int
    dst_port: int
    seq: int


@final
class IcmpMessage:
    """One error. `quote` is None where it quotes something else than TCP; `mtu` is 0 where none was said."""

    __slots__ = ("mtu", "problem", "quote", "quoted")

    def __init__(self, problem: Problem, quote: Quote | None, mtu: int = 0, quoted: bytes = b"") -> None:
        self.problem = problem
        self.quote = quote
        self.mtu = mtu
        self.quoted = quoted
        """The octets of the packet at fault, IP header first; of OTHER the whole message."""

    def __str__(self) -> str:
        return f"ICMP {self.problem.name.lower().replace('_', ' ')}" + (f" mtu {self.mtu}" if self.mtu else "")


def encode_icmp(message: IcmpMessage, source: bytes, destination: bytes) -> bytes:
    """The octets of a message between two addresses: an error, or OTHER as it was read.

    Raises ValueError for an OTHER that was never read.
    """
    if message.problem is Problem.OTHER and message.quoted:
        return message.quoted
    wire = _V4_WIRE if len(source) == 4 else _V6_WIRE
    if message.problem not in wire:
        raise ValueError(f"{message.problem.name} has no type and code")
    kind, code = wire[message.problem]
    body = bytes((kind, code, 0, 0)) + message.mtu.to_bytes(4, "big") + message.quoted
    initial = 0 if len(source) == 4 else pseudo_header(source, destination, ICMPV6, len(body))
    total = 0xFFFF - ones_sum(body, initial)
    return body[:2] + total.to_bytes(2, "big") + body[4:]


def decode_icmp(raw: bytes, source: bytes, destination: bytes) -> IcmpMessage:
    """An ICMP message from its octets; anything that is no error comes back as OTHER.

    Raises DecodeError on a short or damaged one.
    """
    if len(raw) < 8:
        raise DecodeError(f"an ICMP message needs 8 octets, {len(raw)} are there", at=len(raw))
    four = len(source) == 4
    if ones_sum(raw, 0 if four else pseudo_header(source, destination, ICMPV6, len(raw))) != 0xFFFF:
        raise DecodeError("wrong ICMP checksum", at=2)
    problem = (_V4 if four else _V6).get((raw[0], raw[1]), Problem.OTHER)
    mtu = 0
    if problem is Problem.TOO_BIG:
        mtu = int.from_bytes(raw[6:8] if four else raw[4:8], "big")
    if problem is Problem.OTHER:
        return IcmpMessage(problem, None, 0, raw)
    return IcmpMessage(problem, read_quote(raw[8:]), mtu, raw[8:])


def read_quote(quoted: bytes) -> Quote | None:
    """What a quoted packet names, or None where it is too short or not TCP."""
    if not quoted:
        return None
    if quoted[0] >> 4 == 4:
        start = (quoted[0] & 15) * 4
        if start < IPV4_HEADER or len(quoted) < start + 8 or quoted[9] != 6:
            return None
        source, destination = quoted[12:16], quoted[16:20]
    elif quoted[0] >> 4 == 6:
        start = IPV6_HEADER
        if len(quoted) < start + 8 or quoted[6] != 6:
            return None
        source, destination = quoted[8:24], quoted[24:40]
    else:
        return None
    ports = quoted[start : start + 8]
    src_port, dst_port = int.from_bytes(ports[:2], "big"), int.from_bytes(ports[2:4], "big")
    return Quote(source, destination, src_port, dst_port, int.from_bytes(ports[4:], "big"))
