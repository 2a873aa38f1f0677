"""IPv4 and IPv6 headers (RFC 791, RFC 8200) and addresses as the octets they are on the wire."""

from __future__ import annotations

from struct import Struct
from typing import Final, final

from lastack.errors import DecodeError
from lastack.native import mypyc_attr

from .checksum import ones_sum

IPV4_HEADER: Final = 20
IPV6_HEADER: Final = 40
DONT_FRAGMENT: Final = 0x4000

_IPV4: Final = Struct("!BBHHHBBH4s4s")
_IPV6: Final = Struct("!IHBB16s16s")
_EXTENSIONS: Final = (0, 43, 60)
"""Hop-by-hop options, routing, destination options: skipped. A fragment header (44) is not reassembled."""
_MOST_EXTENSIONS: Final = 8
_PARSED: Final[dict[str, bytes]] = {}
"""Addresses that were read before: connecting reads the same few again and again."""
_MOST_PARSED: Final = 4096


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Header:
    """What an IP header says, and where its payload lies: octets [start, end)."""

    __slots__ = ("destination", "dont_fragment", "end", "ident", "protocol", "source", "start", "traffic_class", "ttl")

    def __init__(
        self,
        source: bytes,
        destination: bytes,
        protocol: int,
        ttl: int,
        traffic_class: int,
        ident: int,
        dont_fragment: bool,
        start: int,
        end: int,
    ) -> None:
        self.source = source
        self.destination = destination
        self.protocol = protocol
        self.ttl = ttl
        self.traffic_class = traffic_class
        self.ident = ident
        self.dont_fragment = dont_fragment
        self.start = start
        self.end = end


def address_bytes(text: str) -> bytes:
    """The 4 or 16 octets of an address in text. Raises ValueError where it is none."""
    known = _PARSED.get(text)
    if known is None:
        if len(_PARSED) >= _MOST_PARSED:
            _PARSED.clear()
        known = _PARSED[text] = _parse(text)
    return known


def _parse(text: str) -> bytes:
    if ":" in text:
        from ipaddress import IPv6Address

        return IPv6Address(text).packed
    parts = text.split(".")
    if len(parts) != 4 or not all(_is_octet(part) for part in parts):
        raise ValueError(f"not an IPv4 or IPv6 address: {text!r}")
    return bytes(int(part) for part in parts)


def _is_octet(part: str) -> bool:
    return part.isascii() and part.isdecimal() and len(part) <= 3 and int(part) < 256


def address_words(address: bytes) -> str:
    """The address in the usual text: dotted, or as RFC 5952 writes it."""
    if len(address) == 4:
        return f"{address[0]}.{address[1]}.{address[2]}.{address[3]}"
    from ipaddress import IPv6Address

    return str(IPv6Address(address))


def is_loopback(address: bytes) -> bool:
    """Whether it is of 127.0.0.0/8 or ::1."""
    return address[0] == 127 if len(address) == 4 else address == b"\0" * 15 + b"\x01"


def encode_ip(
    source: bytes,
    destination: bytes,
    protocol: int,
    length: int,
    ttl: int = 64,
    traffic_class: int = 0,
    ident: int = 0,
    dont_fragment: bool = True,
) -> bytes:
    """A header without options before a payload of `length` octets; the addresses choose the version."""
    if len(source) == 16:
        return _IPV6.pack(6 << 28 | traffic_class << 20, length, protocol, ttl, source, destination)
    flags = DONT_FRAGMENT if dont_fragment else 0
    total = IPV4_HEADER + length
    # The sum over the words of the header; the addresses are one number, whose words fold into it alike.
    words = 0x4500 + traffic_class + total + ident + flags + (ttl << 8) + protocol
    check = 0xFFFF - ones_sum(source + destination, words)
    return _IPV4.pack(0x45, traffic_class, total, ident, flags, ttl, protocol, check, source, destination)


def decode_ip(raw: bytes, start: int = 0) -> Header:
    """Read the IPv4 or IPv6 header at `start`. Octets after the packet's own length are padding and left out.

    Raises DecodeError on a short, lying, damaged or fragmented packet.
    """
    if start >= len(raw):
        raise DecodeError("an empty packet", at=start)
    version = raw[start] >> 4
    if version == 4:
        return _decode_ipv4(raw, start)
    if version == 6:
        return _decode_ipv6(raw, start)
    raise DecodeError(f"IP version {version}", at=start)


def _decode_ipv4(raw: bytes, start: int) -> Header:
    there = len(raw) - start
    if there < IPV4_HEADER:
        raise DecodeError(f"an IPv4 header needs {IPV4_HEADER} octets, {there} are there", at=len(raw))
    first, tos, length, ident, fragment, ttl, protocol, _, source, destination = _IPV4.unpack_from(raw, start)
    header = (first & 15) * 4
    if header < IPV4_HEADER or header > length:
        raise DecodeError(f"header length of {header} octets in a packet of {length}", at=start)
    if length > there:
        raise DecodeError(f"total length {length}, {there} octets are there", at=start + 2)
    if fragment & 0x3FFF:
        raise DecodeError("a fragment", at=start + 6)
    if ones_sum(raw[start : start + header]) != 0xFFFF:
        raise DecodeError("wrong header checksum", at=start + 10)
    unfragmented = bool(fragment & DONT_FRAGMENT)
    return Header(source, destination, protocol, ttl, tos, ident, unfragmented, start + header, start + length)


def _decode_ipv6(raw: bytes, start: int) -> Header:
    there = len(raw) - start
    if there < IPV6_HEADER:
        raise DecodeError(f"an IPv6 header needs {IPV6_HEADER} octets, {there} are there", at=len(raw))
    first, length, following, ttl, source, destination = _IPV6.unpack_from(raw, start)
    at = start + IPV6_HEADER
    end = at + length
    if end > len(raw):
        raise DecodeError(f"payload length {length}, {there - IPV6_HEADER} octets are there", at=start + 4)
    for _ in range(_MOST_EXTENSIONS):
        if following not in _EXTENSIONS:
            break
        if at + 8 > end:
            raise DecodeError("extension header runs past the packet", at=at)
        following, at = raw[at], at + 8 + raw[at + 1] * 8
    if at > end:
        raise DecodeError("extension header runs past the packet", at=at)
    if following == 44:
        raise DecodeError("a fragment", at=at)
    return Header(source, destination, following, ttl, first >> 20 & 0xFF, 0, True, at, end)
