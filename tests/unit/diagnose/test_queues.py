"""The two queues of a listener as a pure function: which limit binds, and listeners that share a port."""

from __future__ import annotations

import pytest

from lastack.diagnose.queues import binding, owner_of, syn_limit
from lastack.model.finding import Severity
from lastack.model.state import State

from .build import Row, connection, facts, found, listener, listening, told

COOKIES = {"tcp_syncookies": "1", "tcp_max_syn_backlog": "2048", "somaxconn": "4096"}


def half_open(count: int) -> list[Row]:
    return [connection(State.SYN_RECEIVED, number, inode=0, pid=None, command=None) for number in range(count)]


@pytest.mark.parametrize(
    ("queue", "limit", "rule"),
    [
        (0, 0, None),
        (1, 0, "accept-queue-full"),
        (64, 128, None),
        (65, 128, "accept-queue-filling"),
        (128, 128, "accept-queue-filling"),
        (129, 128, "accept-queue-full"),
    ],
)
def test_a_queue_holds_one_more_than_its_limit(queue: int, limit: int, rule: str | None) -> None:
    findings = found([listening()], facts(listeners=(listener(queue, limit),)))
    assert [each.rule for each in findings] == ([rule] if rule else [])


@pytest.mark.parametrize(
    ("limit", "somaxconn", "said"),
    [
        (128, "4096", "the backlog given to listen(), or somaxconn as it was then (4,096 now)"),
        (4_096, "4096", "somaxconn (4,096), or a backlog equal to it"),
        (4_096, "128", "somaxconn as it was at listen() (4,096; 128 now)"),
        (128, "", "unknown: somaxconn cannot be read"),
    ],
)
def test_what_binds_a_queue_is_told_as_far_as_it_can_be_known(limit: int, somaxconn: str, said: str) -> None:
    assert binding(listener(limit=limit), facts(settings={"somaxconn": somaxconn})) == said


@pytest.mark.parametrize(
    ("backlog", "cookies", "most", "limit"),
    [
        (128, "1", "16", 128),
        (128, "2", "16", 128),
        (128, "0", "16", 12),
        (128, "0", "2048", 128),
        (128, "0", "", 128),
        (10, "0", "16", 10),
    ],
)
def test_without_cookies_the_smaller_of_two_limits_binds(backlog: int, cookies: str, most: str, limit: int) -> None:
    known = facts(settings={"tcp_syncookies": cookies, "tcp_max_syn_backlog": most})
    assert syn_limit(listener(limit=backlog), known) == limit


@pytest.mark.parametrize(
    ("count", "cookies", "rule", "severity"),
    [
        (4, "1", None, None),
        (5, "1", "syn-queue-filling", Severity.WARNING),
        (5, "0", "syn-queue-filling", Severity.WARNING),
        (8, "1", "syn-queue-full", Severity.WARNING),
        (8, "0", "syn-queue-full", Severity.ERROR),
    ],
)
def test_a_full_syn_queue_is_an_error_where_it_drops(
    count: int, cookies: str, rule: str | None, severity: Severity | None
) -> None:
    known = facts(settings={**COOKIES, "tcp_syncookies": cookies}, listeners=(listener(limit=8),))
    findings = found([listening(), *half_open(count)], known)
    assert [(each.rule, each.severity) for each in findings] == ([(rule, severity)] if rule else [])


def test_listeners_that_share_a_port_have_a_queue_each() -> None:
    several = (listener(limit=8, inode=1), listener(limit=8, inode=2))
    rows = [listening(inode=1), listening(inode=2), *half_open(9)]
    (finding,) = found(rows, facts(settings=COOKIES, listeners=several))
    assert (finding.rule, told(finding)["limit"]) == ("syn-queue-filling", 16)


def test_half_open_connections_of_another_listener_do_not_count() -> None:
    rows = [{**row, "listener": "10.0.0.1:81"} for row in half_open(9)]
    assert found([listening(), *rows], facts(settings=COOKIES, listeners=(listener(limit=8),))) == []


def test_a_past_overflow_is_told_only_where_no_queue_is_full_now() -> None:
    counters = {"ListenOverflows": 1, "ListenDrops": 7}
    (finding,) = found([], facts(counters=counters))
    assert finding.summary == "an accept queue has overflowed 1 time so far; none is full now"
    assert told(finding) == {"ListenOverflows so far": 1, "ListenDrops so far": 7}
    full = facts(counters=counters, listeners=(listener(9, 8),))
    assert [each.rule for each in found([listening()], full)] == ["accept-queue-full"]
    assert found([], facts(counters={"ListenOverflows": 0, "ListenDrops": 7})) == []


def test_who_listens_is_said_as_far_as_it_is_known() -> None:
    assert owner_of(listener(unit="web.service")) == "10.0.0.1:80 (web, pid 10, web.service)"
    assert owner_of(listener(command=None, pid=None)) == "10.0.0.1:80"
