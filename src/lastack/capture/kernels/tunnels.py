"""What IP carries that carries packets again: IP, GRE, VXLAN, Geneve, GTP, MPLS, AH."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lastack.capture.kernels.codes import GENEVE, GRE, GTP, L2TP, TEREDO
from lastack.capture.kernels.link import EITHER_IP, ETHERNET, IPV4, IPV6, PPP, SHORT
from lastack.capture.kernels.octets import u8, u16, u32

_UDP: Final = 17
_MPLS_TYPE: Final = 0x8847

# Why there is nothing inside.
NOT_GRE: Final = -1 - GRE
NOT_GENEVE: Final = -1 - GENEVE
NOT_GTP: Final = -1 - GTP
NOT_TEREDO: Final = -1 - TEREDO
NOT_L2TP: Final = -1 - L2TP


def inside(octets: Sequence[int], at: int, end: int, protocol: int) -> tuple[int, int]:
    """What an IP protocol other than TCP carries (or the count that it belongs to, as -1 - count), and its offset."""
    if protocol == _UDP:
        return datagram(octets, at, end)
    if protocol == 4:
        return IPV4, at
    if protocol == 41:
        return IPV6, at
    if protocol == 47:
        return generic(octets, at, end)
    if protocol == 137:
        return _MPLS_TYPE, at
    return -1 - protocol, at


def generic(octets: Sequence[int], at: int, end: int) -> tuple[int, int]:
    """Generic Routing Encapsulation (RFC 2784, 2890), its PPTP form (RFC 2637) and ERSPAN in it."""
    if end - at < 4:
        return SHORT, at
    bits, carried = u16(octets, at), u16(octets, at + 2)
    size = 4
    for bit in (0x8000, 0x2000, 0x1000):
        # Checksum, key and sequence number, each of 4 octets where its bit is set.
        if bits & bit:
            size += 4
    if bits & 0x4000 or bits & 7 > 1:
        return NOT_GRE, at
    if end - at < size:
        return SHORT, at
    if bits & 7 == 1:
        size += 4 if bits & 0x80 else 0
        return PPP if carried == 0x880B and u16(octets, at + 4) else NOT_GRE, at + size
    if carried == 0x88BE:
        # ERSPAN of type II is numbered and has a header of its own, type I neither.
        return ETHERNET, at + size + (8 if bits & 0x1000 else 0)
    if carried == 0x22EB:
        if end - at < size + 12:
            return SHORT, at
        return ETHERNET, at + size + (20 if u8(octets, at + size + 11) & 1 else 12)
    return carried if carried else NOT_GRE, at + size


def datagram(octets: Sequence[int], at: int, end: int) -> tuple[int, int]:
    """What UDP carries, by the port that it goes to (RFC 768)."""
    if end - at < 8:
        return SHORT, at
    port = u16(octets, at + 2)
    left = end - at - 8
    at += 8
    if port in (4789, 8472) and left >= 8 and u32(octets, at) == 0x0800_0000 and u8(octets, at + 7) == 0:
        # RFC 7348 5: the I flag alone; 8472 is what Linux used before there was a number.
        return ETHERNET, at + 8
    if port == 6635:
        return _MPLS_TYPE, at
    if port == 6081:
        if left < 8 or u8(octets, at) >> 6:
            return NOT_GENEVE, at
        return u16(octets, at + 2), at + 8 + ((u8(octets, at) & 0x3F) << 2)
    if port == 2152:
        return user_plane(octets, at, end)
    if port == 3544:
        return NOT_TEREDO, at
    if port == 1701:
        return NOT_L2TP, at
    return -1 - _UDP, at


def user_plane(octets: Sequence[int], at: int, end: int) -> tuple[int, int]:
    """GTP version 1 with a packet of a mobile's in it (3GPP TS 29.281 5.1)."""
    if end - at < 12 or u8(octets, at) >> 4 != 3 or u8(octets, at + 1) != 255:
        return NOT_GTP, at
    flags = u8(octets, at) & 7
    at += 8
    if flags:
        extension = u8(octets, at + 3) if flags & 4 else 0
        at += 4
        while extension and end > at:
            size = u8(octets, at) << 2
            if size == 0 or end - at < size:
                return NOT_GTP, at
            extension = u8(octets, at + size - 1)
            at += size
    return EITHER_IP, at
