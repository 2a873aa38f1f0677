"""A packet: a segment, or an ICMP message, with its addresses. What stacks, devices and links pass to each other."""

from __future__ import annotations

from typing import final

from lastack.errors import DecodeError
from lastack.native import i64, mypyc_attr

from .icmp import ICMP, ICMPV6, IcmpMessage, decode_icmp, encode_icmp
from .ip import IPV4_HEADER, IPV6_HEADER, address_words, decode_ip, encode_ip
from .segment import PROTOCOL, Segment, decode_segment, encode_segment, header_length


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
        four = len(self.source) == 4
        if self.segment is not None:
            protocol, body = PROTOCOL, encode_segment(self.segment, self.source, self.destination)
        elif self.icmp is not None:
            protocol = ICMP if four else ICMPV6
            body = encode_icmp(self.icmp, self.source, self.destination)
        else:
            raise ValueError("a packet with nothing in it")
        head = encode_ip(
            self.source,
            self.destination,
            protocol,
            len(body),
            self.ttl,
            self.traffic_class,
            self.ident,
            self.dont_fragment,
        )
        return head + body

    def __str__(self) -> str:
        what = self.segment if self.segment is not None else self.icmp
        return f"{address_words(self.source)} > {address_words(self.destination)}: {what}"


def decode_packet(raw: bytes, *, verify: bool = True) -> Packet:
    """A packet from its octets, IP header first.

    Raises DecodeError on anything that is not a whole, undamaged TCP segment or ICMP message. `verify=False` leaves
    the TCP checksum unread, for a device that has checked it.
    """
    header = decode_ip(raw)
    body = raw[header.start : header.end]
    segment: Segment | None = None
    message: IcmpMessage | None = None
    try:
        if header.protocol == PROTOCOL:
            segment = decode_segment(body, header.source, header.destination, verify=verify)
        elif header.protocol == (ICMP if len(header.source) == 4 else ICMPV6):
            message = decode_icmp(body, header.source, header.destination)
        else:
            raise DecodeError(f"protocol {header.protocol} is neither TCP nor ICMP", at=0)
    except DecodeError as error:
        at = None if error.at is None else error.at + header.start
        raise DecodeError(error.message, at=at) from None
    packet = Packet(header.source, header.destination, segment, message, header.ttl, header.ident)
    packet.traffic_class = header.traffic_class
    packet.dont_fragment = header.dont_fragment
    return packet
