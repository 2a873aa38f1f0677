"""From messages to rows: what is unknown is null, and hostile octets are a result or an error of ours."""

from __future__ import annotations

import socket
import struct
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.errors import DecodeError, KernelError
from lastack.linux import netlink
from lastack.live import sockdiag, tcpinfo
from lastack.live.sockcolumns import Sockets
from lastack.model.record import COLUMN, ConnectionTable, address_dtype
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sock_diag is Linux's")

SEQUENCE, NOW = 0xDEAD_BEEF, 1_700_000_000 * SECOND
WHOLE = sum(struct.calcsize(field.code) for field in tcpinfo.FIELDS)


@dataclass
class Given:
    """A socket as the kernel would put it."""

    state: int = State.ESTABLISHED
    family: int = socket.AF_INET
    local: str = "10.0.0.1"
    remote: str = "10.0.0.2"
    ports: tuple[int, int] = (80, 40_000)
    cookie: int = 1
    timer: int = 0
    retransmits: int = 0
    expires_ms: int = 0
    queues: tuple[int, int] = (0, 0)
    uid: int = 1_000
    inode: int = 99
    attributes: bytes = b""

    def octets(self) -> bytes:
        ends = b"".join(socket.inet_pton(self.family, end).ljust(16, b"\0") for end in (self.local, self.remote))
        body = struct.pack("=4B", self.family, self.state, self.timer, self.retransmits)
        body += struct.pack("!HH", *self.ports) + ends
        body += struct.pack("=3I", 0, self.cookie & 0xFFFF_FFFF, self.cookie >> 32)
        body += struct.pack("=5I", self.expires_ms, *self.queues, self.uid, self.inode) + self.attributes
        return netlink.HEADER.pack(16 + len(body), 18, 2, SEQUENCE, 0) + body


def info(octets: int = WHOLE, **fields: int) -> bytes:
    """An INET_DIAG_INFO attribute with a tcp_info of that length."""
    value = bytearray(WHOLE + 16)
    for field in tcpinfo.FIELDS:
        struct.pack_into("=" + field.code, value, tcpinfo.OFFSET[field.name], fields.get(field.name, 0))
    return struct.pack("=HH", 4 + octets, 2) + bytes(value[:octets]) + b"\0" * (-octets % 4)


def table(*sockets: Given, fin_timeout_ns: int | None = None) -> ConnectionTable:
    filled = Sockets(0, NOW, fin_timeout_ns)
    for one in sockets:  # a piece each, so that it grows
        filled.add(netlink.messages(one.octets(), SEQUENCE))
    return filled.table()


def row(one: Given, fin_timeout_ns: int | None = None) -> dict[str, Any]:
    return table(one, fin_timeout_ns=fin_timeout_ns).row(0)


def test_columns_have_the_types_of_the_schema() -> None:
    found = table(Given(attributes=info()))
    for name in found.names:
        declared = COLUMN[name].dtype
        assert found.values(name).dtype == (address_dtype() if declared == "address" else declared), name


def test_what_the_message_says_is_told() -> None:
    told = row(
        Given(
            timer=1,
            retransmits=3,
            expires_ms=250,
            queues=(7, 8),
            cookie=0x1_0000_0002,
            attributes=info(segs_out=4, segs_in=5, options=1),
        )
    )
    assert (told["local_addr"], told["local_port"]) == ("10.0.0.1", 80)
    assert (told["remote_addr"], told["remote_port"]) == ("10.0.0.2", 40_000)
    assert (told["timer"], told["retransmits"], told["timer_expires_ns"]) == ("RETRANSMIT", 3, NOW + 250 * MILLISECOND)
    assert (told["recv_q"], told["send_q"], told["uid"], told["inode"]) == (7, 8, 1_000, 99)
    assert (told["cookie"], told["segments_out"], told["segments_in"]) == (0x1_0000_0002, 4, 5)
    assert told["timestamps"] is True


@pytest.mark.parametrize(
    ("local", "remote", "family"),
    [("2001:db8::1", "2001:db8::2", 6), ("::ffff:10.0.0.1", "::ffff:10.0.0.2", 4), ("::", "::", 6), ("::1", "::1", 6)],
)
def test_an_address_is_told_as_it_is_on_the_wire(local: str, remote: str, family: int) -> None:
    told = row(Given(family=socket.AF_INET6, local=local, remote=remote))
    assert (told["local_addr"], told["remote_addr"]) == (local.removeprefix("::ffff:"), remote.removeprefix("::ffff:"))
    assert told["family"] == family


def test_a_request_in_the_syn_queue_is_in_syn_received() -> None:
    told = row(Given(state=12, uid=0, inode=0))
    assert (told["local_state"], told["first_closer"], told["uid"]) == ("SYN_RECEIVED", "NOBODY", None)


def test_root_with_a_descriptor_is_known_and_without_one_is_not() -> None:
    assert row(Given(uid=0, inode=7))["uid"] == 0
    assert row(Given(uid=0, inode=0))["uid"] is None
    assert row(Given(uid=5, inode=0))["uid"] == 5  # never accepted, or orphaned


def test_a_timer_of_a_later_kernel_is_null() -> None:
    assert row(Given(timer=9))["timer"] is None


@pytest.mark.parametrize("state", [State.SYN_SENT, State.SYN_RECEIVED, State.LISTEN])
def test_before_the_handshake_is_done_tcp_info_tells_nothing(state: State) -> None:
    told = row(Given(state=state, attributes=info(last_ack_recv=4_000_000_000, options=1, segs_out=3)))
    for name in ("last_ack_received_ns", "last_data_sent_ns", "timestamps", "segments_out", "age_ns", "age_most_ns"):
        assert told[name] is None, name


TIMES = {"timestamps", "last_ack_received_ns", "last_data_sent_ns", "last_data_received_ns"}
COUNTED = {"segments_out", "segments_in", "octets_in"}


@pytest.mark.parametrize(
    ("octets", "known"),
    [
        (103, set()),
        (104, TIMES),
        (143, TIMES),
        (144, TIMES | COUNTED),
        (216, TIMES | COUNTED | {"octets_out"}),
        (WHOLE + 12, TIMES | COUNTED | {"octets_out"}),
    ],
)
def test_the_shorter_tcp_info_of_an_older_kernel_tells_less(octets: int, known: set[str]) -> None:
    told = row(Given(attributes=info(octets, bytes_sent=5, bytes_received=5)))
    assert {name for name in TIMES | COUNTED | {"octets_out"} if told.get(name) is not None} == known


def test_a_fin_is_no_payload_and_what_was_sent_again_is_counted_once() -> None:
    some = info(bytes_received=101, bytes_sent=300, bytes_retrans=100)
    assert row(Given(state=State.CLOSE_WAIT, attributes=some))["octets_in"] == 100
    assert row(Given(state=State.ESTABLISHED, attributes=some))["octets_in"] == 101
    assert row(Given(attributes=some))["octets_out"] == 200


def test_where_no_data_flowed_there_is_no_last_time_of_it() -> None:
    ago = info(last_data_sent=5, last_data_recv=6, last_ack_recv=7, bytes_received=1, bytes_sent=0)
    told = row(Given(state=State.CLOSE_WAIT, attributes=ago))
    assert (told["last_data_sent_ns"], told["last_data_received_ns"]) == (None, None)
    assert told["last_ack_received_ns"] == NOW - 7 * MILLISECOND
    assert (told["age_ns"], told["age_most_ns"]) == (7 * MILLISECOND, 6 * MILLISECOND)


@pytest.mark.parametrize(
    ("state", "least", "most"),
    [
        (State.ESTABLISHED, 30, None),
        (State.FIN_WAIT_1, None, None),
        (State.FIN_WAIT_2, 10, 20),
        (State.CLOSING, 10, 30),
        (State.CLOSE_WAIT, 10, 30),
        (State.LAST_ACK, None, 30),
    ],
)
def test_ages_are_bounded_by_what_the_state_began_with(state: State, least: int | None, most: int | None) -> None:
    told = row(Given(state=state, attributes=info(last_ack_recv=10, last_data_sent=20, last_data_recv=30)))
    assert told["age_ns"] == (None if least is None else least * MILLISECOND)
    assert told["age_most_ns"] == (None if most is None else most * MILLISECOND)


def test_what_remains_of_a_mini_socket_tells_its_age() -> None:
    mini = Given(state=State.TIME_WAIT, timer=3, expires_ms=45_000, uid=0, inode=0)
    told = row(mini)
    assert (told["age_ns"], told["age_most_ns"], told["timer_expires_ns"]) == (
        15 * SECOND,
        15 * SECOND,
        NOW + 45 * SECOND,
    )
    assert (told["uid"], told["retransmits"]) == (None, None)
    assert row(replace(mini, expires_ms=60_004))["age_ns"] == 0
    orphan = replace(mini, state=State.FIN_WAIT_2, expires_ms=4_000)
    assert row(orphan)["age_ns"] is None
    assert row(orphan, 10 * SECOND)["age_ns"] == 6 * SECOND
    assert row(orphan, 70 * SECOND)["age_ns"] == 16 * SECOND  # whole for 10 s, then a mini-socket for 10 s
    assert row(orphan, 70 * SECOND)["age_most_ns"] is None
    owned = Given(state=State.FIN_WAIT_2, attributes=info(last_ack_recv=3))
    assert row(owned, 10 * SECOND)["age_ns"] == 3 * MILLISECOND


def test_many_pieces_make_one_table() -> None:
    found = table(*(Given(cookie=number, ports=(80, number), attributes=info()) for number in range(1, 200)))
    assert found.values("cookie").tolist() == found.values("id").tolist() == list(range(1, 200))
    assert found.values("remote_port").tolist() == list(range(1, 200))


def test_a_piece_with_and_without_tcp_info_keeps_rows_together() -> None:
    given = [Given(cookie=n, uid=n, attributes=info(segs_in=n) if n % 3 else b"") for n in range(1, 50)]
    filled = Sockets(64, NOW, None)
    order = filled.add(netlink.messages(b"".join(one.octets() for one in given), SEQUENCE))
    for position, told in zip(order.tolist(), filled.table().rows(), strict=True):
        assert (told["cookie"], told["uid"]) == (position + 1, position + 1)
        assert told["segments_in"] == (position + 1 if (position + 1) % 3 else None)


def test_a_message_that_is_too_short_says_where() -> None:
    good = Given().octets()
    with pytest.raises(DecodeError) as told:
        Sockets(0, 0, None).add(netlink.messages(good + netlink.HEADER.pack(16, 18, 2, SEQUENCE, 0), SEQUENCE))
    assert told.value.at == len(good)


def test_a_message_of_another_family_is_an_error() -> None:
    octets = bytearray(Given().octets())
    octets[netlink.HEADER.size] = socket.AF_UNIX
    with pytest.raises(DecodeError, match="no internet family"):
        Sockets(0, 0, None).add(netlink.messages(bytes(octets), SEQUENCE))


@pytest.mark.parametrize(
    ("cookies", "kept"),
    [
        ([], []),
        ([5, 6, 7], [5, 6, 7]),
        ([5, 6, 5], [6, 5]),
        ([1, 1 << 60, 3, 1 << 60], [1, 3, 1 << 60]),
        ([9, 9, 9], [9]),
    ],
)
def test_a_socket_that_the_kernel_tells_twice_is_told_once(cookies: list[int], kept: list[int]) -> None:
    every = np.array(cookies, np.uint64)
    last = sockdiag._last_of_each(every)
    assert every[last].tolist() == kept
    assert last.sum() == len(set(cookies))


def test_the_later_word_about_a_socket_counts() -> None:
    assert sockdiag._last_of_each(np.array([5, 6, 5], np.uint64)).tolist() == [False, True, True]


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=400),
            st.builds(
                lambda state, timer, attributes: Given(state=state, timer=timer, attributes=attributes).octets(),
                st.integers(0, 255),
                st.integers(0, 255),
                st.one_of(st.just(b""), st.binary(max_size=300).map(lambda b: b[: len(b) & ~3]), st.just(info())),
            ),
            st.binary(min_size=72, max_size=500).map(
                lambda body: (
                    netlink.HEADER.pack(16 + len(body) // 4 * 4, 18, 2, SEQUENCE, 0) + body[: len(body) // 4 * 4]
                )
            ),
        ),
        max_size=6,
    ).map(b"".join)
)
def test_any_octets_are_a_table_or_an_error_of_ours(data: bytes) -> None:
    try:
        filled = Sockets(1, NOW, 60 * SECOND)
        filled.add(netlink.messages(data, SEQUENCE))
        found = filled.table()
    except (DecodeError, KernelError):
        return
    known = np.isin(found.values("local_state"), [int(state) for state in State])
    for told in found.select(known).rows():
        assert told["local_port"] is not None
