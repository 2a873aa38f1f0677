"""Packets as a device with offload passes them: a header of ten octets first, checksums and cutting left to others.

The header (struct virtio_net_hdr, linux/virtio_net.h) says which checksum nobody has made yet, because on this path
nobody needs it, and of a packet that stands for many how large each of them would be. It is in the machine's own order.
"""

from __future__ import annotations

import sys
from struct import Struct
from typing import Final

from lastack.errors import DecodeError

from .checksum import pseudo_header
from .ip import IPV4_HEADER, IPV6_HEADER
from .options import encode_options
from .packet import Packet, decode_packet
from .segment import HEADER, PROTOCOL, encode_header

OFFLOAD_HEADER: Final = 10
LARGEST: Final = (1 << 16) - 1 - IPV4_HEADER - HEADER - 40
"""Octets of text that fit into a packet of 64 KiB, whatever its options."""

_VIRTIO: Final = Struct("=BBHHHH")
_NEEDS_CHECKSUM: Final = 1
_DATA_VALID: Final = 2
_TCPV4: Final = 1
_TCPV6: Final = 4
_CHECK_AT: Final = 16
_LITTLE: Final = sys.byteorder == "little"
_WHOLE: Final = bytes(OFFLOAD_HEADER)
_ALONE4: Final = _VIRTIO.pack(_NEEDS_CHECKSUM, 0, 0, 0, IPV4_HEADER, _CHECK_AT)
_ALONE6: Final = _VIRTIO.pack(_NEEDS_CHECKSUM, 0, 0, 0, IPV6_HEADER, _CHECK_AT)


def encode_offload(packet: Packet) -> tuple[bytes, bytes]:
    """The octets before a segment's payload, and the payload itself, neither read nor copied.

    In the place of the checksum is the sum over the pseudo-header, from which whoever needs it goes on.
    """
    segment = packet.segment
    if segment is None:
        return _WHOLE, packet.encode()
    options = encode_options(segment)
    payload = segment.payload
    length = HEADER + len(options) + len(payload)
    four = len(packet.source) == 4
    if segment.gso:
        ip = IPV4_HEADER if four else IPV6_HEADER
        head = ip + HEADER + len(options)
        lead = _VIRTIO.pack(_NEEDS_CHECKSUM, _TCPV4 if four else _TCPV6, head, segment.gso, ip, _CHECK_AT)
    else:
        lead = _ALONE4 if four else _ALONE6
    check = pseudo_header(packet.source, packet.destination, PROTOCOL, length)
    return lead + packet.encode_ip(PROTOCOL, length) + encode_header(segment, options, check), payload


def decode_offload(raw: bytes) -> Packet:
    """A packet from its octets, offload header first. Raises DecodeError as `decode_packet` does.

    A TCP checksum is verified only where the header does not say that there is none yet, or that it was found right.
    """
    if len(raw) < OFFLOAD_HEADER:
        raise DecodeError(f"an offload header needs {OFFLOAD_HEADER} octets, {len(raw)} are there", at=len(raw))
    vouched = raw[0] & (_NEEDS_CHECKSUM | _DATA_VALID)
    packet = decode_packet(raw, verify=not vouched, start=OFFLOAD_HEADER)
    segment = packet.segment
    if raw[1] and segment is not None:
        size = raw[4] | raw[5] << 8 if _LITTLE else raw[4] << 8 | raw[5]
        if len(segment.payload) > size:
            segment.gso = size
    return packet
