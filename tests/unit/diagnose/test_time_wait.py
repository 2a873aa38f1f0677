"""TIME_WAIT as a pure function: whose ports, who may take them over, and what is said at the borders."""

from __future__ import annotations

from typing import Any

import pytest

from lastack.diagnose.timewait import reuse_delay
from lastack.model.close import Closer, Timer
from lastack.model.finding import Severity
from lastack.model.host import Usage
from lastack.model.state import State
from lastack.model.time import SECOND

from .build import NOW, Row, connection, context, facts, found, told

TEN = {"ip_local_port_range": "40000 40009", "tcp_tw_reuse": "0", "tcp_timestamps": "1"}


def outgoing(count: int, left_s: float = 5, **columns: Any) -> list[Row]:
    """TIME_WAIT of connections to 10.9.9.9:5432, each with so much of its minute left."""
    gone = {"opened_by": Closer.LOCAL, "listener": None, "pid": None, "command": None, "inode": 0}
    there = {"remote_addr": "10.9.9.9", "remote_port": 5_432, "timer": Timer.TIME_WAIT}
    left = {"timer_expires_ns": NOW + round(left_s * SECOND)}
    return [
        connection(State.TIME_WAIT, n, **{"local_port": 40_000 + n, **gone, **there, **left, **columns})
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("settings", "source", "destination", "delay"),
    [
        (
            {"tcp_tw_reuse": "1", "tcp_timestamps": "1", "tcp_tw_reuse_delay": "250"},
            "10.0.0.1",
            "10.0.0.2",
            SECOND // 4,
        ),
        ({"tcp_tw_reuse": "1", "tcp_timestamps": "1"}, "10.0.0.1", "10.0.0.2", SECOND),  # before Linux 6.14
        ({"tcp_tw_reuse": "2", "tcp_timestamps": "1"}, "10.0.0.1", "10.0.0.2", None),
        ({"tcp_tw_reuse": "2", "tcp_timestamps": "1"}, "127.0.0.1", "127.0.0.1", SECOND),
        ({"tcp_tw_reuse": "2", "tcp_timestamps": "1"}, "::1", "::1", SECOND),
        ({"tcp_tw_reuse": "2", "tcp_timestamps": "1"}, "127.0.0.1", "10.0.0.2", SECOND),
        ({"tcp_tw_reuse": "1", "tcp_timestamps": "0"}, "127.0.0.1", "127.0.0.1", None),
        ({"tcp_tw_reuse": "0", "tcp_timestamps": "1"}, "127.0.0.1", "127.0.0.1", None),
        ({}, "127.0.0.1", "127.0.0.1", None),
    ],
)
def test_who_may_take_a_time_wait_over_and_when(
    settings: dict[str, str], source: str, destination: str, delay: int | None
) -> None:
    assert reuse_delay(context([connection()], facts(settings=settings)), source, destination) == delay


@pytest.mark.parametrize(
    ("count", "rule", "says"),
    [
        (4, None, ""),
        (5, "time-wait-ports-filling", "connect() is getting slow"),
        (8, "time-wait-ports-filling", "connect() is getting slow"),
        (9, "time-wait-ports-exhausted", "a burst will find none left"),
        (10, "time-wait-ports-exhausted", "connect() fails with EADDRNOTAVAIL"),
    ],
)
def test_what_is_said_of_a_range_where_none_is_born_any_more(count: int, rule: str | None, says: str) -> None:
    findings = found(outgoing(count), facts(settings=TEN))
    assert [each.rule for each in findings] == ([rule] if rule else [])
    assert all(each.summary.endswith(says) for each in findings)


def test_the_seconds_that_are_left_are_told_at_the_present_rate() -> None:
    (finding,) = found(outgoing(6, left_s=55), facts(settings=TEN))
    assert finding.severity is Severity.ERROR  # 6 in ten seconds, and four ports are free
    assert finding.summary.endswith("connect() fails with EADDRNOTAVAIL in 6.7 s at this rate")
    assert told(finding)["made"] == 0.6


def test_living_connections_take_ports_too_and_alone_they_are_no_time_wait() -> None:
    living = [
        connection(
            State.ESTABLISHED,
            n,
            local_port=40_000 + n,
            opened_by=Closer.LOCAL,
            remote_addr="10.9.9.9",
            remote_port=5_432,
        )
        for n in range(8)
    ]
    assert found(living, facts(settings=TEN)) == []
    (finding,) = found([*living, *outgoing(1, local_port=40_009)], facts(settings=TEN))
    assert told(finding)["ports taken"] == "9 of 10"
    assert len(finding.connections) == 1


def test_accepted_connections_and_ports_outside_the_range_take_none_of_it() -> None:
    assert found(outgoing(9, opened_by=Closer.REMOTE), facts(settings=TEN)) == []
    assert (
        found(
            outgoing(9, remote_port=1, opened_by=Closer.REMOTE)[:1],
            facts(settings={**TEN, "ip_local_port_range": "40000 40000"}),
        )
        == []
    )
    assert found([{**row, "local_port": 30_000 + n} for n, row in enumerate(outgoing(9))], facts(settings=TEN)) == []


def test_a_range_as_wide_as_can_be_is_not_advised_to_be_widened() -> None:
    wide = facts(settings={**TEN, "ip_local_port_range": "1024 65535"})
    (finding,) = found(outgoing(7), wide, ports_warning=0.0001)
    assert not any("ip_local_port_range" in each.do for each in finding.advice)
    (finding,) = found(outgoing(7), facts(settings=TEN))
    assert any("ip_local_port_range" in each.do for each in finding.advice)


@pytest.mark.parametrize(("count", "speaks"), [(999, False), (1_000, True)])
def test_a_server_is_told_from_a_thousand_on(count: int, speaks: bool) -> None:
    rows = [connection(State.TIME_WAIT, n) for n in range(count)]
    assert [each.rule for each in found(rows)] == (["time-wait-server-side"] if speaks else [])


@pytest.mark.parametrize(
    ("used", "severity"),
    [(79, None), (80, Severity.WARNING), (99, Severity.WARNING), (100, Severity.ERROR), (None, None)],
)
def test_the_limit_of_time_wait_is_near_from_four_fifths_on(used: int | None, severity: Severity | None) -> None:
    findings = found([], facts(time_wait=Usage(used, 100)))
    assert [each.severity for each in findings] == ([severity] if severity else [])
