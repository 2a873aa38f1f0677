"""The two queues of a listener on real sockets: what fills them, which limit binds, and what is dropped."""

from __future__ import annotations

import pytest

from lastack.linux import sysctl
from lastack.model.address import Endpoint
from lastack.model.finding import Severity
from lastack.model.state import State

from .situations import LOOPBACK, Puppet, Stage, advice, evidence, of_rule, rules, the_one, until

ACCEPT = ("accept-queue-filling", "accept-queue-full")
SYN = ("syn-queue-filling", "syn-queue-full")

pytestmark = pytest.mark.root  # whose listeners and counters are all of the test's own network


def waiting(stage: Stage, count: int, backlog: int) -> tuple[Puppet, Endpoint]:
    """A server that does not accept, with that many connections in the queue of its listener."""
    server, client = stage.process("busy"), stage.process("visitor")
    at = server.listen(backlog=backlog)
    client.connect(at, count)
    return server, at


@pytest.mark.rule("accept-queue-filling")
@pytest.mark.silent("accept-queue-full", "accept-queue-overflowed")
def test_half_of_an_accept_queue_is_a_warning_that_names_the_listener_and_its_owner(stage: Stage) -> None:
    server, at = waiting(stage, 6, 10)
    report = stage.check()
    found = the_one(report, "accept-queue-filling")
    assert found.severity is Severity.WARNING
    assert f"{at} (busy, pid {server.pid}" in found.summary
    assert found.summary.endswith("holds 6 of 11")
    facts = evidence(found)
    assert facts["waiting for accept()"] == 6
    assert facts["limit at listen()"] == 10
    assert "backlog given to listen()" in str(facts["what binds"])
    assert len(found.connections) == 6
    assert set(found.connections.values("inode").tolist()) == {0}
    assert "accept()" in advice(found)
    assert [rule for rule in rules(report) if rule in ACCEPT] == ["accept-queue-filling"]
    assert not of_rule(report, "accept-queue-overflowed")


@pytest.mark.silent(*ACCEPT)
@pytest.mark.parametrize("count", [0, 4, 5])
def test_up_to_half_of_an_accept_queue_is_nothing_to_speak_of(stage: Stage, count: int) -> None:
    waiting(stage, count, 10)
    report = stage.check()
    assert rules(report) == []
    gauges = {gauge.what: (gauge.used, gauge.limit) for gauge in report.headroom}
    assert gauges["accept queue"] == (count, 11)


@pytest.mark.rule("accept-queue-full")
@pytest.mark.silent("accept-queue-filling", "accept-queue-overflowed")
def test_a_full_accept_queue_drops_and_the_drops_are_counted(stage: Stage) -> None:
    server, at = waiting(stage, 5, 4)  # the backlog and one more
    late = stage.process("late")
    late.do("connect_in_vain", *at, 1)
    until(lambda: "ListenOverflows so far" in evidence(the_one(stage.check(), "accept-queue-full")), "a drop")
    report = stage.check()
    found = the_one(report, "accept-queue-full")
    assert found.severity is Severity.ERROR
    assert f"{at} (busy, pid {server.pid}" in found.summary
    assert "holds 5 of 5: further connections are dropped" in found.summary
    assert int(evidence(found)["ListenDrops so far"]) >= 1
    assert "up to 4,096 without touching somaxconn" in advice(found)
    assert any("somaxconn" in line for line in found.useless)
    assert not of_rule(report, "accept-queue-filling")
    assert not of_rule(report, "accept-queue-overflowed")


@pytest.mark.silent("accept-queue-full")
def test_the_last_free_place_of_an_accept_queue_is_not_yet_full(stage: Stage) -> None:
    waiting(stage, 4, 4)
    assert rules(stage.check()) == ["accept-queue-filling"]


@pytest.mark.rule("accept-queue-full")
def test_a_queue_that_somaxconn_bounds_is_told_so(stage: Stage) -> None:
    sysctl.write("net.core.somaxconn", 3)
    waiting(stage, 4, 100)
    found = the_one(stage.check(), "accept-queue-full")
    assert evidence(found)["limit at listen()"] == 3
    assert str(evidence(found)["what binds"]).startswith("somaxconn (3)")
    assert "raise net.core.somaxconn" in advice(found)


@pytest.mark.rule("accept-queue-full")
def test_a_limit_of_former_days_is_not_taken_for_the_present_one(stage: Stage) -> None:
    sysctl.write("net.core.somaxconn", 6)
    waiting(stage, 7, 100)
    sysctl.write("net.core.somaxconn", 3)
    found = the_one(stage.check(), "accept-queue-full")
    assert str(evidence(found)["what binds"]) == "somaxconn as it was at listen() (6; 3 now)"


@pytest.mark.rule("accept-queue-overflowed")
@pytest.mark.silent("accept-queue-full", "accept-queue-filling")
def test_an_overflow_that_is_over_is_remembered(stage: Stage) -> None:
    server, at = waiting(stage, 5, 4)
    stage.process("late").do("connect_in_vain", *at, 1)
    until(lambda: "ListenOverflows so far" in evidence(the_one(stage.check(), "accept-queue-full")), "a drop")
    server.do("accept", 5)
    report = stage.check()
    found = the_one(report, "accept-queue-overflowed")
    assert found.severity is Severity.INFO
    assert found.summary.endswith("so far; none is full now")
    assert int(evidence(found)["ListenOverflows so far"]) >= 1
    assert not [rule for rule in rules(report) if rule in ACCEPT]


@pytest.mark.silent("accept-queue-overflowed")
def test_a_queue_that_never_overflowed_is_not_said_to_have(stage: Stage) -> None:
    server, _ = waiting(stage, 5, 4)
    server.do("accept", 5)
    assert rules(stage.check()) == []


def half_open(stage: Stage, count: int, backlog: int) -> tuple[Puppet, Endpoint]:
    """A server with that many half-open connections: clients that never hear the SYN-ACK."""
    server = stage.process("flooded")
    at = server.listen(backlog=backlog)
    stage.process("deaf").do("connect_in_vain", *at, count, True)
    return server, at


@pytest.mark.rule("syn-queue-filling")
@pytest.mark.silent("syn-queue-full", *ACCEPT)
def test_half_of_a_syn_queue_is_a_warning_that_names_the_listener(stage: Stage) -> None:
    server, at = half_open(stage, 6, 10)
    stage.await_state(State.SYN_RECEIVED, 6)
    report = stage.check()
    found = the_one(report, "syn-queue-filling")
    assert found.severity is Severity.WARNING
    assert found.summary.startswith(f"6 half-open connections (SYN_RECV) at {at} (flooded, pid {server.pid}")
    assert found.summary.endswith("limit 10: SYN cookies are sent beyond it")
    facts = evidence(found)
    assert facts["SYN_RECV"] == 6
    assert facts["limit"] == 10
    assert facts["client addresses"] == 1
    assert len(found.connections) == 6
    assert any("tcp_max_syn_backlog" in line for line in found.useless)
    assert not [rule for rule in rules(report) if rule in ("syn-queue-full", *ACCEPT)]


@pytest.mark.silent(*SYN)
def test_up_to_half_of_a_syn_queue_is_nothing_to_speak_of(stage: Stage) -> None:
    half_open(stage, 5, 10)
    stage.await_state(State.SYN_RECEIVED, 5)
    assert rules(stage.check()) == []


@pytest.mark.rule("syn-queue-full")
@pytest.mark.silent("syn-queue-filling")
def test_a_full_syn_queue_with_cookies_is_a_warning(stage: Stage) -> None:
    half_open(stage, 16, 8)
    until(lambda: stage.count(State.SYN_RECEIVED) >= 8, "a full queue")  # newer kernels hold one more
    report = stage.check()
    found = the_one(report, "syn-queue-full")
    assert found.severity is Severity.WARNING
    assert "SYN cookies are sent" in found.summary
    assert int(evidence(found)["TCPReqQFullDoCookies so far"]) >= 4
    assert not of_rule(report, "syn-queue-filling")


@pytest.mark.rule("syn-queue-full")
def test_a_full_syn_queue_without_cookies_is_an_error(stage: Stage) -> None:
    sysctl.write("net.ipv4.tcp_syncookies", 0)
    half_open(stage, 16, 8)
    until(lambda: stage.count(State.SYN_RECEIVED) >= 8, "a full queue")  # newer kernels hold one more
    found = the_one(stage.check(), "syn-queue-full")
    assert found.severity is Severity.ERROR
    assert "SYNs are dropped" in found.summary
    assert int(evidence(found)["TCPReqQFullDrop so far"]) >= 4
    assert "Set net.ipv4.tcp_syncookies=1" in advice(found)


@pytest.mark.rule("syn-queue-full")
@pytest.mark.parametrize("most", [16, 17, 32])
def test_without_cookies_the_last_quarter_of_tcp_max_syn_backlog_is_not_for_strangers(stage: Stage, most: int) -> None:
    sysctl.write("net.ipv4.tcp_syncookies", 0)
    sysctl.write("net.ipv4.tcp_max_syn_backlog", most)
    half_open(stage, most, 100)
    limit = most - (most >> 2)
    stage.await_state(State.SYN_RECEIVED, limit + 1)
    found = the_one(stage.check(), "syn-queue-full")
    assert found.severity is Severity.ERROR
    assert evidence(found)["limit"] == limit


@pytest.mark.silent("syn-queue-full", "syn-queue-filling")
def test_handshakes_that_end_leave_no_half_open_connection(stage: Stage) -> None:
    stage.connected(8)
    assert stage.count(State.SYN_RECEIVED) == 0
    assert rules(stage.check()) == []


def test_a_listener_of_each_family_on_one_port_is_told_apart(stage: Stage) -> None:
    client = stage.process("visitor")
    six, four = stage.process("six"), stage.process("four")
    client.connect(six.listen("::1", backlog=4), 5)
    client.connect(four.listen(LOOPBACK, backlog=8), 5)
    report = stage.check()
    assert "[::1]:" in the_one(report, "accept-queue-full").summary
    assert f"(four, pid {four.pid}" in the_one(report, "accept-queue-filling").summary
    assert len(the_one(report, "accept-queue-filling").connections) == 5
