"""What lies between a link and IP: Ethernet, VLAN tags, LLC, PPP, PPPoE, MPLS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lastack.capture.kernels.link import (
    CONTROL,
    EITHER_IP,
    ETHERNET,
    IPV4,
    IPV6,
    LLC_HEADER,
    NOT_LABELLED_IP,
    NOT_SNAP,
    OTHER,
    PPP,
    RESOLUTION,
    SHORT,
)
from lastack.capture.kernels.octets import u8, u16, u32
from lastack.capture.packets import VLAN

_LEAST_TYPE: Final = 0x600
"""Below this the field of an Ethernet frame is a length (IEEE 802.3 3.2.6)."""
_VLAN: Final = 0x8100
_SERVICE_VLAN: Final = 0x88A8
_OLD_QINQ: Final = 0x9100
_BACKBONE: Final = 0x88E7
_FABRIC_PATH: Final = 0x8903
_MPLS: Final = 0x8847
_MPLS_MULTICAST: Final = 0x8848
_PPPOE_SESSION: Final = 0x8864
_ARP: Final = 0x0806


def step(octets: Sequence[int], at: int, end: int, kind: int) -> tuple[int, int, int]:
    """Past one header that is not IP: the next kind (or why there is none), its offset, and marks (VLAN)."""
    if kind == ETHERNET:
        return (typed(u16(octets, at + 12)), at + 14, 0) if end - at >= 14 else (SHORT, at, 0)
    if kind in (_VLAN, _SERVICE_VLAN, _OLD_QINQ):
        return (typed(u16(octets, at + 2)), at + 4, VLAN) if end - at >= 4 else (SHORT, at, VLAN)
    if kind == EITHER_IP:
        return either(octets, at, end), at, 0
    if kind == PPP:
        return point_to_point_protocol(octets, at, end)
    if kind == LLC_HEADER:
        return logical_link(octets, at, end)
    if kind == _PPPOE_SESSION:
        return (PPP, at + 6, 0) if end - at >= 6 else (SHORT, at, 0)
    if kind in (_MPLS, _MPLS_MULTICAST):
        return labels(octets, at, end)
    if kind == _BACKBONE:
        return ETHERNET, at + 4, VLAN
    if kind == _FABRIC_PATH:
        return ETHERNET, at + 2, 0
    return RESOLUTION if kind == _ARP else OTHER, at, 0


def typed(field: int) -> int:
    """What an Ethernet type or length field announces."""
    return field if field >= _LEAST_TYPE else LLC_HEADER


def either(octets: Sequence[int], at: int, end: int) -> int:
    """IPv4 or IPv6, by the version in the first octet."""
    if end <= at:
        return SHORT
    version = u8(octets, at) >> 4
    if version == 4:
        return IPV4
    return IPV6 if version == 6 else OTHER


def logical_link(octets: Sequence[int], at: int, end: int) -> tuple[int, int, int]:
    """802.2: IP comes in a SNAP header (RFC 1042); spanning tree and the like do not."""
    if end - at < 3:
        return SHORT, at, 0
    if u16(octets, at) == 0xAAAA and u8(octets, at + 2) == 3:
        return (u16(octets, at + 6), at + 8, 0) if end - at >= 8 else (SHORT, at, 0)
    if u16(octets, at) == 0x0606 and u8(octets, at + 2) == 3:
        return IPV4, at + 3, 0
    return NOT_SNAP, at, 0


def point_to_point_protocol(octets: Sequence[int], at: int, end: int) -> tuple[int, int, int]:
    """The PPP protocol field, behind address and control or without them, one octet or two (RFC 1661 6.5, 6.6)."""
    if end - at >= 2 and u16(octets, at) == 0xFF03:
        at += 2
    if end - at < 2:
        return SHORT, at, 0
    if u8(octets, at) & 1:
        protocol = u8(octets, at)
        at += 1
    else:
        protocol = u16(octets, at)
        at += 2
    if protocol == 0x21:
        return IPV4, at, 0
    if protocol == 0x57:
        return IPV6, at, 0
    if protocol == 0x281:
        return _MPLS, at, 0
    return CONTROL, at, 0


def labels(octets: Sequence[int], at: int, end: int) -> tuple[int, int, int]:
    """Down to the bottom of an MPLS stack (RFC 3032). What follows is IP by its version, or a pseudowire's Ethernet."""
    while end - at >= 4:
        bottom = u32(octets, at) & 0x100
        at += 4
        if bottom:
            first = u8(octets, at) >> 4 if end > at else 15
            if first in (4, 6):
                return either(octets, at, end), at, 0
            if end - at >= 14 and u16(octets, at + 12) in (IPV4, IPV6, _VLAN, _SERVICE_VLAN):
                return ETHERNET, at, 0
            # RFC 4448 4.6: a control word, then the frame.
            return ETHERNET if first == 0 else NOT_LABELLED_IP, at + 4, 0
    return SHORT, at, 0
