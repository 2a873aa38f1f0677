"""What filters match: every kind of condition on a small table, null and all."""

from __future__ import annotations

import numpy as np
import pytest

from lastack.model import SECOND, ConnectionTable, State, Timer, Values
from lastack.model.address import address_halves
from lastack.model.filters import parse
from lastack.model.host import Holder, HostFacts, Process
from lastack.model.record import address_values, text_values

NOW = 1_700_000_000 * SECOND


def table() -> ConnectionTable:
    """Five connections: web, database, a dual-stack listener, IPv6, and one of which nothing is known."""
    known = np.array([True, True, True, True, False])

    def numbers(*values: int, dtype: str) -> Values:
        return Values(np.array([*values, 0], dtype), known)

    local = [address_halves(text) for text in ("10.0.0.1", "127.0.0.1", "::", "2001:db8::1", "0.0.0.0")]
    remote = [address_halves(text) for text in ("192.0.2.7", "127.0.0.1", "::", "2001:db8:5::2", "0.0.0.0")]
    return ConnectionTable(
        5,
        {
            "local_state": numbers(State.CLOSE_WAIT, State.ESTABLISHED, State.LISTEN, State.TIME_WAIT, dtype="uint8"),
            "family": numbers(4, 4, 6, 6, dtype="uint8"),
            "local_addr": Values(address_values(local).values, known),
            "remote_addr": Values(address_values(remote).values, known),
            "local_port": numbers(443, 40000, 443, 61000, dtype="uint16"),
            "remote_port": numbers(51000, 5432, 0, 443, dtype="uint16"),
            "recv_q": numbers(1, 0, 3, 0, dtype="uint32"),
            "send_q": numbers(0, 7, 128, 0, dtype="uint32"),
            "pid": numbers(12, 12, 34, 0, dtype="int32"),
            "age_ns": numbers(90 * SECOND, 60 * SECOND, 0, 5 * SECOND, dtype="int64"),
            "timer": numbers(Timer.KEEPALIVE, Timer.RETRANSMIT, Timer.OFF, Timer.TIME_WAIT, dtype="uint8"),
            "command": text_values(["nginx", "nginx", "tmux: server", None, None]),
            "unit": text_values(["nginx.service", "session-1.scope", "dev.x.service", None, None]),
            "container": text_values([None, None, "web-1", None, None]),
            "listener": text_values(["10.0.0.1:443", None, None, "[::]:443", "nonsense"]),
            "last_data_received_ns": Values(
                np.array([NOW - 400 * SECOND, NOW - 9, 0, 0, 0]), np.array([1, 1, 0, 0, 0], bool)
            ),
            "last_data_sent_ns": Values(np.array([NOW - 300 * SECOND, 0, 0, NOW, 0]), np.array([1, 0, 0, 1, 0], bool)),
        },
    )


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", [0, 1, 2, 3, 4]),
        ("state all", [0, 1, 2, 3]),
        ("not state all", [4]),
        ("exclude listening", [0, 1, 3]),
        ("state synchronized", [0, 1, 3]),
        ("dst *", [0, 1, 2, 3, 4]),
        ("dst 192.0.2.0/24", [0]),
        ("not dst 192.0.2.0/24", [1, 2, 3, 4]),
        ("dst 0/0", [0, 1]),
        ("dst ::/0", [2, 3]),
        ("src ::", [2]),
        ("src 2001:db8::/32", [3]),
        ("src 2001:db8::/33", [3]),
        ("dst 2001:db8::/48", []),
        ("src ::/64", [2]),
        ("src 127.0.0.1:40000", [1]),
        ("src 127.0.0.1:40001", []),
        ("src :443", [0, 2]),
        ("dport = :443", [3]),
        ("dport != :443", [0, 1, 2, 4]),
        ("dport < :443", [2]),
        ("dport <= :443", [2, 3]),
        ("dport > :443", [0, 1]),
        ("dport >= :443", [0, 1, 3]),
        ("autobound", [1]),
        ("family inet", [0, 1]),
        ("inet6", [2, 3]),
        ("process nginx", [0, 1]),
        ("process ngin", []),
        ("process n*x", [0, 1]),
        ("process NGINX", []),
        ("process != nginx", [2, 3, 4]),
        ("process 'tmux: server'", [2]),
        ("process 12", [0, 1]),
        ("process '12'", []),
        ("unit nginx", [0]),
        ("unit nginx.service", [0]),
        ("unit session-*", [1]),
        ("unit dev", []),
        ("unit dev.x", [2]),
        ("container web-?", [2]),
        ("listener :443", [0, 3]),
        ("listener 10.0.0.1", [0]),
        ("listener 10.0.0.0/8:443", [0]),
        ("listener 0/0", [0]),
        ("listener ::", [3]),
        ("listener *", [0, 3]),
        ("age > 60s", [0]),
        ("age >= 60s", [0, 1]),
        ("age < 10s", [2, 3]),
        ("idle >= 300s", [0]),
        ("idle > 300s", []),
        ("idle < 1s", [1, 2, 3]),
        ("idle >= 0s", [0, 1, 2, 3]),
        ("recv-q > 0", [0, 2]),
        ("send-q = 7", [1]),
        ("timer keepalive", [0]),
        ("timer on", [1]),
        ("not timer off", [0, 1, 3, 4]),
        ("state close-wait or state time-wait", [0, 3]),
        ("inet dport > :6000", [0]),
        ("inet and dport > :6000 or inet6", [0, 2, 3]),
        ("not ( inet or inet6 )", [4]),
    ],
)
def test_a_filter_matches_the_rows_it_speaks_of(text: str, rows: list[int]) -> None:
    found = parse(text).matches(table(), NOW)
    assert found.dtype == np.bool_
    assert np.flatnonzero(found).tolist() == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("process master", [0]),
        ("process 7", [0]),
        ("unit web", [0]),
        ("container pod-*", [0]),
        ("process nginx", [0, 1]),
        ("not process master", [1, 2, 3, 4]),
        ("process stranger", []),
    ],
)
def test_a_socket_that_several_processes_hold_is_of_each_of_them(text: str, rows: list[int]) -> None:
    shared = table().with_columns(
        {
            "inode": np.array([50, 51, 0, 0, 0], np.uint64),
            "holders": Values(np.array([3, 1, 0, 0, 0], np.uint16), np.array([1, 1, 0, 0, 0], bool)),
        }
    )
    processes = {
        7: Process(7, 1, "master", 0, unit="web.service", container="pod-1"),
        8: Process(8, 1, "stranger", 0),
        12: Process(12, 7, "nginx", 0, unit="nginx.service"),
    }
    facts = HostFacts(
        "host", "6.18", NOW, processes=processes, holders={50: (Holder(7, 3), Holder(12, 3), Holder(99, 3))}
    )
    found = parse(text).matches(shared, NOW, facts=facts)
    assert np.flatnonzero(found).tolist() == rows


def test_autobound_asks_the_range_it_is_given() -> None:
    assert np.flatnonzero(parse("autobound").matches(table(), NOW, (61000, 61000))).tolist() == [3]


def test_a_column_that_was_never_filled_matches_nothing() -> None:
    bare = ConnectionTable(2)
    for text in ("process x", "dport = :1", "dst ::1", "age > 0s", "idle > 0s", "listener *", "state all", "timer off"):
        assert not parse(text).matches(bare, NOW).any(), text
        assert parse(f"not ( {text} )").matches(bare, NOW).all(), text


def test_an_empty_table_gives_an_empty_mask() -> None:
    for text in ("", "process x", "inet or not dst 10/8", "idle > 1s"):
        assert parse(text).matches(ConnectionTable(), NOW).shape == (0,)
