"""Whatever a segment is wrapped in, the same segment comes out; what is not read is counted by its name."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest

from lastack.capture.packets import OUTBOUND, TUNNEL, VLAN

from .made import START, ethernet, ip, ipv4, ipv6, only, pcap, read, rows, udp

FOUR, SIX = ip(), ip(six=True)
SNAP = bytes.fromhex("aaaa03000000")
LINKS = {
    "Ethernet": (1, ethernet(FOUR)),
    "Ethernet with IPv6": (1, ethernet(SIX)),
    "802.3 with SNAP": (1, ethernet(SNAP + b"\x08\0" + FOUR, kind=len(FOUR) + 8)),
    "802.3 with IP's own SAP": (1, ethernet(b"\6\6\3" + FOUR, kind=len(FOUR) + 3)),
    "an IPv6 packet under the type of IPv4": (1, ethernet(SIX, kind=0x0800)),
    "BSD loopback, little-endian": (0, pack("<I", 2) + FOUR),
    "BSD loopback, big-endian": (0, pack(">I", 2) + FOUR),
    "macOS loopback with IPv6": (0, pack("<I", 30) + SIX),
    "OpenBSD loopback": (108, pack(">I", 24) + SIX),
    "OpenBSD enc": (109, pack(">III", 2, 0, 0) + FOUR),
    "raw": (101, FOUR),
    "raw of BSD": (12, SIX),
    "raw of OpenBSD": (14, SIX),
    "IPv4 alone": (228, FOUR),
    "IPv6 alone": (229, SIX),
    "SLIP": (8, bytes(16) + FOUR),
    "PPP": (9, b"\x00\x21" + FOUR),
    "PPP with address and control": (9, b"\xff\x03\x00\x57" + SIX),
    "PPP with a short protocol": (9, b"\x21" + FOUR),
    "PPP in HDLC": (50, b"\xff\x03\x00\x21" + FOUR),
    "Cisco HDLC under PPP's link type": (50, b"\x0f\x00\x08\x00" + FOUR),
    "PPPoE": (51, b"\x11\0\0\1" + pack(">HH", 2 + len(FOUR), 0x21) + FOUR),
    "pppd": (166, b"\1\x00\x21" + FOUR),
    "pppd with the control octet": (166, b"\0\3\x00\x21" + FOUR),
    "Cisco HDLC": (104, b"\x0f\x00\x08\x00" + FOUR),
    "FDDI": (10, b"\x50" + bytes(12) + SNAP + b"\x08\0" + FOUR),
    "ATM": (100, SNAP + b"\x08\0" + FOUR),
    "ARCNET": (129, b"\1\2\0\0\xd4\0\0\1" + FOUR),
    "ARCNET of RFC 1051": (129, b"\1\2\0\0\xf0" + FOUR),
    "an ARCNET exception frame": (129, b"\1\2\0\0\xd4\xff\xff\xff\xd4\0\0\1" + FOUR),
    "PF log": (117, bytes((61, 2)) + bytes(62) + FOUR),
    "netfilter log": (239, b"\2\0\0\0" + pack("<HH4x", 8, 1) + pack("<HH", 4 + len(FOUR), 9) + FOUR),
    "PKTAP": (258, pack("<III", 20, 1, 1) + bytes(8) + ethernet(FOUR)),
    "PPI": (192, pack("<BBHI", 0, 0, 12, 1) + bytes(4) + ethernet(FOUR)),
    "NetANALYZER": (240, bytes(4) + ethernet(FOUR)),
    "802.11": (105, b"\x08\1" + bytes(22) + SNAP + b"\x08\0" + FOUR),
    "802.11 with QoS behind radiotap": (
        127,
        b"\0\0\x08\0" + bytes(4) + b"\x88\1" + bytes(24) + SNAP + b"\x08\0" + FOUR,
    ),
    "802.11 from station to station": (105, b"\x08\3" + bytes(28) + SNAP + b"\x08\0" + FOUR),
    "Linux cooked": (113, pack(">HHH8sH", 0, 1, 6, bytes(8), 0x0800) + FOUR),
    "Linux cooked 2": (276, pack(">HHIHBB8s", 0x86DD, 0, 1, 1, 0, 6, bytes(8)) + SIX),
    "PPPoE in Ethernet": (1, ethernet(b"\x11\0\0\1" + pack(">HH", 2 + len(FOUR), 0x21) + FOUR, kind=0x8864)),
    "MPLS": (1, ethernet(b"\0\1\0\x40\0\2\1\x40" + FOUR, kind=0x8847)),
    "MPLS with IPv6": (1, ethernet(b"\0\2\1\x40" + SIX, kind=0x8848)),
    "an Ethernet pseudowire in MPLS": (1, ethernet(b"\0\2\1\x40" + bytes(4) + ethernet(FOUR), kind=0x8847)),
    "an Ethernet pseudowire without control word": (1, ethernet(b"\0\2\1\x40" + ethernet(FOUR), kind=0x8847)),
    "FabricPath": (1, ethernet(b"\x40\x20" + ethernet(FOUR) + bytes(4), kind=0x8903)),
    "a backbone service": (1, ethernet(bytes(4) + ethernet(FOUR), kind=0x88E7)),
}
TAGS = {
    "VLAN": ethernet(b"\0\7\x08\0" + FOUR, kind=0x8100),
    "QinQ": ethernet(b"\0\7\x81\0\0\x08\x86\xdd" + SIX, kind=0x88A8),
    "old QinQ": ethernet(b"\0\7\x81\0\0\x08\x08\0" + FOUR, kind=0x9100),
}
VXLAN = b"\x08\0\0\0\0\0\x2a\0"
TUNNELS = {
    "IP in IP": ipv4(4, FOUR),
    "6in4": ipv4(41, SIX),
    "4in6": ipv6(4, FOUR),
    "6in6": ipv6(41, SIX),
    "GRE": ipv4(47, b"\0\0\x08\0" + FOUR),
    "GRE with checksum, key and number": ipv4(47, b"\xb0\0\x86\xdd" + bytes(12) + SIX),
    "GRE with Ethernet": ipv4(47, b"\0\0\x65\x58" + ethernet(FOUR)),
    "PPTP": ipv4(47, b"\x30\x81\x88\x0b" + pack(">H", 4 + len(FOUR)) + bytes(10) + b"\xff\x03\x00\x21" + FOUR),
    "ERSPAN of type 1": ipv4(47, b"\0\0\x88\xbe" + ethernet(FOUR)),
    "ERSPAN of type 2": ipv4(47, b"\x10\0\x88\xbe" + bytes(4) + b"\x10" + bytes(7) + ethernet(FOUR)),
    "ERSPAN of type 3": ipv4(47, b"\x10\0\x22\xeb" + bytes(4) + b"\x20" + bytes(11) + ethernet(FOUR)),
    "VXLAN": ipv4(17, udp(4789, VXLAN + ethernet(FOUR))),
    "VXLAN on Linux's old port, in IPv6": ipv6(17, udp(8472, VXLAN + ethernet(b"\0\7\x08\0" + FOUR, kind=0x8100))),
    "Geneve with options": ipv4(17, udp(6081, b"\1\0\x65\x58" + bytes(4) + bytes(4) + ethernet(SIX))),
    "GTP": ipv4(17, udp(2152, b"\x30\xff" + pack(">H4x", len(FOUR)) + FOUR)),
    "GTP with an extension": ipv4(
        17, udp(2152, b"\x34\xff" + pack(">H4x", 8 + len(FOUR)) + b"\0\0\0\x85\1\0\0\0" + FOUR)
    ),
    "MPLS in UDP": ipv4(17, udp(6635, b"\0\2\1\x40" + FOUR)),
    "MPLS in IP": ipv4(137, b"\0\2\1\x40" + FOUR),
    "a tunnel in a tunnel": ipv4(4, ipv6(47, b"\0\0\x65\x58" + ethernet(ipv4(17, udp(4789, VXLAN + ethernet(FOUR)))))),
}
UNREAD = {
    "UDP": ethernet(ipv4(17, udp(53, b"question"))),
    "ICMP": ethernet(ipv4(1, bytes(8))),
    "ESP": ethernet(ipv4(50, bytes(40))),
    "SCTP": ethernet(ipv6(132, bytes(40))),
    "IP protocol 200": ethernet(ipv4(200, bytes(40))),
    "ARP": ethernet(bytes(28), kind=0x0806),
    "802.2 LLC": ethernet(b"\x42\x42\3" + bytes(40), kind=43),
    "other than IP": ethernet(bytes(40), kind=0x88CC),
    "PPP control": ethernet(b"\x11\0\0\1\0\0\xc0\x21" + bytes(8), kind=0x8864),
    "MPLS without IP": ethernet(b"\0\2\1\x40\x10" + bytes(8), kind=0x8847),
    "GRE without IP": ethernet(ipv4(47, b"\x40\0\x08\0" + bytes(20))),
    "Geneve": ethernet(ipv4(17, udp(6081, b"\xc0\0\x65\x58" + bytes(20)))),
    "GTP": ethernet(ipv4(17, udp(2152, b"\x30\x01" + bytes(20)))),
    "Teredo": ethernet(ipv4(17, udp(3544, bytes(40)))),
    "L2TP": ethernet(ipv4(17, udp(1701, bytes(40)))),
    "too many headers": ethernet(b"\0\7\x81\0" * 100, kind=0x8100),
}


def same_segment(directory: Path, frame: bytes, link: int = 1) -> int:
    """Holds the one packet of a capture to the segment that all are made of; returns its marks."""
    found = only(directory, frame, link)
    assert (found.time, found.number) == (START, 1)
    assert (found.source, found.destination) in (("192.0.2.1", "198.51.100.2"), ("2001:db8::1", "2001:db8::2"))
    assert (found.source_port, found.destination_port) == (40000, 443)
    assert (found.seq, found.ack, found.flags) == (0x1234_5678, 0x9ABC_DEF0, 0x18)
    assert (found.window, found.length, found.ttl) == (502, 9, 61)
    assert (found.ts_value, found.ts_echo) == (111, 222)
    assert found.ip_id == (None if ":" in found.source else 77)
    return found.marks


@pytest.mark.parametrize("name", LINKS)
def test_a_segment_is_found_behind_every_link(name: str, tmp_path: Path) -> None:
    link, frame = LINKS[name]
    assert not same_segment(tmp_path, frame, link) & TUNNEL


@pytest.mark.parametrize("name", TAGS)
def test_tags_are_passed_and_noted(name: str, tmp_path: Path) -> None:
    assert same_segment(tmp_path, TAGS[name]) & VLAN


@pytest.mark.parametrize("name", TUNNELS)
def test_the_innermost_segment_of_a_tunnel_is_taken_and_the_tunnel_noted(name: str, tmp_path: Path) -> None:
    assert same_segment(tmp_path, ethernet(TUNNELS[name])) & TUNNEL


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_not_tcp_is_counted_by_its_name(name: str, tmp_path: Path) -> None:
    captures = read(tmp_path, pcap([(START, UNREAD[name])]))
    assert rows(captures) == []
    assert captures.summary().not_tcp == {name: 1}


def test_an_unread_link_type_is_counted_by_its_name(tmp_path: Path) -> None:
    captures = read(tmp_path, pcap([(START, bytes(60))] * 3, link=189))
    assert rows(captures) == []
    assert captures.summary().not_tcp == {"USB": 3}


def test_a_cooked_capture_says_what_its_own_host_sent(tmp_path: Path) -> None:
    sent = pack(">HHH8sH", 4, 1, 6, bytes(8), 0x0800) + FOUR
    received = pack(">HHH8sH", 0, 1, 6, bytes(8), 0x0800) + FOUR
    found = rows(read(tmp_path, pcap([(START, sent), (START, received)], link=113)))
    assert [bool(packet.marks & OUTBOUND) for packet in found] == [True, False]


EXTENSIONS = {
    "hop by hop": (0, b"\6\0" + bytes(6)),
    "routing": (43, b"\6\2" + bytes(22)),
    "destination options": (60, b"\6\1" + bytes(14)),
    "authentication": (51, b"\6\4" + bytes(22)),
    "an atomic fragment": (44, b"\6\0\0\0" + bytes(4)),
    "an atomic fragment with reserved bits": (44, b"\6\0\0\6" + bytes(4)),
    "two of them": (0, b"\x3c\0" + bytes(6) + b"\6\0" + bytes(6)),
}


@pytest.mark.parametrize("name", EXTENSIONS)
def test_extension_headers_of_ipv6_are_passed(name: str, tmp_path: Path) -> None:
    following, extension = EXTENSIONS[name]
    body = SIX[40:]
    head = pack("!IHBB", 0x6000_0000, len(extension) + len(body), following, 61) + SIX[8:40]
    same_segment(tmp_path, ethernet(head + extension + body))


@pytest.mark.parametrize("name", [*LINKS, *TUNNELS])
def test_a_frame_cut_anywhere_yields_a_segment_or_is_counted(name: str, tmp_path: Path) -> None:
    link, frame = LINKS[name] if name in LINKS else (1, ethernet(TUNNELS[name]))
    captures = read(tmp_path, pcap([(START, frame)] * len(frame), link, snap=range(len(frame))))
    found = rows(captures)
    summary = captures.summary()
    assert len(found) + summary.cut + sum(summary.not_tcp.values()) == len(frame)
    assert summary.malformed == 0
    assert {(one.seq, one.flags, one.length) for one in found} == {(0x1234_5678, 0x18, 9)}
