"""What captures hold beside TCP, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lastack.capture.kernels import codes

PROTOCOLS: Final = {
    0: "IPv6 hop-by-hop options",
    1: "ICMP",
    2: "IGMP",
    17: "UDP",
    47: "GRE",
    50: "ESP",
    58: "ICMPv6",
    59: "no next header",
    88: "EIGRP",
    89: "OSPF",
    103: "PIM",
    112: "VRRP",
    132: "SCTP",
    codes.ARP: "ARP",
    codes.LLC: "802.2 LLC",
    codes.ETHERTYPE: "other than IP",
    codes.PPP_CONTROL: "PPP control",
    codes.MPLS: "MPLS without IP",
    codes.GRE: "GRE without IP",
    codes.GENEVE: "Geneve",
    codes.GTP: "GTP",
    codes.TEREDO: "Teredo",
    codes.L2TP: "L2TP",
    codes.LINK: "an unread link type",
    codes.LAYERS: "too many headers",
}
"""Names of counts (IP protocols below 256)."""

LINKS: Final = {
    0: "NULL",
    1: "Ethernet",
    6: "Token Ring",
    7: "ARCNET",
    8: "SLIP",
    9: "PPP",
    10: "FDDI",
    12: "raw IP",
    14: "raw IP",
    50: "PPP in HDLC",
    51: "PPPoE",
    100: "ATM",
    101: "raw IP",
    104: "Cisco HDLC",
    105: "802.11",
    107: "Frame Relay",
    108: "LOOP",
    109: "OpenBSD ENC",
    113: "Linux cooked",
    117: "PF log",
    119: "802.11 with Prism header",
    127: "802.11 with radiotap header",
    129: "ARCNET",
    147: "user 0",
    163: "802.11 with AVS header",
    166: "PPP",
    187: "Bluetooth",
    189: "USB",
    192: "PPI",
    195: "802.15.4",
    201: "Bluetooth",
    220: "USB",
    228: "IPv4",
    229: "IPv6",
    239: "netfilter log",
    240: "NetANALYZER",
    249: "USB",
    252: "exported PDU",
    253: "netlink",
    258: "PKTAP",
    276: "Linux cooked 2",
}
"""Names of link types (tcpdump.org/linktypes.html)."""

_ELSEWHERE: Final = (6, codes.CUT_SHORT, codes.MALFORMED, codes.FRAGMENTS, codes.ICMP_ERRORS)
"""Counts that are not of packets without TCP."""


def link_name(link: int) -> str:
    """A link type in words."""
    return LINKS.get(link, f"link type {link}")


def not_tcp(counts: Sequence[int]) -> dict[str, int]:
    """Packets that are not TCP, by the name of what they are, the most frequent first."""
    found = {
        PROTOCOLS.get(code, f"IP protocol {code}"): int(counts[code])
        for code in range(codes.COUNTS)
        if counts[code] and code not in _ELSEWHERE
    }
    return dict(sorted(found.items(), key=lambda one: -one[1]))
