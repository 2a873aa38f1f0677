"""From a link type to the first protocol that says what it carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lastack.capture.kernels.codes import ARP, COUNTS, ETHERTYPE, LINK, LLC, MPLS, PPP_CONTROL
from lastack.capture.kernels.octets import u8, u16, u16_little, u32, u32_little
from lastack.capture.packets import OUTBOUND

# What comes next: an EtherType, or one of these, or none.
IPV4: Final = 0x0800
IPV6: Final = 0x86DD
ETHERNET: Final = 0x6558
"""A frame with its addresses (Transparent Ethernet Bridging, RFC 1701)."""
PPP: Final = 0x1_0000
EITHER_IP: Final = 0x1_0001
"""IP, its first four bits say which."""
LLC_HEADER: Final = 0x1_0002

# Or, negative, why there is nothing next: -1 - the count that it belongs to.
UNREAD: Final = -1 - LINK
OTHER: Final = -1 - ETHERTYPE
CONTROL: Final = -1 - PPP_CONTROL
NOT_SNAP: Final = -1 - LLC
NOT_LABELLED_IP: Final = -1 - MPLS
RESOLUTION: Final = -1 - ARP
SHORT: Final = -1 - COUNTS
"""The header ends too early: cut by the snap length, or malformed; whoever knows the frame's length knows which."""

# Registered link types (tcpdump.org/linktypes.html).
LINK_NULL: Final = 0
LINK_ETHERNET: Final = 1
LINK_SLIP: Final = 8
LINK_PPP: Final = 9
LINK_FDDI: Final = 10
LINK_RAW_BSD: Final = 12
LINK_RAW_OPENBSD: Final = 14
LINK_PPP_HDLC: Final = 50
LINK_PPP_ETHER: Final = 51
LINK_ATM_RFC1483: Final = 100
LINK_RAW: Final = 101
LINK_C_HDLC: Final = 104
LINK_80211: Final = 105
LINK_LOOP: Final = 108
LINK_ENC: Final = 109
LINK_SLL: Final = 113
LINK_PFLOG: Final = 117
LINK_RADIOTAP: Final = 127
LINK_ARCNET: Final = 129
LINK_PPP_PPPD: Final = 166
LINK_PPI: Final = 192
LINK_IPV4: Final = 228
LINK_IPV6: Final = 229
LINK_NFLOG: Final = 239
LINK_NETANALYZER: Final = 240
LINK_PKTAP: Final = 258
LINK_SLL2: Final = 276

_SENT_BY_US: Final = 4
"""PACKET_OUTGOING (linux/if_packet.h)."""


def family(number: int) -> int:
    """What an address family number of any system stands for: 2 is IPv4 everywhere, IPv6 has many numbers."""
    if number == 2:
        return IPV4
    if number in (10, 24, 26, 28, 30):
        return IPV6
    return OTHER


def family_in_any_order(octets: Sequence[int], at: int) -> int:
    """The family of a NULL header, written in the order of whoever captured."""
    big = u32(octets, at)
    return family(big) if big < 0x1_0000 else family(u32_little(octets, at))


def unwrap(octets: Sequence[int], at: int, end: int, link: int) -> tuple[int, int, int, int]:
    """Take off headers that only carry another link type (PKTAP, PPI, NetANALYZER): link type, offset, and twice 0."""
    if link == LINK_PKTAP and end - at >= 12:
        return u32_little(octets, at + 8), at + u32_little(octets, at), 0, 0
    if link == LINK_PPI and end - at >= 8:
        return u32_little(octets, at + 4), at + u16_little(octets, at + 2), 0, 0
    if link == LINK_NETANALYZER:
        return LINK_ETHERNET, at + 4, 0, 0
    return link, at, 0, 0


def nflog(octets: Sequence[int], at: int, end: int) -> tuple[int, int, int]:
    """The payload among the attributes of a netfilter log message."""
    kind = family(u8(octets, at)) if end > at else SHORT
    at += 4
    while end - at >= 4:
        length = u16_little(octets, at)
        if u16_little(octets, at + 2) & 0x7FFF == 9:
            return kind, at + 4, 0
        if length < 4:
            return SHORT, at, 0
        at += (length + 3) & ~3
    return SHORT, at, 0


def radiotap(octets: Sequence[int], at: int, end: int) -> tuple[int, int, int]:
    """An 802.11 frame behind its radio measurements."""
    if end - at < 4:
        return SHORT, at, 0
    return wireless(octets, at + u16_little(octets, at + 2), end)


def wireless(octets: Sequence[int], at: int, end: int) -> tuple[int, int, int]:
    """An 802.11 frame: data in the clear carries LLC, everything else is not IP."""
    if end - at < 24:
        return SHORT, at, 0
    control = u8(octets, at)
    flags = u8(octets, at + 1)
    if control & 0x0C != 0x08 or control & 0x40 or flags & 0x40:
        return OTHER, at, 0
    at += 30 if flags & 3 == 3 else 24
    if control & 0x80:
        at += 6 if flags & 0x80 else 2
    return LLC_HEADER, at, 0


def cooked(octets: Sequence[int], at: int, end: int, link: int) -> tuple[int, int, int]:
    """Linux's cooked header, first or second version."""
    if link == LINK_SLL:
        if end - at < 16:
            return SHORT, at, 0
        kind, sent, after = u16(octets, at + 14), u16(octets, at), at + 16
    else:
        if end - at < 20:
            return SHORT, at, 0
        kind, sent, after = u16(octets, at), u8(octets, at + 10), at + 20
    marks = OUTBOUND if sent == _SENT_BY_US else 0
    if kind < 0x600:
        # linux/if_ether.h: 4 is 802.2, 1 is 802.3 without it, and so on.
        return LLC_HEADER if kind == 4 else OTHER, after, marks
    return kind, after, marks


def arcnet(octets: Sequence[int], at: int, end: int) -> tuple[int, int, int]:
    """ARCNET as Linux captures it: IP by RFC 1051, or by RFC 1201 with its split flag and sequence number."""
    if end - at < 9:
        return SHORT, at, 0
    protocol = u8(octets, at + 4)
    at += 5
    if protocol == 240:
        return IPV4, at, 0
    if protocol not in (196, 212):
        return OTHER, at, 0
    # A split flag of 255 announces a frame whose length ARCNET cannot send: the header comes again.
    at += 7 if u8(octets, at) == 0xFF else 3
    return (IPV4 if protocol == 212 else IPV6), at, 0


def point_to_point(octets: Sequence[int], at: int, end: int, link: int) -> tuple[int, int, int]:
    """PPP in its framings, and Cisco's HDLC, which the same link types are used for."""
    if end - at < 4:
        return SHORT, at, 0
    if link != LINK_PPP_ETHER and u8(octets, at) in (0x0F, 0x8F):
        return u16(octets, at + 2), at + 4, 0
    if link == LINK_PPP_ETHER:
        return PPP, at + 6, 0
    if link == LINK_PPP_PPPD and u8(octets, at) < 2:
        # The direction in the place of the address; the control octet may follow it.
        return PPP, at + 2 if u8(octets, at + 1) == 3 else at + 1, 0
    return PPP, at, 0


def first_header(octets: Sequence[int], at: int, end: int, link: int) -> tuple[int, int, int]:
    """What a frame of this link type begins with: a protocol, its offset, and marks (OUTBOUND)."""
    if link == LINK_ETHERNET:
        return ETHERNET, at, 0
    if link in (LINK_RAW, LINK_RAW_BSD, LINK_RAW_OPENBSD, LINK_IPV4, LINK_IPV6):
        return EITHER_IP, at, 0
    if link in (LINK_SLL, LINK_SLL2):
        return cooked(octets, at, end, link)
    if link == LINK_NULL:
        return (family_in_any_order(octets, at), at + 4, 0) if end - at >= 4 else (SHORT, at, 0)
    if link == LINK_LOOP:
        return (family(u32(octets, at)), at + 4, 0) if end - at >= 4 else (SHORT, at, 0)
    if link == LINK_ENC:
        return (family_in_any_order(octets, at), at + 12, 0) if end - at >= 12 else (SHORT, at, 0)
    if link in (LINK_PPP, LINK_PPP_HDLC, LINK_PPP_ETHER, LINK_PPP_PPPD):
        return point_to_point(octets, at, end, link)
    if link == LINK_C_HDLC:
        return (u16(octets, at + 2), at + 4, 0) if end - at >= 4 else (SHORT, at, 0)
    if link == LINK_FDDI:
        return LLC_HEADER, at + 13, 0
    if link == LINK_ATM_RFC1483:
        return LLC_HEADER, at, 0
    if link == LINK_SLIP:
        return EITHER_IP, at + 16, 0
    if link == LINK_PFLOG:
        return (family(u8(octets, at + 1)), at + ((u8(octets, at) + 3) & ~3), 0) if end - at >= 2 else (SHORT, at, 0)
    if link == LINK_NFLOG:
        return nflog(octets, at, end)
    if link == LINK_ARCNET:
        return arcnet(octets, at, end)
    if link == LINK_80211:
        return wireless(octets, at, end)
    if link == LINK_RADIOTAP:
        return radiotap(octets, at, end)
    return UNREAD, at, 0
