"""Netlink dumps: found in one pass, proven by their lengths, and never a traceback of another kind."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lastack.errors import DecodeError, KernelError
from lastack.linux import netlink
from lastack.linux.netlink import Messages

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="netlink is Linux's")

SEQUENCE = 0xDEAD_BEEF
DATA, ERROR, DONE, OVERRUN = 20, 2, 3, 4
MULTI = 2


def message(payload: bytes, kind: int = DATA, flags: int = MULTI, sequence: int = SEQUENCE) -> bytes:
    length = netlink.HEADER.size + len(payload)
    return netlink.HEADER.pack(length, kind, flags, sequence, 4711) + payload + b"\0" * (-length % 4)


def done(status: int = 0) -> bytes:
    return message(struct.pack("=i", status), DONE)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def payloads(found: Messages) -> list[bytes]:
    octets = found.words.view(np.uint8)
    return [
        octets[4 * start + netlink.HEADER.size : 4 * start + length].tobytes()
        for start, length in zip(found.starts.tolist(), found.lengths.tolist(), strict=True)
    ]


def test_messages_are_found_and_the_last_one_is_not_data() -> None:
    found = netlink.messages(message(b"first") + message(b"second!") + message(b"") + done(), SEQUENCE)
    assert payloads(found) == [b"first", b"second!", b""]
    assert found.done


def test_a_piece_without_the_last_message_is_not_done() -> None:
    assert not netlink.messages(message(b"abcd") + message(b"efgh"), SEQUENCE).done
    assert len(netlink.messages(b"", SEQUENCE).starts) == 0


def test_the_sequence_number_within_a_payload_does_not_mislead() -> None:
    forged = message(b"inner")  # a whole header, where only a payload is
    for payload in (struct.pack("=I", SEQUENCE), forged, struct.pack("=4I", 0, 0, SEQUENCE, 0), forged * 3):
        data = message(b"before") + message(payload) + message(b"after") + done()
        assert payloads(netlink.messages(data, SEQUENCE)) == [b"before", payload, b"after"]


def test_messages_of_another_request_are_skipped() -> None:
    data = message(b"old", sequence=1) + message(b"ours") + message(b"old", sequence=2) + done()
    assert payloads(netlink.messages(data, SEQUENCE)) == [b"ours"]


@pytest.mark.parametrize(
    ("number", "helps"),
    [
        (errno.EPERM, "run as root"),
        (errno.EPROTONOSUPPORT, "inet_diag"),
        (errno.ENOENT, "tcp_diag"),
        (errno.ENOBUFS, "rmem_max"),
        (errno.EINVAL, "Invalid argument"),
        (4_000, "4000"),
    ],
)
def test_an_error_anywhere_is_told_with_what_would_help(number: int, helps: str) -> None:
    for data in (
        message(struct.pack("=i", -number) + b"\0" * 72, ERROR),
        message(b"data") + message(struct.pack("=i", -number), ERROR),
        message(b"data") + done(-number),
    ):
        with pytest.raises(KernelError, match=helps):
            netlink.messages(data, SEQUENCE)


def test_an_acknowledgement_is_no_error_and_an_overrun_is() -> None:
    assert payloads(netlink.messages(message(b"\0" * 4, ERROR) + message(b"data"), SEQUENCE)) == [b"data"]
    with pytest.raises(KernelError, match="receive buffer"):
        netlink.messages(message(b"", OVERRUN), SEQUENCE)


@pytest.mark.parametrize(
    ("data", "at"),
    [
        (message(b"whole") + message(b"cut off")[:-4], 24),
        (message(b"whole") + b"\0" * 8, 24),
        (message(b"whole") + struct.pack("=IHHII", 15, DATA, 0, SEQUENCE, 0), 24),
        (struct.pack("=IHHII", 0, DATA, 0, SEQUENCE, 0), 0),
        (struct.pack("=IHHII", 0xFFFF_FFFF, DATA, 0, SEQUENCE, 0), 0),
        (b"\x10", 0),
    ],
)
def test_octets_that_are_no_chain_of_messages_say_where(data: bytes, at: int) -> None:
    with pytest.raises(DecodeError) as told:
        netlink.messages(data, SEQUENCE)
    assert told.value.at == at


def test_attributes_are_found_in_messages_that_are_not_alike() -> None:
    fixed = b"f" * 8
    values = [b"", b"v", b"value", b"longer value"]
    messages = [
        message(fixed + b"".join(attribute(9, b"x" * number) for number in range(skipped)) + attribute(2, value))
        for value in values
        for skipped in range(4)
    ]
    found = netlink.messages(b"".join([*messages, message(fixed), message(fixed + attribute(3, b"other"))]), SEQUENCE)
    twos = netlink.attribute(found, netlink.HEADER.size + len(fixed), 2, least=1)
    octets = found.words.view(np.uint8)
    read = [
        octets[4 * at : 4 * at + length].tobytes()
        for at, length in zip(twos.at.tolist(), twos.lengths.tolist(), strict=True)
    ]
    assert twos.rows.tolist() == list(range(4, 16))  # the empty one is shorter than what was asked for
    assert read == [value for value in values[1:] for _ in range(4)]


def test_an_attribute_with_flags_is_of_its_kind() -> None:
    found = netlink.messages(message(attribute(2 | 0x8000, b"nested")), SEQUENCE)
    assert netlink.attribute(found, netlink.HEADER.size, 2, least=1).lengths.tolist() == [6]


@pytest.mark.parametrize("length", [0, 3, 13, 0xFFFF])
def test_an_attribute_that_does_not_fit_says_where(length: int) -> None:
    good = attribute(7, b"good")
    found = netlink.messages(message(good * 2) + message(good + struct.pack("=HH", length, 7) + b"bad!"), SEQUENCE)
    with pytest.raises(DecodeError) as told:
        netlink.attribute(found, netlink.HEADER.size, 2, least=1)
    assert told.value.at == 32 + 16 + 8


# -- received over a real socket, which stands in for the kernel's


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, kernels:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 5, 0))
        yield ours, kernels


def received(ends: tuple[socket.socket, socket.socket], *datagrams: bytes) -> list[bytes]:
    for datagram in datagrams:
        ends[1].send(datagram)
    return [payload for piece in netlink.received(ends[0], SEQUENCE) for payload in payloads(piece)]


def test_a_dump_ends_with_its_last_message_alone_or_behind_data(ends: tuple[socket.socket, socket.socket]) -> None:
    assert received(ends, message(b"one!") + message(b"two!"), message(b"three"), done()) == [
        b"one!",
        b"two!",
        b"three",
    ]
    assert received(ends, message(b"one!"), message(b"two!") + done()) == [b"one!", b"two!"]
    assert received(ends, done()) == []


def test_an_error_ends_a_dump(ends: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(KernelError, match="EPERM"):
        received(ends, message(b"one!"), message(struct.pack("=i", -errno.EPERM) + b"\0" * 72, ERROR))


def test_a_dump_that_is_cut_off_is_an_error_and_not_a_shorter_one(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[1].send(message(b"one!"))
    ends[1].close()
    with pytest.raises(DecodeError, match="without its last message"):
        list(netlink.received(ends[0], SEQUENCE))


def test_a_datagram_that_was_cut_is_an_error(ends: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(KernelError, match="was cut to 65536"):
        received(ends, message(b"x" * 70_000))


def test_a_kernel_that_falls_silent_is_told(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[0].setblocking(False)
    with pytest.raises(KernelError, match="has not gone on"):
        received(ends, message(b"one!"))


def test_a_dump_of_many_pieces_is_whole(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netlink, "_PIECE", netlink._DATAGRAM + 1_000)
    sent = [bytes([number]) * (40 + number) for number in range(100)]
    assert received(ends, *(message(payload) for payload in sent), done()) == sent


def test_an_error_of_the_socket_is_told_as_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    def overflowing(source: socket.socket, sequence: int) -> Iterator[Messages]:
        raise OSError(errno.ENOBUFS, "No buffer space available")

    monkeypatch.setattr(netlink, "received", overflowing)
    with pytest.raises(KernelError, match=r"No buffer space available.*rmem_max"):
        next(netlink.dump(netlink.SOCK_DIAG, 18, b""))


def test_a_request_that_the_kernel_does_not_know_is_told() -> None:
    with pytest.raises(KernelError, match="the kernel refuses to list sockets"):
        list(netlink.dump(netlink.SOCK_DIAG, 99, b"\0" * 64))


# -- anything at all

words = st.sampled_from([0, 1, 4, 15, 16, 20, 88, 0x0002_0014, 0x0014_0002, 0xFFFF, 0xFFFF_FFFF, SEQUENCE])
lumps = st.one_of(
    st.binary(max_size=40),
    words.map(lambda word: struct.pack("=I", word)),
    st.builds(
        message,
        st.binary(max_size=60),
        st.sampled_from([0, 1, ERROR, DONE, OVERRUN, 18, DATA, 0xFFFF]),
        st.integers(0, 0xFFFF),
        st.sampled_from([SEQUENCE, SEQUENCE, SEQUENCE, 0]),
    ),
)


@given(st.lists(lumps, max_size=12).map(b"".join))
@example(message(message(b"inner")) + done())
def test_any_octets_are_a_result_or_an_error_of_ours(data: bytes) -> None:
    try:
        found = netlink.messages(data, SEQUENCE)
        assert found.starts.tolist() == sorted(set(found.starts.tolist()))
        assert all(16 <= length <= len(data) for length in found.lengths)
        for least in (0, 8):
            values = netlink.attribute(found, netlink.HEADER.size, 2, least)
            assert ((values.lengths >= least) & (4 * values.at + values.lengths <= len(data))).all()
    except (DecodeError, KernelError):
        pass


@given(st.lists(st.binary(max_size=60), max_size=30), st.integers(0, 0xFFFF_FFFF))
def test_one_pass_finds_what_a_walk_finds(contents: list[bytes], sequence: int) -> None:
    data = b"".join(message(content, sequence=sequence) for content in contents)
    assert payloads(netlink.messages(data, sequence)) == contents
    starts, lengths = netlink._walk(data, sequence)
    found = netlink._by_sequence(np.frombuffer(data, np.uint32), sequence)
    if found is not None:
        assert (found[0].tolist(), found[1].tolist()) == (starts.tolist(), lengths.tolist())
