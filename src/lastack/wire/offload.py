"""Packets as a device with offload passes them: a header of ten octets first, checksums and cutting left to others.

The header (struct virtio_net_hdr, linux/virtio_net.h) says which checksum nobody has made yet, because on this path
nobody needs it, and of a packet that stands for many how large each of them would be. It is in the machine's own order.

What nearly every packet is, a segment right behind an IP header without options, is read octet by octet, in machine
integers where this is compiled: a tenth of what it costs in full.
"""

from __future__ import annotations

import sys
from struct import Struct
from typing import Final

from lastack.errors import DecodeError
from lastack.native import i64

from .ip import DONT_FRAGMENT, IPV4_HEADER, IPV6_HEADER
from .options import decode_options, encode_options
from .packet import Packet, decode_packet
from .segment import HEADER, PROTOCOL, Segment

OFFLOAD_HEADER: Final = 10
LARGEST: Final = (1 << 16) - 1 - IPV4_HEADER - HEADER - 40
"""Octets of text that fit into a packet of 64 KiB, whatever its options."""

_VIRTIO: Final = Struct("=BBHHHH")
_NEEDS_CHECKSUM: Final = 1
_VOUCHED: Final = 1 | 2
"""There is none yet, or it was found right (VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_F_DATA_VALID)."""
_TCPV4: Final = 1
_TCPV6: Final = 4
_CHECK_AT: Final = 16
_LOW, _HIGH = (4, 5) if sys.byteorder == "little" else (5, 4)
_WHOLE: Final = bytes(OFFLOAD_HEADER)
_ALONE4: Final = _VIRTIO.pack(_NEEDS_CHECKSUM, 0, 0, 0, IPV4_HEADER, _CHECK_AT)
_ALONE6: Final = _VIRTIO.pack(_NEEDS_CHECKSUM, 0, 0, 0, IPV6_HEADER, _CHECK_AT)
_VERSION4: Final = 0x45
_HEAD4: Final = Struct("!10sIII4s4sIIIII")
_HEAD6: Final = Struct("!10sII16s16sIIIII")
"""Offload, IP and TCP header, in words of 32 bits."""
_STAMPED: Final = 0x0101_080A
"""No-operation twice, and timestamps (RFC 7323 appendix A)."""


def encode_offload(packet: Packet) -> tuple[bytes, bytes]:
    """The octets before a segment's payload, and the payload itself, neither read nor copied.

    In the place of the checksum is the sum over the pseudo-header, from which whoever needs it goes on.
    """
    segment = packet.segment
    if segment is None:
        return _WHOLE, packet.encode()
    options = encode_options(segment)
    payload = segment.payload
    header: i64 = HEADER + len(options)
    length = header + len(payload)
    source, destination = packet.source, packet.destination
    addresses = _words(source, 0, len(source)) + _words(destination, 0, len(destination))
    four = len(source) == 4
    lead = _ALONE4 if four else _ALONE6
    if segment.gso:
        lead = _many(four, header, segment.gso)
    ports = segment.src_port << 16 | segment.dst_port
    shape = header << 26 | segment.flags << 16 | segment.window
    check = _folded(addresses + PROTOCOL + length) << 16 | segment.urgent
    if four:
        first = _VERSION4 << 24 | packet.traffic_class << 16 | IPV4_HEADER + length
        second = packet.ident << 16 | (DONT_FRAGMENT if packet.dont_fragment else 0)
        third: i64 = packet.ttl << 24 | PROTOCOL << 16
        third |= 0xFFFF - _folded(_halves(first) + _halves(second) + _halves(third) + addresses)
        ack = segment.ack
        head = _HEAD4.pack(lead, first, second, third, source, destination, ports, segment.seq, ack, shape, check)
    else:
        first = 6 << 28 | packet.traffic_class << 20
        second = length << 16 | PROTOCOL << 8 | packet.ttl
        head = _HEAD6.pack(lead, first, second, source, destination, ports, segment.seq, segment.ack, shape, check)
    return head + options, payload


def decode_offload(raw: bytes) -> Packet:
    """A packet from its octets, offload header first. Raises DecodeError as `decode_packet` does.

    A TCP checksum is verified only where the header does not say that there is none yet, or that it was found right.
    """
    if len(raw) < OFFLOAD_HEADER:
        raise DecodeError(f"an offload header needs {OFFLOAD_HEADER} octets, {len(raw)} are there", at=len(raw))
    vouched = raw[0] & _VOUCHED != 0
    packet = _plain(raw) if vouched else None
    if packet is None:
        packet = decode_packet(raw, verify=not vouched, start=OFFLOAD_HEADER)
    if raw[1]:
        segment = packet.segment
        size = raw[_LOW] | raw[_HIGH] << 8
        if segment is not None and len(segment.payload) > size:
            segment.gso = size
    return packet


def _many(four: bool, header: int, size: int) -> bytes:
    """The offload header of one that stands for many."""
    ip = IPV4_HEADER if four else IPV6_HEADER
    return _VIRTIO.pack(_NEEDS_CHECKSUM, _TCPV4 if four else _TCPV6, ip + header, size, ip, _CHECK_AT)


def _plain(raw: bytes) -> Packet | None:
    """What nearly every packet is; None: read it in full, which also says what is wrong with it."""
    there: i64 = len(raw)
    ip: i64 = OFFLOAD_HEADER
    if there < ip + IPV4_HEADER + HEADER:
        return None
    if raw[ip] == _VERSION4:
        at = ip + IPV4_HEADER
        end = ip + _u16(raw, ip + 2)
        fragment = _u16(raw, ip + 6)
        if raw[ip + 9] != PROTOCOL or fragment & 0x3FFF or _folded(_words(raw, ip, at)) != 0xFFFF:
            return None
        source, destination = raw[ip + 12 : ip + 16], raw[ip + 16 : ip + 20]
        packet = Packet(source, destination, None, None, raw[ip + 8], _u16(raw, ip + 4))
        packet.traffic_class = raw[ip + 1]
        packet.dont_fragment = fragment & DONT_FRAGMENT != 0
    else:
        at = ip + IPV6_HEADER
        end = at + _u16(raw, ip + 4)
        if raw[ip] >> 4 != 6 or raw[ip + 6] != PROTOCOL:
            return None
        source, destination = raw[ip + 8 : ip + 24], raw[ip + 24 : ip + 40]
        packet = Packet(source, destination, None, None, raw[ip + 7])
        packet.traffic_class = _u16(raw, ip) >> 4 & 0xFF
    if end > there or end < at + HEADER:
        return None
    flags = _u16(raw, at + 12)
    text = at + (flags >> 12) * 4
    if text < at + HEADER or text > end:
        return None
    ports = _u32(raw, at)
    seq, ack, window = _u32(raw, at + 4), _u32(raw, at + 8), _u16(raw, at + 14)
    segment = Segment(ports >> 16, ports & 0xFFFF, seq, ack, flags & 0x1FF, window, raw[text:end])
    segment.urgent = _u16(raw, at + 18)
    if text == at + HEADER + 12 and _u32(raw, at + HEADER) == _STAMPED:
        segment.ts_value = _u32(raw, at + HEADER + 4)
        segment.ts_echo = _u32(raw, at + HEADER + 8)
    elif text > at + HEADER:
        decode_options(raw, at + HEADER, text, segment)
    packet.segment = segment
    return packet


def _u16(raw: bytes, at: i64) -> i64:
    high: i64 = raw[at]
    low: i64 = raw[at + 1]
    return high << 8 | low


def _u32(raw: bytes, at: i64) -> i64:
    return _u16(raw, at) << 16 | _u16(raw, at + 2)


def _words(raw: bytes, start: i64, end: i64) -> i64:
    """The sum of the 16-bit words of some octets, an even number of them, not folded."""
    total: i64 = 0
    while start < end:
        total += _u16(raw, start)
        start += 2
    return total


def _halves(number: i64) -> i64:
    """The sum of the two 16-bit words of a number."""
    return (number >> 16) + (number & 0xFFFF)


def _folded(total: i64) -> i64:
    """A sum of fewer than 65536 words as the one's complement sum that it is (RFC 1071)."""
    return _halves(_halves(total))
