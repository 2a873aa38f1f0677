"""What sock_diag is read as, against real sockets in every state and against what ss says of them."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import numpy as np
import pytest

from lastack.linux import namespaces, sysctl
from lastack.linux.namespaces import Namespace
from lastack.live import sockdiag
from lastack.model.address import Endpoint, FourTuple
from lastack.model.record import ConnectionTable
from lastack.model.state import State, bits
from lastack.model.time import MILLISECOND, SECOND

from .peer import ACK, FIN, PSH, Stage, until

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("private_network")]

Row = dict[str, Any]


@pytest.fixture
def stage() -> Iterator[Stage]:
    with ExitStack() as kept:
        yield Stage(kept)


def rows(states: int = sockdiag.ALL, **options: Any) -> Iterator[Row]:
    return read(states, **options).rows()


def read(states: int = sockdiag.ALL, **options: Any) -> ConnectionTable:
    return sockdiag.read(time.time_ns(), states, **options)


def row_of(ours: socket.socket) -> Row:
    """The row of one of our own sockets, by its inode."""
    table = read()
    (rows,) = np.flatnonzero(table.values("inode") == os.fstat(ours.fileno()).st_ino).reshape(-1, 1).tolist()
    return table.row(rows[0])


class Since:
    """Measures an age from outside: `with since: cause it`, then `since.look(read it)` tells its bounds as well."""

    SLACK: Final = 20 * MILLISECOND  # a few ticks of the kernel's clock

    def __enter__(self) -> Since:
        self.earliest = time.monotonic_ns()
        return self

    def __exit__(self, *_: object) -> None:
        self.latest = time.monotonic_ns()

    def look(self, at: Callable[[], Row]) -> tuple[Row, int, int]:
        before = time.monotonic_ns()
        row = at()
        return row, before - self.latest - self.SLACK, time.monotonic_ns() - self.earliest + self.SLACK


def the_one(state: State, **options: Any) -> Row:
    """The only socket in a state."""
    table = read(bits(state), **options)
    assert len(table) == 1, list(table.rows())
    return table.row(0)


def seen_by_ss() -> Counter[tuple[str, ...]]:
    """State, local and remote endpoint, receive and send queue of every socket that ss shows."""
    answer = subprocess.run(["ss", "-tanH"], capture_output=True, text=True, check=True, timeout=10).stdout

    def endpoint(text: str) -> str:
        # "*" is an IPv6 listener that takes IPv4 too; what is IPv4 on the wire is IPv4 in our table.
        return re.sub(r"\[::ffff:([\d.]+)\]", r"\1", re.sub(r"^\*:", "[::]:", text))

    return Counter(
        (words[0], endpoint(words[3]), endpoint(words[4]), words[1], words[2])
        for words in map(str.split, answer.splitlines())
    )


def seen_here() -> Counter[tuple[str, ...]]:
    """The same of our table, in the words of ss."""
    words = {
        "ESTABLISHED": "ESTAB",
        "SYN_RECEIVED": "SYN-RECV",
        **{state.name: state.name.replace("_", "-") for state in (State.SYN_SENT, State.TIME_WAIT, State.CLOSE_WAIT)},
        **{state.name: state.name.replace("_", "-") for state in (State.FIN_WAIT_1, State.FIN_WAIT_2, State.LAST_ACK)},
    }

    def endpoint(row: Row, side: str) -> str:
        addr, port = row[f"{side}_addr"], row[f"{side}_port"]
        if addr is None:  # a listener has no peer
            return "[::]:*" if ":" in row["local_addr"] else "0.0.0.0:*"
        return f"[{addr}]:{port}" if ":" in addr else f"{addr}:{port}"

    return Counter(
        (
            words.get(str(row["local_state"]), str(row["local_state"])),
            endpoint(row, "local"),
            endpoint(row, "remote"),
            str(row["recv_q"]),
            str(row["send_q"]),
        )
        for row in rows()
    )


def test_every_state_of_both_families_is_read_as_ss_reads_it(stage: Stage) -> None:
    stage.every_state(4)
    stage.every_state(6)
    stage.listen("0.0.0.0", 8_080, backlog=3)
    stage.keep(socket.create_connection(("127.0.0.1", 8_080)))
    stage.listen("::", 8_081, family=socket.AF_INET6)
    stage.keep(socket.create_connection(("127.0.0.1", 8_081)))
    stage.pair("::1")[0].send(b"unread")
    until(lambda: len(read(bits(State.CLOSE_WAIT))) == 2, "two in CLOSE_WAIT")
    until(lambda: len(read(bits(State.CLOSING))) == 2, "two in CLOSING")
    assert seen_here() == seen_by_ss()
    states = Counter(row["local_state"] for row in rows())
    assert set(states) == {state.name for state in State if state is not State.CLOSED}
    assert states["FIN_WAIT_2"] == 4  # of each family one with and one without an owner


def test_an_ipv4_connection_of_an_ipv6_socket_is_ipv4_on_the_wire(stage: Stage) -> None:
    listener = stage.listen("::", family=socket.AF_INET6)
    client = stage.keep(socket.create_connection(("127.0.0.1", listener.getsockname()[1])))
    server = stage.keep(listener.accept()[0])
    assert server.family == socket.AF_INET6
    row = row_of(server)
    assert (row["family"], row["local_addr"], row["remote_addr"]) == (4, "127.0.0.1", "127.0.0.1")
    assert (row["local_port"], row["remote_port"]) == (server.getsockname()[1], client.getsockname()[1])
    assert row_of(listener)["family"] == 6


def test_a_listener_tells_its_queue_and_its_limit_and_has_no_peer(stage: Stage) -> None:
    listener = stage.listen("127.0.0.1", backlog=7)
    for _ in range(3):
        stage.keep(socket.create_connection(listener.getsockname()))
    row = row_of(listener)
    assert (row["recv_q"], row["send_q"]) == (3, 7)
    assert (row["remote_addr"], row["remote_port"], row["first_closer"], row["close_kind"]) == (None,) * 4
    assert (row["age_ns"], row["last_ack_received_ns"], row["segments_in"]) == (None,) * 3


def test_the_state_tells_who_closed_first(stage: Stage) -> None:
    stage.every_state(4)
    until(lambda: len(read(bits(State.LAST_ACK, State.TIME_WAIT, State.CLOSING))) == 3, "the last segments")
    expected = {
        "ESTABLISHED": ("NOBODY", "OPEN"),
        "SYN_SENT": ("NOBODY", "OPEN"),
        "SYN_RECEIVED": ("NOBODY", "OPEN"),
        "FIN_WAIT_1": ("LOCAL", None),
        "FIN_WAIT_2": ("LOCAL", "HALF_CLOSED"),
        "CLOSING": ("BOTH", "SIMULTANEOUS"),
        "TIME_WAIT": ("LOCAL", "ORDERLY"),
        "CLOSE_WAIT": ("REMOTE", "HALF_CLOSED"),
        "LAST_ACK": ("REMOTE", None),
        "LISTEN": (None, None),
    }
    assert {row["local_state"]: (row["first_closer"], row["close_kind"]) for row in rows()} == expected


def test_a_time_wait_tells_its_age_and_end_and_keeps_no_owner(stage: Stage) -> None:
    client, server = stage.pair()
    client.close()
    with Since() as since:
        server.close()
        until(lambda: len(read(bits(State.TIME_WAIT))) == 1, "a TIME_WAIT")
    time.sleep(0.2)
    now = time.time_ns()
    row, least, most = since.look(lambda: sockdiag.read(now, bits(State.TIME_WAIT)).row(0))
    assert least <= row["age_ns"] == row["age_most_ns"] <= most
    assert row["timer"] == "TIME_WAIT"
    assert row["timer_expires_ns"] == now + 60 * SECOND - row["age_ns"]
    assert (row["uid"], row["inode"], row["retransmits"], row["timestamps"], row["octets_in"]) == (None, 0, *[None] * 3)
    assert row["cookie"] > 0


def test_an_orphan_in_fin_wait_2_tells_its_age_from_fin_timeout(stage: Stage) -> None:
    sysctl.write("net.ipv4.tcp_fin_timeout", 20)
    ours, line = stage.accept_from_peer(4)
    ours.close()
    line.expect(FIN)
    line.send(ACK)
    until(lambda: bool((read(bits(State.FIN_WAIT_2)).values("inode") == 0).any()), "an orphan")
    time.sleep(0.3)
    row = the_one(State.FIN_WAIT_2, fin_timeout_ns=20 * SECOND)
    assert row["timer"] == "TIME_WAIT"  # a mini-socket
    assert 250 * MILLISECOND <= row["age_ns"] <= 10 * SECOND
    assert row["age_most_ns"] is None
    assert the_one(State.FIN_WAIT_2)["age_ns"] is None  # where nobody says what the setting is


def test_with_a_fin_timeout_above_a_minute_the_orphan_is_whole_first_and_then_a_mini_socket(stage: Stage) -> None:
    sysctl.write("net.ipv4.tcp_fin_timeout", 61)
    ours, line = stage.accept_from_peer(4)
    ours.close()
    line.expect(FIN)
    with Since() as since:
        line.send(ACK)
        until(lambda: the_one(State.FIN_WAIT_2)["timer"] == "KEEPALIVE", "the orphan's own timer")
    whole, least, most = since.look(lambda: the_one(State.FIN_WAIT_2, fin_timeout_ns=61 * SECOND))
    assert whole["inode"] == 0
    assert least <= whole["age_ns"] <= most
    until(lambda: the_one(State.FIN_WAIT_2)["timer"] == "TIME_WAIT", "the mini-socket")
    mini, least, most = since.look(lambda: the_one(State.FIN_WAIT_2, fin_timeout_ns=61 * SECOND))
    tick = 100 * MILLISECOND  # the kernel's timers are late by up to an eighth of their length
    assert least - 2 * tick <= mini["age_ns"] <= most + tick


def test_the_age_of_a_close_wait_lies_between_the_last_ack_and_the_last_data(stage: Stage) -> None:
    ours, line = stage.accept_from_peer(4)
    line.send(ACK, b"x" * 100)
    time.sleep(0.15)
    with Since() as since:
        line.send(FIN | ACK)
        until(lambda: len(read(bits(State.CLOSE_WAIT))) == 1, "the CLOSE_WAIT")
    time.sleep(0.15)
    row, least, most = since.look(lambda: row_of(ours))
    assert least <= row["age_ns"] <= most
    assert row["age_most_ns"] >= row["age_ns"] + 100 * MILLISECOND
    line.send(ACK)  # an ACK that says nothing new restarts what "at least" is built on
    until(lambda: row_of(ours)["age_ns"] < row["age_ns"], "the later ACK to be seen")
    assert row_of(ours)["age_most_ns"] >= row["age_most_ns"]


def test_the_age_of_an_owned_fin_wait_2_lies_between_the_last_ack_and_our_last_data(stage: Stage) -> None:
    ours, line = stage.accept_from_peer(4)
    ours.send(b"y" * 10)
    line.expect(PSH | ACK)
    line.send(ACK)
    time.sleep(0.15)
    ours.shutdown(socket.SHUT_WR)
    line.expect(FIN)
    with Since() as since:
        line.send(ACK)
        until(lambda: len(read(bits(State.FIN_WAIT_2))) == 1, "the FIN_WAIT_2")
    time.sleep(0.15)
    row, least, most = since.look(lambda: row_of(ours))
    assert least <= row["age_ns"] <= most
    assert row["age_most_ns"] >= row["age_ns"] + 100 * MILLISECOND
    line.send(ACK, b"still talking")
    until(lambda: row_of(ours)["recv_q"] == 13, "the peer's data")
    later = row_of(ours)
    assert later["age_ns"] < row["age_ns"]
    assert later["age_most_ns"] >= row["age_most_ns"]


def test_an_established_connection_is_at_least_as_old_as_anything_that_happened_in_it(stage: Stage) -> None:
    client, server = stage.pair()
    time.sleep(0.2)
    client.send(b"x")
    row = row_of(server)
    assert 150 * MILLISECOND <= row["age_ns"] <= 10 * SECOND  # since the handshake, although data has just come
    assert row["age_most_ns"] is None


def test_a_call_of_the_application_leaves_no_age(stage: Stage) -> None:
    stage.every_state(4)
    assert the_one(State.FIN_WAIT_1)["age_ns"] is the_one(State.FIN_WAIT_1)["age_most_ns"] is None
    last_ack = the_one(State.LAST_ACK)
    assert last_ack["age_ns"] is None
    assert 0 <= last_ack["age_most_ns"] <= 5 * SECOND  # younger than the end of the peer's data


def test_octets_and_segments_are_counted_without_the_fin(stage: Stage) -> None:
    client, server = stage.pair()
    client.send(b"x" * 1_000)
    until(lambda: row_of(server)["recv_q"] == 1_000, "the data")
    server.recv(400)
    client.shutdown(socket.SHUT_WR)
    until(lambda: row_of(server)["local_state"] == "CLOSE_WAIT", "the FIN")
    until(lambda: row_of(client)["local_state"] == "FIN_WAIT_2", "the ACK of it")
    row, other = row_of(server), row_of(client)
    assert (row["octets_in"], row["octets_out"], row["recv_q"]) == (1_000, 0, 601)  # the FIN counts in the queue
    assert (other["octets_in"], other["octets_out"]) == (0, 1_000)
    assert row["segments_in"] >= 3
    assert row["timestamps"] is other["timestamps"] is True
    assert row["last_data_sent_ns"] is other["last_data_received_ns"] is None  # none ever was
    assert row["last_data_received_ns"] <= row["last_ack_received_ns"] <= time.time_ns()
    assert row["uid"] == os.getuid()


def test_a_connection_without_timestamps_says_so(stage: Stage) -> None:
    ours, _ = stage.accept_from_peer(4)
    assert row_of(ours)["timestamps"] is False


def test_unanswered_retransmissions_are_counted_and_the_timer_told(stage: Stage) -> None:
    ours, _ = stage.accept_from_peer(6)
    ours.send(b"nobody acknowledges this")
    until(lambda: row_of(ours)["retransmits"] > 0, "a retransmission")
    row = row_of(ours)
    assert (row["timer"], row["send_q"], row["octets_out"]) == ("RETRANSMIT", 24, 24)
    assert row["timer_expires_ns"] > time.time_ns() - SECOND


def test_only_the_states_asked_for_are_told(stage: Stage) -> None:
    stage.every_state(4)
    for state in State:
        if state is not State.CLOSED:
            assert {row["local_state"] for row in rows(bits(state))} == {state.name}


def test_without_tcp_info_its_columns_are_null(stage: Stage) -> None:
    ours, _ = stage.pair()
    table = read(info=0)
    row = next(row for row in table.rows() if row["inode"] == os.fstat(ours.fileno()).st_ino)
    assert row["local_state"] == "ESTABLISHED"
    assert {row.get(name) for name in ("age_ns", "timestamps", "last_ack_received_ns", "segments_in")} == {None}


def test_a_socket_is_found_by_cookie_and_by_four_tuple_with_all_of_its_tcp_info(stage: Stage) -> None:
    for _ in range(30):  # mini-sockets among them, which come in another order than they are told in
        for end in stage.pair():
            end.close()
    for addr in ("127.0.0.1", "::1"):
        client, server = stage.pair(addr)
        client.send(b"x" * 300)
        cookie = struct.unpack("=Q", client.getsockopt(socket.SOL_SOCKET, 57, 8))[0]  # SO_COOKIE
        by_cookie = sockdiag.find(time.time_ns(), cookie)
        here, there = Endpoint(*server.getsockname()[:2]), Endpoint(*client.getsockname()[:2])
        by_tuple = sockdiag.find(time.time_ns(), FourTuple(here, there))
        assert by_cookie is not None and by_tuple is not None
        assert by_cookie.connection.value("inode", 0) == os.fstat(client.fileno()).st_ino
        assert by_tuple.connection.value("inode", 0) == os.fstat(server.fileno()).st_ino
        assert by_cookie.info is not None and by_tuple.info is not None
        assert by_cookie.info["bytes_sent"] == by_tuple.info["bytes_received"] == (300, "octets")
        mss = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        assert by_cookie.info["snd_mss"].value == mss
        assert by_cookie.cgroup_id == by_tuple.cgroup_id


def test_a_mini_socket_is_found_without_tcp_info_and_nothing_where_there_is_nothing(stage: Stage) -> None:
    client, server = stage.pair()
    ends = FourTuple(Endpoint(*client.getsockname()), Endpoint(*server.getsockname()))
    client.close()
    server.close()
    until(lambda: len(read(bits(State.TIME_WAIT))) == 1, "a TIME_WAIT")
    found = sockdiag.find(time.time_ns(), ends)
    assert found is not None
    assert (found.connection.value("local_state", 0), found.info, found.cgroup_id) == ("TIME_WAIT", None, None)
    assert sockdiag.find(time.time_ns(), FourTuple(ends.remote, ends.local)) is None
    assert sockdiag.find(time.time_ns(), 1 << 63) is None


def test_a_large_dump_has_every_socket_once(stage: Stage) -> None:
    sysctl.write("net.ipv4.tcp_tw_reuse", 0)  # else a machine so slow that a second passes takes ports over
    count = 9_000  # several megabytes with tcp_info: more than one piece
    listener = stage.listen("127.0.0.1", backlog=128)
    at = listener.getsockname()
    expected = set()
    for number in range(count):
        client = socket.create_connection(at)
        server, _ = listener.accept()
        expected.add(client.getsockname()[1])
        if number % 2:
            stage.keep(client)
            stage.keep(server)
        else:
            client.close()
            server.close()
    table = read()
    local, remote = table.values("local_port"), table.values("remote_port")
    assert sorted(local[remote == at[1]].tolist()) == sorted(expected)
    assert table.in_state(State.TIME_WAIT).sum() == count // 2
    assert len(np.unique(table.values("cookie"))) == len(table)
    assert table.values("id").tolist() == list(range(1, len(table) + 1))


def test_sockets_that_come_and_go_are_never_read_twice() -> None:
    sysctl.write("net.ipv4.tcp_child_ehash_entries", 16)  # of the next namespace: chains that change as they are read
    program = """
import socket
with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
    print("ready", flush=True)
    while True:
        for one in [socket.create_connection(listener.getsockname()) for _ in range(200)]:
            other = listener.accept()[0]
            one.close()
            other.close()
"""
    with (
        namespaces.private(),
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as churn,
    ):
        try:
            sysctl.write("net.ipv4.tcp_max_tw_buckets", 100_000)
            assert churn.stdout is not None and churn.stdout.readline()
            until(lambda: len(read(bits(State.TIME_WAIT))) > 2_000, "some TIME_WAIT")
            for _ in range(50):
                table = read()
                cookies = table.values("cookie")
                assert len(np.unique(cookies)) == len(cookies) == table.values("id")[-1]
                assert State.CLOSED not in table.values("local_state")
        finally:
            churn.kill()


def test_the_namespace_read_is_that_of_the_calling_thread(private_network: Namespace, stage: Stage) -> None:
    stage.pair()
    elsewhere: list[int] = []

    def look() -> None:
        with namespaces.private():
            elsewhere.append(len(read()))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert elsewhere == [0]
    assert len(read()) == 2
    assert private_network.inode == namespaces.own().inode


def test_without_privilege_the_sockets_are_told_all_the_same(stage: Stage) -> None:
    stage.pair()
    # What is imported late is imported first: the interpreter's own files may be out of reach afterwards.
    program = """
import os, time
from lastack.live import sockdiag
print(len(sockdiag.read(time.time_ns())))
os.setgroups([]), os.setgid(65534), os.setuid(65534)
print(len(sockdiag.read(time.time_ns())))
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert answer.stdout == "2\n2\n"
