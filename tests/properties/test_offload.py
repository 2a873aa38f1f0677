"""Packets for a device with offload: the same packets, with less work in them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.errors import DecodeError
from lastack.wire import Packet, Segment
from lastack.wire.checksum import checksum
from lastack.wire.flags import ACK, FIN, PSH
from lastack.wire.offload import OFFLOAD_HEADER, decode_offload, encode_offload
from lastack.wire.packet import decode_packet

from .test_codecs import FIELDS, addresses, segments, u8, u16

VIRTIO = struct.Struct("=BBHHHH")
NEEDS_CHECKSUM, DATA_VALID = 1, 2


def outcome(decoded: Packet) -> tuple[object, ...]:
    segment, icmp = decoded.segment, decoded.icmp
    ip = (decoded.source, decoded.destination, decoded.ttl, decoded.ident, decoded.traffic_class)
    fields = () if segment is None else tuple(getattr(segment, name) for name in (*FIELDS, "gso"))
    return (*ip, decoded.dont_fragment, fields, () if icmp is None else (icmp.problem, icmp.quote, icmp.mtu))


@given(segments(), addresses, u8, u8, u16, st.booleans())
def test_a_receiver_that_makes_the_checksum_has_the_packet_as_it_is_on_a_wire(
    segment: Segment, between: tuple[bytes, bytes], ttl: int, tos: int, ident: int, whole: bool
) -> None:
    packet = Packet(*between, segment, ttl=ttl, ident=ident if len(between[0]) == 4 else 0)
    packet.traffic_class = tos
    packet.dont_fragment = whole or len(between[0]) == 16
    head, payload = encode_offload(packet)
    flags, kind, _, size, start, offset = VIRTIO.unpack(head[:OFFLOAD_HEADER])
    assert (flags, kind, size) == (NEEDS_CHECKSUM, 0, 0)
    raw = bytearray(head[OFFLOAD_HEADER:] + payload)
    raw[start + offset : start + offset + 2] = checksum(bytes(raw[start:])).to_bytes(2, "big")
    assert bytes(raw) == packet.encode()
    assert outcome(decode_offload(head + payload)) == outcome(packet)


def judged_alike(raw: bytes, flags: int) -> None:
    """What is vouched for is read, or refused, as it is in full."""
    vouched = VIRTIO.pack(flags, 0, 0, 0, 0, 0) + raw
    try:
        expected = outcome(decode_packet(raw, verify=False))
    except DecodeError as error:
        with pytest.raises(DecodeError) as refused:
            decode_offload(vouched)
        assert refused.value.message == error.message
        assert refused.value.at == OFFLOAD_HEADER + (error.at or 0)
    else:
        assert outcome(decode_offload(vouched)) == expected


def sealed(raw: bytearray) -> bytes:
    """A header that says strange things, and means them."""
    if raw[0] == 0x45 and len(raw) >= 20:
        raw[10:12] = bytes(2)
        raw[10:12] = checksum(bytes(raw[:20])).to_bytes(2, "big")
    return bytes(raw)


@given(segments(), addresses, st.data())
def test_nothing_is_read_otherwise_than_in_full(
    segment: Segment, between: tuple[bytes, bytes], data: st.DataObject
) -> None:
    raw = bytearray(Packet(*between, segment).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(u8)
    packet = bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw)
    judged_alike(packet, data.draw(st.sampled_from([NEEDS_CHECKSUM, DATA_VALID])))


@pytest.mark.parametrize("size", [4, 16])
@pytest.mark.parametrize("stamped", [False, True])
def test_nothing_strange_is_read_otherwise_than_in_full(size: int, stamped: bool) -> None:
    segment = Segment(1, 2, 3, 4, ACK, 5, b"text")
    if stamped:
        segment.ts_value = 6
    whole = Packet(bytes(range(size)), bytes(range(size)), segment).encode()
    for at in range(len(whole)):
        for octet in (0, 1, 4, 0x10, 0x20, 0x40, 0x45, 0x60, 0x80, 0xF0, 0xFF):
            raw = bytearray(whole)
            raw[at] = octet
            judged_alike(bytes(raw), NEEDS_CHECKSUM)
            judged_alike(sealed(raw), DATA_VALID)
        judged_alike(whole[:at], DATA_VALID)


@given(segments(), addresses)
def test_what_nobody_vouches_for_is_verified(segment: Segment, between: tuple[bytes, bytes]) -> None:
    raw = bytearray(Packet(*between, segment).encode())
    plain = bytes(OFFLOAD_HEADER)
    assert outcome(decode_offload(plain + bytes(raw))) == outcome(decode_packet(bytes(raw)))
    raw[-1] ^= 0x55
    with pytest.raises(DecodeError, match="checksum"):
        decode_offload(plain + bytes(raw))


@given(st.binary(max_size=OFFLOAD_HEADER - 1))
def test_less_than_a_header_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError, match="offload header"):
        decode_offload(raw)


@given(addresses, st.integers(1, 50), st.integers(0, 500), st.integers(0, 0xFFFF_FFFF))
def test_one_that_stands_for_many_is_split_into_them(
    between: tuple[bytes, bytes], size: int, octets: int, seq: int
) -> None:
    segment = Segment(1, 2, seq, 3, ACK | PSH | FIN, 4, bytes(i & 0xFF for i in range(octets)))
    segment.ts_value = 5
    segment.gso = size if octets > size else 0
    packet = Packet(*between, segment)
    head, payload = encode_offload(packet)
    back = decode_offload(head + payload)
    assert outcome(back) == outcome(packet)
    parts = [part.segment for part in back.parts() if part.segment is not None]
    assert len(parts) == segment.count
    assert b"".join(part.payload for part in parts) == segment.payload
    at = seq
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        assert (part.seq, part.gso, part.ts_value) == (at, 0, 5)
        assert part.flags == (ACK | PSH | FIN if last else ACK)
        assert last or not segment.gso or len(part.payload) == size
        at = (at + len(part.payload)) & 0xFFFF_FFFF
