"""Settings, counters and limits: of the right namespace, and nothing made up out of garbage."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lastack.linux import namespaces, sysctl
from lastack.linux.namespaces import Namespace
from lastack.live import facts
from lastack.model.host import Usage
from lastack.model.time import SECOND

SOCKSTAT = """\
sockets: used 140
TCP: inuse 8 orphan 2 tw 3 alloc 11 mem 5
UDP: inuse 2 mem 1
"""

SNMP = """\
Ip: Forwarding DefaultTTL
Ip: 1 64
Tcp: RtoAlgorithm MaxConn ActiveOpens InCsumErrors
Tcp: 1 -1 17 4
"""

NETSTAT = """\
TcpExt: SyncookiesSent ListenOverflows
TcpExt: 0 9
IpExt: InOctets InCsumErrors
IpExt: 123456789012 5
MPTcpExt: MPCapableSYNRX
MPTcpExt: 77
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    for name, text in (("sockstat", SOCKSTAT), ("snmp", SNMP), ("netstat", NETSTAT)):
        (tmp_path / name).write_text(text)
    return tmp_path


def leave_time_wait(family: socket.AddressFamily, address: str) -> None:
    """One connection on loopback, closed by the client, then by the server."""
    with (
        socket.create_server((address, 0), family=family) as listener,
        socket.create_connection(listener.getsockname()[:2]) as client,
    ):
        server, _ = listener.accept()
        client.shutdown(socket.SHUT_WR)
        with server:
            assert server.recv(1) == b""
        assert client.recv(1) == b""


def test_counters_go_by_their_names_without_the_group(net: Path) -> None:
    assert facts.counters(net) == {
        "RtoAlgorithm": 1,
        "MaxConn": -1,
        "ActiveOpens": 17,
        "InCsumErrors": 4,
        "SyncookiesSent": 0,
        "ListenOverflows": 9,
        "InOctets": 123456789012,
    }


def test_counts_are_read_from_the_line_on_tcp(net: Path) -> None:
    assert facts.time_wait(net).used == 3
    assert facts.orphans(net).used == 2
    assert facts.tcp_memory_pages(net).used == 5


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\n\n",
        b"TCP:",
        b"TCP: tw",
        b"TCP: tw x orphan - mem",
        b"TcpExt:",
        b"TcpExt: A\nTcpExt: x",
        b"Tcp: A B C\nTcp: \xff",
        b"\xff\0" * 4000,
        b"Tcp: A\nTcp: " + b"9" * 9999,
    ],
)
def test_garbage_is_left_out(tmp_path: Path, garbage: bytes) -> None:
    for name in ("sockstat", "snmp", "netstat"):
        (tmp_path / name).write_bytes(garbage)
    assert facts.counters(tmp_path) == {}
    assert (facts.time_wait(tmp_path).used, facts.orphans(tmp_path).used) == (None, None)
    assert facts.tcp_memory_pages(tmp_path).used is None


def test_missing_files_tell_nothing(tmp_path: Path) -> None:
    assert facts.counters(tmp_path / "missing") == {}
    assert facts.time_wait(tmp_path / "missing").used is None


def test_a_line_that_is_cut_short_still_tells_its_start(tmp_path: Path) -> None:
    (tmp_path / "snmp").write_text("Tcp: A B C\nTcp: 1 2")
    assert facts.counters(tmp_path) == {"A": 1, "B": 2}


def test_limits_are_the_settings_that_the_kernel_goes_by(monkeypatch: pytest.MonkeyPatch, net: Path) -> None:
    told = {
        "net.ipv4.tcp_max_tw_buckets": "1000",
        "net.ipv4.tcp_max_orphans": "2000",
        "net.ipv4.tcp_mem": "10\t20\t30",
        "net.netfilter.nf_conntrack_count": "7",
        "net.netfilter.nf_conntrack_max": "70",
    }
    monkeypatch.setattr(sysctl, "read", told.get)
    assert facts.time_wait(net) == Usage(3, 1000)
    assert facts.orphans(net) == Usage(2, 2000)
    assert facts.tcp_memory_pages(net) == Usage(5, 30)
    assert facts.conntrack() == Usage(7, 70)
    assert facts.settings() == {name.rpartition(".")[2]: value for name, value in told.items()}


@pytest.mark.parametrize("text", ["", "x", "1 2", None])
def test_a_limit_that_makes_no_sense_is_none(monkeypatch: pytest.MonkeyPatch, net: Path, text: str | None) -> None:
    monkeypatch.setattr(sysctl, "read", lambda name: text)
    assert facts.tcp_memory_pages(net) == Usage(5, None)


def test_where_nothing_is_tracked_there_is_neither_count_nor_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysctl, "read", lambda name: None)
    assert facts.conntrack() == Usage(None, None)
    assert facts.settings() == {}


def test_this_kernel_tells_what_the_rules_ask_for() -> None:
    told = facts.settings()
    assert {"tcp_fin_timeout", "tcp_tw_reuse", "tcp_timestamps", "ip_local_port_range", "somaxconn"} <= told.keys()
    assert len(told["ip_local_port_range"].split()) == 2
    assert "tcp_tw_recycle" not in told or told["tcp_tw_recycle"] in "01"
    assert {"TCPTimeWaitOverflow", "ListenOverflows", "TW", "ActiveOpens", "InOctets"} <= facts.counters().keys()


def test_the_uptime_is_that_of_proc() -> None:
    before = facts.uptime_ns()
    said = float(Path("/proc/uptime").read_text().split()[0]) * SECOND
    assert before - SECOND < said < facts.uptime_ns() + SECOND


@pytest.mark.root
def test_counters_are_those_of_the_namespace_that_the_calling_thread_is_in() -> None:
    def in_a_namespace_of_its_own() -> tuple[int, dict[str, int], Usage]:
        with namespaces.private():
            before = facts.counters()["ActiveOpens"]
            leave_time_wait(socket.AF_INET, "127.0.0.1")
            return before, facts.counters(), facts.time_wait()

    # Not the first thread: that is the one /proc/net and /proc/self/net tell of.
    with ThreadPoolExecutor(1) as threads:
        before, after, time_wait = threads.submit(in_a_namespace_of_its_own).result()
    assert before == 0
    assert (after["ActiveOpens"], after["TW"], time_wait.used) == (1, 1, 1)


@pytest.mark.root
@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_time_wait_of_either_family_is_counted_for_its_namespace(
    private_network: Namespace, family: socket.AddressFamily, address: str
) -> None:
    assert facts.time_wait().used == 0
    leave_time_wait(family, address)
    assert facts.time_wait().used == 1
    assert facts.time_wait().limit is not None


@pytest.mark.root
def test_an_orphan_in_fin_wait_2_is_counted_with_the_time_wait(private_network: Namespace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with server:
            client.close()
            deadline = time.monotonic() + 5
            while facts.time_wait().used != 1 and time.monotonic() < deadline:
                time.sleep(0.001)
            assert facts.time_wait().used == 1


@pytest.mark.root
def test_settings_are_those_of_the_namespace_and_the_machines_own_are_not_seen_there(
    private_network: Namespace,
) -> None:
    sysctl.write("net.ipv4.tcp_fin_timeout", 17)
    told = facts.settings()
    assert told["tcp_fin_timeout"] == "17"
    assert "tcp_mem" not in told
    assert "tcp_max_orphans" not in told
    assert facts.orphans().limit is None
    assert facts.orphans().used is not None
    assert facts.tcp_memory_pages().used is not None
