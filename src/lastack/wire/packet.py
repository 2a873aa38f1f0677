"""A packet: a segment, or an ICMP message, with its addresses. What stacks, devices and links pass to each other."""

from __future__ import annotations

from typing import final

from lastack.errors import DecodeError
from lastack.native import i64, mypyc_attr

from .icmp import ICMP, ICMPV6, IcmpMessage, decode_icmp, encode_icmp
from .ip import IPV4_HEADER, IPV6_HEADER, address_words, decode_ip, encode_ip
from .segment import PROTOCOL, Segment, decode_segment, encode_segment, header_length, split


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Packet:
    """Addresses are 4 or 16 octets. Exactly one of `segment` and `icmp` is not None.

    `flow` is what the receiver finds its connection by (`stack.demux.four_tuple`), where the sender has it at hand;
    empty where it has not.
    """

    __slots__ = (
        "arrives",
        "destination",
        "dont_fragment",
        "flow",
        "icmp",
        "ident",
        "segment",
        "source",
        "traffic_class",
        "ttl",
    )

    def __init__(
        self,
        source: bytes,
        destination: bytes,
        segment: Segment | None,
        icmp: IcmpMessage | None = None,
        ttl: int = 64,
        ident: int = 0,
        flow: bytes = b"",
    ) -> None:
        self.source = source
        self.destination = destination
        self.segment = segment
        self.icmp = icmp
        self.ttl = ttl
        self.ident = ident
        self.flow = flow
        self.traffic_class = 0
        """TOS or traffic class; its two low bits are ECN (RFC 3168)."""
        self.dont_fragment = True
        self.arrives: i64 = 0
        """For whoever carries it: when it is there, in ns."""

    def copy(self) -> Packet:
        """Another packet with the same contents, which are shared."""
        other = Packet(self.source, self.destination, self.segment, self.icmp, self.ttl, self.ident, self.flow)
        other.traffic_class = self.traffic_class
        other.dont_fragment = self.dont_fragment
        other.arrives = self.arrives
        return other

    @property
    def size(self) -> int:
        """Octets on the wire, IP header included."""
        head = IPV4_HEADER if len(self.source) == 4 else IPV6_HEADER
        if self.segment is not None:
            return head + header_length(self.segment) + len(self.segment.payload)
        return head + 8 + (len(self.icmp.quoted) if self.icmp is not None else 0)

    def encode(self) -> bytes:
        """The packet's octets, checksums included."""
        if self.segment is not None:
            body = encode_segment(self.segment, self.source, self.destination)
            return self.encode_ip(PROTOCOL, len(body)) + body
        if self.icmp is not None:
            body = encode_icmp(self.icmp, self.source, self.destination)
            return self.encode_ip(ICMP if len(self.source) == 4 else ICMPV6, len(body)) + body
        raise ValueError("a packet with nothing in it")

    def encode_ip(self, protocol: int, length: int) -> bytes:
        """The octets of its IP header, before `length` octets of that protocol."""
        return encode_ip(
            self.source,
            self.destination,
            protocol,
            length,
            self.ttl,
            self.traffic_class,
            self.ident,
            self.dont_fragment,
        )

    def parts(self) -> list[Packet]:
        """The packets that this one is on a wire: itself, or those that a device with offload makes of it."""
        segment = self.segment
        if segment is None or not segment.gso:
            return [self]
        return [self.with_segment(part) for part in split(segment)]

    def with_segment(self, segment: Segment) -> Packet:
        """Another segment between the same addresses."""
        other = Packet(self.source, self.destination, segment, None, self.ttl, self.ident)
        other.traffic_class = self.traffic_class
        other.dont_fragment = self.dont_fragment
        return other

    def __str__(self) -> str:
        what = self.segment if self.segment is not None else self.icmp
        return f"{address_words(self.source)} > {address_words(self.destination)}: {what}"


def decode_packet(raw: bytes, *, verify: bool = True, start: int = 0) -> Packet:
    """A packet from its octets from `start` on, IP header first.

    Raises DecodeError on anything that is not a whole, undamaged TCP segment or ICMP message. `verify=False` leaves
    the TCP checksum unread, for a device that has checked it.
    """
    header = decode_ip(raw, start)
    source, destination = header.source, header.destination
    segment: Segment | None = None
    message: IcmpMessage | None = None
    if header.protocol == PROTOCOL:
        segment = decode_segment(raw, source, destination, verify=verify, start=header.start, end=header.end)
    elif header.protocol == (ICMP if len(source) == 4 else ICMPV6):
        try:
            message = decode_icmp(raw[header.start : header.end], source, destination)
        except DecodeError as error:
            raise DecodeError(error.message, at=header.start + (error.at or 0)) from None
    else:
        raise DecodeError(f"protocol {header.protocol} is neither TCP nor ICMP", at=header.start)
    packet = Packet(source, destination, segment, message, header.ttl, header.ident)
    packet.traffic_class = header.traffic_class
    packet.dont_fragment = header.dont_fragment
    return packet
