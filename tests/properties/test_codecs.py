"""What is encoded decodes to the same; what is hostile is refused and nothing else happens; arithmetic wraps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.errors import DecodeError
from lastack.wire import Packet, Segment, address_bytes, address_words, seq
from lastack.wire.checksum import checksum, ones_sum
from lastack.wire.icmp import IcmpMessage, Problem, read_quote
from lastack.wire.packet import decode_packet
from lastack.wire.pcapng import decode_blocks, decode_packet_block, interface_block, packet_block, section_block

u8, u16, u32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF)
FIELDS = (
    *("src_port", "dst_port", "seq", "ack", "flags", "window", "urgent", "payload", "mss", "window_scale", "sack"),
    *("sack_permitted", "ts_value", "ts_echo", "user_timeout", "fast_open", "others"),
)


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    segment = Segment(
        draw(u16),
        draw(u16),
        draw(u32),
        draw(u32),
        draw(st.integers(0, 0x1FF)),
        draw(u16),
        draw(st.binary(max_size=99)),
    )
    segment.urgent = draw(u16)
    segment.mss = draw(st.none() | u16)
    segment.window_scale = draw(st.none() | st.integers(0, 14))
    segment.sack_permitted = draw(st.booleans())
    if draw(st.booleans()):
        segment.ts_value, segment.ts_echo = draw(u32), draw(u32)
    room = 40 - 4 - 4 - 12 - 4
    kind = draw(st.sampled_from(["none", "sack", "timeout", "open", "other"]))
    if kind == "sack":
        segment.sack = tuple(draw(st.lists(st.tuples(u32, u32), min_size=1, max_size=1)))
    elif kind == "timeout":
        segment.user_timeout = draw(u16)
    elif kind == "open":
        segment.fast_open = draw(st.binary(max_size=room - 4))
    elif kind == "other":
        segment.others = ((draw(st.sampled_from([19, 29, 30, 253])), draw(st.binary(min_size=16, max_size=16))),)
        if segment.others[0][0] != 19:
            segment.others = ((segment.others[0][0], segment.others[0][1][:10]),)
        else:
            segment.mss = segment.window_scale = None
    return segment


addresses = st.one_of(
    st.tuples(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4)),
    st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16)),
)


@given(segments(), addresses, u8, u8)
def test_a_packet_survives_the_wire(segment: Segment, between: tuple[bytes, bytes], ttl: int, tos: int) -> None:
    packet = Packet(*between, segment, ttl=ttl)
    packet.traffic_class = tos
    raw = packet.encode()
    assert len(raw) == packet.size
    back = decode_packet(raw)
    assert (back.source, back.destination, back.ttl, back.traffic_class) == (*between, ttl, tos)
    assert back.segment is not None
    for name in FIELDS:
        assert getattr(back.segment, name) == getattr(segment, name), name


@given(segments(), addresses, st.data())
def test_a_flipped_bit_is_refused_or_outside_of_what_is_protected(
    segment: Segment, between: tuple[bytes, bytes], data: st.DataObject
) -> None:
    raw = bytearray(Packet(*between, segment).encode())
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit >> 3] ^= 1 << (bit & 7)
    # IPv6 protects neither traffic class, flow label nor hop limit.
    free = len(between[0]) == 16 and ((bit >> 3) in (1, 2, 3, 7) or ((bit >> 3) == 0 and bit & 7 < 4))
    if free:
        assert decode_packet(bytes(raw)).segment is not None
    else:
        with pytest.raises(DecodeError):
            decode_packet(bytes(raw))


@given(st.binary(max_size=120))
def test_hostile_octets_raise_only_decode_errors(raw: bytes) -> None:
    for start in (raw, b"\x45" + raw, b"\x60" + raw):
        try:
            decode_packet(start, verify=False)
        except DecodeError as error:
            assert error.at is None or 0 <= error.at <= len(start)


@given(segments(), addresses, st.sampled_from([p for p in Problem if p is not Problem.OTHER]), u16)
def test_an_error_quotes_what_it_is_about(
    segment: Segment, between: tuple[bytes, bytes], problem: Problem, mtu: int
) -> None:
    quoted = Packet(*between, segment).encode()[:48]
    message = IcmpMessage(problem, None, mtu if problem is Problem.TOO_BIG else 0, quoted)
    back = decode_packet(Packet(between[1], between[0], None, message).encode()).icmp
    assert back is not None
    assert (back.problem, back.mtu) == (problem, message.mtu)
    quote = read_quote(quoted)
    assert back.quote == quote
    assert quote is not None
    assert (quote.src_port, quote.dst_port, quote.seq) == (segment.src_port, segment.dst_port, segment.seq)


@given(addresses, st.binary(min_size=4, max_size=64))
def test_a_message_that_is_no_error_is_written_as_it_was_read(between: tuple[bytes, bytes], body: bytes) -> None:
    ping = IcmpMessage(Problem.PARAMETER, None, 0, body)
    raw = bytearray(Packet(*between, None, ping).encode())
    start = 20 if len(between[0]) == 4 else 40
    # Another type, and the checksum that makes up for it.
    change = (8 if start == 20 else 128) - raw[start]
    raw[start] += change
    check = int.from_bytes(raw[start + 2 : start + 4], "big") - (change << 8)
    raw[start + 2 : start + 4] = (check % 0xFFFF).to_bytes(2, "big")
    packet = decode_packet(bytes(raw))
    assert packet.icmp is not None
    assert packet.icmp.problem is Problem.OTHER
    assert packet.encode()[start:] == bytes(raw[start:])


@given(st.binary(max_size=64), st.integers(0, 1 << 40), st.text(max_size=20), st.booleans())
def test_a_captured_packet_reads_back(data: bytes, at: int, comment: str, more: bool) -> None:
    raw = section_block("lastack") + interface_block("eth0") + packet_block(0, at, data, comment)
    blocks = list(decode_blocks(raw + (packet_block(0, at, b"x") if more else b"")))
    packet = decode_packet_block(blocks[2])
    assert (packet.interface, packet.at_ns, packet.data) == (0, at, data)
    assert comment.encode() in packet.options


@given(st.binary(max_size=200), st.integers(0, 199))
def test_a_capture_cut_short_is_refused(data: bytes, cut: int) -> None:
    raw = section_block("lastack") + packet_block(0, 0, data)
    start = len(section_block("lastack"))
    cut = start + 1 + cut % (len(raw) - start - 1)
    with pytest.raises(DecodeError):
        list(decode_blocks(raw[:cut]))


@given(st.binary(max_size=101))
def test_the_checksum_is_that_of_rfc_1071(data: bytes) -> None:
    total, padded = 0, data + b"\0" * (len(data) & 1)
    for i in range(0, len(padded), 2):
        total += padded[i] << 8 | padded[i + 1]
        total = (total & 0xFFFF) + (total >> 16)
    assert ones_sum(data) == total
    assert ones_sum(padded + checksum(data).to_bytes(2, "big")) == 0xFFFF


@given(u32, st.integers(-0x7FFF_FFFF, 0x7FFF_FFFF))
def test_order_and_distance_agree_across_the_wrap(start: int, step: int) -> None:
    end = seq.add(start, step)
    assert seq.distance(start, end) == step
    assert seq.before(start, end) == (step > 0)
    assert seq.after(start, end) == (step < 0)
    assert seq.within(end, start, 1000) == (0 <= step < 1000)


@given(st.integers(0, 1 << 50), st.integers(-0x8000_0000, 0x7FFF_FFFF))
def test_an_expanded_number_is_the_nearest(near: int, step: int) -> None:
    assert seq.expand((near + step) & seq.MASK, near) == near + step


@given(st.ip_addresses())
def test_addresses_read_and_write_as_the_standard_library_does(address: object) -> None:
    assert address_bytes(str(address)) == getattr(address, "packed", None)
    assert address_words(address_bytes(str(address))) == str(address)


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.256", "1.2.3.4.5", "a.b.c.d", "::g", "1.2.3.\u0664"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        address_bytes(text)
