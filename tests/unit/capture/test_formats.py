"""pcap and pcapng in all their dialects say the same; of a file that breaks off, what was readable is kept."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest

from lastack.capture import pcapng
from lastack.errors import CaptureError

from .made import (
    MACS,
    START,
    block,
    enhanced,
    ethernet,
    interface,
    ip,
    only,
    pcap,
    read,
    rows,
    section,
    statistics,
)

FRAME = ethernet(ip())
MICRO = START // 1_000


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [True, False])
def test_pcap_is_read_in_both_orders_and_both_resolutions(order: str, nano: bool, tmp_path: Path) -> None:
    found = rows(read(tmp_path, pcap([(START, FRAME)] * 3, order=order, nano=nano)))
    assert [one.time for one in found] == [START if nano else MICRO * 1_000] * 3
    assert [one.number for one in found] == [1, 2, 3]


def test_kuznetzovs_records_have_longer_headers(tmp_path: Path) -> None:
    head = pack("<IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 65535, 1)
    record = pack("<IIII", 1, 2, len(FRAME), len(FRAME)) + bytes(8) + FRAME
    assert [one.time for one in rows(read(tmp_path, head + record * 2))] == [1_000_002_000] * 2


def test_a_very_old_pcap_may_name_the_lengths_in_the_other_order(tmp_path: Path) -> None:
    head = pack("<IHHiIII", 0xA1B2C3D4, 2, 3, 0, 0, 65535, 1)
    record = pack("<IIII", 1, 2, 2000, len(FRAME)) + FRAME
    assert len(rows(read(tmp_path, head + record * 2))) == 2


def test_what_else_the_link_field_says_does_not_matter(tmp_path: Path) -> None:
    made = bytearray(pcap([(START, FRAME)]))
    made[23] = 0x44  # four octets of frame check sequence
    assert len(rows(read(tmp_path, bytes(made)))) == 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_is_read_in_both_orders(order: str, tmp_path: Path) -> None:
    made = section(order) + interface(order=order) + enhanced(MICRO, FRAME, order=order)
    assert [one.time for one in rows(read(tmp_path, made))] == [MICRO * 1_000]


RESOLUTIONS = {
    0: 1_700_000_000_000_000_000,
    3: 1_700_000_000_123_000_000,
    6: 1_700_000_000_123_456_000,
    9: START,
    10: START,
    0x80: 1_700_000_000_000_000_000,
    0x80 | 10: 1_700_000_000_000_000_000 + (126 * 1_000_000_000 >> 10),
    0x80 | 30: 1_700_000_000_000_000_000 + ((123_456_789 << 30) // 1_000_000_000 * 1_000_000_000 >> 30),
    0x80 | 33: 1_700_000_000_000_000_000 + ((123_456_789 << 33) // 1_000_000_000 * 1_000_000_000 >> 33),
}


# Finer ticks than these do not reach from 1970 to now in 64 bits.
@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_every_resolution_of_time_becomes_nanoseconds(resolution: int, tmp_path: Path) -> None:
    if resolution & 0x80:
        ticks = (1_700_000_000 << (resolution & 0x7F)) + (123_456_789 << (resolution & 0x7F)) // 1_000_000_000
    else:
        ticks = START * 10**resolution // 10**9
    made = section() + interface(1, (9, bytes((resolution,)))) + enhanced(ticks, FRAME)
    assert [one.time for one in rows(read(tmp_path, made))] == [RESOLUTIONS[resolution]]


def test_an_offset_of_time_is_added(tmp_path: Path) -> None:
    made = section() + interface(1, (9, b"\x09"), (14, pack("<q", -100))) + enhanced(START, FRAME)
    assert [one.time for one in rows(read(tmp_path, made))] == [START - 100_000_000_000]


@pytest.mark.parametrize("resolution", [0, 6, 9, 18, 127, 0x80, 0x80 | 20, 0x80 | 63, 0xFF])
def test_no_number_of_ticks_is_too_large(resolution: int, tmp_path: Path) -> None:
    made = section() + interface(1, (9, bytes((resolution,))), (14, b"\xff" * 7 + b"\x7f"))
    made += enhanced((1 << 64) - 1, FRAME) + enhanced(1 << 62, FRAME) + enhanced((1 << 63) - 1, FRAME)
    assert all(-(1 << 62) <= one.time <= 1 << 62 for one in rows(read(tmp_path, made)))


def test_sections_have_interfaces_of_their_own(tmp_path: Path) -> None:
    made = section() + interface(189) + interface(1, (2, b"eth0")) + enhanced(MICRO, FRAME, of=1)
    made += section(">") + interface(101, (2, b"tun0"), order=">") + enhanced(MICRO + 1, ip(), order=">")
    captures = read(tmp_path, made)
    assert [one.time for one in rows(captures)] == [MICRO * 1_000, (MICRO + 1) * 1_000]
    assert [(one.name, one.link, one.frames) for one in captures.summary().interfaces] == [
        ("interface 0", 189, 0),
        ("eth0", 1, 1),
        ("tun0", 101, 1),
    ]


def test_simple_and_obsolete_packet_blocks_are_packets(tmp_path: Path) -> None:
    obsolete = pack("<HHIIII", 0, 7, MICRO >> 32, MICRO & 0xFFFF_FFFF, len(FRAME), len(FRAME)) + FRAME
    made = section() + interface() + block(2, obsolete) + block(3, pack("<I", len(FRAME)) + FRAME)
    found = rows(read(tmp_path, made))
    assert [(one.time, one.number, one.length) for one in found] == [(MICRO * 1_000, 1, 9), (0, 2, 9)]


def test_a_simple_packet_is_as_long_as_the_snap_length_allows(tmp_path: Path) -> None:
    made = section() + interface(snap=20) + block(3, pack("<I", 100) + FRAME[:20])
    captures = read(tmp_path, made)
    assert rows(captures) == []
    assert captures.summary().cut == 1


def test_other_blocks_are_passed_over_however_long(tmp_path: Path) -> None:
    made = section() + block(4, bytes(100)) + interface() + block(0x0BAD, bytes(3_000_000)) + enhanced(MICRO, FRAME)
    made += block(0x8000_0001, b"") + enhanced(MICRO, FRAME)
    assert len(rows(read(tmp_path, made))) == 2


def test_interfaces_without_number_are_read(tmp_path: Path) -> None:
    made = section() + interface(189) * 1000 + interface() + enhanced(MICRO, FRAME, of=1000)
    assert len(rows(read(tmp_path, made))) == 1


def test_what_the_capturing_system_lost_is_summed(tmp_path: Path) -> None:
    made = section() + interface() + interface() + enhanced(MICRO, FRAME)
    made += statistics(0, (4, pack("<Q", 9)), (5, pack("<Q", 3))) + statistics(
        1, (5, pack("<Q", 4)), (7, pack("<Q", 5))
    )
    captures = read(tmp_path, made)
    rows(captures)
    assert captures.summary().dropped == 12


def test_a_capture_that_says_nothing_of_losses_lost_an_unknown_number(tmp_path: Path) -> None:
    captures = read(tmp_path, section() + interface() + enhanced(MICRO, FRAME))
    rows(captures)
    assert captures.summary().dropped is None


TWO = section() + interface() + enhanced(MICRO, FRAME) * 2
BROKEN = {
    "a pcap record that claims a gigabyte": (
        pcap([(START, FRAME)] * 2) + pack("<IIII", 0, 0, 1 << 30, 1 << 30),
        "octet",
    ),
    "a pcap record cut short": (pcap([(START, FRAME)] * 3)[:-5], "cut short"),
    "a pcap record's header cut short": (pcap([(START, FRAME)] * 2) + bytes(7), "cut short"),
    "a pcapng block cut short": ((TWO + enhanced(MICRO, FRAME))[:-8], "cut short"),
    "a block whose lengths differ": (
        TWO + enhanced(MICRO, FRAME)[:-4] + b"\0\1\0\0",
        "cannot be one",
    ),
    "a packet longer than its block": (
        TWO + block(6, pack("<IIIII", 0, 0, 0, 999, 999)),
        "cannot be one",
    ),
    "a packet of an interface that is not there": (
        TWO + enhanced(MICRO, FRAME, of=1),
        "cannot be one",
    ),
    "a packet of an interface of the former section": (
        TWO + section() + enhanced(MICRO, FRAME),
        "cannot be one",
    ),
    "a block of length 3": (TWO + pack("<III", 77, 3, 3), "3 octets"),
    "a section without magic": (
        TWO + block(0x0A0D0D0A, bytes(16)),
        "magic",
    ),
    "an interface too short": (
        TWO + block(1, bytes(4)),
        "8 octets",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_was_readable_is_kept_and_where_it_broke_is_said(what: str, tmp_path: Path) -> None:
    octets, word = BROKEN[what]
    captures = read(tmp_path, octets)
    assert len(rows(captures)) == 2
    broken = captures.summary().broken
    assert len(broken) == 1
    assert word in broken[0]
    assert "after 2 frames" in broken[0]


def test_where_it_broke_is_counted_from_the_beginning_of_the_file(tmp_path: Path) -> None:
    whole = pcap([(START, FRAME)] * 20_000)
    captures = read(tmp_path, whole + b"\xff" * 100)
    assert len(rows(captures)) == 20_000
    assert f"at octet {len(whole)}, after 20000 frames" in captures.summary().broken[0]


def test_so_many_interfaces_are_not_believed_however_many_sections_they_are_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pcapng, "MOST_INTERFACES", 100)
    captures = read(tmp_path, TWO + (section() + interface() * 10) * 20)
    assert len(rows(captures)) == 2
    assert "more than 100 interfaces" in captures.summary().broken[0]
    assert len(captures.summary().interfaces) == 100


@pytest.mark.parametrize("octets", [b"", b"\n", b"GIF89a" + bytes(100), pcap([])[:20], section()[:12], bytes(5000)])
def test_what_is_no_capture_raises(octets: bytes, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"0\.pcap"):
        rows(read(tmp_path, octets))


@pytest.mark.parametrize("octets", [pcap([]), section(), section() + interface()])
def test_a_capture_without_packets_is_no_error(octets: bytes, tmp_path: Path) -> None:
    captures = read(tmp_path, octets)
    assert rows(captures) == []
    assert captures.summary().frames == 0


def test_a_frame_that_was_cut_says_so_and_has_its_length_by_the_header(tmp_path: Path) -> None:
    from lastack.capture.packets import CUT, OPTIONS_UNREAD

    frame = ethernet(ip(payload=bytes(1000)))
    found = rows(read(tmp_path, pcap([(START, frame)] * 3, snap=(70, 54, 48))))
    assert [one.length for one in found] == [1000, 1000, 1000]
    assert [one.window for one in found] == [502, 502, -1]
    assert [one.marks for one in found] == [CUT, CUT | OPTIONS_UNREAD, CUT | OPTIONS_UNREAD]


def test_padding_behind_the_packet_is_not_payload(tmp_path: Path) -> None:
    assert only(tmp_path, ethernet(ip(payload=b"") + bytes(40))).length == 0


@pytest.mark.parametrize("six", [False, True])
def test_offloaded_segments_without_a_length_have_that_of_the_frame(six: bool, tmp_path: Path) -> None:
    from lastack.capture.packets import LENGTH_GUESSED

    packet = bytearray(ip(six, payload=bytes(100_000 if not six else 1000)[:60_000]))
    packet[4 if six else 2 : 6 if six else 4] = b"\0\0"
    found = only(tmp_path, ethernet(bytes(packet)))
    assert found.length == (1000 if six else 60_000)
    assert found.marks & LENGTH_GUESSED


def test_a_wrong_checksum_is_the_offloads_and_no_reason_to_look_away(tmp_path: Path) -> None:
    packet = bytearray(ip())
    packet[10] ^= 0xFF
    packet[36] ^= 0xFF
    assert only(tmp_path, MACS + b"\x08\0" + bytes(packet)).length == 9
